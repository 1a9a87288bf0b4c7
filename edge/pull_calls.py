"""The calls with which a hub fetches batches over the link, and says what became of them.

    edge.pull {hub_id, bytes_max, name, offset, wait_seconds}
        -> {name, size_bytes, offset, wire (base64), mark}
    edge.pull.confirm {hub_id, name, status, reply | reason, retry_after_seconds}
        -> {known, have_seq, safe_seq}

The bytes are those of shared.envelope, cut where an answer would be too large for the link. `status`
is what a push of them would have been answered with (RFC 9110, 15), and `reply` the same receipt.
"""

import math
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from edge import lineage
from edge.hubs import Hubs, HubView
from edge.lineage import Claim
from edge.pull import PIECE_BYTES_MAX, Offers
from shared.envelope import BATCH_BYTES_MAX
from shared.errors import BadInput, RpcError
from shared.http import Reply
from shared.readers import NAME
from shared.receipt import PushReply, write_reply

WAIT_SECONDS_MAX = 60.0
REASON_CHARACTERS_MAX = 1000
STATUS_GOOD = 200

HubId = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}\Z")]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Params = TypeVar("Params")
Method = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Weigh = Callable[[HubView, Claim], Awaitable[None]]


class _Pull(msgspec.Struct, forbid_unknown_fields=True):
    """`bytes_max` of 0 asks what there is; without a name it is about the oldest offer."""

    hub_id: HubId
    bytes_max: Annotated[int, Meta(ge=0)] = PIECE_BYTES_MAX
    name: Digest | None = None
    offset: Annotated[int, Meta(ge=0, le=BATCH_BYTES_MAX)] = 0
    wait_seconds: Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX)] = 0.0


class _Confirm(msgspec.Struct, forbid_unknown_fields=True):
    hub_id: HubId
    name: Digest
    status: Annotated[int, Meta(ge=200, le=599)]
    reply: PushReply | None = None
    reason: Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX)] = ""
    retry_after_seconds: Annotated[float, Meta(ge=0, le=1e6)] | None = None


def pull_methods(offers: Offers, weigh: Weigh) -> dict[str, Method]:
    """The methods by name; they raise RpcError. `weigh` is the shipper's: it believes what is proven."""

    async def pull(raw: dict[str, Any]) -> dict[str, Any]:
        wanted = _read(_Pull, raw)
        view = _view_of(offers.hubs, wanted.hub_id)
        await offers.wait_for_offer(view, wanted.wait_seconds)
        piece = offers.piece(view, wanted.name or "", wanted.offset, wanted.bytes_max)
        return {
            "name": piece.name,
            "size_bytes": piece.size_bytes,
            "offset": piece.offset,
            "wire": b64encode(piece.body).decode(),
            "mark": piece.mark,
        }

    async def confirm(raw: dict[str, Any]) -> dict[str, Any]:
        told = _read(_Confirm, raw)
        view = _view_of(offers.hubs, told.hub_id)
        claim = _claim_of(told)  # Read whole before any of it is believed.
        asked_at = offers.confirm(view, told.name, _as_http(told))
        if claim is not None:
            # An answer that comes too late for its offer says what the hub has all the same.
            moment = -math.inf if asked_at is None else asked_at
            await weigh(view, replace(claim, asked_at=moment))
        have, safe = view.have.last, view.safe.last
        return {"known": asked_at is not None, "have_seq": have, "safe_seq": safe}

    return {"edge.pull": pull, "edge.pull.confirm": confirm}


def _view_of(hubs: Hubs, hub_id: str) -> HubView:
    view = next((each for each in hubs.views.values() if each.hub_id == hub_id), None)
    if view is None:
        raise RpcError("not_found", f"this edge has not met a hub {hub_id}")
    return view


def _claim_of(told: _Confirm) -> Claim | None:
    if told.status != STATUS_GOOD:
        return None
    if told.reply is None:
        raise RpcError("invalid_params", "status 200 comes with a reply")
    reply = told.reply
    try:
        return lineage.read_claim(
            reply.receipt.epoch, -math.inf, reply.have, reply.safe, reply.proofs
        )
    except BadInput as error:
        raise RpcError("invalid_params", str(error)) from error


def _as_http(told: _Confirm) -> Reply:
    """What the hub would have answered to a push."""
    body = told.reason.encode() if told.reply is None else write_reply(told.reply)
    seconds = told.retry_after_seconds
    headers = {} if seconds is None else {"retry-after": str(math.ceil(seconds))}
    return Reply(told.status, headers, body)


def _read(kind: type[Params], raw: dict[str, Any]) -> Params:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise RpcError("invalid_params", str(error)) from error
