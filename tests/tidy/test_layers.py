"""The layer rule: imports go down only, edge and hub meet in shared, and rules are pure.

The table says where each module belongs. A new module is added here, by whoever knows why it exists.
"""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "edge", "hub")

LAYERS = ("values", "rules", "effects", "flow", "surface", "wiring")

# The first pattern that fits decides.
TABLE = (
    ("shared", "values"),
    ("shared.errors", "values"),
    ("shared.records", "values"),
    ("shared.stamp", "values"),
    ("shared.signals", "values"),
    ("shared.sums", "values"),
    ("shared.receipt", "values"),
    ("shared.address", "values"),
    ("shared.envelope", "rules"),
    ("shared.ranges", "rules"),
    ("shared.merge", "rules"),
    ("shared.beat", "rules"),
    ("shared.jsonrpc", "rules"),
    ("shared.liveness", "rules"),
    ("shared.backoff", "rules"),
    ("shared.otlp*", "rules"),
    ("shared.codec", "effects"),
    ("shared.runtime", "effects"),
    ("shared.http", "effects"),
    ("shared.link", "effects"),
    ("shared.serve", "effects"),
    ("shared.unix_socket", "effects"),
    ("shared.sqlite", "effects"),
    ("shared.tasks", "effects"),
    ("shared.child_process", "effects"),
    ("shared.security", "effects"),
    ("shared.log", "effects"),
    ("shared.settings", "effects"),
    ("shared.readers", "rules"),
    ("shared.machine", "effects"),
    ("shared.folder", "effects"),
    ("shared.pidfile", "effects"),
    ("shared.greeting", "effects"),
    ("shared.child_log", "effects"),
    ("shared.terminal", "rules"),
    ("shared.receive", "values"),
    ("shared.receive.sink", "rules"),
    ("shared.receive.replies", "rules"),
    ("shared.receive.gather", "rules"),
    ("shared.receive.exposition", "rules"),
    ("shared.receive.exposition_numbers", "rules"),
    ("shared.receive.exposition_points", "rules"),
    ("shared.receive.scrape_part", "rules"),
    ("shared.receive.*", "effects"),
    ("shared.lazy_group", "surface"),
    ("shared.buffer_command", "wiring"),
    ("shared.options", "surface"),
    ("shared.demo", "wiring"),
    ("shared.supervisor", "wiring"),
    ("shared.start", "wiring"),
    ("shared.main", "wiring"),
    ("shared.bench", "wiring"),
    ("shared.benchmarks*", "wiring"),
    ("edge", "values"),
    ("edge.batch", "rules"),
    ("edge.push", "rules"),
    ("edge.hubs", "rules"),
    ("edge.books", "rules"),
    ("edge.quota", "rules"),
    ("edge.ages", "rules"),
    ("edge.capacity", "rules"),
    ("edge.ledger", "rules"),
    ("edge.lanes", "rules"),
    ("edge.circuit", "rules"),
    ("edge.lineage", "rules"),
    ("edge.answers", "rules"),
    ("edge.batches", "rules"),
    ("edge.conversation", "rules"),
    ("edge.halving", "effects"),
    ("edge.pace", "rules"),
    ("edge.chunk_rows", "effects"),
    ("edge.offline_plan", "rules"),
    ("edge.offline_filter", "rules"),
    ("edge.offline_options", "wiring"),
    ("edge.offline*", "effects"),
    ("edge.buffer_command", "wiring"),
    ("edge.letters_command", "wiring"),
    ("edge.client", "surface"),
    ("edge.client_values", "rules"),
    ("edge.client_records", "rules"),
    ("edge.client_totals", "rules"),
    ("edge.client_*", "effects"),
    ("edge.schema", "effects"),
    ("edge.segments", "effects"),
    ("edge.salvage", "effects"),
    ("edge.letters", "effects"),
    ("edge.reserve", "effects"),
    ("edge.statements", "effects"),
    ("edge.log_store", "effects"),
    ("edge.transfers", "effects"),
    ("edge.departures", "effects"),
    ("edge.chunk_table", "effects"),
    ("edge.buffer", "effects"),
    ("edge.identity", "effects"),
    ("edge.facts", "effects"),
    ("edge.link", "effects"),
    ("edge.receive", "values"),
    ("edge.receive.sink", "rules"),
    ("edge.receive.lines", "rules"),
    ("edge.receive.log_wire", "rules"),
    ("edge.receive.place", "rules"),
    ("edge.receive.scrape_target", "rules"),
    ("edge.receive.journal_entry", "rules"),
    ("edge.receive.journal_lines", "rules"),
    ("edge.receive.syslog_message", "rules"),
    ("edge.receive.syslog_frames", "rules"),
    ("edge.receive.syslog_part", "rules"),
    ("edge.receive.syslog_time", "rules"),
    ("edge.receive.multiline", "rules"),
    ("edge.receive.tail_rule", "rules"),
    ("edge.receive.reading", "rules"),
    ("edge.receive.known_files", "rules"),
    ("edge.receive.patterns", "rules"),
    ("edge.receive.alert_rule", "rules"),
    ("edge.receive.alert_config", "rules"),
    ("edge.receive.alert_rules", "rules"),
    ("edge.receive.alert_observe", "rules"),
    ("edge.receive.alerts", "flow"),
    ("edge.receive.syslog", "flow"),
    ("edge.receive.*", "effects"),
    ("edge.vm", "values"),
    ("edge.vm.model", "values"),
    ("edge.vm.moves", "rules"),
    ("edge.vm.ending", "rules"),
    ("edge.vm.images", "rules"),
    ("edge.vm.params", "rules"),
    ("edge.vm.driver", "effects"),
    ("edge.vm.views", "effects"),
    ("edge.vm.console_log", "effects"),
    ("edge.vm.isolation", "effects"),
    ("edge.vm.launch", "effects"),
    ("edge.vm.ledger", "effects"),
    ("edge.vm.payload", "effects"),
    ("edge.vm.processes", "effects"),
    ("edge.vm.records", "effects"),
    ("edge.vm.sandbox", "effects"),
    ("edge.vm.shim*", "effects"),
    ("edge.vm.tree", "effects"),
    ("edge.vm.actions", "flow"),
    ("edge.vm.crew", "flow"),
    ("edge.vm.operations", "flow"),
    ("edge.vm.supervisor", "flow"),
    ("edge.vm.service", "flow"),
    ("edge.shipper", "flow"),
    ("edge.heartbeat", "flow"),
    ("edge.drain_goal", "rules"),
    ("edge.drain", "flow"),
    ("edge.drain_calls", "flow"),
    ("edge.letter_calls", "flow"),
    ("edge.pull", "flow"),
    ("edge.pull_calls", "flow"),
    ("edge.agent", "flow"),
    ("edge.exposition", "surface"),
    ("edge.settings", "wiring"),
    ("edge.sources", "wiring"),
    ("edge.app", "wiring"),
    ("edge.cli", "wiring"),
    ("hub", "values"),
    ("hub.accept", "rules"),
    ("hub.registry", "rules"),
    ("hub.gossip", "rules"),
    ("hub.peers", "rules"),
    ("hub.replicate", "rules"),
    ("hub.route", "rules"),
    ("hub.describe", "rules"),
    ("hub.params", "rules"),
    ("hub.credits", "rules"),
    ("hub.crowd", "flow"),
    ("hub.epochs", "rules"),
    ("hub.ledger", "rules"),
    ("hub.verify", "rules"),
    ("hub.audit", "flow"),
    ("hub.exposition", "rules"),
    ("hub.query", "values"),
    ("hub.query.*", "rules"),
    ("hub.index", "values"),
    ("hub.index.words", "rules"),
    ("hub.index.logs", "rules"),
    ("hub.index.log_gist", "rules"),
    ("hub.index.log_needs", "rules"),
    ("hub.index.metrics", "rules"),
    ("hub.index.metric_ids", "rules"),
    ("hub.index.metric_points", "rules"),
    ("hub.index.metric_rows", "rules"),
    ("hub.index.rollup", "rules"),
    ("hub.index.traces", "rules"),
    ("hub.index.worker", "wiring"),
    ("hub.index.*", "effects"),
    ("hub.store*", "effects"),
    ("hub.config", "flow"),
    ("hub.retention", "rules"),
    ("hub.disk_guard", "rules"),
    ("hub.disk_watch", "flow"),
    ("hub.keeper", "flow"),
    ("hub.mender", "flow"),
    ("hub.indexing", "flow"),
    ("hub.upkeep", "flow"),
    ("hub.archive", "effects"),
    ("hub.answers", "flow"),
    ("hub.query_pool", "flow"),
    ("hub.query_worker", "wiring"),
    ("hub.figures", "flow"),
    ("hub.health", "surface"),
    ("hub.own", "wiring"),
    ("hub.own_chain", "rules"),
    ("hub.own_event", "rules"),
    ("hub.own_outbox", "effects"),
    ("hub.own_handler", "effects"),
    ("hub.own_log", "flow"),
    ("hub.own_voice", "flow"),
    ("hub.own_metrics", "flow"),
    ("hub.otlp_doors", "surface"),
    ("hub.pull_answers", "rules"),
    ("hub.vectors", "rules"),
    ("hub.lag", "rules"),
    ("hub.standing", "rules"),
    ("hub.questions", "flow"),
    ("hub.pulling", "flow"),
    ("hub.taken_over_poll", "flow"),
    ("hub.taken_over*", "rules"),
    ("hub.sweep", "flow"),
    ("hub.tail", "flow"),
    ("hub.tail_door", "surface"),
    ("hub.tail_*", "rules"),
    ("hub.rest*", "surface"),
    ("hub.links", "effects"),
    ("hub.calls", "flow"),
    ("hub.duties", "flow"),
    ("hub.fleet", "flow"),
    ("hub.mesh", "flow"),
    ("hub.pull", "flow"),
    ("hub.vms", "flow"),
    ("hub.letters", "flow"),
    ("hub.bodies", "surface"),
    ("hub.edge_doors", "surface"),
    ("hub.peer_doors", "surface"),
    ("hub.rpc", "surface"),
    ("hub.methods", "surface"),
    ("hub.web*", "surface"),
    ("hub.hub", "wiring"),
    ("hub.settings", "wiring"),
    ("hub.app", "wiring"),
    ("hub.cli.run", "wiring"),
    ("hub.cli.hub", "wiring"),
    ("hub.cli.otlp", "wiring"),
    ("hub.cli.backup", "wiring"),
    ("hub.cli*", "surface"),
)

IMPURE = frozenset(
    {
        "asyncio",
        "time",
        "random",
        "secrets",
        "socket",
        "sqlite3",
        "httpx",
        "threading",
        "subprocess",
    }
)
"""What a rule may not import: it decides, and others act, wait and draw lots."""

PURE_PARTS = frozenset({("random", "Random")})
"""What a rule may take from there all the same: the type of the luck that it is handed."""


def module_name(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """All modules of the three packages."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {module_name(file): file for file in files}


def layer_of(module: str) -> str | None:
    """The layer of a module, None when the table does not know it."""
    return next((layer for pattern, layer in TABLE if fnmatchcase(module, pattern)), None)


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """What a file imports, anywhere in it: the module, and the name taken from it or nothing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that a reader sees the layer"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, "") if whole in modules() else (node.module or "", alias.name)


def ours(imported: str) -> bool:
    """Whether a module belongs to this project."""
    return imported.partition(".")[0] in PACKAGES


def all_imports() -> Iterator[tuple[str, str, str]]:
    """Every import of the three packages: who, what, and the name taken from it."""
    for module, path in sorted(modules().items()):
        yield from ((module, imported, name) for imported, name in imports_of(path))


def height(module: str) -> int:
    """How high the layer of a module is."""
    layer = layer_of(module)
    return LAYERS.index(layer) if layer else -1


def test_every_module_has_a_layer() -> None:
    """A module that fits nowhere is two modules."""
    assert [module for module in sorted(modules()) if not layer_of(module)] == []


def test_imports_go_down_only() -> None:
    """Nobody knows what is above."""
    up = [
        f"{module} ({layer_of(module)}) imports {imported} ({layer_of(imported)})"
        for module, imported, _ in all_imports()
        if ours(imported) and height(imported) > height(module)
    ]
    assert up == []


def test_edge_and_hub_meet_in_shared_only() -> None:
    """Neither ships with the other, and shared ships with both."""
    known = {"edge": {"edge", "shared"}, "hub": {"hub", "shared"}, "shared": {"shared"}}
    strangers = [
        f"{module} imports {imported}"
        for module, imported, _ in all_imports()
        if ours(imported) and imported.partition(".")[0] not in known[module.partition(".")[0]]
    ]
    assert strangers == []


def test_values_and_rules_are_pure() -> None:
    """A rule can be tried with a table of cases: no clock, luck, thread, file or network in it."""
    impure = [
        f"{module} imports {imported}"
        for module, imported, name in all_imports()
        if height(module) <= LAYERS.index("rules")
        and imported.partition(".")[0] in IMPURE
        and (imported, name) not in PURE_PARTS
    ]
    assert impure == []
