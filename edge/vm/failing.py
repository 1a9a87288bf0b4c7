"""What is kept of an error: its kind, its words, and what else it says, within a bound. Rules only."""

import msgspec

from edge.vm.model import Failure
from shared.errors import RpcError

DATA_BYTES_MAX = 8 * 1024
"""What is more is left out whole: half of it would be no JSON. 200 operations may keep as much."""


def failure_of(error: RpcError, at_ms: int) -> Failure:
    """The error as records, operations and events keep it."""
    try:
        data = msgspec.json.encode(error.data)
    except (TypeError, ValueError, RecursionError):  # No JSON: nobody could be told of it.
        data = b"{}"
    if len(data) > DATA_BYTES_MAX:
        data = b"{}"
    return Failure(error.kind, str(error), at_ms, msgspec.json.decode(data))
