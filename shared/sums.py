"""Sums of chunks, as edges and hubs keep their books."""

import msgspec


class Sum(msgspec.Struct, frozen=True, array_like=True):
    """So many chunks with so many records and bytes (as stored, compressed)."""

    chunks: int = 0
    records: int = 0
    stored_bytes: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(
            self.chunks + other.chunks,
            self.records + other.records,
            self.stored_bytes + other.stored_bytes,
        )

    def __sub__(self, other: "Sum") -> "Sum":
        return Sum(
            self.chunks - other.chunks,
            self.records - other.records,
            self.stored_bytes - other.stored_bytes,
        )

    def to_wire(self) -> dict[str, int]:
        """As answers show it."""
        return {"chunks": self.chunks, "records": self.records, "bytes": self.stored_bytes}
