"""How much room there is for images."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vm.image_room import Caps, check_room
from shared.errors import RpcError
from tests.examples import examples

CAPS = Caps(image_bytes_max=100, images_bytes_max=250, free_bytes_min=50)


@pytest.mark.parametrize(
    ("size", "more", "held", "free", "numbers"),
    [
        (101, 1, 0, 1000, (101, 100)),
        (100, 1, 151, 1000, (100, 99)),
        (100, 60, 0, 100, (60, 50)),
        (1, 1, 999, 1000, (1, 0)),
        (1, 1, 0, 10, (1, 0)),
    ],
)
def test_a_refusal_says_what_is_needed_and_what_is_there(
    size: int, more: int, held: int, free: int, numbers: tuple[int, int]
) -> None:
    with pytest.raises(RpcError) as caught:
        check_room(size, more, held, free, CAPS)
    assert caught.value.kind == "insufficient"
    assert (caught.value.data["needed_bytes"], caught.value.data["available_bytes"]) == numbers


NUMBERS = st.integers(0, 400)


@settings(max_examples=examples(200))
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_what_is_let_in_fits_everywhere(size: int, more: int, held: int, free: int) -> None:
    try:
        check_room(size, more, held, free, CAPS)
    except RpcError:
        return
    assert size <= 100
    assert size + held <= 250
    assert more == 0 or free - more >= 50
