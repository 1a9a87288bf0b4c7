"""The RPC methods about views: what each hub believes, and which nodes two hubs hold differently."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from hub.params import Name, read
from hub.peering.view_digest import BUCKETS
from hub.peering.views import ViewBook
from shared.errors import RpcError

BUCKET_NODES_MAX = 2_000
BUCKETS_ASKED_MAX = 4
NODES_MAX = 100

Ask = Callable[[str, str, dict[str, Any]], Awaitable[Mapping[str, Any]]]
"""Calls a method of another hub; raises RpcError or Unreachable."""

Bucket = Annotated[int, Meta(ge=0, lt=BUCKETS)]


class ShowViews(Struct, forbid_unknown_fields=True):
    """The views of all hubs; with `hub`, also the nodes that it holds differently, of one bucket or some."""

    hub: Name | None = None
    bucket: Bucket | None = None


class OfBucket(Struct, forbid_unknown_fields=True):
    """One bucket of the node digest."""

    bucket: Bucket


class _Listing(Struct):
    """What another hub answers for a bucket; newer hubs may say more."""

    nodes: Annotated[dict[Name, Annotated[str, Meta(max_length=32)]], Meta(max_length=2_000)]


@dataclass(slots=True)
class ViewCalls:
    """Answers from what this hub heard, and asks a peer only when a person wants to see nodes."""

    book: ViewBook
    ask: Ask

    async def hub_views(self, raw: dict[str, Any]) -> dict[str, Any]:
        """What each hub believes of hubs and nodes, and where they differ since when."""
        wanted: ShowViews = read(ShowViews, raw)
        answer = self.book.to_wire(asyncio.get_running_loop().time())
        if wanted.hub is None:
            return answer
        return {**answer, "nodes": await self._nodes(wanted.hub, wanted.bucket)}

    async def hub_views_bucket(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The hashes of the nodes in one bucket, for a hub that compares."""
        wanted: OfBucket = read(OfBucket, raw)
        held = self.book.digest.in_bucket(wanted.bucket)
        listed = list(held.items())[:BUCKET_NODES_MAX]
        return {"nodes": dict(listed), "nodes_total": len(held)}

    async def _nodes(self, hub: str, bucket: int | None) -> list[dict[str, Any]]:
        peer = self.book.peers.get(hub)
        if peer is None:
            raise RpcError("not_found", f"no peer is called {hub}", {"hub": hub})
        buckets = sorted(peer.buckets) if bucket is None else [bucket]
        found: list[dict[str, Any]] = []
        for each in buckets[:BUCKETS_ASKED_MAX]:
            found += await self._compare(hub, each)
        return found[:NODES_MAX]

    async def _compare(self, hub: str, bucket: int) -> list[dict[str, Any]]:
        answer = await self.ask(hub, "hub.views.bucket", {"bucket": bucket})
        try:
            theirs = msgspec.convert(answer, _Listing).nodes
        except msgspec.ValidationError as error:
            raise RpcError(
                "internal", f"{hub} lists its nodes in a strange way: {error}"
            ) from error
        mine = self.book.digest.in_bucket(bucket)
        return [
            {"node_id": node, "bucket": bucket, "mine": mine.get(node), "theirs": theirs.get(node)}
            for node in sorted(mine.keys() | theirs.keys())
            if mine.get(node) != theirs.get(node)
        ]
