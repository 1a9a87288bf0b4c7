"""Images that come by pieces through calls: each piece may be sent again, all of it may be resumed
after a restart, and what is given up expires."""

import asyncio
import logging
import os
from collections.abc import Callable
from weakref import WeakValueDictionary

import msgspec

from edge.vm.image_incoming import sync_sometimes, unwritable, write_all
from edge.vm.image_ledger import ImageLedger
from edge.vm.image_model import Upload
from edge.vm.image_params import Piece
from edge.vm.image_store import ImageStore
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

log = logging.getLogger(__name__)

UPLOADS_MAX = 8
EXPIRES_MS = 3_600_000
TOUCH_EVERY_MS = 60_000
"""How much too early an upload may expire after a crash; spares the disk a sync for each piece."""


class Uploads:
    """What is on its way in. What was received is what the file holds, whatever anybody says."""

    def __init__(self, store: ImageStore, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self._known: dict[str, Upload] = {}
        self._closing: set[str] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self) -> None:
        """Go on with what a restart interrupted."""
        self._known = {each.id: each for each in await self._store.read(ImageLedger.uploads)}
        await self.expire()

    def is_known(self, upload_id: str) -> bool:
        """Whether its pieces can go on."""
        return upload_id in self._known

    def lock(self, upload_id: str) -> asyncio.Lock:
        """Held while somebody adds to an upload or ends it; "" while a new one begins."""
        return self._locks.setdefault(upload_id, asyncio.Lock())

    async def take(self, piece: Piece, data: bytes) -> int:
        """Add a piece; returns how much there is. The caller holds its lock.

        Raises RpcError conflict with the offset to go on from, busy, insufficient.
        """
        upload = self._known.get(piece.upload) or await self._begin(piece)
        if upload.id in self._closing:
            raise RpcError("busy", f"the upload {upload.id!r} is being checked")
        if (upload.name, upload.size_bytes) != (piece.name, piece.size_bytes):
            message = f"the upload {upload.id!r} is for {upload.name!r}, {upload.size_bytes} bytes"
            raise RpcError("conflict", message)
        have = await to_its_end(
            self._runtime.offload(lambda: self._add(upload, piece.offset, data))
        )
        await self._touch(upload)
        return int(have)

    async def whole(self, upload_id: str) -> Upload:
        """The upload, if all of it is there, and from now on closed; raises RpcError not_found,
        busy or conflict with the offset to go on from."""
        upload = self._known.get(upload_id)
        if upload is None:
            raise _unknown(upload_id)
        have = await self._runtime.offload(lambda: self._size(upload))
        if have != upload.size_bytes:
            raise _gap(have)
        if upload_id in self._closing:
            raise RpcError("busy", f"the upload {upload_id!r} is being checked")
        self._closing.add(upload_id)
        return upload

    def reopen(self, upload: Upload) -> None:
        """Its end could not begin."""
        self._closing.discard(upload.id)

    async def forget(self, upload: Upload) -> None:
        """It became an image, or will not become one."""
        await self._store.read(lambda ledger: ledger.remove_upload(upload.id))
        self._known.pop(upload.id, None)
        self._closing.discard(upload.id)
        await to_its_end(self._runtime.offload(lambda: self._store.discard(upload.file)))

    async def expire(self) -> None:
        """Give up what did not go on for an hour."""
        limit_ms = self._runtime.wall_ms() - EXPIRES_MS
        for upload in list(self._known.values()):
            lock = self.lock(upload.id)
            if upload.touched_ms >= limit_ms or upload.id in self._closing or lock.locked():
                continue
            async with lock:
                log.info("the upload %s of image %s expired", upload.id, upload.name)
                await self.forget(upload)

    async def _begin(self, piece: Piece) -> Upload:
        if piece.offset:
            raise _unknown(piece.upload)
        async with self.lock(""):
            if len(self._known) >= UPLOADS_MAX:
                message = f"this node takes {UPLOADS_MAX} uploads at a time"
                raise RpcError("quota", message, {"limit": UPLOADS_MAX})
            upload = Upload(
                id=piece.upload,
                name=piece.name,
                file=self._runtime.token_hex(16),
                size_bytes=piece.size_bytes,
                touched_ms=self._runtime.wall_ms(),
            )
            await self._write_new(upload)
        return upload

    async def _write_new(self, upload: Upload) -> None:
        await to_its_end(
            self._runtime.offload(lambda: self._store.claim(upload.file, upload.size_bytes))
        )
        self._known[upload.id] = upload
        try:
            await self._store.read(lambda ledger: ledger.put_upload(upload))
        except BaseException:
            self._known.pop(upload.id)
            self._store.drop_claim(upload.file)
            raise

    async def _touch(self, upload: Upload) -> None:
        now_ms = self._runtime.wall_ms()
        touched = msgspec.structs.replace(upload, touched_ms=now_ms)
        if now_ms - upload.touched_ms >= TOUCH_EVERY_MS:
            await self._store.read(lambda ledger: ledger.put_upload(touched))
            self._known[upload.id] = touched

    def _add(self, upload: Upload, offset: int, data: bytes) -> int:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self._store.coming(upload.file), flags, 0o600)
            try:
                return append_piece(descriptor, offset, data, self._store.check_piece)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unwritable(error) from error

    def _size(self, upload: Upload) -> int:
        path = self._store.coming(upload.file)
        return path.stat().st_size if path.exists() else 0


def append_piece(
    descriptor: int, offset: int, data: bytes, check_room: Callable[[int], None]
) -> int:
    """Add what is new of a piece; returns how much there is. Raises OSError, and RpcError conflict
    for a gap and for bytes unlike those before."""
    have = os.lseek(descriptor, 0, os.SEEK_END)
    if offset > have:
        raise _gap(have)
    again, fresh = data[: have - offset], data[have - offset :]
    if again and os.pread(descriptor, len(again), offset) != again:
        raise RpcError("conflict", f"at {offset} other bytes were sent before", {"offset": have})
    if fresh:
        check_room(len(fresh))
        write_all(descriptor, fresh)
        sync_sometimes(descriptor, have, len(fresh))
    return have + len(fresh)


def _gap(have: int) -> RpcError:
    return RpcError("conflict", f"{have} bytes are there: go on from there", {"offset": have})


def _unknown(upload_id: str) -> RpcError:
    message = f"this node has no upload {upload_id!r}: it expired, or begin it at offset 0"
    return RpcError("not_found", message, {"offset": 0})
