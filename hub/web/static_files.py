"""The static files of the pages: read once, each with a route of its own, cached by its contents."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from hub.web.routes import RouteSpec

FOLDER = Path(__file__).parent / "static"
YEAR_SECONDS = 31_536_000

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file. `version` changes with its contents and goes into the address that pages use."""

    name: str
    body: bytes
    packed: bytes
    media_type: str
    version: str

    async def endpoint(self, request: Request) -> Response:
        """The file; for ever, when it is asked for by its version."""
        asked_version = request.query_params.get("v")
        lasting = f"max-age={YEAR_SECONDS}, immutable" if asked_version else "no-cache"
        headers = {
            "cache-control": f"private, {lasting}",
            "etag": f'"{self.version}"',
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        body = self.body
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["content-encoding"] = self.packed, "gzip"
        return Response(body, headers=headers, media_type=self.media_type)


@cache
def static_files() -> dict[str, StaticFile]:
    """All files by their names below the folder."""
    found = (path for path in sorted(FOLDER.rglob("*")) if path.suffix in _TYPES)
    return {held.name: held for held in map(_read, found)}


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    version = hashlib.sha256(body).hexdigest()[:16]
    name = path.relative_to(FOLDER).as_posix()
    return StaticFile(name, body, gzip.compress(body, mtime=0), _TYPES[path.suffix], version)


def address_of(name: str) -> str:
    """The address of a file in its present version; raises KeyError for a name that is not there."""
    return f"/static/{name}?v={static_files()[name].version}"


def static_routes() -> list[RouteSpec]:
    """One route for each file: whatever is not listed is not served."""
    return [
        RouteSpec(f"/static/{name}", ("GET",), "admin", held.endpoint)
        for name, held in static_files().items()
    ]
