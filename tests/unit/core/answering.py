"""An HTTP client without a network, for hubs that a test plays."""

from shared.runtime import HttpReply


class Answering:
    """An HTTP client whose requests are answered by whoever inherits from it."""

    def answer(self, url: str, body: bytes) -> HttpReply:
        """The answer to one request; raises what a link raises."""
        raise NotImplementedError

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_seconds: float = 10.0,
        reply_bytes_max: int = 0,
    ) -> HttpReply:
        """As a client of a runtime."""
        return self.answer(url, body)

    async def close(self) -> None:
        """Nothing is open."""
