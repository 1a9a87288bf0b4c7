"""`headwater hub backup` and `headwater hub restore`."""

import os
import sqlite3
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from hub.settings import HubSettings
from hub.store import backup as copies
from hub.store.backup import Manifest, Tell
from shared.errors import BadInput, Refused, SettingsError
from shared.pidfile import PidFile
from shared.settings import load


def data_folder(data: Path | None) -> Path:
    """The data folder that is meant: the named one, or that of the settings."""
    if data is not None:
        return data.absolute()
    return load(HubSettings, "hub", environ=os.environ, flags={}).settings.data.absolute()


_DATA = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data folder of the hub; like DATA, it is var/hub by default.",
)


@click.command()
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@_DATA
def backup(target: Path, data: Path | None) -> None:
    """Copy the store of a hub to the new folder TARGET, also while the hub runs."""
    try:
        with _Shown("copied") as shown:
            manifest = copies.back_up(data_folder(data), target, _now_ms(), shown.tell)
    except (BadInput, OSError, sqlite3.Error) as error:
        raise SettingsError(f"no backup was made: {error}") from error
    click.echo(f"{_sum_of(manifest)} are in {target}")


@click.command()
@click.argument("source", type=click.Path(path_type=Path, file_okay=False, exists=True))
@_DATA
@click.option("--verify-only", is_flag=True, help="Only read the backup and check every byte.")
def restore(source: Path, data: Path | None, verify_only: bool) -> None:
    """Bring the backup SOURCE back into an empty data folder of a hub that is stopped.

    What came to other hubs since the backup was made is fetched from them when the hub starts.
    """
    try:
        with _Shown("checked") as shown:
            if verify_only:
                manifest = copies.verify(source, shown.tell)
                click.echo(f"{_sum_of(manifest)} are sound")
                return
            folder = data_folder(data)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with PidFile(folder):
                manifest = copies.restore(source, folder, _now_ms(), shown.tell).manifest
    except (BadInput, Refused, OSError, sqlite3.Error) as error:
        raise SettingsError(f"nothing was restored: {error}") from error
    click.echo(f"{_sum_of(manifest)} are in {folder}; start the hub with the same name as before")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _sum_of(manifest: Manifest) -> str:
    return (
        f"{manifest.records:,} records in {manifest.chunks:,} chunks, "
        f"{manifest.size_bytes / 1e6:,.1f} MB in {len(manifest.files)} files,"
    )


class _Shown:
    """How far it is: a bar on a terminal, nothing elsewhere."""

    def __init__(self, word: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(file=sys.stderr),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(word)

    def __enter__(self) -> "_Shown":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def tell(self) -> Tell:
        """What to call with the progress."""

        def update(name: str, done_bytes: int, all_bytes: int) -> None:
            self._progress.update(
                self._task, description=name, completed=done_bytes, total=all_bytes
            )

        return update
