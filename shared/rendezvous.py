"""Who suits a name best, so that all who know the same candidates agree without asking. Pure.

Rendezvous hashing (Thaler and Ravishankar, 1998): what a candidate that goes had spreads evenly over
the others, and everything else stays where it is.
"""

from hashlib import sha256


def weight(name: str, candidate: str) -> int:
    """How much a candidate suits a name: edges and hubs weigh hubs by this one rule."""
    return int.from_bytes(sha256(f"{name}|{candidate}".encode()).digest()[:8])
