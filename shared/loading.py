"""Loading many modules at once: without looking for garbage, of which there is none meanwhile, and
without what nobody here uses."""

import contextlib
import gc
import sys
from collections.abc import Iterator

NEEDLESS = "httpx._main"
"""The command line of httpx, which brings all of rich and pygments; httpx does without where it is not
to be had."""


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Let modules be imported inside; what was said of garbage before holds again afterwards.

    Imports make a hundred thousand objects that stay. Python would go through all of them again and
    again, which takes an eighth to a fifth of the start of a hub or an edge.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    is_left_out = NEEDLESS not in sys.modules
    if is_left_out:
        sys.modules[NEEDLESS] = None  # type: ignore[assignment]  # To Python: it cannot be imported.
    try:
        yield
    finally:
        if is_left_out:
            del sys.modules[NEEDLESS]
        if was_enabled:
            gc.enable()
