"""The page of who reaches whom: the drawing, what is wrong in words, and the same as a table."""

from collections.abc import Mapping
from typing import Any

from hub.peering.matrix import Matrix
from hub.peering.matrix_drawing import draw_svg
from hub.peering.matrix_wire import read_matrix
from hub.web.address import Asked, read
from hub.web.page import Answer, Answers, Call, Page

TONES: Mapping[str, str] = {"error": "bad", "warn": "warn", "info": "idle"}


def _call(asked: Asked) -> Call:
    read(asked, ())
    return Call("hub.matrix")


def _matrix(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    if not answer:
        return {}
    matrix = read_matrix(answer)
    return {
        "drawing": draw_svg(matrix, styled=False),
        "hubs": matrix.hubs,
        "rows": _rows(matrix),
        "tones": TONES,
        "away": matrix.away,
    }


def _rows(matrix: Matrix) -> list[dict[str, Any]]:
    """What each hub says of all others, the silent ones included."""
    rows: list[dict[str, Any]] = []
    for hub in matrix.hubs:
        seen = matrix.seen(hub)
        entries = [seen.row.entry(peer) if seen else None for peer in matrix.hubs]
        cells = list(zip(matrix.hubs, entries, strict=True))
        rows.append({"hub": hub, "seen": seen, "cells": cells})
    return rows


MATRIX = Page(
    path="/hubs/matrix",
    twin="/hubs/matrix.json",
    template="matrix.html",
    section="hubs",
    main=_call,
    shape=_matrix,
    is_live=True,
)
MATRIX_PAGES = (MATRIX,)
