"""What looks like personal data or a secret in a text, and putting something else in its place."""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from edge.receive.patterns import safe_pattern

Span = tuple[int, int]
Replace = Callable[[str], str]

HASH_DIGITS = 16
"""64 bits: enough to tell millions of values apart, and short enough to read."""


@dataclass(frozen=True, slots=True)
class Finder:
    """A pattern, and what else a match must fulfil."""

    pattern: re.Pattern[str]
    needle: str = ""
    """Without this in the text there is no match; looking for it first is quicker."""
    spans: Callable[[str], Iterable[Span]] | None = None
    """The places within a match that count, where not all of it does."""

    def replace(self, text: str, replace: Replace) -> str:
        """The text with every match replaced; the same object when there is none."""
        if self.needle not in text:
            return text
        changed, count = self.pattern.subn(lambda match: self._replaced(match[0], replace), text)
        return changed if count and changed != text else text

    def _replaced(self, found: str, replace: Replace) -> str:
        if self.spans is None:
            return replace(found)
        out, at = "", 0
        for start, end in self.spans(found):
            out += found[at:start] + replace(found[start:end])
            at = end
        return out + found[at:]


def replacer(text: str, hash_key: bytes) -> Replace:
    """Puts in `text`, or, when there is a key, a hash that is the same for the same match only."""
    if not hash_key:
        return lambda _: text
    return lambda found: "hash:" + hash_text(found, hash_key)


def hash_text(found: str, hash_key: bytes) -> str:
    """The beginning of HMAC-SHA256: without the key nobody can try out what was there."""
    digest = hmac.new(hash_key, found.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return digest.hexdigest()[:HASH_DIGITS]


def card_spans(run: str) -> Iterator[Span]:
    """The card numbers in a run of digits, spaces and hyphens: groups of digits that fulfil Luhn.

    13 to 19 digits that begin as the large issuers do (ISO/IEC 7812), so that most identifiers and
    times, which begin with a 1, are left alone.
    """
    groups = [(match.start(), match.end()) for match in re.finditer(r"\d+", run)]
    first = 0
    while first < len(groups):
        last = next(_cards_from(run, groups, first), None)
        if last is not None:
            yield groups[first][0], groups[last][1]
            first = last
        first += 1


def _cards_from(run: str, groups: list[Span], first: int) -> Iterator[int]:
    """The groups with which a card that begins in this group can end, the longest card first."""
    digits = ""
    ends: list[int] = []
    for index in range(first, len(groups)):
        digits += run[slice(*groups[index])]
        if len(digits) > 19:
            break
        if len(digits) >= 13 and digits[0] in "23456" and _is_luhn(digits):
            ends.append(index)
    yield from reversed(ends)


def _is_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


_OCTET = r"(?>25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ACCESS_KEY = r"(?:AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}"
_WITH_ITS_NAME = r"(?i:aws_?secret_?(?:access_?)?key)[\"' ]{0,3}+[:=][\"' ]{0,3}+[A-Za-z0-9/+]{40}"

FINDERS = {
    "email": Finder(
        safe_pattern(r"[\w.%+-]{1,64}+@(?:[A-Za-z0-9-]{1,63}+\.){1,8}[A-Za-z]{2,24}"), "@"
    ),
    "ipv4": Finder(safe_pattern(rf"(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\d|\.\d)"), "."),
    "credit_card": Finder(safe_pattern(r"(?<!\d)\d(?:[ -]?+\d){12,62}+(?!\d)"), spans=card_spans),
    "bearer": Finder(safe_pattern(r"(?i:\bbearer)\s{1,8}+[\w.~+/=-]{8,}+")),
    "aws_key": Finder(
        safe_pattern(rf"(?<![A-Za-z0-9]){_ACCESS_KEY}(?![A-Za-z0-9])|{_WITH_ITS_NAME}")
    ),
}
"""The patterns that a rule can name."""
