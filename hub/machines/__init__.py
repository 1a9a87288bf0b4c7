"""Virtual machines, ordered through any hub: lists, calls to their nodes, bulk work, and orders that wait."""
