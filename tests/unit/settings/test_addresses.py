"""Addresses of hubs, as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.address import (
    Address,
    is_loopback,
    is_wildcard,
    parse_address,
    parse_addresses,
)

READ = [
    ("10.0.0.2", Address("10.0.0.2", 8470)),
    ("10.0.0.3:8480", Address("10.0.0.3", 8480)),
    (" hub-2.example ", Address("hub-2.example", 8470)),
    ("Hub:1", Address("hub", 1)),
    ("my_host:65535", Address("my_host", 65535)),
    ("[::1]", Address("::1", 8470)),
    ("[::1]:9000", Address("::1", 9000)),
    ("2001:db8::7", Address("2001:db8::7", 8470)),
    ("http://10.0.0.2:8470", Address("10.0.0.2", 8470)),
    ("http://10.0.0.2/", Address("10.0.0.2", 80)),
    ("https://hub.example", Address("hub.example", 443, "https")),
    ("https://[2001:db8::7]:8443/", Address("2001:db8::7", 8443, "https")),
]

REFUSED = [
    "",
    ":8470",
    "host:",
    "host:0",
    "host:65536",
    "host:-1",
    "host:http",
    "host:84:70",
    "a b",
    "-host",
    "host/path",
    "[::1",
    "[nonsense]:1",
    "ftp://host",
    "http://",
    "http://host/path",
    "http://host?x=1",
    "http://user:password@host",
    "user@host",
]


@pytest.mark.parametrize(("written", "read"), READ)
def test_an_address_is_read_in_every_spelling(written: str, read: Address) -> None:
    """Hosts, ports, IPv6 and whole URLs are understood."""
    assert parse_address(written) == read


@pytest.mark.parametrize("written", REFUSED)
def test_what_is_no_address_is_refused_with_a_sentence(written: str) -> None:
    """The text of the error repeats what was written."""
    with pytest.raises(ValueError, match=r"address|port|http|user") as caught:
        parse_address(written)
    assert repr(written) in str(caught.value)


def test_a_list_keeps_its_order_and_drops_repetitions() -> None:
    """The first hub named is the first one tried."""
    listed = parse_addresses(["b", "a:8470", "", "b:8470", "a"])
    assert listed == (Address("b", 8470), Address("a", 8470))


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(written: str) -> None:
    """Whatever is written either is an address or raises ValueError; a read one survives a round."""
    try:
        address = parse_address(written)
    except ValueError:
        return
    assert parse_address(address.url) == address


def test_loopback_and_wildcard_are_told_apart() -> None:
    """What only this machine reaches needs no encryption."""
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "hub.example")))
    assert [host for host in ("0.0.0.0", "::", "::1") if is_wildcard(host)] == ["0.0.0.0", "::"]
