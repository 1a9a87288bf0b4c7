"""What a label of a node may be called: one rule for labels of nodes and for selectors of settings.

What is stored already may have another name, from before this rule: it is read, shown and taken away
like any other, so only new names are checked.
"""

import re
from collections.abc import Collection, Iterable

from shared.errors import BadInput

LABEL_NAME_LENGTH_MAX = 63
LABEL_NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_./-]*"
_NAME = re.compile(LABEL_NAME_PATTERN)


def check_label_names(names: Iterable[str], held: Collection[str] = ()) -> None:
    """Raises BadInput that says what is allowed, for the first wrong name that is not held already."""
    for name in names:
        if name not in held and not is_label_name(name):
            raise BadInput(
                f"the name of a label has 1 to {LABEL_NAME_LENGTH_MAX} letters (a to z, A to Z), "
                "digits, '_', '-', '.' and '/', and begins with a letter, a digit or '_', "
                f"unlike {name[:80]!r}"
            )


def is_label_name(name: str) -> bool:
    """Whether a new label may be called so."""
    return len(name) <= LABEL_NAME_LENGTH_MAX and _NAME.fullmatch(name) is not None
