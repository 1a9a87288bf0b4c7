"""The settings of a hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub.credits import BUDGET_BYTES_PER_S
from hub.lead.mode import Mode, check_mode
from hub.lead.reading import command_words, hub_names, web_address
from hub.retention import POLICIES, Policy
from shared import readers
from shared.address import HUB_PORT, Address, bracketed, is_loopback, is_wildcard
from shared.machine import machine_name
from shared.settings import option
from shared.signals import Signal


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Everything a hub can be told; raises ValueError for values that contradict each other."""

    # Two hubs on different machines must differ without anybody choosing names.
    hub_id: str = option(
        lambda: f"hub-{machine_name()}",
        "name of this hub, unlike that of any other",
        readers.name,
        env=("HUB_ID",),
    )
    # Below the working folder: a trial needs no rights elsewhere and is removed with the folder.
    data: Path = option(
        Path("var/hub"), "folder of this hub", readers.path, env=("DATA",), folder="hub"
    )
    # Nobody else is reached until someone decides who may reach this hub.
    host: str = option("127.0.0.1", "address to listen on", readers.text)
    # One port for pages, calls, edges and peers, so that one firewall rule is enough.
    port: int = option(HUB_PORT, "port to listen on", readers.port, env=("PORT",))
    # A hub alone works the same; peers only add copies.
    peers: tuple[Address, ...] = option(
        (), "the other hubs, as host or host:port", readers.addresses, env=("PEER_MASTERS",)
    )
    # Empty means the file cluster.key, which the first hub makes.
    cluster_key: str = option(
        "", "secret shared by all hubs and edges", readers.text, env=("CLUSTER_KEY",), secret=True
    )
    # Empty means the address it listens on, or the host's name when it listens on all of them.
    advertise_url: str = option("", "URL under which others reach this hub", readers.text)
    # Traffic is not encrypted yet, so leaving the machine takes a conscious yes.
    insecure: bool = option(
        False,
        "1 allows listening beyond this machine without TLS",
        readers.switch,
        env=("INSECURE",),
    )
    # One disk may die at any moment. Hubs that are alone count as enough until they know others.
    copies: int = option(
        2, "on how many hubs data must be before edges let go of it", readers.count(1, 9)
    )
    # What a hub on two cores commits beside live data; after an outage all edges come at once.
    backlog_bytes_per_s: int = option(
        BUDGET_BYTES_PER_S,
        "bytes a second that all backlogs together may bring to this hub, 0 for no limit",
        readers.size_bytes,
    )
    # Whole days before today. What people look at for weeks, and what fills disks, differ by signal.
    keep_logs_days: int = option(
        POLICIES[Signal.LOGS].days, "days that logs are kept, 0 for ever", readers.count(0, 36500)
    )
    keep_metrics_days: int = option(
        POLICIES[Signal.METRICS].days,
        "days that metrics are kept, 0 for ever",
        readers.count(0, 36500),
    )
    keep_traces_days: int = option(
        POLICIES[Signal.TRACES].days,
        "days that traces are kept, 0 for ever",
        readers.count(0, 36500),
    )
    keep_events_days: int = option(
        POLICIES[Signal.EVENTS].days,
        "days that events are kept, 0 for ever",
        readers.count(0, 36500),
    )
    # No limit by default: data must not go because somebody guessed a size.
    keep_logs_bytes: int = option(0, "bytes of logs that are kept, 0 for all", readers.size_bytes)
    keep_metrics_bytes: int = option(
        0, "bytes of metrics that are kept, 0 for all", readers.size_bytes
    )
    keep_traces_bytes: int = option(
        0, "bytes of traces that are kept, 0 for all", readers.size_bytes
    )
    keep_events_bytes: int = option(
        0, "bytes of events that are kept, 0 for all", readers.size_bytes
    )
    # Room to answer, to compact and to be repaired in, when everything else is full.
    disk_reserve_bytes: int = option(
        0,
        "free bytes below which no data is taken in, 0 for 5 % of the disk, at most 1 GiB",
        readers.size_bytes,
    )
    # Without it every question is answered by reading the chunks of its time range.
    index: bool = option(
        True, "0 makes no index: less disk and processor, slower answers", readers.switch
    )
    # So that a heavy question takes no time from edges that push.
    query_processes: int = option(
        2, "processes that answer questions, 0 to answer in the hub itself", readers.count(0, 64)
    )
    # What one hub says of itself is little, and the first thing that is missed.
    own_metrics_seconds: int = option(
        10, "how often the hub keeps its own metrics, 0 for never", readers.count(0, 3600)
    )
    # Orders are ordered by stamps of hubs. As CockroachDB; NTP keeps clocks far closer.
    max_skew: float = option(
        0.5,
        "how far the clocks of two hubs may be apart; ten times this is quarantined",
        readers.seconds_within(0.01, 3600),
    )
    # What an operator wants to know later, without a line for every request.
    log_level: str = option(
        "info",
        "least severe line to log",
        readers.one_of("debug", "info", "warning", "error"),
        env=("LOG_LEVEL",),
    )
    # Data needs no leader; duties that want one actor do.
    leader: str = option(
        "none",
        "how a hub is found for duties that want one actor: `none`, `static` or `quorum`",
        readers.one_of("none", "static", "quorum"),
    )
    # A majority must be counted of names that all agree on, so nobody guesses them from peers.
    lead_hubs: tuple[str, ...] = option(
        (),
        "names of all hubs that vote, this one too; used until a leader was heard, "
        "later `headwater peers members`",
        hub_names,
    )
    hook_command: tuple[str, ...] = option(
        (), "command to run when this hub begins to lead and when it ceases", command_words
    )
    hook_url: str = option(
        "", "address to which the same is posted as JSON, as it happens", web_address
    )
    # A start waits for the stop before it, so a hook that hangs must not hold it up for long.
    hook_timeout_seconds: float = option(
        10.0, "time one attempt of a hook may take", readers.seconds_within(0.1, 300)
    )
    # A node is called offline after 3.3 of these: soon enough for people, and no load for a hub.
    heartbeat_seconds_min: float = option(
        5.0, "how often nodes beat, in a small fleet", readers.seconds_within(1, 3600)
    )
    # Longer, and the death of a node in a huge fleet would show after minutes.
    heartbeat_seconds_max: float = option(
        60.0, "how often they beat at least, however large it is", readers.seconds_within(1, 3600)
    )
    # A fifth of what one hub takes in on two cores; it finds out by itself what it bears.
    beats_per_second_start: int = option(
        2_000, "heartbeats a second that this hub takes on at first", readers.count(100, 10_000)
    )
    # A crowd that vanished at once is back or gone for good by then.
    brake_hold_seconds: float = option(
        120.0,
        "for how long at most a crowd that vanished at once is called unknown",
        readers.seconds_within(1, 3600),
    )
    # A restart with an upgrade, on a slow disk.
    leave_hold_seconds: float = option(
        60.0,
        "for how long others wait for this hub after it stopped in order",
        readers.seconds_within(1, 600),
    )
    # Each waits for an answer and little else; half of them are kept for targets that do answer.
    checks_at_once_max: int = option(
        64, "checks of nodes that this hub runs at once", readers.count(1, 1000)
    )
    # At about a millisecond each they take a twentieth of one processor.
    checks_per_second_max: int = option(
        50, "checks of nodes that this hub begins each second", readers.count(1, 1000)
    )
    # The longest bars that people see are 90 days.
    history_kept_days: int = option(
        90, "days that the history of nodes and checks is kept", readers.count(1, 3650)
    )

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.insecure:
            raise ValueError(
                f"host {self.host} can be reached from other machines without encryption: "
                "set INSECURE=1 to allow it on a network that you trust, or listen on 127.0.0.1"
            )
        check_mode(Mode(self.leader), self.hub_id, self.lead_hubs)
        if self.heartbeat_seconds_min > self.heartbeat_seconds_max:
            raise ValueError("heartbeat_seconds_min is more than heartbeat_seconds_max")

    @property
    def policies(self) -> Mapping[str, Policy]:
        """How long and how much of each signal is kept."""
        return {
            signal: Policy(
                getattr(self, f"keep_{signal}_days"), getattr(self, f"keep_{signal}_bytes")
            )
            for signal in map(str, Signal)
        }

    @property
    def url(self) -> str:
        """The URL under which peers, edges and people are told to reach this hub."""
        if self.advertise_url:
            return self.advertise_url.rstrip("/")
        host = machine_name() if is_wildcard(self.host) else self.host
        return f"http://{bracketed(host)}:{self.port}"
