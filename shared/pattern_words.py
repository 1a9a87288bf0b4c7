"""What the patterns of parameters mean, for people: nobody should have to read one in an error."""

from collections.abc import Mapping

PATTERN_WORDS: Mapping[str, str] = {
    r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z": (
        "a name of 1 to 63 small letters, digits and hyphens, with no hyphen at either end"
    ),
    r"\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\Z": (
        "an id of 1 to 64 small letters, digits and hyphens, with no hyphen at either end"
    ),
    r"\A[a-z0-9-]{1,64}\Z": "a name or an id of 1 to 64 small letters, digits and hyphens",
    r"\A[A-Za-z0-9][A-Za-z0-9:._/+-]{0,199}\Z": (
        "the name of an image: 1 to 200 letters, digits and : . _ / + -, a letter or digit first"
    ),
    r"\A(?!builtin:|template:)[A-Za-z0-9][A-Za-z0-9:._/+-]{0,199}\Z": (
        "the name of an image: 1 to 200 letters, digits and : . _ / + -, a letter or digit first, "
        "and neither builtin: nor template: in front"
    ),
    r"\A[A-Za-z0-9._-]{8,64}\Z": "8 to 64 letters, digits, dots, underscores and hyphens",
    r"\A[A-Za-z_][A-Za-z0-9_]{0,63}\Z": (
        "1 to 64 letters, digits and underscores, with no digit in front"
    ),
    r"\A[A-Za-z0-9][A-Za-z0-9._/-]{0,62}\Z": (
        "1 to 63 letters, digits and . _ / -, a letter or digit first"
    ),
    r"\A[0-9a-f]{64}\Z": "a sha256: 64 digits and small letters from a to f",
    r"\A[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z": "a MAC address in small letters, as in 52:54:00:12:34:56",
    r"\A[0-9a-f.:]{2,45}\Z": "an IP address, in small letters",
    r"\A[\x20-\x7e]*\Z": "a text of printable ASCII characters",
    r"\A[\x21-\x7e]{1,128}\Z": "1 to 128 printable ASCII characters without spaces",
    r"\A[^\x00]*\Z": "a text without NUL characters",
    r"\A[^\x00-\x1f\x7f]*\Z": "a text of one line, without control characters",
}
"""By the pattern exactly as it is written where parameters are declared."""

_IN_ERRORS = {
    f"`str` matching regex {pattern!r}": words for pattern, words in PATTERN_WORDS.items()
}


def in_words(error: Exception) -> str:
    """The text of a msgspec.ValidationError, with words for the pattern in it."""
    text = str(error)
    for shown, words in _IN_ERRORS.items():
        text = text.replace(shown, words)
    return text
