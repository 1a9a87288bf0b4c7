"""What the patterns find, and that no pattern can keep an edge busy for ever."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.receive.patterns import PATTERN_CHARACTERS_MAX, safe_pattern
from edge.receive.scrub_find import FINDERS, card_spans, hash_text, replacer
from tests.unit.otlp.samples import patient

VISA = "4111111111111111"


def found(name: str, text: str) -> str:
    """The text with "#" in place of what the named pattern finds."""
    return FINDERS[name].replace(text, lambda _: "#")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail jo.do+x@mail.example.com now", "mail # now"),
        ("write to a@b.de.", "write to #."),
        ("<ünïcode@post.at>,b@c.org", "<#>,#"),
        ("user@localhost and @handle and a@b", "user@localhost and @handle and a@b"),
        ("no sign here", "no sign here"),
    ],
)
def test_mail_addresses(text: str, expected: str) -> None:
    assert found("email", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 10.0.17.255:8080", "from #:8080"),
        ("(192.168.0.1), 8.8.8.8.", "(#), #."),
        ("256.1.1.1 and 1.2.3 and 1.2.3.4.5", "256.1.1.1 and 1.2.3 and 1.2.3.4.5"),
    ],
)
def test_addresses_of_machines(text: str, expected: str) -> None:
    assert found("ipv4", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"card {VISA}, paid", "card #, paid"),
        ("4111 1111 1111 1111 12/27", "# 12/27"),
        ("no 12 3782-822463-10005 or 5500-0000-0000-0004", "no 12 # or #"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("at 1700000000000000000 ns", "at 1700000000000000000 ns"),
        (f"x{VISA}9999999999", f"x{VISA}9999999999"),
    ],
)
def test_card_numbers_have_a_check_digit(text: str, expected: str) -> None:
    assert found("credit_card", text) == expected


@given(st.integers(10**11, 10**15 - 1))
def test_of_ten_last_digits_one_makes_a_card_number(number: int) -> None:
    """That is what Luhn's check digit means."""
    tails = [f"4{number}{digit}" for digit in range(10)]
    assert sum(any(card_spans(each)) for each in tails) == 1


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("bearer", "Authorization: Bearer eyJhbGciOi.J9_x-y==", "Authorization: #"),
        ("bearer", "BEARER  0123456789abcdef;", "#;"),
        ("bearer", "the bearer of news", "the bearer of news"),
        ("aws_key", "key AKIAIOSFODNN7EXAMPLE.", "key #."),
        ("aws_key", "ASIA is large", "ASIA is large"),
        ("aws_key", 'aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', '#"'),
        ("aws_key", "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", None),
    ],
)
def test_tokens_and_keys(name: str, text: str, expected: str | None) -> None:
    assert found(name, text) == (text if expected is None else expected)


@patient
@given(st.text(max_size=60), st.sampled_from(sorted(FINDERS)))
def test_what_was_replaced_is_not_found_again(text: str, name: str) -> None:
    once = FINDERS[name].replace(text, lambda _: "[gone]")
    assert FINDERS[name].replace(once, lambda _: "[gone]") is once


@patient
@given(st.text(max_size=20), st.text(max_size=20))
def test_a_card_is_found_between_anything_but_digits(before: str, after: str) -> None:
    text = re.sub(r"[\d -]", "_", before) + VISA + re.sub(r"[\d -]", "_", after)
    assert VISA not in found("credit_card", text)


def test_a_hash_tells_values_apart_and_nothing_else() -> None:
    hashed = replacer("", b"a secret of sixteen")
    assert hashed("jo@example.com") == hashed("jo@example.com") != hashed("al@example.com")
    assert hashed("jo@example.com") != replacer("", b"another secret...")("jo@example.com")
    assert re.fullmatch("hash:[0-9a-f]{16}", hashed("jo@example.com"))
    # HMAC-SHA-256 with the key "key", RFC 2104; the digest is a well-known example.
    assert hash_text("The quick brown fox jumps over the lazy dog", b"key") == "f7bc83f430538424"


def test_what_replaces_is_not_read_as_a_template() -> None:
    assert FINDERS["email"].replace("a@b.de", replacer(r"\1\g<0>", b"")) == r"\1\g<0>"


@pytest.mark.parametrize(
    "pattern",
    [
        "health",
        "^GET /health .*200$",
        r"(?i)passw(?:or)?d=\S+",
        r"\Ax.*",
        r"[\w.]{1,64}@[\w.]{1,64}",
        r"(?>a|ab){1,20}c",
        r"(?<=user )\w{1,40}+;",
        r"token=(?:[a-z]+|[0-9]+)",
        "a{3}b?c{0,9}?",
    ],
)
def test_quick_patterns_are_taken(pattern: str) -> None:
    assert safe_pattern(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(a|aa)*b",
        "(?:a{1,20}){1,20}b",
        "((a{0,9}){0,9}){0,9}b",
        "^(a|aa){1,40}b",
        "^.*a.*b",
        "(?m)^a.*b",
        ".*foo",
        r"\s+$",
        r"\w++@",
        r"(?=\S+)x",
        r"(?!.*x)y",
        "a{1,100000}b",
        "^(?:a{1,99}b{1,99}){3}c",
    ],
)
def test_slow_patterns_are_refused_with_what_to_do(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"quick on every text.*upper bound"):
        safe_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "is none: missing"),
        ("", "of 1 to 1024 characters"),
        ("a" * (PATTERN_CHARACTERS_MAX + 1), "of 1 to 1024 characters"),
        (5, "of 1 to 1024 characters"),
        (r"(a)\1", "without references"),
        (r"(a)?(?(1)b|c)", "without references"),
        ("(" * 101 + ")" * 101, "at most 100 groups"),
        ("a{99999999999999999999}", "a regular expression"),
        ("[[a]", "is none: Possible nested set"),
    ],
)
def test_other_patterns_are_refused_with_the_reason(pattern: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        safe_pattern(pattern)


def test_where_texts_have_a_bound_patterns_may_take_more_steps() -> None:
    for pattern in ("payment .* (failed|refused)", r"^\d{4}-\d\d", r"\s+$", "a.*b"):
        assert safe_pattern(pattern, 2048).pattern == pattern
    for pattern in ("(a+)+b", "a.*b.*c.*d", "(a|aa)*b", "(?:a{1,20}){1,20}b"):
        with pytest.raises(ValueError, match="quick on every text"):
            safe_pattern(pattern, 2048)


@patient
@given(st.text(st.sampled_from("ab(|)*+?{}1,9[]^$.\\w<=!:>P#-"), max_size=30))
def test_any_text_is_a_pattern_or_a_value_error(text: str) -> None:
    try:
        pattern = safe_pattern(text)
    except ValueError:
        return
    pattern.search("ab1" * 2000 + "a" * 2000)  # Returns, whatever the pattern.
