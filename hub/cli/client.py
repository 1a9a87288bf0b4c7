"""Speaking to hubs: which there are, with which token, and what to do when one is silent."""

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from shared.address import Address, is_loopback, parse_addresses
from shared.errors import Refused, RpcError, SettingsError, Unreachable
from shared.http import HttpxClient, Reply
from shared.jsonrpc import read_answer

CALL_SECONDS_MAX = 30.0  # Room for a large query; a dead hub is seen much sooner.

ORDERS = {
    *("vm.create", "vm.update", "vm.start", "vm.stop", "vm.reboot", "vm.pause", "vm.resume"),
    *("vm.delete", "vm.clone", "vm.snapshot.create", "vm.snapshot.restore"),
    *("vm.snapshot.delete", "vm.bulk", "vm.adopt", "image.import", "image.upload", "image.delete"),
    *("node.drain", "node.maintenance", "op.cancel", "edge.drain", "vm.exec", "vm.console.send"),
}
"""Methods that change something, and so must not be repeated without their request id."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Door:
    """Where calls can be made: a hub with its token, or the admin socket of an edge here."""

    name: str
    url: str
    token: str = ""
    unix_socket: Path | None = None


def local_hubs(data: Path) -> list[Door]:
    """The hubs whose folders lie in `data`, with their admin tokens."""
    found = (_local_hub(file) for file in sorted(data.glob("hub*/hub.json")))
    return [door for door in found if door]


def _local_hub(file: Path) -> Door | None:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        token = file.with_name("admin.token").read_text(encoding="ascii").strip()
        return Door(str(known["hub_id"]), str(known["url"]).rstrip("/"), token)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # A folder of another user, or of a hub that was killed while it wrote.


def local_edges(data: Path) -> list[Door]:
    """The admin sockets of the edges whose folders lie in `data`."""
    sockets = sorted(data.glob("edge*/edge.sock"))
    return [Door(file.parent.name, "http://edge", unix_socket=file) for file in sockets]


def choose_hubs(named: str, token: str, data: Path) -> list[Door]:
    """The hubs to ask, in order: the named ones, else those in `data`; raises SettingsError."""
    local = local_hubs(data)
    if not named:
        return [Door(door.name, door.url, token or door.token) for door in local]
    try:
        addresses = parse_addresses(named.split(","))
    except ValueError as error:
        raise SettingsError(f"--hub: {error}") from error
    return [_named_hub(address, token, local) for address in addresses]


def _named_hub(address: Address, token: str, local: Sequence[Door]) -> Door:
    # A token found on disk goes only to the hub that wrote it.
    for door in local:
        port = door.url.rpartition(":")[2]
        if door.url == address.url or (is_loopback(address.host) and port == str(address.port)):
            return Door(door.name, address.url, token or door.token)
    if not token:
        raise SettingsError(
            f"no token is known for {address.url}: give the text of its admin.token "
            "with --token or HEADWATER_TOKEN"
        )
    return Door(str(address), address.url, token)


class Caller:
    """Makes calls through the first door that answers, and says so when it has to move on."""

    def __init__(self, doors: Sequence[Door], say: Callable[[str], None]) -> None:
        self._doors = list(doors)
        self._say = say
        self._clients: dict[Door, HttpxClient] = {}
        self._told: set[Door] = set()

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float = CALL_SECONDS_MAX,
    ) -> Any:
        """The result of a call; raises RpcError, Refused, or Unreachable when no door answers.

        An order carries one request id through all its attempts, so that it has one effect.
        """
        sent = dict(params or {})
        if method in ORDERS:
            sent.setdefault("request_id", f"cli-{secrets.token_hex(8)}")
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": sent})
        last: Unreachable | None = None
        for door in tuple(self._doors):
            try:
                result = _read(door, await self._post(door, body, timeout_seconds))
            except Unreachable as error:
                self._tell_once(door)
                last = error
                continue
            self._prefer(door)
            return result
        raise _nobody(last, sent.get("request_id"))

    async def _post(self, door: Door, body: bytes, timeout_seconds: float) -> Reply:
        if door not in self._clients:
            path = str(door.unix_socket) if door.unix_socket else None
            self._clients[door] = HttpxClient(unix_socket=path)
        headers = {"content-type": "application/json"}
        if door.token:
            headers["authorization"] = f"Bearer {door.token}"
        return await self._clients[door].request(
            "POST", f"{door.url}/rpc", body=body, headers=headers, timeout_seconds=timeout_seconds
        )

    def _tell_once(self, door: Door) -> None:
        if door not in self._told:
            self._told.add(door)
            self._say(f"{door.name} does not answer ({door.url})")

    def _prefer(self, door: Door) -> None:
        self._doors.sort(key=lambda held: held is not door)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()


def _read(door: Door, reply: Reply) -> Any:
    if reply.status in {401, 403}:
        raise Refused(f"{door.name} refuses the token (status {reply.status})")
    if reply.status in {502, 503, 504}:
        raise Unreachable(door.url, f"status {reply.status}", sent=True)
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError as error:
        raise RpcError(
            "internal", f"{door.name} answered status {reply.status}, no JSON"
        ) from error
    return read_answer(answer)


def _nobody(last: Unreachable | None, request_id: str | None) -> Exception:
    if last is None:
        return SettingsError(
            "no hub is known: run this where the data folder is, name the folder with DATA, "
            "or name a hub with --hub HOST:PORT"
        )
    if request_id and last.sent:
        return RpcError(
            "outcome_unknown",
            f"no hub answered, so it is not known whether this was done; repeating it with "
            f"--request-id {request_id} is safe",
        )
    return last


def run(doors: Sequence[Door], say: Callable[[str], None], work: "Work[Result]") -> Result:
    """Run `work(caller)` to its end on an event loop of its own."""

    async def body() -> Result:
        caller = Caller(doors, say)
        try:
            return await work(caller)
        finally:
            await caller.close()

    return asyncio.run(body())


Work = Callable[[Caller], Coroutine[Any, Any, Result]]
