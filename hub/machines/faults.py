"""What an error says beside its kind: on which hub the path ended, which paths were tried, and whether
to ask again. Rules only."""

from collections.abc import Sequence
from typing import Any

from shared.errors import RpcError

LOST_ON_THE_WAY = frozenset({"no_path", "node_unreachable", "outcome_unknown"})
"""The node did not answer, whatever became of the order."""

RETRYABLE = frozenset({"node_unreachable", "outcome_unknown", "busy"})
"""The same again may succeed; an order with the same request id. Not `no_path`: all hubs were tried."""


def told(
    error: RpcError, node: str, hub_id: str, method: str, request_id: str | None = None
) -> RpcError:
    """The error with its node, `hop`, `path`, `retryable`, and the request id to repeat."""
    hops = _hops(error.data)
    error.data.setdefault("node", node)
    error.data.setdefault("method", method)
    error.data.setdefault("hop", str(hops[-1].get("hub", hub_id)) if hops else hub_id)
    error.data.setdefault("path", {"served_by": hub_id, "hops": hops})
    error.data["retryable"] = error.kind in RETRYABLE
    if request_id is not None:
        error.data.setdefault("request_id", request_id)
    return error


def told_here(error: RpcError, hub_id: str) -> RpcError:
    """An error of this hub itself: the path ended here."""
    error.data.setdefault("hop", hub_id)
    error.data.setdefault("retryable", error.kind in RETRYABLE)
    return error


def stale_only(node: str, error: RpcError) -> RpcError:
    """A live answer was asked for, and there is only what the node told before."""
    message = f"{node} does not answer, and only what it told before is here: {error}"
    data = {**error.data, "cause": error.kind, "retryable": False}
    return RpcError("stale_only", message, data)


def check_speaker(node: str, hub_id: str, result: Any) -> None:
    """Raise RpcError outcome_unknown for an answer that another node gave."""
    speaker = result.get("node_id", node) if isinstance(result, dict) else None
    if speaker != node:
        message = f"{hub_id} answered for {node}, but that was {str(speaker)[:80]}"
        raise RpcError("outcome_unknown", message, {"hop": hub_id})


def _hops(data: dict[str, Any]) -> Sequence[dict[str, Any]]:
    hops = data.get("hops")
    return [hop for hop in hops if isinstance(hop, dict)] if isinstance(hops, list) else []
