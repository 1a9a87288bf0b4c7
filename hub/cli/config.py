"""`headwater config`: what the settings are, and where each of them comes from."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from hub.cli import conf
from hub.cli.output import FORMATS, Column, Format, show_list
from shared.lazy_group import CommandGroup
from shared.settings import (
    ROLES,
    SECRET_SHOWN_AS,
    load,
    option_of,
    settings_class,
    variables_of,
)

COLUMNS = (
    Column("ROLE", "role"),
    Column("SETTING", "setting"),
    Column("VALUE", "value"),
    Column("VARIABLES", "variables"),
)
SOURCE = Column("SOURCE", "source")


@click.group(cls=CommandGroup)
def config() -> None:
    """Look at the settings, and change those of the whole cluster."""


@config.command("show", short_help="Show the settings as they would be used here and now.")
@click.argument("role", type=click.Choice([*ROLES, "all"]), default="all")
@click.option("--sources", is_flag=True, help="Also say where each value comes from.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HEADWATER_CONFIG",
    help="TOML file to take into account.",
)
@click.option("-o", "--output", "form", type=click.Choice(FORMATS), default="table")
def show(role: str, sources: bool, file: Path | None, form: Format) -> None:
    """Show the settings of ROLE (hub, edge, demo or all) as they would be used here and now."""
    roles = tuple(ROLES) if role == "all" else (role,)
    rows = [row for name in roles for row in _rows(name, file)]
    columns = (*COLUMNS[:3], SOURCE, COLUMNS[3]) if sources else COLUMNS
    show_list(form, {"items": rows}, rows, columns)


def _rows(role: str, file: Path | None) -> list[dict[str, Any]]:
    kind = settings_class(role)
    loaded = load(kind, role, environ=os.environ, file=file)
    return [
        {
            "role": role,
            "setting": item.name,
            "value": _shown(getattr(loaded.settings, item.name), option_of(item).secret),
            "source": loaded.sources[item.name],
            "variables": list(variables_of(item)),
        }
        for item in fields(kind)
    ]


def _shown(value: object, secret: bool) -> object:
    if secret:
        return SECRET_SHOWN_AS if value else ""
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if isinstance(value, dict):
        return {key: list(words) for key, words in value.items()}
    return value if isinstance(value, bool | int | float) else str(value)


for _command in conf.COMMANDS:
    config.add_command(_command)
