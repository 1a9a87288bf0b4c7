"""How orders on images are admitted: once for each request id, one at a time for each image."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from edge.vm import params as asked
from edge.vm import views
from edge.vm.driver import Progress
from edge.vm.image_params import Import, Piece
from edge.vm.image_work import Order
from edge.vm.model import Move, Operation
from edge.vm.operations import Ask, Operations, Work
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

Answer = dict[str, Any]

IMPORTS_MAX = 4
"""At a time: each one is bound by the disk or the line anyway."""


def subject_of(name: str) -> str:
    """How operations on an image name what they work on."""
    return f"image:{name}"


def end_id(wish: Piece) -> str:
    """The request id under which an upload ends, whoever asks for its end."""
    return f"upload-{wish.upload}"


class ImageDoor:
    """Turns what was asked for into operations. Raises RpcError."""

    def __init__(self, operations: Operations, runtime: Runtime) -> None:
        self._operations = operations
        self._runtime = runtime
        self._importing: set[str] = set()

    async def enter(
        self, ask: Ask, name: str, wait_s: float, begin: Callable[[], Awaitable[Operation]]
    ) -> Answer:
        """The operation that this request made before, or that it begins now, after a little
        waiting for its end."""
        operation = await to_its_end(self._admit(ask, name, begin))
        return views.operation(await self._operations.wait(operation, wait_s))

    async def begin_import(self, ask: Ask, name: str, work: Work) -> Operation:
        """Begin to bring an image in; raises RpcError busy."""
        if len(self._importing) >= IMPORTS_MAX:
            message = f"this node brings in {IMPORTS_MAX} images at a time"
            raise RpcError("busy", message, {"limit": IMPORTS_MAX})

        async def counted(progress: Progress) -> Answer | None:
            self._importing.add(name)
            try:
                return await work(progress)
            finally:
                self._importing.discard(name)

        return await self._operations.begin_job(ask, subject_of(name), counted)

    def ask(self, method: str, move: Move, wish: asked.Mutating) -> Ask:
        """A call as the operations know it."""
        request_id = wish.request_id or self._runtime.token_hex(16)
        digest = asked.digest_of(wish)
        return Ask(method, move, request_id, digest, wish.requested_by, wish.via_hub)

    def ask_to_end(self, wish: Piece) -> Ask:
        """However often and with whichever piece it is asked for, an upload ends once."""
        bare = msgspec.structs.replace(wish, offset=0, data="", request_id=end_id(wish))
        return self.ask("image.upload", Move.CREATE, bare)

    def order(self, wish: Import | Piece, ask: Ask) -> Order:
        """What is to be brought in, and who wanted it."""
        subject = subject_of(wish.name)
        return Order(
            name=wish.name,
            source=_shown(wish),
            sha256=wish.sha256,
            claimed=wish.format,
            request_id=ask.request_id,
            requested_by=wish.requested_by,
            via_hub=wish.via_hub,
            counted=lambda done, total: self._operations.note_bytes(subject, done, total),
        )

    async def _admit(
        self, ask: Ask, name: str, begin: Callable[[], Awaitable[Operation]]
    ) -> Operation:
        subject = subject_of(name)
        async with self._operations.lock(subject):
            return await self._operations.repeated(ask, subject) or await begin()


def _shown(wish: Import | Piece) -> str:
    if isinstance(wish, Piece):
        return "upload"
    # What follows the question mark may be a key.
    return wish.source.path or (wish.source.url or "").partition("?")[0]
