"""Treenail's plugin workspaces: workspaces, their members, and documents."""
