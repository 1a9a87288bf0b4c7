"""Three hubs, four edges, an oracle and a killer; then the verdict."""

import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.soak.admin import ask_edge
from tests.soak.journal import Promises, read_promises
from tests.soak.killer import Killer, drain
from tests.soak.report import Records, Report
from tests.soak.rotation import Blow, acts
from tests.soak.verdict import (
    OnDisk,
    Reader,
    broken_answers,
    broken_audit,
    broken_chain,
    broken_ledger,
    broken_promises,
    broken_sweeps,
    broken_twins,
    broken_words,
)
from tests.soak.watch import HubCounters, has_swept_all, ticking
from tests.system.identity import lasting_differences
from tests.system.processes import EdgeProcess, Fleet, HubProcess, eventually
from tests.system.starting import ROOT

HUBS = 3
EDGES = ("edge-1", "edge-2", "edge-3", "edge-4")
SETTLE_SECONDS = 60.0
SETTLE_TRIES_MAX = 20
SETTLE_PAUSE_SECONDS = 1.0
SWEPT_FROM_SECONDS = 60.0  # Sweeps come about once a minute; a shorter soak does not wait for them.
SWEEPS_SECONDS = 150.0
ORACLE_STOP_SECONDS = 30.0
JOURNALS = "oracle"


def soak(seconds: float, seed: int, venv: str, say: Callable[[str], None]) -> Report:
    """Disturb a fleet for so long, and until every kind of blow has fallen; then judge it.

    On success nothing is left behind; else the folder in the report holds all that there was.
    """
    folder = Path(tempfile.mkdtemp(prefix="hw-soak-", dir="/tmp"))  # Short, for Unix sockets.
    report = Report(seed, folder)
    fleet = Fleet(folder, venv)
    try:
        _Soak(fleet, report, seconds, say).run()
    except (AssertionError, pytest.fail.Exception, httpx.HTTPError) as error:
        report.broken.append(f"the soak could not go on: {error!r}")
    except KeyboardInterrupt:
        fleet.end()
        shutil.rmtree(folder)
        raise
    finally:
        fleet.end()
    report.broken += report.tally.broken
    if report.ok:
        shutil.rmtree(folder)
    return report


@dataclass
class _Soak:
    """One soak. Hubs and edges are started here, and ended by whoever made the fleet."""

    fleet: Fleet
    report: Report
    seconds: float
    say: Callable[[str], None]
    counters: HubCounters = field(default_factory=HubCounters)

    def run(self) -> None:
        hubs = self.fleet.hubs(HUBS)
        edges = [self.fleet.edge(name, hubs) for name in EDGES]
        self.fleet.settled(hubs, *edges)
        killer = Killer(hubs, edges, self.counters.look, self.report.tally)
        began = time.monotonic()
        with self._oracle(edges), ticking(lambda seconds: self._tick(seconds, killer)):
            self._strike(killer, began)
            self._until_acked_again(edges)
        self.report.seconds = time.monotonic() - began
        self.say("settling, then the verdict")
        self._judge(hubs, edges)
        killer.check_alive()
        self.report.broken += broken_words((*hubs, *edges))

    def _strike(self, killer: Killer, began: float) -> None:
        rng = random.Random(self.report.seed)
        hubs = [hub.name for hub in killer.hubs]
        for act in acts(rng, hubs, EDGES):
            have_all_fallen = self.report.tally.blows.keys() == set(Blow)
            if have_all_fallen and time.monotonic() - began >= self.seconds:
                break
            killer.perform(act)
        killer.doing = "quiet"

    @property
    def _journals(self) -> Path:
        return self.fleet.folder / JOURNALS

    @contextlib.contextmanager
    def _oracle(self, edges: Sequence[EdgeProcess]) -> Iterator[None]:
        """The oracle, in a process of its own; it ends with its standard input."""
        self._journals.mkdir()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.soak.oracle"),
                *("--folder", str(self._journals), "--seed", str(self.report.seed)),
                *(f"{edge.name}={edge.otlp_url}" for edge in edges),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the soak alone.
        )
        try:
            yield
            assert process.poll() is None, f"the oracle ended with {process.returncode}"
        finally:
            process.communicate(timeout=ORACLE_STOP_SECONDS)
        assert process.returncode == 0, f"the oracle ended with {process.returncode}"

    def _until_acked_again(self, edges: Sequence[EdgeProcess]) -> None:
        """After the last blow every connection gets answers as before the first."""
        before = {each.connection: len(each.acked) for each in read_promises(self._journals)}
        eventually(
            lambda: all(
                len(each.acked) > before[each.connection] for each in read_promises(self._journals)
            ),
            f"every connection to {', '.join(edge.name for edge in edges)} gets answers",
        )

    def _tick(self, seconds: float, killer: Killer) -> None:
        for hub in killer.hubs:
            self.counters.look(hub)
        records = records_of(read_promises(self._journals))
        blows = sum(killer.tally.blows.values())
        duplicates = self.counters.sums()["chunks_duplicate"]
        self.say(
            f"{seconds:4.0f} s  {blows} blows, now: {killer.doing}; {records};"
            f" {duplicates} duplicate chunks; {len(killer.tally.broken)} laws broken"
        )

    def _judge(self, hubs: Sequence[HubProcess], edges: Sequence[EdgeProcess]) -> None:
        promises = read_promises(self._journals)
        self.report.records = records_of(promises)
        self.report.broken += broken_answers(promises)
        for edge in edges:
            told = [each for each in promises if each.connection.startswith(f"{edge.name}-")]
            self._judge_edge(hubs, edge, told)
        self._judge_copies(hubs)
        sums = self.counters.sums()
        self.report.chunks_accepted = sums["chunks_accepted"]
        self.report.chunks_duplicate = sums["chunks_duplicate"]
        self.report.sweeps = sums["sweeps"]
        self.report.chunks_repaired = sums["repaired_chunks"]
        self.report.broken += broken_sweeps(self.report.chunks_repaired)

    def _judge_copies(self, hubs: Sequence[HubProcess]) -> None:
        """All logs on all hubs, those of the hubs themselves included."""
        if self.seconds >= SWEPT_FROM_SECONDS:
            self.say("waiting until every hub has swept every other")
            for hub in hubs:
                eventually(partial(has_swept_all, hub), f"{hub.name} has swept", SWEEPS_SECONDS)
        found = lasting_differences(hubs)
        self.report.broken += found
        self.report.hubs_alike = 0 if found else len(hubs)
        reader = Reader()
        for hub in hubs:
            self.counters.look(hub)
            for writer in hubs:
                self.report.broken += broken_chain(reader.look(hub, writer.name))

    def _judge_edge(
        self, hubs: Sequence[HubProcess], edge: EdgeProcess, promises: list[Promises]
    ) -> None:
        ledger, seen = self._settled(hubs, edge)
        for each in seen:
            self.report.broken += broken_promises(each, promises) + broken_chain(each)
        self.report.broken += broken_twins(seen) + broken_ledger(edge.name, ledger, seen)
        for hub in hubs:
            self.report.broken += broken_audit(hub, edge.name)
        self._count(seen[0], promises)

    def _settled(
        self, hubs: Sequence[HubProcess], edge: EdgeProcess
    ) -> tuple[dict[str, Any], list[OnDisk]]:
        """The ledger of a drained edge and the logs on both hubs, all of one moment."""
        reader = Reader()
        for _ in range(SETTLE_TRIES_MAX):
            verdict = drain(edge, SETTLE_SECONDS)
            ledger: dict[str, Any] = ask_edge(edge, "edge.buffer")["ledger"]
            seen = [reader.look(hub, edge.name) for hub in hubs]
            # Two copies are enough for a drain: the third may still be on its way.
            if not broken_twins(seen) and ledger == ask_edge(edge, "edge.buffer")["ledger"]:
                break
            # Or the edge had something to say of itself, such as an alert of its machine.
            time.sleep(SETTLE_PAUSE_SECONDS)
        if verdict is None or verdict["verdict"] != "drained":
            self.report.broken.append(f"{edge.name} cannot be drained: {verdict}")
        return ledger, seen

    def _count(self, seen: OnDisk, promises: list[Promises]) -> None:
        self.report.chunks_held += len(seen.chunks)
        acked = {name for each in promises for name in each.ids(each.acked)}
        self.report.unanswered_kept += len(seen.held.keys() - acked)


def records_of(promises: list[Promises]) -> Records:
    """All connections in one sum."""
    return Records(
        sum(each.records_acked for each in promises),
        sum(each.records_unanswered for each in promises),
        sum(each.records_refused for each in promises),
        sum(each.records_unheard for each in promises),
    )
