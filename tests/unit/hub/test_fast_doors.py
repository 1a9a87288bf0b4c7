"""The short way to a door tells of a request what the long one tells."""

import pytest
from starlette.datastructures import Headers

from hub.web.fast_doors import KnownHeaders

RAW = [(b"x-one", b"first"), (b"authorization", b"Bearer k"), (b"x-one", b"second")]


@pytest.mark.parametrize("name", ["x-one", "X-One", "Authorization", "x-none"])
def test_headers_by_name_are_those_that_a_search_finds(name: str) -> None:
    known, searched = KnownHeaders(RAW), Headers(raw=RAW)
    assert known.get(name, "nothing") == searched.get(name, "nothing")
    assert (name in known) == (name in searched)
    assert known.getlist("x-one") == ["first", "second"]


def test_a_header_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        KnownHeaders(RAW)["x-none"]
