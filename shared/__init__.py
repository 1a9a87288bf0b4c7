"""What an edge and a hub must agree on: values, pure rules, and thin doors to the outside world."""

__version__ = "0.1.0"
