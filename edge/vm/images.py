"""Which driver runs an image, and what a sandbox executes for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import RpcError

SHELL, TEMPLATE = "builtin:shell", "template:"
TERMINATE, HANG_UP = 15, 1
BANNER = """\
if [ "$HEADWATER_ISOLATION" = namespaces ]; then
  echo "Headwater sandbox $HEADWATER_VM: a shell in namespaces of its own."
  echo "It has no network; only $HOME and /tmp can be written, and both are empty after a stop."
else
  echo "Headwater process $HEADWATER_VM: a shell WITHOUT isolation. This is the host itself."
fi
exec /bin/sh -i
"""


@dataclass(frozen=True, slots=True)
class Program:
    """What to execute, and the signals that ask it to end, in their order."""

    argv: tuple[str, ...]
    stop_signals: tuple[int, ...]


def program_of(image: str, templates: Mapping[str, tuple[str, ...]]) -> Program:
    """The program of a sandbox image; raises RpcError not_found or driver_unavailable."""
    if image == SHELL:
        # An interactive shell ignores the request to terminate, but ends when its line is hung up.
        return Program(("/bin/sh", "-c", BANNER), (TERMINATE, HANG_UP))
    if image.startswith(TEMPLATE):
        return Program(_template(image.removeprefix(TEMPLATE), templates), (TERMINATE,))
    raise RpcError(
        "driver_unavailable",
        f"image {image!r} is for a hypervisor, and this node only has the sandbox driver; "
        f"it can run: {', '.join(image_names(templates))}",
        {"image": image, "images": image_names(templates)},
    )


def is_program(image: str) -> bool:
    """Whether an image is a program of this machine, and not of a machine of its own."""
    return image == SHELL or image.startswith(TEMPLATE)


def image_names(templates: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Every image that this node can run."""
    return [SHELL, *(TEMPLATE + name for name in sorted(templates))]


def _template(name: str, templates: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    argv = templates.get(name)
    if not argv:
        raise RpcError(
            "not_found",
            f"the settings of this node name no template {name!r}; "
            f"it can run: {', '.join(image_names(templates))}",
            {"images": image_names(templates)},
        )
    return tuple(argv)
