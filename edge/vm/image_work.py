"""Brings an image into the store: fetch or copy it, compare its hash, look what it is, publish."""

import asyncio
import errno
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from edge.vm.driver import Progress
from edge.vm.image_fetch import fetch
from edge.vm.image_incoming import READ_BYTES, Incoming, unwritable
from edge.vm.image_model import ImageFormat, ImageRecord, Upload
from edge.vm.image_paths import open_below
from edge.vm.image_sources import Address, split_path
from edge.vm.image_store import ImageStore
from edge.vm.image_views import image_view
from edge.vm.model import VmSettings
from shared.errors import Refused, RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

Counted = Callable[[int, int | None], None]
"""Is told how many bytes were moved, and of how many."""

Take = Callable[[bytes], Awaitable[None]]
Expect = Callable[[int | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, and by whom."""

    name: str
    source: str
    sha256: str | None
    claimed: ImageFormat | None
    request_id: str
    requested_by: str
    via_hub: str
    counted: Counted


class Meter:
    """Turns bytes into progress."""

    def __init__(self, stage: str, progress: Progress, counted: Counted) -> None:
        self._stage = stage
        self._progress = progress
        self._counted = counted
        self._done = 0
        self._total: int | None = None

    def expect(self, total: int | None) -> None:
        """Begin, knowing how much will come or not."""
        self._total = total
        self.add(0)

    def add(self, size_bytes: int) -> None:
        """So much more was moved."""
        self._done += size_bytes
        share = min(100 * self._done // self._total, 99) if self._total else None
        self._progress(self._stage, share)
        self._counted(self._done, self._total)


class ImageWork:
    """The work behind an import. Raises RpcError; what is cut off leaves nothing behind."""

    def __init__(self, store: ImageStore, runtime: Runtime, settings: VmSettings) -> None:
        self._store = store
        self._runtime = runtime
        self._settings = settings

    async def from_url(self, order: Order, address: Address, progress: Progress) -> dict[str, Any]:
        """Fetch it from an address that is allowed."""

        async def fill(expect: Expect, take: Take) -> None:
            await fetch(address, self._settings.image_urls, expect, take)

        return await self._bring(order, Meter("fetching", progress, order.counted), fill, progress)

    async def from_path(self, order: Order, path: str, progress: Progress) -> dict[str, Any]:
        """Copy it from a folder that is allowed."""

        async def fill(expect: Expect, take: Take) -> None:
            await self._copy(path, expect, take)

        return await self._bring(order, Meter("copying", progress, order.counted), fill, progress)

    async def from_upload(self, order: Order, upload: Upload, progress: Progress) -> dict[str, Any]:
        """Take what came by pieces."""
        meter = Meter("reading", progress, order.counted)
        meter.expect(upload.size_bytes)
        path = self._store.coming(upload.file)
        found = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while piece := await to_its_end(
                    self._runtime.offload(lambda: file.read(READ_BYTES))
                ):
                    found.update(piece)
                    meter.add(len(piece))
                await to_its_end(self._runtime.offload(lambda: os.fsync(file.fileno())))
        except OSError as error:
            raise unwritable(error) from error
        return await self._admit(order, upload.file, found.hexdigest(), progress, upload.id)

    async def _bring(
        self,
        order: Order,
        meter: Meter,
        fill: Callable[[Expect, Take], Awaitable[None]],
        progress: Progress,
    ) -> dict[str, Any]:
        incoming = self._store.incoming()

        async def expect(total: int | None) -> None:
            meter.expect(total)
            await self._do(lambda: self._store.claim(incoming.path.name, total or 0))
            await self._do(incoming.open)

        async def take(piece: bytes) -> None:
            await self._do(lambda: incoming.write(piece))
            meter.add(len(piece))

        try:
            await fill(expect, take)
            digest = await to_its_end(self._runtime.offload(incoming.finish))
            return await self._admit(order, incoming.path.name, digest, progress)
        finally:
            await self._do(lambda: self._give_up(incoming))

    def _give_up(self, incoming: Incoming) -> None:
        """What became an image lies elsewhere by now, so that there is nothing to remove."""
        incoming.close()
        self._store.discard(incoming.path.name)

    async def _admit(
        self, order: Order, file: str, digest: str, progress: Progress, upload_id: str = ""
    ) -> dict[str, Any]:
        if order.sha256 not in (None, digest):
            message = f"the image has the sha256 {digest}, not {order.sha256}"
            raise RpcError("invalid_params", message, {"sha256": digest})
        progress("checking", None)
        image = await to_its_end(self._runtime.offload(lambda: self._record(order, file, digest)))
        try:
            await self._store.publish(image, upload_id)
        except asyncio.CancelledError:
            # Too late: an operation that says "cancelled" beside a new image would not be true.
            if image not in self._store.records():
                raise
        return image_view(image)

    def _record(self, order: Order, file: str, digest: str) -> ImageRecord:
        found, virtual_bytes = self._store.look(file, order.claimed)
        return ImageRecord(
            name=order.name,
            file=file,
            sha256=digest,
            size_bytes=self._store.coming(file).stat().st_size,
            format=found,
            virtual_bytes=virtual_bytes,
            source=order.source,
            created_ms=self._runtime.wall_ms(),
            created_by=order.requested_by,
            via_hub=order.via_hub,
            request_id=order.request_id,
        )

    async def _copy(self, path: str, expect: Expect, take: Take) -> None:
        opened: list[int] = []
        try:
            await self._do(lambda: opened.append(_open_allowed(path, self._settings)))
            size = await to_its_end(self._runtime.offload(lambda: os.fstat(opened[0]).st_size))
            await expect(size)
            while piece := await to_its_end(
                self._runtime.offload(lambda: os.read(opened[0], READ_BYTES))
            ):
                await take(piece)
        except OSError as error:
            raise _unreadable(path, error) from error
        finally:
            for descriptor in opened:
                os.close(descriptor)

    async def _do(self, work: Callable[[], None]) -> None:
        await to_its_end(self._runtime.offload(work))


def _open_allowed(path: str, settings: VmSettings) -> int:
    try:
        return open_below(*split_path(path, settings.image_folders))
    except Refused as error:
        raise RpcError("unauthorized", str(error), {"path": path}) from error


def _unreadable(path: str, error: OSError) -> RpcError:
    is_missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    kind = "not_found" if is_missing else "driver_error"
    return RpcError(kind, f"{path} cannot be read: {error.strerror or error}", {"path": path})
