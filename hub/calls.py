"""Calls to a node through whatever path there is: this hub's own link first, then a peer's.

Reads are repeated freely. Mutating calls carry a `request_id` that the edge remembers, so repeating
them over another path repeats the question and not the effect.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from hub.links import Links
from hub.peers import Peer, Peers
from hub.pull_answers import VERSION
from hub.questions import Post
from shared import jsonrpc
from shared.errors import HeadwaterError, RpcError, TooLarge, Unreachable
from shared.records import MIB

CALL_PATH = "/peer/call"
HOPS_MAX = 2
DEADLINE_SECONDS = 15.0
DEADLINE_SECONDS_MAX = 24 * 3600.0
ANSWER_BYTES_MAX = 64 * MIB  # What an edge answers is a page, at most a few of its console logs.
HOP_RESERVE = 0.9  # What a hop passes on of the time it was given; the rest is for the way back.

# Only these say that the path failed; any other answer is the edge's own and is final.
TRY_NEXT = frozenset({"node_unreachable", "outcome_unknown"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the edge said, and the path: hub, milliseconds, and the error of paths that failed."""

    result: Any
    hops: list[dict[str, Any]]


@dataclass(slots=True)
class Calls:
    """Calls nodes on behalf of people and of peer hubs."""

    hub_id: str
    links: Links
    peers: Peers
    post: Post
    """Says something to a peer; what it refuses is shown and counted as all that it refuses."""

    async def call(
        self,
        node_id: str,
        method: str,
        params: dict[str, Any],
        *,
        seconds: float = DEADLINE_SECONDS,
        passed: Sequence[str] = (),
    ) -> Answer:
        """Call a node; `passed` names the hubs that the call came through.

        Raises the edge's RpcError, `node_unreachable` when asked by a peer, `no_path` otherwise.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        hops: list[dict[str, Any]] = []
        last: RpcError | None = None
        for peer in self.paths(node_id, passed):
            left = seconds - (loop.time() - began)
            if left <= 0:
                raise self.late(node_id, method, seconds, hops, last)
            at = loop.time()
            try:
                answer = await self._try(peer, node_id, method, params, left, passed)
            except RpcError as error:
                hops.append(self.hop(peer, loop.time() - at, error))
                if error.kind not in TRY_NEXT:
                    error.data["hops"] = hops
                    raise
                if last is None or last.kind != "outcome_unknown":
                    last = error  # What may have been done stays so, whatever the other paths say.
                continue
            mine = self.hop(None, loop.time() - began)
            return Answer(answer.result, [*hops, mine, *answer.hops] if peer else [*hops, mine])
        raise self.nobody(node_id, method, hops, last, passed)

    def paths(self, node_id: str, passed: Sequence[str]) -> list[Peer | None]:
        """None stands for this hub's own link."""
        paths: list[Peer | None] = [None] if node_id in self.links.sessions else []
        if len(passed) + 1 < HOPS_MAX:
            now = asyncio.get_running_loop().time()
            paths.extend(p for p in self.peers.best_first(now) if p.hub_id not in passed)
        return paths

    async def _try(
        self,
        peer: Peer | None,
        node_id: str,
        method: str,
        params: dict[str, Any],
        seconds: float,
        passed: Sequence[str],
    ) -> Answer:
        if peer is not None:
            return await self._through(peer, node_id, method, params, seconds, passed)
        session = self.links.sessions.get(node_id)
        if session is None:
            raise RpcError("node_unreachable", f"{self.hub_id} has no link to {node_id}")
        return Answer(await session.call(method, params, seconds), [])

    async def _through(
        self,
        peer: Peer,
        node_id: str,
        method: str,
        params: dict[str, Any],
        seconds: float,
        passed: Sequence[str],
    ) -> Answer:
        order = {
            "version": VERSION,
            "node": node_id,
            "method": method,
            "params": params,
            "seconds": seconds * HOP_RESERVE,
            "passed": [*passed, self.hub_id],
        }
        value = await self._send(peer, orjson.dumps(order), seconds)
        if not isinstance(value, dict) or not value.keys() & {"result", "error"}:
            raise RpcError("outcome_unknown", f"{peer.key} answered something unreadable")
        result = jsonrpc.read_answer(value)
        if not isinstance(result, dict) or not isinstance(result.get("hops"), list):
            raise RpcError("outcome_unknown", f"{peer.key} answered something unreadable")
        return Answer(result.get("result"), result["hops"])

    async def _send(self, peer: Peer, body: bytes, seconds: float) -> Any:
        try:
            reply = await self.post(
                peer, CALL_PATH, body, seconds, reply_bytes_max=ANSWER_BYTES_MAX
            )
            return orjson.loads(reply.body)
        except (Unreachable, TooLarge, orjson.JSONDecodeError) as error:
            # A peer that answers with an error has not asked the node, or not to its end.
            failed = isinstance(error, Unreachable) and (not error.sent or error.kind == "answered")
            raise RpcError(
                "node_unreachable" if failed else "outcome_unknown", f"{peer.key}: {error}"
            ) from error

    def hop(self, peer: Peer | None, seconds: float, error: HeadwaterError | None = None) -> Any:
        """One step of the path, for people."""
        hop: dict[str, Any] = {
            "hub": peer.key if peer else self.hub_id,
            "ms": round(seconds * 1000, 2),
        }
        if error is not None:
            hop["error"] = str(error)
        return hop

    def late(
        self,
        node_id: str,
        method: str,
        seconds: float,
        hops: list[dict[str, Any]],
        last: RpcError | None,
    ) -> RpcError:
        """What is said when the time was over before all paths were tried."""
        if last is not None and last.kind == "outcome_unknown":
            return self.nobody(node_id, method, hops, last, ())
        text = f"the {seconds:g} s for {method} were over before {node_id} was reached"
        data = {"node": node_id, "hops": hops, "retryable": True}
        return RpcError("node_unreachable", text, data)

    def nobody(
        self,
        node_id: str,
        method: str,
        hops: list[dict[str, Any]],
        last: RpcError | None,
        passed: Sequence[str],
    ) -> RpcError:
        """What is said when no path led to the node."""
        data: dict[str, Any] = {"node": node_id, "hops": hops, "retryable": True}
        if last is not None and last.kind == "outcome_unknown":
            text = f"{method} was sent to {node_id}, but the answer was lost; repeat the request_id"
            return RpcError("outcome_unknown", text, data)
        if passed:
            return RpcError("node_unreachable", f"{self.hub_id} has no link to {node_id}", data)
        data["retryable"] = False  # Every hub was tried: no other one would do better.
        return RpcError("no_path", f"no hub in reach has a link to {node_id}", data)
