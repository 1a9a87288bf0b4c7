"""Text for a terminal: nothing in it can steer the terminal, and columns are aligned."""

import unicodedata
from collections.abc import Sequence

_NAMED_CONTROLS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe(text: str) -> str:
    """The text without anything that could steer a terminal: logs carry what strangers wrote."""
    return "".join(
        _NAMED_CONTROLS.get(sign, "\N{REPLACEMENT CHARACTER}")
        if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else sign
        for sign in text
    )


def table(rows: Sequence[Sequence[str]], width_max: int | None = None) -> str:
    """Rows of equal length as aligned columns; what goes beyond the width is cut off."""
    cleaned = [[safe(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    lines = ("  ".join(map(str.ljust, row, [*widths[:-1], 0])).rstrip() for row in cleaned)
    return "\n".join(line[:width_max] for line in lines)
