"""Bounds made small, so that a short run turns every page that a long one would."""

import contextlib
from collections.abc import Iterator

import hub.peer_doors
import hub.peering.exchange_pull
import hub.peering.exchange_wire
import hub.pulling
import hub.replicate
import hub.store.chunks
import hub.vectors

SMALL = (
    (hub.peer_doors, "HAVE_PAGE", 5),
    (hub.peer_doors, "CHUNKS_MAX", 3),
    (hub.peering.exchange_pull, "RECORDS_MAX", 3),
    (hub.peering.exchange_wire, "RECORDS_MAX", 3),
    (hub.pulling, "PULL_BYTES", 600),
    (hub.replicate, "RUN_CHUNKS_MAX", 2),
    (hub.store.chunks, "UNSAFE_PAGE", 4),
    (hub.vectors, "LOGS_MAX", 2),
    (hub.vectors, "SPANS_MAX", 3),
)


@contextlib.contextmanager
def small_pages() -> Iterator[None]:
    """Let hubs tell and fetch a little at a time while this lasts."""
    usual = [(module, name, getattr(module, name)) for module, name, _ in SMALL]
    for module, name, bound in SMALL:
        setattr(module, name, bound)
    try:
        yield
    finally:
        for module, name, bound in usual:
            setattr(module, name, bound)
