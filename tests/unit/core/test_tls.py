"""Whoever is reached under https must prove who it is, though nobody reads the roots before."""

from pathlib import Path

import pytest

from shared.errors import Unreachable
from shared.http import HttpxClient
from tests.unit.nodes.check_certs import EXPIRED, GOOD
from tests.unit.nodes.check_servers import saying, serving, tls_of


@pytest.mark.parametrize("certificate", [GOOD, EXPIRED])
async def test_a_server_that_nobody_vouches_for_is_not_reached(
    tmp_path: Path, certificate: str
) -> None:
    """A good certificate proves nothing that no root of this machine has signed."""
    client = HttpxClient()
    try:
        async with serving(saying(), tls_of(tmp_path, certificate)) as port:
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED") as refusal:
                await client.request("GET", f"https://localhost:{port}/")
    finally:
        await client.close()
    assert refusal.value.sent is False


async def test_plain_addresses_are_reached_before_and_after_one_with_tls(tmp_path: Path) -> None:
    client = HttpxClient()
    try:
        async with serving(saying()) as plain, serving(saying(), tls_of(tmp_path, GOOD)) as port:
            before = await client.request("GET", f"http://127.0.0.1:{plain}/")
            with pytest.raises(Unreachable):
                await client.request("GET", f"HTTPS://localhost:{port}/")
            after = await client.request("GET", f"http://127.0.0.1:{plain}/")
    finally:
        await client.close()
    assert (before.body, after.body) == (b"hello", b"hello")
