"""What an edge answers over the socket in its folder, which needs no hub."""

from pathlib import Path
from typing import Any

import httpx

from shared.unix_socket import short_path
from tests.system.processes import EdgeProcess

PATIENCE_SECONDS = 10.0


def socket_of(edge: EdgeProcess) -> Path:
    """The admin socket of an edge."""
    return edge.folder / "edge" / "edge.sock"


def ask_edge(
    edge: EdgeProcess, method: str, *, patience_seconds: float = PATIENCE_SECONDS, **params: Any
) -> dict[str, Any]:
    """The result of a call; raises httpx.TransportError when the edge dies before it has answered."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with (
        short_path(socket_of(edge)) as path,
        httpx.HTTPTransport(uds=path) as transport,
        httpx.Client(transport=transport, timeout=patience_seconds, trust_env=False) as client,
    ):
        answer = client.post("http://edge/rpc", json=message).json()
    assert "error" not in answer, f"{edge.name} refuses {method}: {answer['error']}"
    result: dict[str, Any] = answer["result"]
    return result
