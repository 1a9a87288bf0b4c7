"""The spec of a machine on the command line: a file, and flags that go before what it says."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hub.cli.query_flags import Decorator, flags
from hub.web.vm_words import disk_of, mib_of, pairs_of, port_of

SPEC_BYTES_MAX = 512 * 1024
Spec = dict[str, Any]

NAMED = (
    *("driver", "arch", "description", "cpus", "restart", "restart_max", "restart_window_s"),
    *("autostart", "start_order", "start_delay_s", "stop_timeout_s", "on_host_shutdown"),
    *("expires_at_ms", "console_mib", "protected"),
)
"""The flags that are fields of a spec, under the same name."""

_SECONDS = click.FloatRange(0, 3600)

spec_flags: Decorator = flags(
    click.option("--image", help="What to run, as `headwater image list NODE` names it."),
    click.option("--driver", type=click.Choice(["auto", "sandbox", "qemu"]), help="What runs it."),
    click.option("--arch", type=click.Choice(["auto", "x86_64", "aarch64"]), help="Its processor."),
    click.option("--description", help="A line for people."),
    click.option("--cpus", type=click.IntRange(1, 1024), help="How many processors it sees."),
    click.option("--memory", metavar="SIZE", help="Its memory, as in 512M or 2G."),
    click.option(
        "--disk",
        "disks",
        multiple=True,
        metavar="NAME[:SIZE][:image=IMAGE][:ro]",
        help="A disk, as in data:10G; `root` says more of the first one. May be repeated.",
    ),
    click.option(
        "--port",
        "ports",
        multiple=True,
        metavar="[BIND:][HOST:]GUEST[/udp]",
        help="A port of the host that leads to the guest's, as in 8080:80. May be repeated.",
    ),
    click.option("--no-net", is_flag=True, help="No network card."),
    click.option("--mac", help="The address of its network card."),
    click.option("--kernel", help="A Linux kernel among the node's images, without boot loader."),
    click.option("--initrd", help="Its first file system, among the node's images."),
    click.option("--cmdline", help="The kernel's command line."),
    click.option("--user-data", type=click.File("rb"), help="File for cloud-init: user data."),
    click.option("--meta-data", type=click.File("rb"), help="File for cloud-init: meta data."),
    click.option("--network-data", type=click.File("rb"), help="File for cloud-init: network."),
    click.option("--env", multiple=True, metavar="KEY=VALUE", help="A variable of a sandbox."),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label."),
    click.option("--limit-memory", metavar="SIZE", help="What it may use at most, as in 256M."),
    click.option("--limit-cpu", type=click.IntRange(1, 102_400), help="Percent of one core."),
    click.option("--limit-pids", type=click.IntRange(4, 32_768), help="Processes of a sandbox."),
    click.option("--limit-disk", metavar="SIZE", help="Scratch space of a sandbox."),
    click.option("--restart", type=click.Choice(["never", "on-failure", "always"])),
    click.option("--restart-max", type=click.IntRange(1, 1000), help="At most so many ..."),
    click.option("--restart-window", "restart_window_s", type=click.FloatRange(1, 86_400)),
    click.option("--autostart", type=click.Choice(["last", "always", "never"])),
    click.option("--start-order", type=click.IntRange(0, 10_000), help="Lower ones start first."),
    click.option("--start-delay", "start_delay_s", type=click.FloatRange(0, 600)),
    click.option("--stop-timeout", "stop_timeout_s", type=_SECONDS, help="Seconds to stop in."),
    click.option("--on-host-shutdown", type=click.Choice(["stop", "force", "leave"])),
    click.option("--expires-at-ms", type=click.IntRange(0, 2**53), help="Unix milliseconds."),
    click.option("--console-mib", type=click.IntRange(1, 1024), help="Kept of its console."),
    click.option("--protected/--not-protected", default=None, help="Refuse to delete it."),
)
"""All of a spec but its name."""

spec_file = click.option(
    "--spec",
    "spec_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A spec as JSON or TOML; flags go before what it says.",
)


def read_spec(path: Path) -> Spec:
    """The spec in a file; raises click.BadParameter."""
    try:
        with path.open("rb") as file:
            content = file.read(SPEC_BYTES_MAX + 1)
        if len(content) > SPEC_BYTES_MAX:
            raise click.BadParameter(f"{path} is larger than {SPEC_BYTES_MAX} bytes")
        text = content.decode("utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise click.BadParameter(f"{path} holds no spec: its outermost value is no object")
    return found


def spec_of_flags(given: Mapping[str, Any]) -> Spec:
    """The fields of a spec that flags speak of; raises click.BadParameter or RpcError."""
    spec: Spec = {name: given[name] for name in NAMED if given.get(name) is not None}
    found = {
        "image": given.get("image"),
        "memory_mib": _mib(given.get("memory"), "--memory"),
        "disks": [disk_of(text) for text in given.get("disks") or ()],
        "nics": _nics(given),
        "kernel": _kernel(given),
        "cloud_init": _cloud_init(given),
        "env": pairs_of(given.get("env") or (), "--env"),
        "labels": pairs_of(given.get("labels") or (), "--label"),
        "limits": _limits(given),
    }
    return {**spec, **{name: value for name, value in found.items() if value not in (None, [], {})}}


def _mib(text: str | None, flag: str) -> int | None:
    return None if text is None else mib_of(text, flag)


def _nics(given: Mapping[str, Any]) -> list[Spec]:
    if given.get("no_net"):
        if given.get("ports") or given.get("mac"):
            raise click.BadParameter("--no-net leaves no card for --port or --mac")
        return [{"mode": "none"}]
    ports = [port_of(text) for text in given.get("ports") or ()]
    if not ports and not given.get("mac"):
        return []
    mac = {"mac": given["mac"].lower()} if given.get("mac") else {}
    return [{"mode": "user", **mac, "ports": ports}]


def _kernel(given: Mapping[str, Any]) -> Spec | None:
    parts = {"image": given.get("kernel"), **{k: given.get(k) for k in ("initrd", "cmdline")}}
    found = {name: value for name, value in parts.items() if value is not None}
    if found and "image" not in found:
        raise click.BadParameter("--initrd and --cmdline need --kernel")
    return found or None


def _cloud_init(given: Mapping[str, Any]) -> Spec | None:
    files = {"user_data": "user_data", "meta_data": "meta_data", "network": "network_data"}
    found = {field: _text(given.get(flag)) for field, flag in files.items()}
    return {name: text for name, text in found.items() if text} or None


def _text(file: Any) -> str:
    if file is None:
        return ""
    try:
        return str(file.read(SPEC_BYTES_MAX).decode("utf-8"))
    except ValueError as error:
        raise click.BadParameter(f"{file.name} is no UTF-8 text: {error}") from error


def _limits(given: Mapping[str, Any]) -> Spec | None:
    found = {
        "memory_mib": _mib(given.get("limit_memory"), "--limit-memory"),
        "cpu_percent": given.get("limit_cpu"),
        "pids": given.get("limit_pids"),
        "disk_mib": _mib(given.get("limit_disk"), "--limit-disk"),
    }
    return {name: value for name, value in found.items() if value is not None} or None
