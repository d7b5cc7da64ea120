"""Live collaboration: the documents several people edit at the same time."""
