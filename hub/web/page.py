"""What a page is: which calls it makes for an address, and how the answers are laid out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.web.address import Asked

Answer = Mapping[str, Any]
Answers = Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the hub's RPC with its parameters."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)


def no_extras(asked: Asked) -> Mapping[str, Call]:
    """Most pages are one call."""
    return {}


def as_it_is(asked: Asked, answer: Answer) -> Answer:
    """Most answers are shown whole."""
    return answer


def nothing_more(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    """Some templates need nothing but the answer."""
    return {}


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its JSON twin, which answers with what `main` was told and nothing else.

    `main` raises RpcError when the address says something that cannot be asked. `extras` are what
    only the page needs; it is shown without those that fail. `narrow` filters the answer for both.
    `shape` makes what the template needs of the answers; the answer is empty when `main` failed.
    """

    path: str
    twin: str
    template: str
    section: str
    main: Callable[[Asked], Call]
    extras: Callable[[Asked], Mapping[str, Call]] = no_extras
    narrow: Callable[[Asked, Answer], Answer] = as_it_is
    shape: Callable[[Asked, Answer, Answers], Mapping[str, Any]] = nothing_more
    is_live: bool = False
    reaches_hubs: bool = False
    """Whether its script may ask the other hubs whether they live."""
