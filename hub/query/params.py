"""The parameters of each query, with their defaults and bounds; all others are refused by name."""

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from hub.query.times import TIME_NS_MAX, TimeInput, parse_time
from shared.errors import RpcError

_PLACE = re.compile(r"\$\.([^.`\[]+)")

Time = TimeInput | None
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Nodes = Annotated[list[Name], Meta(max_length=1000)] | None
Scalar = str | int | float | bool
Attributes = Annotated[dict[Name, Scalar], Meta(max_length=20)]
TraceId = Annotated[str, Meta(pattern="^[0-9a-fA-F]{32}$")]
Order = Literal["newest", "oldest"]


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every query has. A missing `start` or `end` leaves that side of the range open."""

    start: Time = None
    end: Time = None


ParamsType = TypeVar("ParamsType", bound=Params)


def read_params(params: dict[str, Any], wanted: type[ParamsType]) -> ParamsType:
    """The checked parameters; raises RpcError invalid_params that names the one at fault."""
    known = wanted.__struct_fields__
    for name in params:
        if name not in known:
            raise _unknown(str(name)[:60], known)
    try:
        asked = msgspec.convert(params, wanted)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    for name, value in params.items():
        _check_texts(name, value)
    return asked


def read_range(
    params: Params, now_ns: int, default_start_ns: int = 0, default_end_ns: int = TIME_NS_MAX
) -> tuple[int, int]:
    """The half-open range [start, end) in nanoseconds; raises RpcError invalid_params."""
    start_ns, end_ns = default_start_ns, default_end_ns
    if params.start is not None:
        start_ns = parse_time(params.start, now_ns, "start")
    if params.end is not None:
        end_ns = parse_time(params.end, now_ns, "end")
    if start_ns >= end_ns:
        raise RpcError(
            "invalid_params", "start: it must be earlier than end", {"parameter": "start"}
        )
    return start_ns, end_ns


def _unknown(name: str, known: tuple[str, ...]) -> RpcError:
    nearest = get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return RpcError(
        "invalid_params",
        f"{name}: there is no such parameter{hint} Known are {', '.join(sorted(known))}.",
        {"parameter": name},
    )


def _check_texts(name: str, value: Any) -> None:
    """Texts that came from elsewhere than JSON can have halves of characters."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        reason = f"{name}: it has a character that cannot be written as UTF-8"
        raise RpcError("invalid_params", reason, {"parameter": name}) from error


def _invalid(message: str) -> RpcError:
    """msgspec says "Expected `int` >= 1 - at `$.limit`", "... - at `key` in `$.attributes`" or
    "... missing required field `name`"."""
    reason, _, place = message.partition(" - at `")
    named = _PLACE.search(place)
    name = named[1] if named else ""
    if not name:
        name = message.rpartition("field `")[2].strip("`") if "field `" in message else "params"
    return RpcError("invalid_params", f"{name}: {reason}", {"parameter": name})
