"""Words and terms: what the index and the scan must agree on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.index.words import (
    WORD_BYTES_MAX,
    attribute_term,
    inner_words,
    many_term,
    service_term,
    trace_term,
    words_of,
)
from hub.query.probe import fold
from tests.unit.index.log_stock import texts
from tests.unit.otlp.samples import patient

any_text = st.one_of(texts, st.text())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", set()),
        (" -\n\0", set()),
        ("GET /api/v1", {b"get", b"api", b"v1"}),
        ("snake_case kebab-case", {b"snake_case", b"kebab", b"case"}),
        ("Straße É", {"straße".encode(), "É".encode()}),
        ("a\u2009b", {"a\u2009b".encode()}),
        ("y" * 70, {b"y" * 64}),
    ],
)
def test_a_word_is_a_run_of_letters_digits_underscores_and_all_beyond_ascii(
    text: str, words: set[bytes]
) -> None:
    """Only ASCII letters lose their case, as everywhere in the search."""
    assert words_of(fold(text)) == words


@pytest.mark.parametrize(
    ("needle", "words"),
    [
        ("", set()),
        ("whole", set()),
        ("two words", set()),
        ("a Sure thing", {b"sure"}),
        (" sure ", {b"sure"}),
        ("/" + "y" * 70 + "/", {b"y" * 64}),
    ],
)
def test_only_the_words_inside_a_needle_are_sure_to_be_whole(
    needle: str, words: set[bytes]
) -> None:
    """Those at its ends may go on in the text."""
    assert inner_words(needle) == words


@patient
@given(any_text, any_text, any_text)
def test_a_text_with_the_needle_has_all_of_its_inner_words(
    before: str, needle: str, after: str
) -> None:
    """So that pruning by them loses no hit."""
    assert inner_words(needle) <= words_of(fold(before + needle + after))


@patient
@given(any_text)
def test_no_word_is_longer_than_the_index_keeps(text: str) -> None:
    """And cutting it again changes nothing."""
    assert all(0 < len(word) <= WORD_BYTES_MAX for word in words_of(fold(text)))


def test_terms_stay_the_same_in_every_process() -> None:
    """They are on disk: another Python must find them."""
    terms = [service_term("shop"), attribute_term("k", "v"), many_term("k"), trace_term("ab" * 16)]
    assert terms == [b"sac6a4ca2", b"a7eb6749a", b"m0862575d", b"abababababababab"]
    assert attribute_term("k", "V") != attribute_term("k", "v")
