"""Greetings between the members of a tenant: a third party's plugin."""
