"""Measurements of this package's own rules, each a process of its own that prints one JSON object."""
