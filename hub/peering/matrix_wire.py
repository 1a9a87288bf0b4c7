"""Reads an answer of `hub.matrix` back into the matrix that it tells, to draw it elsewhere. Rules only."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.peering.detect_row import Row, check_row
from hub.peering.matrix import Matrix, SeenRow
from shared.errors import BadInput


def read_matrix(answer: Mapping[str, Any]) -> Matrix:
    """The matrix that was told; raises BadInput."""
    rows = answer.get("rows")
    if not isinstance(rows, list):
        raise BadInput("the answer has no rows of a matrix")
    return Matrix(tuple(_read(row) for row in rows), _away(answer.get("away", {})))


def _away(told: object) -> dict[str, str]:
    """Hubs that are away by plan; hubs of before tell of none."""
    try:
        return msgspec.convert(told, dict[str, str])
    except msgspec.ValidationError as error:
        raise BadInput(f"the hubs that are away cannot be read: {error}") from error


def _read(told: object) -> SeenRow:
    try:
        row = msgspec.convert(told, Row)
        age_s = msgspec.convert(told, dict[str, Any]).get("age_s")
    except msgspec.ValidationError as error:
        raise BadInput(f"a row of the matrix cannot be read: {error}") from error
    if isinstance(age_s, bool) or not isinstance(age_s, int | float) or not age_s >= 0:
        raise BadInput(f"the row of {row.hub[:63]} has no age")
    return SeenRow(check_row(row, row.hub), float(age_s))
