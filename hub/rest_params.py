"""Query strings as the parameters of a method, after the type that the method checks them with.

Only the written form is read here. Names that a method does not know, and values out of its bounds,
are handed on, so that there is one place that refuses them, in the same words on every way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import msgspec
from msgspec import inspect

from hub.rest_attributes import Manner, read_attributes
from shared.errors import RpcError

Kind = Literal["text", "texts", "attributes", "flag", "whole", "number"]

ALIASES: Mapping[str, str] = {
    "node": "nodes",
    "word": "words",
    "attribute": "attributes",
    "state": "states",
    "label": "labels",
}
"""What reads better where a list is written one by one."""

_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_WORD_OF_KIND: Mapping[str, str] = {"whole": "a whole number", "number": "a number"}
_SHOWN_CHARS = 60
_NUMBER_CHARS_MAX = 40


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method, and how a query string writes it."""

    name: str
    kind: Kind
    is_required: bool

    @property
    def written(self) -> str:
        """The name and form in a query string."""
        name = next((alias for alias, full in ALIASES.items() if full == self.name), self.name)
        if self.kind == "attributes":
            return "attribute=key=value | key!=value | key=start*, repeated"
        return f"{name}=..., repeated" if self.kind == "texts" else f"{name}=..."


@cache
def parameters_of(kind: type[msgspec.Struct]) -> Mapping[str, Parameter]:
    """The parameters of a method by name."""
    described = cast(inspect.StructType, inspect.type_info(kind))
    return {
        field.encode_name: Parameter(field.encode_name, _kind(field.type), field.required)
        for field in described.fields
    }


def _kind(described: inspect.Type) -> Kind:
    forms = set(_forms(described))
    if inspect.DictType in forms:
        return "attributes"
    if inspect.ListType in forms:
        return "texts"
    if forms & {inspect.StrType, inspect.LiteralType}:
        return "text"  # Times and severities may be numbers too, and are understood as text.
    if inspect.BoolType in forms:
        return "flag"
    return "number" if inspect.FloatType in forms else "whole"


def _forms(described: inspect.Type) -> Iterable[type[inspect.Type]]:
    if isinstance(described, inspect.UnionType):
        for inner in described.types:
            yield from _forms(inner)
    elif isinstance(described, inspect.Metadata):
        yield from _forms(described.type)
    else:
        yield type(described)


def read_query(
    pairs: Iterable[tuple[str, str]], kind: type[msgspec.Struct], manner: Manner
) -> dict[str, Any]:
    """The parameters that a query string names; raises RpcError invalid_params."""
    known = parameters_of(kind)
    given: dict[str, list[str]] = {}
    for written, value in pairs:
        name = ALIASES.get(written, written)
        given.setdefault(name if name in known else written, []).append(value)
    return {name: _value(known.get(name), name, values, manner) for name, values in given.items()}


def _value(known: Parameter | None, name: str, values: list[str], manner: Manner) -> Any:
    if known is not None and known.kind == "attributes":
        return read_attributes(values, manner)
    if known is not None and known.kind == "texts":
        return values
    if len(values) > 1 and known is not None:
        raise _wrong(name, f"given {len(values)} times, and it has one value")
    return values[0] if known is None else _one(known, values[0])


def _one(known: Parameter, text: str) -> Any:
    if known.kind == "text":
        return text
    if known.kind == "flag":
        if text.lower() not in _FLAGS:
            raise _wrong(known.name, f"{text[:_SHOWN_CHARS]!r} is not true or false")
        return _FLAGS[text.lower()]
    try:
        if len(text) > _NUMBER_CHARS_MAX or not text.isascii():
            raise ValueError
        return int(text) if known.kind == "whole" else float(text)
    except ValueError as error:
        reason = f"{text[:_SHOWN_CHARS]!r} is not {_WORD_OF_KIND[known.kind]}"
        raise _wrong(known.name, reason) from error


def _wrong(name: str, why: str) -> RpcError:
    return RpcError("invalid_params", f"{name}: {why}", {"parameter": name})
