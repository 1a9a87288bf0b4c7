"""The help is quick, because it loads nothing that it does not need."""

import subprocess
import sys

HEAVY = {
    "httpx",
    "rich",
    "uvicorn",
    "starlette",
    "sqlite_utils",
    "google",
    "psutil",
    "orjson",
    "asyncio",
}

SCRIPT = """
import sys
from shared.main import root
try:
    root(["--help"], prog_name="headwater")
except SystemExit:
    pass
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def test_help_imports_nothing_heavy() -> None:
    """What is not imported costs nothing; a timed test would depend on the machine."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert "drain" in done.stdout
    assert HEAVY & set(done.stderr.split()) == set()


def test_start_words_are_checked_with_the_standard_library_alone() -> None:
    """start.sh checks them before anything is installed: -S leaves out every installed package."""
    words = ["MODE=worker", "MASTERS=10.0.0.1", "PORRT=1"]
    command = [sys.executable, "-S", "-m", "shared.start", "--check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "start.sh: the setting PORRT is not known: did you mean PORT?\n"
