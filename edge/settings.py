"""The settings of an edge."""

from dataclasses import dataclass
from pathlib import Path

from edge.receive.alert_config import read_alert_rules
from edge.receive.alert_rule import DEFAULT_RULES, AlertRule
from edge.receive.scrape_target import Target, read_targets
from edge.receive.scrub_rules import ScrubRule, read_scrub_rules
from edge.receive.tail_rule import TailRule, read_tail_rules
from edge.vm.image_settings import read_folders, read_prefixes
from shared import readers
from shared.address import HUB_PORT, OTLP_PORT, Address, is_loopback
from shared.machine import machine_name
from shared.settings import option
from shared.signals import Signal

MIB = 1024 * 1024
SYSLOG_PORT = 5514
SIGNALS = tuple(Signal)


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Everything an edge can be told; raises ValueError for values that contradict each other."""

    # What people call the machine already.
    node_id: str = option(
        machine_name,
        "name of this machine, unlike that of any other",
        readers.name,
        env=("NODE_ID",),
    )
    # Below the working folder: a trial needs no rights elsewhere and is removed with the folder.
    data: Path = option(
        Path("var/edge"), "folder of this edge", readers.path, env=("DATA",), folder="edge"
    )
    # A hub on the same machine is the only one that can be guessed.
    masters: tuple[Address, ...] = option(
        (Address("127.0.0.1", HUB_PORT),),
        "the hubs to report to, as host or host:port",
        readers.addresses,
        env=("MASTERS", "EXPLORER_ADDRESSES"),
    )
    # Programs on this machine may send, others may not: the receiver asks for no credentials.
    otlp_host: str = option("127.0.0.1", "address to receive telemetry on", readers.text)
    # The port to which every OpenTelemetry SDK sends unless told otherwise.
    otlp_port: int = option(
        OTLP_PORT, "port to receive telemetry on", readers.port, env=("OTLP_PORT",)
    )
    # Pushing is the quickest; where policy allows no uploads, a link that the hubs ask over may do.
    push: bool = option(
        True, "0 sends no data: hubs fetch it over the link that this edge opens", readers.switch
    )
    # Empty means the file cluster.key of a hub on this machine.
    cluster_key: str = option(
        "", "secret shared by all hubs and edges", readers.text, env=("CLUSTER_KEY",), secret=True
    )
    # No file is read unasked.
    tail: tuple[TailRule, ...] = option(
        (), "log files to follow, by path or pattern", read_tail_rules, env=("TAIL",)
    )
    # Nothing is listened on unasked; 5514 needs no rights, unlike the 514 of old.
    syslog_udp: Address | None = option(
        None, "host:port to take in syslog over UDP", readers.listening(SYSLOG_PORT)
    )
    syslog_tcp: Address | None = option(
        None, "host:port to take in syslog over TCP", readers.listening(SYSLOG_PORT)
    )
    # Old senders write their local time without a zone.
    syslog_utc_offset_seconds: float = option(
        0.0, "what to add to UTC for syslog times without a zone", readers.utc_offset_seconds
    )
    # No program is asked unasked.
    scrape: tuple[Target, ...] = option(
        (), "Prometheus targets, as URL, host:port or JOB=host:port/path", read_targets
    )
    # The usual pace of Prometheus.
    scrape_seconds: float = option(15.0, "time between two scrapes of a target", readers.seconds)
    scrape_timeout_seconds: float = option(
        10.0, "how long a target may take to answer", readers.seconds
    )
    # What breaks most machines is watched without being told.
    alerts: tuple[AlertRule, ...] = option(
        DEFAULT_RULES, "alert rules: on, off, or a list of tables", read_alert_rules
    )
    # Only the owner of the machine knows what must not leave it.
    scrub: tuple[ScrubRule, ...] = option(
        (), "what to drop, redact or remove before it is kept: a list of tables", read_scrub_rules
    )
    # The journal may hold what its owner wants to stay on the machine.
    journal: bool = option(False, "1 follows the systemd journal", readers.switch)
    # Fine enough to see a spike, coarse enough to cost nothing.
    host_metrics_seconds: float = option(
        10.0, "time between two measurements of this machine; 0 turns them off", readers.seconds
    )
    # Days of a quiet machine, hours of a loud one, and small beside any disk of today.
    buffer_bytes_max: int = option(
        500 * MIB, "room for what no hub has confirmed yet", readers.size_bytes
    )
    # What was once acknowledged is not given up unless the owner of the machine prefers fresh data.
    buffer_policy: str = option(
        "reject",
        "what a full buffer does: reject new data, or shed the oldest of the least important",
        readers.one_of("reject", "shed"),
    )
    # An alert is small, and the last thing to be turned away because a log file was loud.
    buffer_floors: dict[str, float] = option(
        lambda: {"events": 0.02},
        "shares of the buffer that are kept free for a signal, as in events=0.02",
        readers.shares(*SIGNALS),
    )
    # Whoever has one loud signal knows it, and we do not.
    buffer_ceilings: dict[str, float] = option(
        dict, "shares of the buffer that a signal may take at most", readers.shares(*SIGNALS)
    )
    # Told "stored" must survive a power cut; NORMAL is faster and may lose the last moments.
    synchronous: str = option(
        "FULL", "how SQLite syncs the buffer: FULL or NORMAL", readers.one_of("FULL", "NORMAL")
    )
    # Who runs the hubs runs the fleet; what only an owner may decide, no hub can change anyway.
    cluster_settings: bool = option(True, "0 takes no settings from hubs", readers.switch)
    # Updating the agent must not end what runs on the machine.
    vms_on_stop: str = option(
        "leave",
        "what VMs do when the edge stops: leave or stop",
        readers.one_of("leave", "stop"),
    )
    # A process that sees the whole machine is not what people expect of a sandbox.
    allow_unisolated: bool = option(
        False, "1 allows sandboxes on machines that cannot isolate them", readers.switch
    )
    # Only what ships with Headwater can run until the owner of the machine adds more.
    templates: dict[str, tuple[str, ...]] = option(
        dict, "command lines that sandboxes may run, by name", readers.commands
    )
    # Whoever may order machines could read any file of this machine as the disk of one.
    image_folders: tuple[str, ...] = option(
        (), "folders from which images of VMs may be imported", read_folders
    )
    # Whoever may name a URL sees what this machine sees behind it.
    image_urls: tuple[str, ...] = option(
        (), "addresses below which images of VMs may be fetched", read_prefixes
    )
    # Room for the largest cloud images that people make.
    image_bytes_max: int = option(32 * 1024 * MIB, "how large one image may be", readers.size_bytes)
    # Four of those; on a small disk the free bytes below end it sooner.
    images_bytes_max: int = option(
        128 * 1024 * MIB, "how large all images together may be", readers.size_bytes
    )
    # The buffer of this edge and its books must still be written.
    image_free_bytes_min: int = option(
        512 * MIB, "free bytes that images leave on the disk", readers.size_bytes
    )
    # Traffic is not encrypted yet, so leaving the machine takes a conscious yes.
    insecure: bool = option(
        False,
        "1 allows receiving from other machines without TLS",
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
        if not is_loopback(self.otlp_host) and not self.insecure:
            raise ValueError(
                f"otlp_host {self.otlp_host} can be reached from other machines without "
                "encryption: set INSECURE=1 to allow it on a network that you trust, "
                "or listen on 127.0.0.1"
            )
        for name in ("syslog_udp", "syslog_tcp"):
            address = getattr(self, name)
            if address is not None and not is_loopback(address.host) and not self.insecure:
                raise ValueError(
                    f"{name} {address} can be reached from other machines without encryption: "
                    "set INSECURE=1 to allow it on a network that you trust"
                )
        if sum(self.buffer_floors.values()) > 1:
            raise ValueError("buffer_floors add up to more than the whole buffer")
        if not self.masters:
            raise ValueError("masters is empty: name at least one hub, as in MASTERS=10.0.0.1")
