"""The methods on images: what there is, and orders to bring or remove one, each an operation."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from edge.vm import params as asked
from edge.vm import views
from edge.vm.driver import Progress
from edge.vm.image_door import ImageDoor, end_id, subject_of
from edge.vm.image_params import Import, OneImage, Piece, Remove, bytes_of, check_source
from edge.vm.image_sources import Address, allowed_address, split_path
from edge.vm.image_store import ImageStore, taken
from edge.vm.image_uploads import Uploads
from edge.vm.image_views import image_view, users_of
from edge.vm.image_work import ImageWork
from edge.vm.model import Move, Operation, OpState, State, VmSettings
from edge.vm.operations import Ask, Operations, Work
from edge.vm.records import Records
from shared.errors import Refused, RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

Answer = dict[str, Any]


class ImageCalls:
    """Open it after the records and before the supervisor judges what a crash cut off. Methods
    raise RpcError only."""

    def __init__(
        self,
        node_id: str,
        store: ImageStore,
        records: Records,
        operations: Operations,
        runtime: Runtime,
        settings: VmSettings,
    ) -> None:
        self._node_id = node_id
        self._store = store
        self._records = records
        self._operations = operations
        self._runtime = runtime
        self._settings = settings
        self._uploads = Uploads(store, runtime)
        self._work = ImageWork(store, runtime, settings)
        self._door = ImageDoor(operations, runtime)

    def methods(self) -> Mapping[str, Callable[[Answer], Awaitable[Answer]]]:
        """The methods by name."""
        return {
            "image.list": self._list,
            "image.get": self._get,
            "image.import": self._import,
            "image.upload": self._upload,
            "image.delete": self._delete,
        }

    async def open(self) -> None:
        """Open the store, sweep what a crash left, and close operations whose image is there."""
        await self._store.open()
        await self._uploads.open()
        brought = {subject_of(image.name): image for image in self._store.records()}
        for operation in await self._records.read(lambda ledger: ledger.unfinished()):
            image = brought.get(operation.vm_id)
            if image is not None and image.request_id == operation.request_id:
                await self._records.write(_done(operation, image_view(image), self._runtime))

    async def close(self) -> None:
        """Let go of the store, after the crew."""
        await self._store.close()

    # ---- what there is

    async def _list(self, raw: Answer) -> Answer:
        asked.read(raw, asked.Listing, self._node_id)
        await self._uploads.expire()
        items = [self._view(image.name) for image in self._store.records()]
        return {"node_id": self._node_id, "items": items, "room": await self._store.room()}

    async def _get(self, raw: Answer) -> Answer:
        wish = asked.read(raw, OneImage, self._node_id)
        return self._view(wish.name)

    def _view(self, name: str) -> Answer:
        image = self._store.record_of(name)
        used_by = users_of(name, self._records.all())
        return {"node_id": self._node_id, **image_view(image), "used_by": used_by}

    # ---- the ways in

    async def _import(self, raw: Answer) -> Answer:
        wish = asked.read(raw, Import, self._node_id)
        check_source(wish)
        ask = self._door.ask("image.import", Move.CREATE, wish)
        order = self._door.order(wish, ask)

        def work() -> Work:
            if wish.source.url is not None:
                address = self._address(wish.source.url)
                return lambda progress: self._work.from_url(order, address, progress)
            path = self._path(wish.source.path or "")
            return lambda progress: self._work.from_path(order, path, progress)

        return await self._door.enter(
            ask, wish.name, wish.wait_s, lambda: self._begin(ask, wish, work)
        )

    async def _begin(self, ask: Ask, wish: Import, choose: Callable[[], Work]) -> Operation:
        work = choose()
        if wish.name in {image.name for image in self._store.records()}:
            raise taken(wish.name)
        await self._uploads.expire()
        return await self._door.begin_import(ask, wish.name, work)

    async def _upload(self, raw: Answer) -> Answer:
        wish = asked.read(raw, Piece, self._node_id)
        data = bytes_of(wish)
        ask = self._door.ask_to_end(wish)
        known = await self._operations.repeated(ask, None) if wish.sha256 is not None else None
        if known is not None:
            return views.operation(await self._operations.wait(known, wish.wait_s))
        async with self._uploads.lock(wish.upload):
            have = await to_its_end(self._take(wish, data))
        if wish.sha256 is None:
            is_whole = have == wish.size_bytes
            return {"upload": wish.upload, "offset": have, "is_whole": is_whole}
        return await self._door.enter(
            ask, wish.name, wish.wait_s, lambda: self._end_upload(ask, wish)
        )

    async def _take(self, wish: Piece, data: bytes) -> int:
        if not self._uploads.is_known(wish.upload):
            await self._check_new(wish)
        return await self._uploads.take(wish, data)

    async def _check_new(self, wish: Piece) -> None:
        await self._uploads.expire()
        request_id = end_id(wish)
        over = await self._records.read(lambda ledger: ledger.request(request_id))
        if over is not None:
            message = f"the upload {wish.upload!r} is over: a new one needs a new id"
            raise RpcError("conflict", message, {"op_id": over.op_id})
        if wish.name in {image.name for image in self._store.records()}:
            raise taken(wish.name)

    async def _end_upload(self, ask: Ask, wish: Piece) -> Operation:
        async with self._uploads.lock(wish.upload):
            upload = await self._uploads.whole(wish.upload)
        order = self._door.order(wish, ask)

        async def work(progress: Progress) -> Answer:
            try:
                return await self._work.from_upload(order, upload, progress)
            finally:
                await to_its_end(self._uploads.forget(upload))

        try:
            return await self._door.begin_import(ask, wish.name, work)
        except BaseException:
            self._uploads.reopen(upload)
            raise

    # ---- the way out

    async def _delete(self, raw: Answer) -> Answer:
        wish = asked.read(raw, Remove, self._node_id)
        ask = self._door.ask("image.delete", Move.DELETE, wish)

        async def work(_: Progress) -> Answer:
            # Held by whoever makes a machine, from the look at its images to its record.
            async with self._operations.lock(""):
                await self._check_unused(wish)
                return image_view(await self._store.remove(wish.name))

        async def begin() -> Operation:
            self._store.record_of(wish.name)
            await self._check_unused(wish)
            return await self._operations.begin_job(ask, subject_of(wish.name), work)

        return await self._door.enter(ask, wish.name, wish.wait_s, begin)

    async def _check_unused(self, wish: Remove) -> None:
        users = users_of(wish.name, self._records.all())
        if users:
            message = f"image {wish.name!r} is in use by {', '.join(users)}"
            raise RpcError("conflict", message, {"machines": users})
        vms = await self._records.read(lambda ledger: ledger.vms())
        kept = users_of(wish.name, [vm for vm in vms if vm.state is State.ABSENT and vm.handle])
        if kept and not wish.force:
            message = f"disks that were kept of {', '.join(kept)} build on image {wish.name!r}"
            raise RpcError("conflict", message, {"machines": kept, "override": "force"})

    # ---- what the settings allow

    def _address(self, url: str) -> Address:
        try:
            return allowed_address(url, self._settings.image_urls)
        except Refused as error:
            raise RpcError("unauthorized", str(error)) from error

    def _path(self, path: str) -> str:
        try:
            split_path(path, self._settings.image_folders)
        except Refused as error:
            raise RpcError("unauthorized", str(error), {"path": path}) from error
        return path


def _done(operation: Operation, result: Answer, runtime: Runtime) -> Operation:
    return msgspec.structs.replace(
        operation,
        state=OpState.DONE,
        progress=100,
        changed=True,
        result=result,
        updated_ms=runtime.wall_ms(),
    )
