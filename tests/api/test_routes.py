"""Every door of a hub: shut without credentials, with wrong ones, and with those of a lower role."""

from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute

from hub.otlp_doors import ingest_token
from tests.api.conftest import ADMIN_TOKEN, CLUSTER_KEY, Log, World, bearer, node_headers

OPEN_PATHS = {"/livez", "/readyz", "/login"}

BELOW = {"admin": CLUSTER_KEY, "edge": ADMIN_TOKEN, "peer": ADMIN_TOKEN, "otlp": CLUSTER_KEY}
"""For each role, a secret of this hub that must not open its doors."""

SECRETS = {"edge": CLUSTER_KEY, "peer": CLUSTER_KEY, "otlp": ingest_token(CLUSTER_KEY)}
"""For each role but the administrator's, the secret that opens its doors."""

WRONG: dict[str, dict[str, str]] = {
    "nothing": {},
    "an empty token": {"authorization": "Bearer "},
    "a wrong token": bearer("wrong"),
    "a token with something after it": bearer(ADMIN_TOKEN + "x"),
    "a token cut short": bearer(ADMIN_TOKEN[:-1]),
    "both secrets": bearer(f"{ADMIN_TOKEN} {CLUSTER_KEY}"),
    "another scheme": {"authorization": f"Basic {ADMIN_TOKEN}"},
    "no scheme": {"authorization": ADMIN_TOKEN},
    "a made-up session": {"cookie": "headwater-hub-1=99999999999.0123456789abcdef"},
    "a session of garbage": {
        "cookie": "headwater-hub-1=\xb2\xb2.x".encode("latin-1").decode("latin-1")
    },
    "not ASCII": {"authorization": "Bearer \xe4\xf6\xfc"},
}


def doors(world: World) -> list[tuple[str, str]]:
    """Every HTTP method and path of the application itself, not of a list that could forget one."""
    return [
        (method, route.path)
        for route in world.app.routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def somewhere(path: str) -> str:
    """A path with its parameters filled in."""
    return "/".join("x" if piece.startswith("{") else piece for piece in path.split("/"))


async def send(
    world: World, method: str, path: str, headers: dict[str, str], query: str = ""
) -> Any:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return await world.client.request(method, somewhere(path) + query, headers=raw, content=b"{}")


async def test_there_are_doors_of_every_role(world: World) -> None:
    roles = {spec.role for spec in world.hub.route_table()}
    assert roles == {"open", "admin", "edge", "peer", "otlp"}
    paths = {path for _, path in doors(world)}
    assert {spec.path for spec in world.hub.route_table()} <= paths


async def test_only_health_and_login_are_open(world: World) -> None:
    opened = {
        path
        for method, path in doors(world)
        if (await send(world, method, path, {})).status_code not in (401, 303)
    }
    assert opened <= OPEN_PATHS
    assert {"/livez", "/readyz"} <= opened
    declared = {spec.path for spec in world.hub.route_table() if spec.role == "open"}
    assert declared <= OPEN_PATHS


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_credentials_open_nothing(world: World, name: str) -> None:
    refused = 0
    for method, path in doors(world):
        if path in OPEN_PATHS:
            continue
        answer = await send(world, method, path, WRONG[name])
        assert answer.status_code == 401, f"{method} {path} answers {answer.status_code}"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "Authorization: Bearer" in answer.text
        refused += 1
    assert world.counted("requests_refused") == refused >= 8


async def test_the_secret_of_another_role_opens_nothing(world: World) -> None:
    roles = {spec.path: spec.role for spec in world.hub.route_table()}
    for method, path in doors(world):
        if path in OPEN_PATHS:
            continue
        headers = node_headers("edge-1") | bearer(BELOW[roles.get(path, "admin")])
        answer = await send(world, method, path, headers)
        assert answer.status_code == 401, f"{method} {path} answers {answer.status_code}"


async def test_the_right_secret_opens_each_door(world: World) -> None:
    for spec in world.hub.route_table():
        secret = SECRETS.get(spec.role, ADMIN_TOKEN)
        headers = node_headers("edge-1") | bearer(secret)
        answer = await send(world, spec.methods[0], spec.path, headers)
        if "no node is called" in answer.text:
            continue  # It is open: there is no node whose name is the pattern.
        assert answer.status_code not in (401, 403, 404, 405, 500), spec.path


async def test_a_browser_without_session_is_led_to_the_login_and_back(world: World) -> None:
    pages = [path for method, path in doors(world) if method == "GET" and path not in OPEN_PATHS]
    assert "/metrics" in pages
    for path in pages:
        answer = await send(world, "GET", path, {"accept": "text/html"}, "?a=1&b=2")
        assert answer.status_code == 303, path
        target = answer.headers["location"]
        assert target.startswith("/login?next=%2F")
        assert target.endswith("%3Fa%3D1%26b%3D2")


async def test_a_browser_that_sends_something_is_not_led_anywhere(world: World) -> None:
    answer = await send(world, "POST", "/rpc", {"accept": "text/html"})
    assert answer.status_code == 401


async def dial(world: World, headers: dict[str, str]) -> list[dict[str, Any]]:
    """What the application does with a WebSocket that is gone as soon as it is accepted."""
    said: list[dict[str, Any]] = []
    heard: list[dict[str, Any]] = [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1006},
    ]

    async def receive() -> dict[str, Any]:
        return heard.pop(0)

    async def tell(message: Any) -> None:
        said.append(dict(message))

    scope = {
        "type": "websocket",
        "path": "/edge/link",
        "raw_path": b"/edge/link",
        "query_string": b"",
        "root_path": "",
        "scheme": "ws",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
        "server": ("hub", 80),
    }
    await world.app(scope, receive, tell)
    return said


@pytest.mark.parametrize("name", WRONG)
async def test_a_link_with_wrong_credentials_is_never_accepted(world: World, name: str) -> None:
    names = {"x-headwater-node": "edge-1", "x-headwater-node-key": "k"}
    (only,) = await dial(world, WRONG[name] | names)
    assert (only["type"], only["code"]) == ("websocket.close", 4401)
    assert world.counted("requests_refused") == 1


async def test_a_link_with_the_admin_token_is_never_accepted(world: World) -> None:
    (only,) = await dial(world, node_headers("edge-1") | bearer(ADMIN_TOKEN))
    assert (only["type"], only["code"]) == ("websocket.close", 4401)


async def test_a_link_in_the_name_of_another_machine_is_never_accepted(world: World) -> None:
    await world.beat("edge-1", "the real key")
    (only,) = await dial(world, node_headers("edge-1", "another key"))
    assert (only["type"], only["code"]) == ("websocket.close", 4403)
    assert "another machine" in only["reason"]


async def test_a_link_of_the_node_itself_is_accepted(world: World) -> None:
    await world.beat("edge-1")
    first, *_ = await dial(world, node_headers("edge-1"))
    assert first["type"] == "websocket.accept"
    assert world.hub.links.sessions == {}


async def test_links_are_the_only_sockets(world: World) -> None:
    sockets = [route.path for route in world.app.routes if isinstance(route, WebSocketRoute)]
    assert sockets == ["/edge/link", "/console/stream", "/peer/stream"]


async def test_refusals_disturb_nobody(world: World) -> None:
    log = Log()
    for _ in range(50):
        await world.client.post("/edge/batches", content=b"x", headers=bearer("wrong"))
    assert (await world.push([log.chunk()])).status_code == 200
    metrics = await world.client.get("/metrics", headers=bearer(ADMIN_TOKEN))
    assert 'headwater_hub_events_total{event="requests_refused"} 50.0' in metrics.text
    await world.still_works()
