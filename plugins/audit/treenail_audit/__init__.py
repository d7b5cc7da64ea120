"""The record of who did what: append-only, hash-chained, signed, anchored outside the database."""
