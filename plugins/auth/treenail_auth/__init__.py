"""Accounts, passwords, sessions and tokens: who is calling, and how that is proven."""
