"""Treenail's plugin webhooks: what happens in a tenant, told to addresses of its own."""
