"""`headwater hub otlp`: how a Collector or an SDK sends straight to this hub."""

import os
from pathlib import Path
from urllib.parse import quote

import click

from hub.otlp_doors import ingest_token
from hub.settings import HubSettings
from shared.errors import SettingsError
from shared.folder import find_cluster_key
from shared.options import settings_flags
from shared.settings import load


@click.command("otlp")
@click.option("--env", "as_variables", is_flag=True, help="Print variables for SDKs instead.")
@settings_flags("hub")
def otlp(config: Path | None, as_variables: bool, **flags: object) -> None:
    """Print the settings of a Collector that sends to this hub, with the ingest token.

    The token lets its owner write telemetry and nothing else; all hubs of a cluster take the same.
    """
    settings = load(HubSettings, "hub", environ=os.environ, flags=flags, file=config).settings
    key = settings.cluster_key or find_cluster_key(settings.data, nearby=True)
    if not key:
        raise SettingsError(
            f"no cluster key in {settings.data}: name the folder of a hub that has run with "
            "--data FOLDER, or set CLUSTER_KEY"
        )
    tell = variables if as_variables else collector_exporter
    click.echo(tell(settings.url, ingest_token(key)))


def collector_exporter(url: str, token: str) -> str:
    """The exporter in the configuration of an OpenTelemetry Collector."""
    lines = (
        "exporters:",
        "  otlphttp/headwater:",
        f"    endpoint: {url}",
        "    compression: zstd",
        "    headers:",
        f"      Authorization: Bearer {token}",
    )
    return "\n".join(lines)


def variables(url: str, token: str) -> str:
    """The variables that every SDK reads; header values in them are percent-encoded."""
    # https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables
    return "\n".join(
        (
            f"OTEL_EXPORTER_OTLP_ENDPOINT={url}",
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            f"OTEL_EXPORTER_OTLP_HEADERS=Authorization={quote(f'Bearer {token}')}",
        )
    )
