"""Tenants and memberships: who belongs where, and as what."""
