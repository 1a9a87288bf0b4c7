"""Programs that some tests need: without them a person may skip, and continuous integration must
not."""

import os
import shutil
import sys

import pytest

QEMU = ("qemu-system-x86_64", "qemu-img")
BINUTILS = ("as", "ld", "objcopy")


def qemu() -> pytest.MarkDecorator:
    """Marks tests that run real machines."""
    return programs(
        *QEMU, hint="apt-get install --no-install-recommends qemu-system-x86 qemu-utils"
    )


def binutils() -> pytest.MarkDecorator:
    """Marks tests that assemble."""
    return programs(*BINUTILS, hint="apt-get install binutils")


def programs(*names: str, hint: str) -> pytest.MarkDecorator:
    """Skip where one of them is missing, with how to get it; but never where CI is set."""
    missing = [name for name in names if shutil.which(name) is None]
    is_away = sys.platform != "linux" or bool(missing)
    reason = f"{', '.join(missing) or 'Linux'} missing: {hint}"
    return pytest.mark.skipif(is_away and not os.environ.get("CI"), reason=reason)
