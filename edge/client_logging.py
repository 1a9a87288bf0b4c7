"""The logging module of a program as a source: what it logs, the edge gets."""

import logging
from collections.abc import Callable

OWN_NAMES = "edge.client"


class ClientHandler(logging.Handler):
    """Hands each record to `keep`, but never those that the client itself gives rise to.

    `sender` tells the thread of the client: its requests are logged, too, by the library that makes
    them, and each of those lines would cause another request.
    """

    def __init__(
        self,
        keep: Callable[[logging.LogRecord], None],
        sender: Callable[[], int | None],
        level: int = logging.NOTSET,
    ) -> None:
        super().__init__(level)
        self._keep = keep
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record; never raises."""
        sender = self._sender()
        is_of_sender = sender is not None and record.thread == sender
        if not is_of_sender and not record.name.startswith(OWN_NAMES):
            self._keep(record)
