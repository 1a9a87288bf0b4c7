"""JSON-RPC 2.0 as both sides speak it: reading requests, writing answers, and the table of errors.

Source: https://www.jsonrpc.org/specification. Named parameters only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.errors import RpcError

BATCH_CALLS_MAX = 100
"""Enough for a page full of widgets, too few to hold up a hub."""

CODES: Mapping[str, int] = {
    "parse_error": -32700,
    "invalid_request": -32600,
    "method_not_found": -32601,
    "invalid_params": -32602,
    "internal": -32603,
    "not_found": -32001,
    "conflict": -32002,
    "invalid_state": -32003,
    "busy": -32004,
    "not_supported": -32005,
    "driver_unavailable": -32006,
    "insufficient": -32007,
    "stop_timeout": -32008,
    "driver_error": -32009,
    "node_unreachable": -32010,
    "no_path": -32011,
    "outcome_unknown": -32012,
    "stale_only": -32013,
    "unauthorized": -32014,
    "protected": -32015,
    "quota": -32016,
}
KINDS = {code: kind for kind, code in CODES.items()}


@dataclass(frozen=True, slots=True)
class Request:
    """One call. A notification has no id (`is_notification`) and gets no answer."""

    method: str
    params: dict[str, Any]
    id: str | int | float | None
    is_notification: bool


def read_body(body: bytes) -> Any:
    """The JSON value of a request body; raises RpcError parse_error."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RpcError("parse_error", f"the body is not JSON: {error}") from error


def read_request(value: Any) -> Request:
    """Check one call; raises RpcError invalid_request or invalid_params."""
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise RpcError("invalid_request", 'a call is an object with "jsonrpc": "2.0"')
    method = value.get("method")
    if not isinstance(method, str) or not 0 < len(method) <= 100:
        raise RpcError("invalid_request", "method must be a text of 1 to 100 characters")
    call_id = value.get("id")
    if isinstance(call_id, bool) or not isinstance(call_id, str | int | float | None):
        raise RpcError("invalid_request", "id must be a text, a number or null")
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise RpcError("invalid_params", "params must be an object: parameters go by name")
    return Request(method, params, call_id, "id" not in value)


def call_id_of(value: Any) -> str | int | float | None:
    """The id to answer with, even for a call that cannot be read."""
    call_id = value.get("id") if isinstance(value, dict) else None
    return (
        call_id
        if isinstance(call_id, str | int | float) and not isinstance(call_id, bool)
        else None
    )


def result_answer(call_id: Any, result: Any) -> dict[str, Any]:
    """A successful answer."""
    return {"jsonrpc": "2.0", "id": call_id, "result": result}


def error_answer(call_id: Any, error: RpcError) -> dict[str, Any]:
    """An answer that says no, with `data.kind` naming why."""
    data = {"kind": error.kind, **error.data}
    return {
        "jsonrpc": "2.0",
        "id": call_id,
        "error": {"code": CODES[error.kind], "message": str(error), "data": data},
    }


def read_answer(value: Any) -> Any:
    """The result of an answer; raises the RpcError that it carries, whatever the transport said."""
    if not isinstance(value, dict) or ("result" not in value and "error" not in value):
        raise RpcError("internal", "the other side answered with something that is not JSON-RPC")
    error = value.get("error")
    if error is None:
        return value["result"]
    if not isinstance(error, dict):
        raise RpcError("internal", "the other side answered with an error that is not JSON-RPC")
    data = error.get("data")
    data = dict(data) if isinstance(data, dict) else {}
    kind = KINDS.get(error.get("code", 0), "internal")
    data.pop("kind", None)
    raise RpcError(kind, str(error.get("message", "no message")), data)
