"""What laws are tried on: hypothesis strategies for the values that hubs and edges exchange."""

import hashlib

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from shared.codec import compress
from shared.merge import Facts, Intent, NodeRecord, Observation
from shared.ranges import Ranges, of_seqs
from shared.records import GENESIS_HASH, Chunk, ChunkHeader, Encoding, Signal, seal
from shared.stamp import Stamp

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason for a test to fail."""

seqs = st.integers(1, 40)
seq_sets = st.frozensets(seqs)
HUBS = ("hub-1", "hub-2", "hub-3")
hub_ids = st.sampled_from(HUBS)
small = st.integers(0, 4)
"""Few different numbers, so that ties happen."""

contents = st.dictionaries(st.sampled_from("abc"), st.none() | small | st.text("xy", max_size=2))
stamps = st.builds(Stamp, small, small, hub_ids)


def ranges_of(numbers: frozenset[int] | set[int]) -> Ranges:
    """The same set, as ranges."""
    return of_seqs(numbers)


@st.composite
def node_records(draw: st.DrawFn, node_id: str = "edge-1") -> NodeRecord:
    """What some hub may know of a node, contradictions included."""
    facts = st.builds(Facts, small, small, contents)
    seen = st.builds(Observation, small, small, small, hub_ids, contents)
    wanted = st.builds(Intent, contents | st.booleans(), stamps, st.integers(0, 2))
    return NodeRecord(
        node_id,
        draw(st.none() | facts),
        draw(st.none() | seen),
        draw(st.dictionaries(st.sampled_from(("draining", "labels", "removed")), wanted)),
    )


def chunk_of(seq: int, body: bytes = b"body", **changes: object) -> Chunk:
    """A sound chunk; `changes` spoil fields of its header."""
    stored = compress(body)
    fields: dict[str, object] = {
        "origin": "edge-1",
        "epoch": "e1",
        "seq": seq,
        "signal": Signal.LOGS,
        "encoding": Encoding.PROTO,
        "codec": "zstd",
        "records": 1,
        "raw_bytes": len(body),
        "stored_bytes": len(stored),
        "time_min_ns": 1,
        "time_max_ns": 2,
        "created_ms": 1,
        "body_sha256": hashlib.sha256(stored).digest(),
        "previous_hash": GENESIS_HASH,
    }
    return seal(ChunkHeader(**{**fields, **changes}), stored)  # type: ignore[arg-type]


chunks = st.builds(chunk_of, st.integers(1, 2**40), st.binary(max_size=200))
