"""The columns of a list of machines."""

from hub.cli.output import Column, age, percent, size

NODE_COLUMNS = (
    Column("NODE", "node_id"),
    Column("STATE", "state"),
    Column("SEEN", "age_s", age),
    Column("CPU", "load.cpu_ratio", percent),
    Column("MEMORY", "load.memory_ratio", percent),
    Column("BUFFERED", "buffer.bytes", size),
    Column("DRAINING", "draining"),
    Column("SYSTEM", "facts.os"),
)
