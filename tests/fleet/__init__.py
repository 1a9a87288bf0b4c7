"""Whole fleets in one process: the real hub and edge code on virtual time, with a network that fails."""
