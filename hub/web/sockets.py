"""One entry of the table of WebSockets: every one declares who may open it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.websockets import WebSocket

from hub.web.routes import Role


@dataclass(frozen=True, slots=True)
class SocketSpec:
    """A path, who may open it, and what serves it until its end."""

    path: str
    role: Role
    handler: Callable[[WebSocket], Awaitable[None]]
