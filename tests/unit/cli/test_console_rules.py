"""The rules of a console in a terminal: which keys are for us, and how far it was shown."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.cli.console_keys import ESCAPE, Keys, Wish
from hub.cli.console_position import ConsolePosition
from hub.cli.vm_log import readable
from tests.examples import examples


def plain(found: list[bytes | Wish]) -> bytes:
    return b"".join(each for each in found if isinstance(each, bytes))


def test_the_escape_and_a_letter_are_for_us() -> None:
    assert Keys().read(b"ls\r\x1dq") == [b"ls\r", Wish.LEAVE]
    assert Keys().read(b"\x1d.") == [Wish.LEAVE]
    assert Keys().read(b"\x1dr\x1d?x") == [Wish.MOVE, Wish.HELP, b"x"]


def test_the_escape_twice_types_one() -> None:
    assert Keys().read(b"a\x1d\x1dq") == [b"a", ESCAPE, b"q"]


@settings(max_examples=examples(200))
@given(st.lists(st.sampled_from([b"a", b"q", b"r", b".", ESCAPE, b"\xff"]), max_size=30))
def test_it_means_the_same_however_it_is_cut(signs: list[bytes]) -> None:
    whole, pieces = Keys(), Keys()
    together = whole.read(b"".join(signs))
    apart = [each for sign in signs for each in pieces.read(sign)]
    assert plain(together) == plain(apart)
    assert [e for e in together if isinstance(e, Wish)] == [e for e in apart if isinstance(e, Wish)]


@settings(max_examples=examples(100))
@given(st.binary().filter(lambda data: ESCAPE not in data))
def test_what_holds_no_escape_is_typed_as_it_is(data: bytes) -> None:
    assert plain(Keys().read(data)) == data


@settings(max_examples=examples(300))
@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500)), max_size=12),
    st.data(),
)
def test_the_position_is_that_of_the_log_however_early_words_come(
    begin: int, story: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Words of what is lost overtake bytes by any number of pieces, but never come late."""
    position, offset = ConsolePosition(), begin
    log_words, log_bytes = list[tuple[int, dict[str, int]]](), list[int]()
    position.hear({"at": begin})
    for size, lost in story:
        if lost:
            offset += lost
            log_words.append((len(log_bytes), {"lost": lost, "at": offset}))
        log_bytes.append(size)
        offset += size
    missing = 0
    for number, size in enumerate(log_bytes):
        ahead = data.draw(st.integers(0, len(log_bytes)))
        while log_words and log_words[0][0] <= number + ahead:
            position.hear(log_words.pop(0)[1])
        missing += position.shown(size)
    assert position.offset == offset
    assert missing == sum(lost for _, lost in story)


def test_a_log_in_a_terminal_steers_nothing() -> None:
    assert (
        readable("\x1b[31mred\x1b[0m \x1b]0;title\x07plain\r\n\x07")
        == "red plain\n\N{REPLACEMENT CHARACTER}"
    )
