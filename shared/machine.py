"""What this machine is called."""

import re
import socket


def machine_name() -> str:
    """The host name of this machine as a valid name."""
    folded = re.sub(r"[^a-z0-9._-]+", "-", socket.gethostname().lower()).strip("._-")
    return folded[:50].rstrip("._-") or "localhost"
