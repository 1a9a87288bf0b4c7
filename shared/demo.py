"""The demo: two peered hubs and an edge on this machine, as a plan of what to start."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from shared import readers
from shared.address import HUB_PORT, OTLP_PORT, Address, as_seen_here, is_loopback
from shared.settings import as_flag, option, option_of, settings_class

FOR_THE_EDGE = (
    *("image_folders", "image_urls"),
    *("image_bytes_max", "images_bytes_max", "image_free_bytes_min"),
)
"""Settings that the demo hands on to its edge where they are given."""


def _as_edge(name: str) -> Callable[[object], str]:
    """Reads what the edge will read: a mistake is told before anything starts."""

    def read(value: object) -> str:
        declared = next(item for item in fields(settings_class("edge")) if item.name == name)
        option_of(declared).read(value)
        return ",".join(value) if isinstance(value, list | tuple) else str(value)

    return read


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo can be told; raises ValueError for values that contradict each other."""

    # Below the working folder: a trial needs no rights elsewhere and is removed with the folder.
    data: Path = option(Path("var"), "folder of all that runs", readers.path, env=("DATA",))
    # Nobody else is reached until someone decides who may reach these hubs.
    host: str = option("127.0.0.1", "address the hubs listen on", readers.text)
    # The second hub takes the next one.
    port: int = option(HUB_PORT, "port of the first hub", readers.port, env=("PORT",))
    # The port to which every OpenTelemetry SDK sends unless told otherwise.
    otlp_port: int = option(
        OTLP_PORT, "port to receive telemetry on", readers.port, env=("OTLP_PORT",)
    )
    # Empty means the file cluster.key, made by the first start.
    cluster_key: str = option(
        "", "secret shared by all hubs and edges", readers.text, env=("CLUSTER_KEY",), secret=True
    )
    # No file is read unasked.
    tail: tuple[Path, ...] = option((), "log files to follow", readers.paths, env=("TAIL",))
    # What the edge of the demo takes by itself is what a worker takes.
    image_folders: str = option(
        "", "folders from which images of VMs may be imported", _as_edge("image_folders")
    )
    image_urls: str = option(
        "", "addresses below which images of VMs may be fetched", _as_edge("image_urls")
    )
    image_bytes_max: str = option(
        "", "how large one image may be, else as a worker", _as_edge("image_bytes_max")
    )
    images_bytes_max: str = option(
        "",
        "how large all images together may be, else as a worker",
        _as_edge("images_bytes_max"),
    )
    image_free_bytes_min: str = option(
        "",
        "free bytes that images leave on the disk, else as a worker",
        _as_edge("image_free_bytes_min"),
    )
    # Traffic is not encrypted yet, so leaving the machine takes a conscious yes.
    insecure: bool = option(
        False,
        "1 allows listening beyond this machine without TLS",
        readers.switch,
        env=("INSECURE",),
    )
    # What an operator wants to know later, without a line for every request.
    log_level: str = option(
        "info",
        "least severe line to log",
        readers.one_of("debug", "info", "warning", "error"),
        env=("LOG_LEVEL",),
    )

    def __post_init__(self) -> None:
        ports = (self.port, self.port + 1, self.otlp_port)
        if not all(1 <= port <= 65535 for port in ports) or len(set(ports)) < len(ports):
            raise ValueError(
                f"the demo needs three different ports and was given PORT={self.port} "
                f"(the second hub takes {self.port + 1}) and OTLP_PORT={self.otlp_port}"
            )
        if not is_loopback(self.host) and not self.insecure:
            raise ValueError(
                f"host {self.host} can be reached from other machines without encryption: "
                "set INSECURE=1 to allow it on a network that you trust, or listen on 127.0.0.1"
            )

    @property
    def hubs(self) -> tuple[Address, Address]:
        """Where this machine reaches the two hubs."""
        host = as_seen_here(self.host)
        return Address(host, self.port), Address(host, self.port + 1)


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the demo: its name, folder, command line and where it says that it is ready."""

    name: str
    folder: Path
    arguments: tuple[str, ...]
    ready_url: str


def plan(settings: DemoSettings, config: Path | None = None) -> tuple[Child, ...]:
    """The processes of the demo, in the order in which they start; `config` is a file for them all."""
    first, second = settings.hubs
    children = (
        _hub("hub-1", first, second, settings),
        _hub("hub-2", second, first, settings),
        _edge("edge-1", settings),
    )
    more = ("--config", str(config)) if config else ()
    return tuple(replace(child, arguments=(*child.arguments, *more)) for child in children)


def _hub(name: str, own: Address, peer: Address, settings: DemoSettings) -> Child:
    folder = settings.data / name
    arguments = [
        *("hub", "run", "--hub-id", name, "--data", str(folder)),
        *("--host", settings.host, "--port", str(own.port), "--peers", str(peer)),
        *("--log-level", settings.log_level),
    ]
    if settings.insecure:
        arguments.append("--insecure")
    return Child(name, folder, tuple(arguments), f"{own.url}/readyz")


def _edge(name: str, settings: DemoSettings) -> Child:
    folder = settings.data / name
    arguments = [
        *("edge", "run", "--node-id", name, "--data", str(folder)),
        *("--masters", ",".join(map(str, settings.hubs))),
        *("--otlp-port", str(settings.otlp_port), "--vms-on-stop", "stop"),
        *("--log-level", settings.log_level),
    ]
    if settings.tail:
        arguments += ["--tail", ",".join(map(str, settings.tail))]
    handed_on = {setting: getattr(settings, setting) for setting in FOR_THE_EDGE}
    for setting, value in handed_on.items():
        if value:
            arguments += [as_flag(setting), value]
    return Child(name, folder, tuple(arguments), f"http://127.0.0.1:{settings.otlp_port}/livez")
