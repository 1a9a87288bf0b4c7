"""Consoles of machines for people: tickets, and the socket that a browser or the command line opens."""
