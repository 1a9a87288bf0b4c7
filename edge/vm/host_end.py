"""Whether the host is going down, and not this agent alone."""

import shutil
import subprocess
from pathlib import Path

SYSTEMD = Path("/run/systemd/system")
ASK_SECONDS_MAX = 1.0


def is_host_ending(systemd: Path = SYSTEMD) -> bool:
    """What the host's service manager says, if it is systemd (systemctl(1), is-system-running);
    False where nobody can be asked. Blocking, some milliseconds."""
    program = shutil.which("systemctl")
    if program is None or not systemd.is_dir():
        return False
    try:
        done = subprocess.run(
            [program, "is-system-running"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.stdout.strip() == "stopping"
