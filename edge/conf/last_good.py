"""The settings that hubs gave this edge last and that it could apply, in a file of its data folder."""

import os
from pathlib import Path

from shared.conf import DOCUMENT_BYTES_MAX, Document, read_document, write_document
from shared.errors import BadInput, Unavailable
from shared.security import write_private

FILE = "cluster-settings.json"


def read_last_good(folder: Path) -> Document:
    """The settings, none when there never were any; raises BadInput when the file cannot be read."""
    try:
        with open(folder / FILE, "rb") as file:
            return read_document(file.read(DOCUMENT_BYTES_MAX + 1))
    except FileNotFoundError:
        return Document()
    except OSError as error:
        raise BadInput(
            f"{folder / FILE} cannot be read: {os.strerror(error.errno or 0)}"
        ) from error


def write_last_good(folder: Path, document: Document) -> None:
    """Replace the file at once and for good (renamed and synced); raises Unavailable."""
    try:
        write_private(folder / FILE, write_document(document).decode())
    except OSError as error:
        raise Unavailable(f"the settings cannot be kept on disk: {error.strerror}") from error
