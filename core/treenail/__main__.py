"""``python -m treenail``."""

from treenail.cli import main

main()
