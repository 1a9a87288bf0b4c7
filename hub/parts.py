"""The parts of a hub that stand on the others, in the order in which they are built."""

from collections.abc import Callable, Sequence

from hub.conf import part as conf_part
from hub.consoles import part as consoles_part
from hub.ground import Ground
from hub.lead import part as lead_part
from hub.machines import part as machine_part
from hub.nodes import check_part, grave_part, live_part
from hub.part import Part
from hub.peering import (
    clock_part,
    farewell_part,
    refusal_part,
    talk_part,
    view_part,
    watch_part,
)

BUILDERS: Sequence[Callable[[Ground], Part]] = (
    refusal_part.build,
    talk_part.build,
    watch_part.build,
    view_part.build,
    clock_part.build,
    farewell_part.build,
    grave_part.build,
    live_part.build,
    check_part.build,
    conf_part.build,
    lead_part.build,
    machine_part.build,
    consoles_part.build,
)


def build_parts(ground: Ground) -> list[Part]:
    """Build all parts; their tables exist by now."""
    return [build(ground) for build in BUILDERS]
