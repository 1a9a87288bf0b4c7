"""A console for somebody who may only look on."""

from edge.vm.following import Following, Tell
from shared.errors import RpcError


class LookingOn:
    """Shows what a console shows; typing raises RpcError unauthorized, and sizes are left alone."""

    def __init__(self, console: Following) -> None:
        self._console = console

    @property
    def tell(self) -> Tell:
        """Takes words beside the bytes."""
        return self._console.tell

    @tell.setter
    def tell(self, tell: Tell) -> None:
        self._console.tell = tell

    async def read(self) -> bytes:
        """The next output."""
        return await self._console.read()

    async def write(self, data: bytes) -> None:
        """Refuse."""
        raise RpcError("unauthorized", "this console was opened to look on only")

    async def resize(self, columns: int, rows: int) -> None:
        """The window of whoever looks on is not the machine's."""

    async def close(self) -> None:
        """Let go of it."""
        await self._console.close()
