"""Which series are meant: attributes that equal, differ, begin with a text, or are one of a list.

There are no regular expressions, so that no question can stall a hub.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import RpcError


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text, or the beginning of one."""

    text: str
    is_prefix: bool

    def fits(self, value: str) -> bool:
        """Whether the value is meant."""
        return value.startswith(self.text) if self.is_prefix else value == self.text


@dataclass(frozen=True, slots=True)
class Filter:
    """What one attribute must be; one that is absent fits only where something is excluded."""

    key: str
    patterns: tuple[Pattern, ...]
    excludes: bool

    def fits(self, own: Mapping[str, Any], resource: Mapping[str, Any]) -> bool:
        """Whether the attribute, or else that of the resource, is as wanted."""
        holder = own if self.key in own else resource
        if self.key not in holder:
            return self.excludes
        value = label_text(holder[self.key])
        return any(pattern.fits(value) for pattern in self.patterns) != self.excludes


@dataclass(frozen=True, slots=True)
class Selector:
    """All that the attributes of a series must be."""

    filters: tuple[Filter, ...] = ()

    def fits(self, own: Mapping[str, Any], resource: Mapping[str, Any]) -> bool:
        """Whether a series with these attributes is meant."""
        return all(wanted.fits(own, resource) for wanted in self.filters)


def read_selector(attributes: Mapping[str, Any]) -> Selector:
    """The selector of a question's attributes; raises RpcError invalid_params."""
    return Selector(tuple(_filter(key, value) for key, value in attributes.items()))


def label_text(value: Any) -> str:
    """A value as it is compared, so that 404 given on a command line finds the number."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _filter(key: str, value: Any) -> Filter:
    if isinstance(value, list):
        return Filter(key, _one_of(key, value), False)
    text = label_text(value)
    excludes = text.startswith("!=")
    return Filter(key, (_pattern(text.removeprefix("!=") if excludes else text),), excludes)


def _one_of(key: str, values: Sequence[Any]) -> tuple[Pattern, ...]:
    texts = [label_text(value) for value in values]
    if any(text.startswith("!=") for text in texts):
        raise RpcError(
            "invalid_params",
            f"attributes: {key[:60]} has `!=` in a list, where every value but one would fit",
            {"parameter": "attributes"},
        )
    return tuple(map(_pattern, texts))


def _pattern(text: str) -> Pattern:
    if text.startswith("="):
        return Pattern(text[1:], False)
    return Pattern(text.removesuffix("*"), text.endswith("*"))
