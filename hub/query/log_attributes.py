"""Which values of an attribute are wanted: exact ones, one of several, a beginning, or none of some."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hub.query.match import as_text

Text = Annotated[str, Meta(max_length=1000)]
Value = Text | int | float | bool
Values = Annotated[list[Value], Meta(min_length=1, max_length=50)]


class AttributeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The long form of a wish; `not` is also met by records that lack the attribute."""

    prefix: Text | None = None
    none_of: Value | Values | None = msgspec.field(name="not", default=None)


Wish = Value | Values | AttributeRule

_ABSENT = object()
_NO_NUMBER = re.compile(r"[^-+0-9.eE]")
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")
_BASE64_GROUP = 4
_OTHER_TEXTS = frozenset({"true", "false", "null", "NaN", "Infinity", "-Infinity"})


@dataclass(frozen=True, slots=True)
class AttributeTest:
    """What one attribute must be like; values are compared as text, so that 404 given on a command
    line finds the number."""

    key: str
    one_of: frozenset[str] | None = None
    prefix: str | None = None
    none_of: frozenset[str] = frozenset()

    @property
    def is_needed(self) -> bool:
        """Whether records without the attribute are not wanted."""
        return self.one_of is not None or self.prefix is not None

    @property
    def only(self) -> str | None:
        """The one value that it must have, when there is just one."""
        return next(iter(self.one_of)) if self.one_of and len(self.one_of) == 1 else None

    @property
    def only_text(self) -> str | None:
        """The same, where a record with it must have been sent as that text."""
        only = self.only
        return only if only and is_sent_as_text(only) else None

    def accepts(self, own: Mapping[str, Any], resource: Mapping[str, Any]) -> bool:
        """Whether the attribute of a record, or else of its resource, is as wanted."""
        value = own.get(self.key, _ABSENT)
        if value is _ABSENT:
            value = resource.get(self.key, _ABSENT)
        if value is _ABSENT:
            return not self.is_needed
        text = as_text(value)
        if self.one_of is not None and text not in self.one_of:
            return False
        if self.prefix is not None and not text.startswith(self.prefix):
            return False
        return text not in self.none_of


def attribute_test(key: str, wish: Wish) -> AttributeTest:
    """What a parameter asks of one attribute."""
    if not isinstance(wish, AttributeRule):
        return AttributeTest(key, _texts(wish))
    none_of = frozenset() if wish.none_of is None else _texts(wish.none_of)
    return AttributeTest(key, None, wish.prefix, none_of)


def _texts(wish: Value | Values) -> frozenset[str]:
    return frozenset(map(as_text, wish if isinstance(wish, list) else [wish]))


def is_sent_as_text(text: str) -> bool:
    """Whether no number, truth value, list, object or bytes is shown as this text, so that it stands
    in the body as it is."""
    if text[0] in "[{" or text in _OTHER_TEXTS or not _NO_NUMBER.search(text):
        return False
    return len(text) % _BASE64_GROUP != 0 or _NO_BASE64.search(text) is not None
