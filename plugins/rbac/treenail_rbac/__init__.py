"""Treenail's plugin rbac: roles, grants down the parent chain, and invitations."""
