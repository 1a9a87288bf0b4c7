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
_TRY_NEXT = frozenset({"node_unreachable", "outcome_unknown"})


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
        for peer in self._paths(node_id, passed):
            left = seconds - (loop.time() - began)
            if left <= 0:
                break
            at = loop.time()
            try:
                answer = await self._try(peer, node_id, method, params, left, passed)
            except RpcError as error:
                hops.append(self._hop(peer, loop.time() - at, error))
                if error.kind not in _TRY_NEXT:
                    error.data["hops"] = hops
                    raise
                last = error
                continue
            mine = self._hop(None, loop.time() - began)
            return Answer(answer.result, [*hops, mine, *answer.hops] if peer else [*hops, mine])
        raise self._nobody(node_id, method, hops, last, passed)

    def _paths(self, node_id: str, passed: Sequence[str]) -> list[Peer | None]:
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

    def _hop(self, peer: Peer | None, seconds: float, error: HeadwaterError | None = None) -> Any:
        hop: dict[str, Any] = {
            "hub": peer.key if peer else self.hub_id,
            "ms": round(seconds * 1000, 2),
        }
        if error is not None:
            hop["error"] = str(error)
        return hop

    def _nobody(
        self,
        node_id: str,
        method: str,
        hops: list[dict[str, Any]],
        last: RpcError | None,
        passed: Sequence[str],
    ) -> RpcError:
        data = {"node": node_id, "hops": hops, "retryable": True}
        if last is not None and last.kind == "outcome_unknown":
            text = f"{method} was sent to {node_id}, but the answer was lost; repeat the request_id"
            return RpcError("outcome_unknown", text, data)
        if passed:
            return RpcError("node_unreachable", f"{self.hub_id} has no link to {node_id}", data)
        return RpcError("no_path", f"no hub in reach has a link to {node_id}", data)
