"""Loading many modules at once: without looking for garbage, of which there is none meanwhile."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Let modules be imported inside; what was said of garbage before holds again afterwards.

    Imports make a hundred thousand objects that stay. Python would go through all of them again and
    again, which takes an eighth to a fifth of the start of a hub or an edge.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
