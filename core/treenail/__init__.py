"""Treenail's core: the joint that plugins fit into, and the services they share."""
