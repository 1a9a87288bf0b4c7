"""Errors of the REST doors in the form of RFC 9457, from the errors of the methods behind them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from hub.web.desk import ADVICE, STATUS_OF_KIND
from shared.errors import RpcError

MEDIA_TYPE = "application/problem+json"

_OWN_STATUS: Mapping[str, int] = {"parse_error": 400, "busy": 503}
"""Where a door without a form behind it says it better: clients and proxies know 503 as `later`."""

_OWN_HINT: Mapping[str, str] = {"busy": "Ask again after that time, or ask another hub."}

RETRY_SECONDS = 1.0  # What `busy` means where nothing else is said.


def status_of(error: RpcError) -> int:
    """The HTTP status that answers an error."""
    return _OWN_STATUS.get(error.kind) or STATUS_OF_KIND.get(error.kind, 500)


def problem_of(error: RpcError) -> dict[str, Any]:
    """What is told of an error: `kind` for programs, `parameter` when one is at fault, `hint` for
    people, `retry_after` in seconds when the same may succeed later."""
    status = status_of(error)
    told: dict[str, Any] = {
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        "kind": error.kind,
        "parameter": error.data.get("parameter"),
        "hint": error.data.get("hint") or _OWN_HINT.get(error.kind) or ADVICE.get(error.kind),
        "retry_after": retry_after_seconds(error),
    }
    rest = {key: value for key, value in error.data.items() if key not in told}
    if rest:
        told["data"] = rest
    return {key: value for key, value in told.items() if value is not None}


def retry_after_seconds(error: RpcError) -> float | None:
    """In how many seconds the same may succeed; None when it will not."""
    seconds = error.data.get("retry_after_s")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return float(seconds)
    return RETRY_SECONDS if error.kind == "busy" else None


def problem_answer(error: RpcError, headers: Mapping[str, str]) -> Response:
    """An error as a whole answer."""
    told = problem_of(error)
    seconds = told.get("retry_after")
    retry = {} if seconds is None else {"retry-after": str(max(1, round(seconds)))}
    body = orjson.dumps(told, default=str)
    return Response(body, told["status"], {**headers, **retry}, media_type=MEDIA_TYPE)
