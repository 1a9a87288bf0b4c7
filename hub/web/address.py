"""All state of a page is in its address: reading it into parameters of calls, and writing it anew."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams

from hub.query.times import NS_PER_S, parse_time
from shared.errors import RpcError

Kind = Literal["text", "many", "whole", "number", "flag", "pairs"]

YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Field:
    """One name in the query part of an address, and the parameter of the call that it becomes."""

    name: str
    kind: Kind = "text"
    parameter: str = ""

    @property
    def key(self) -> str:
        """The name of the parameter."""
        return self.parameter or self.name


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of a request says."""

    path: str
    parts: Mapping[str, str]
    query: QueryParams

    def one(self, name: str) -> str:
        """The value of a name, empty when it is not there."""
        return str(self.query.get(name, "")).strip()

    def many(self, name: str) -> list[str]:
        """All values of a name but the empty ones."""
        return [value.strip() for value in self.query.getlist(name) if value.strip()]

    def with_changes(self, **changes: str | int | Sequence[str] | None) -> str:
        """The same address with other values, relative to the page; None takes a name out."""
        kept = [(k, v) for k, v in self.query.multi_items() if v and k not in changes]
        return relative([*kept, *_flat(changes)])

    def whole(self, path: str = "") -> str:
        """The path with its query, or another path with the same query."""
        query = self.query.multi_items()
        return (path or quote(self.path)) + (relative(query) if query else "")


def relative(pairs: Iterable[tuple[str, str]]) -> str:
    """The query part of an address, with its question mark."""
    return "?" + urlencode(list(pairs))


def _flat(changes: Mapping[str, str | int | Sequence[str] | None]) -> Iterable[tuple[str, str]]:
    for name, value in changes.items():
        if isinstance(value, str | int):
            yield name, str(value)
        elif value is not None:
            yield from ((name, each) for each in value)


def read(asked: Asked, fields: Sequence[Field], others: Sequence[str] = ()) -> dict[str, Any]:
    """The parameters of a call; empty fields are left out, as a form sends them.

    Raises RpcError invalid_params for an unknown name (`others` are known too) or a wrong value.
    """
    known = [*(field.name for field in fields), *others]
    for name in asked.query:
        if name not in known:
            raise _unknown(name[:60], known)
    found = ((field.key, _value(asked, field)) for field in fields)
    return {key: value for key, value in found if value not in (None, "", [], {})}


def _value(asked: Asked, field: Field) -> Any:
    if field.kind == "many":
        return asked.many(field.name)
    if field.kind == "pairs":
        return dict(_pair(field.name, text) for text in asked.many(field.name))
    text = asked.one(field.name)
    if not text or field.kind == "text":
        return text
    if field.kind == "flag":
        return _flag(field.name, text)
    return _number(field, text)


def _pair(name: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        raise _wrong(name, text, "of the form key=value")
    return key.strip(), value.strip()


def _flag(name: str, text: str) -> bool | None:
    if text.lower() in YES:
        return True
    if text.lower() in NO:
        return None  # All flags are off unless they are on.
    raise _wrong(name, text, "yes or no")


def _number(field: Field, text: str) -> int | float:
    try:
        return int(text[:40]) if field.kind == "whole" else float(text[:40])
    except ValueError as error:
        wanted = "a whole number" if field.kind == "whole" else "a number"
        raise _wrong(field.name, text, wanted) from error


def _wrong(name: str, text: str, wanted: str) -> RpcError:
    return RpcError("invalid_params", f"{name}: {text[:60]!r} is not {wanted}", {"parameter": name})


def _unknown(name: str, known: Sequence[str]) -> RpcError:
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    listed = f" Known are {', '.join(sorted(known))}." if known else ""
    message = f"{name}: this page has no such parameter{hint or '.'}{listed}"
    return RpcError("invalid_params", message, {"parameter": name})


def around(time: str, duration_ms: float = 0.0, margin_s: int = 3600) -> str:
    """`start` and `end` for a look at what happened near a time: Unix seconds, as a query part."""
    try:
        begin_s = parse_time(time, 0, "time") // NS_PER_S
    except RpcError:
        return ""
    end_s = begin_s + int(duration_ms / 1000) + margin_s
    return relative([("start", str(max(0, begin_s - margin_s))), ("end", str(end_s))])
