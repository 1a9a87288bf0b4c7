"""One entry of the route table: every path of a hub declares who may use it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

Role = Literal["open", "admin", "edge", "peer", "otlp"]


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A path, the HTTP methods it answers, who may use it, and what answers."""

    path: str
    methods: tuple[str, ...]
    role: Role
    handler: Callable[[Request], Awaitable[Response]]
