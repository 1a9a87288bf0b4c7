"""What attributes must be like, as people write it: `key=value`, `key!=value`, `key=start*`.

Used by query strings and by the command line. `key==value` means the value as it stands, stars and
all. A key that comes again adds a value: one of them must fit, and none of the excluded ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.errors import RpcError

Manner = Literal["records", "series", "spans"]
"""Whose attributes are asked for: those of logs and events, of metrics, or of traces."""

TEXTS_MAX = 1000  # Far above what any method takes; each says its own bound.
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class AttributeText:
    """One written wish."""

    key: str
    value: str
    excludes: bool
    is_prefix: bool
    is_exact: bool

    @property
    def is_plain(self) -> bool:
        """Whether it is one value that is wanted."""
        return not self.excludes and not self.is_prefix


def read_attributes(texts: Sequence[str], manner: Manner) -> dict[str, Any]:
    """The parameter `attributes` of the methods of one manner.

    Raises RpcError invalid_params for a text of another form, and for one that those methods cannot
    answer.
    """
    if len(texts) > TEXTS_MAX:
        raise _wrong(f"at most {TEXTS_MAX}, not {len(texts)}")
    wishes: dict[str, list[AttributeText]] = {}
    for text in texts:
        wish = _read(text)
        wishes.setdefault(wish.key, []).append(wish)
    write = _WRITERS[manner]
    return {key: write(key, held) for key, held in wishes.items()}


def _read(text: str) -> AttributeText:
    key, equals, value = text.partition("=")
    excludes = key.endswith("!")
    key = key.removesuffix("!").strip()
    if not key or not equals:
        raise _wrong(
            f"{text[:_SHOWN_CHARS]!r} is not of the form key=value, key!=value or key=start*"
        )
    is_exact = value.startswith("=")
    if is_exact:
        return AttributeText(key, value[1:], excludes, is_prefix=False, is_exact=True)
    is_prefix = value.endswith("*")
    value = value.removesuffix("*")
    return AttributeText(key, value, excludes, is_prefix=is_prefix, is_exact=False)


def _for_records(key: str, wishes: Sequence[AttributeText]) -> Any:
    wanted = [wish.value for wish in wishes if wish.is_plain]
    starts = [wish.value for wish in wishes if wish.is_prefix and not wish.excludes]
    refused = [wish.value for wish in wishes if wish.excludes and not wish.is_prefix]
    if any(wish.excludes and wish.is_prefix for wish in wishes):
        raise _wrong(
            f"{key[:_SHOWN_CHARS]}: a beginning cannot be excluded here, only whole values"
        )
    if len(starts) > 1 or (wanted and (starts or refused)):
        raise _wrong(
            f"{key[:_SHOWN_CHARS]}: ask for values, or for one beginning without some values"
        )
    if wanted:
        return _one_or_all(wanted)
    rule: dict[str, Any] = {"prefix": starts[0]} if starts else {}
    return {**rule, "not": _one_or_all(refused)} if refused else rule


def _for_series(key: str, wishes: Sequence[AttributeText]) -> Any:
    if len(wishes) > 1 and any(wish.excludes for wish in wishes):
        raise _wrong(f"{key[:_SHOWN_CHARS]}: != stands alone here")
    return _one_or_all(list(map(_series_text, wishes)))


def _series_text(wish: AttributeText) -> str:
    # A value that would read as a pattern is told as it stands by one more equals sign.
    quoted = "=" if wish.is_exact or wish.value.startswith(("!=", "=")) else ""
    return f"{'!=' if wish.excludes else ''}{quoted}{wish.value}{'*' if wish.is_prefix else ''}"


def _for_spans(key: str, wishes: Sequence[AttributeText]) -> Any:
    if len(wishes) > 1 or not wishes[0].is_plain:
        raise _wrong(f"{key[:_SHOWN_CHARS]}: of traces only one key=value can be asked for")
    return wishes[0].value


_WRITERS: Mapping[Manner, Any] = {
    "records": _for_records,
    "series": _for_series,
    "spans": _for_spans,
}


def _one_or_all(values: Iterable[str]) -> Any:
    found = list(dict.fromkeys(values))
    return found[0] if len(found) == 1 else found


def _wrong(why: str) -> RpcError:
    return RpcError("invalid_params", f"attributes: {why}", {"parameter": "attributes"})
