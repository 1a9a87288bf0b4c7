"""An application with a short way to the few doors that are knocked at thousands of times a second."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class KnownHeaders(Headers):
    """The headers of one request, by name: to look for each name among all of them costs more."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
        # Of several with one name the first one counts, as in Starlette.
        self._by_name = dict(reversed(pairs))

    def __getitem__(self, key: str) -> str:
        return self._by_name[key.lower()]

    def get(self, key: str, default: Any = None) -> Any:
        """The first value of this name."""
        return self._by_name.get(key.lower(), default)


class FastRequest(Request):
    """A request with headers by name."""

    @property
    def headers(self) -> Headers:
        """The headers."""
        if not hasattr(self, "_known"):
            self._known = KnownHeaders(self.scope["headers"])
        return self._known


class FastDoors(Starlette):
    """Starlette, but POST to one of some paths goes to its endpoint at once: past the search for a
    route and the layers that turn a fault into an answer. The server under it does the latter too.

    What stands at the door, as the check of credentials, is part of the endpoint and stays there.
    """

    def __init__(self, routes: Sequence[Route | WebSocketRoute], fast_paths: Iterable[str]) -> None:
        super().__init__(routes=routes)
        wanted = frozenset(fast_paths)
        self._fast: dict[str, Endpoint] = {
            route.path: route.endpoint
            for route in routes
            if isinstance(route, Route) and route.path in wanted
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one socket."""
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self._fast.get(scope["path"])
            if endpoint is not None:
                answer = await endpoint(FastRequest(scope, receive, send))
                await answer(scope, receive, send)
                return
        await super().__call__(scope, receive, send)
