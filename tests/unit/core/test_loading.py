"""While modules are loaded nobody looks for garbage; afterwards all is as it was."""

import gc
import subprocess
import sys

import pytest

from shared.loading import loading


def test_garbage_is_left_alone_while_modules_are_loaded() -> None:
    assert gc.isenabled()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_module_that_cannot_be_loaded_leaves_it_as_it_was() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError("no such module")
    assert gc.isenabled()


def test_within_another_it_changes_nothing() -> None:
    with loading():
        with loading():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_hub_and_an_edge_load_no_command_line_of_others() -> None:
    """The one of httpx brings all of rich and pygments, of which neither has any use."""
    words = (
        "import sys\nfrom shared.loading import loading\n"
        "with loading():\n    import hub.app, edge.app\n"
        "assert 'httpx' in sys.modules\n"
        "print([name for name in ('rich', 'pygments') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
