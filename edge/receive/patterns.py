"""Regular expressions that cannot keep an edge busy for ever.

Python's `re` tries one way after another, and a pattern such as `(a+)+b` has more ways than there is
time. So the steps that a pattern can take from one place in a text are counted when it is read, and
only patterns with few are allowed: then a search takes time in proportion to the text, and no text is
too long to be searched whole, so that nothing passes unseen. Where only the first characters of a text
are searched, their number bounds the steps, and patterns may take more of them.

The count of a sequence is that of a tree: every way through the first element is followed by all ways
through the rest. A quantifier without an upper bound has as many ways as the text has characters,
unless it ends the pattern, where nothing can fail after it, and what it took is not looked at again.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from re import _constants as op  # type: ignore[attr-defined]  # How re takes a pattern apart.
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

PATTERN_CHARACTERS_MAX = 1024

GROUPS_MAX = 100
"""Deeper nests than this exhaust the stack of Python's parser, at a depth that nobody can foretell."""

STEPS_MAX = 5_000
"""From one place in a text: seconds for 64 KiB of the most hostile text, and usually none at all."""

STEPS_IN_ALL_MAX = 2**27
"""For a text of bounded length: about two seconds for the most hostile one."""

_LONG = 1_000_000
"""A length of text that makes the steps too many wherever it counts as a factor."""

Cost = tuple[int, int]
"""How many ways there are through a piece of a pattern, and the steps of trying them all."""

_SINGLE = frozenset({op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN})
_REPEATS = frozenset({op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT})
_BEGINNINGS = frozenset({op.AT_BEGINNING, op.AT_BEGINNING_STRING})


def safe_pattern(text: object, characters_max: int | None = None) -> re.Pattern[str]:
    """A pattern that takes few steps on any text, or on any of at most `characters_max`.

    Raises ValueError, whose text completes "NAME must be ..." and says what to change.
    """
    if not isinstance(text, str) or not 0 < len(text) <= PATTERN_CHARACTERS_MAX:
        raise ValueError(f"a regular expression of 1 to {PATTERN_CHARACTERS_MAX} characters")
    if text.count("(") > GROUPS_MAX:
        raise ValueError(f"a regular expression of at most {GROUPS_MAX} groups")
    compiled, parsed = _read(text)
    if not _is_quick(parsed, compiled.flags, characters_max):
        raise ValueError(
            f"a regular expression that is quick on every text, and {text[:100]!r} is not: "
            "give quantifiers a small upper bound, as in {0,50}, make them possessive, as in "
            "{0,50}+, or begin the expression with ^"
        )
    return compiled


def _read(text: str) -> tuple[re.Pattern[str], Sequence[Any]]:
    try:
        with warnings.catch_warnings():
            # What a later Python will read in another way has to be said clearly.
            warnings.simplefilter("error", FutureWarning)
            return re.compile(text), parser.parse(text)
    except (re.error, RecursionError, OverflowError, FutureWarning) as error:
        raise ValueError(f"a regular expression, and {text[:100]!r} is none: {error}") from error


def _is_quick(parsed: Sequence[Any], flags: int, characters_max: int | None) -> bool:
    is_anchored = bool(parsed) and parsed[0][0] is op.AT and parsed[0][1] in _BEGINNINGS
    is_tried_everywhere = not is_anchored or bool(flags & re.MULTILINE)
    if characters_max is not None:
        steps = _Count(characters_max).sequence(parsed, is_last=True)[1]
        return steps * (characters_max if is_tried_everywhere else 1) <= STEPS_IN_ALL_MAX
    if is_tried_everywhere:
        return _Count(_LONG).sequence(parsed, is_last=True)[1] <= STEPS_MAX
    # Tried once, so that one factor may be the length of the text.
    counts = (_Count(longest).sequence(parsed, is_last=True)[1] for longest in (1, _LONG))
    return all(
        each <= STEPS_MAX * longest for each, longest in zip(counts, (1, _LONG), strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Count:
    """Counts ways and steps for a text of this length."""

    longest: int

    def sequence(self, elements: Sequence[Any], *, is_last: bool) -> Cost:
        ways, steps = 1, 0
        for index, element in enumerate(elements):
            its_last = is_last and index == len(elements) - 1
            its_ways, its_steps = self._element(element, is_last=its_last)
            steps += ways * its_steps
            ways *= its_ways
        return ways, steps

    def _element(self, element: Any, *, is_last: bool) -> Cost:
        code, argument = element
        if code in _SINGLE:
            return 1, 1
        if code is op.AT:
            return 1, 0
        if code in _REPEATS:
            ways, steps = self._repeat(*argument, is_last=is_last)
            return (1 if code is op.POSSESSIVE_REPEAT else ways), steps
        if code is op.BRANCH:
            costs = [self.sequence(branch, is_last=is_last) for branch in argument[1]]
            return sum(cost[0] for cost in costs), sum(cost[1] + 1 for cost in costs)
        if code is op.SUBPATTERN:
            return self.sequence(argument[3], is_last=is_last)
        if code is op.ATOMIC_GROUP:
            return 1, self.sequence(argument, is_last=is_last)[1]
        if code in (op.ASSERT, op.ASSERT_NOT):  # What it looks at is looked at again afterwards.
            return 1, self.sequence(argument[1], is_last=False)[1]
        raise ValueError("a regular expression without references to its own groups")

    def _repeat(self, low: int, high: Any, inner: Sequence[Any], *, is_last: bool) -> Cost:
        ways, steps = self.sequence(inner, is_last=False)
        if high is op.MAXREPEAT:
            high = low + 1 if is_last and ways == 1 else max(low, self.longest)
        if ways == 1:
            return int(high) - low + 1, int(high) * max(1, steps)
        all_ways, all_steps, power = 0, 0, 1
        for times in range(int(high) + 1):
            all_ways += power if times >= low else 0
            all_steps += power * max(1, steps)
            power *= ways
            if all_steps > STEPS_MAX * _LONG:  # Too many already; the rest does not matter.
                break
        return max(1, all_ways), all_steps
