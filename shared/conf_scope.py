"""For whom a replicated setting is: all hubs, all edges, or the edges with certain labels.

Written `hubs`, `edges`, `edges:role=web` or `edges:role=web,zone=a`, with the labels in the order of
their names, so that equal scopes are equal texts. Every edge has the label `node`, its own name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import BadInput
from shared.label_name import LABEL_NAME_LENGTH_MAX

HUBS = "hubs"
EDGES = "edges"
NODE = "node"

SCOPE_LENGTH_MAX = 600
LABELS_MAX = 8  # Nobody can tell in their head which edges a longer selector means.
LABEL_VALUE_LENGTH_MAX = 200  # As hub.params.LabelNode has them.


@dataclass(frozen=True, slots=True)
class Scope:
    """Who is meant. `labels` are sorted by name; for hubs there are none."""

    kind: str
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The one way to write this scope."""
        pairs = ",".join(f"{name}={value}" for name, value in self.labels)
        return f"{self.kind}:{pairs}" if pairs else self.kind

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether an edge with these labels (its `node` among them) is meant."""
        return self.kind == EDGES and all(labels.get(name) == value for name, value in self.labels)

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Where two scopes fit the same edge, the greater rank wins: one that names the node, then
        the one with more labels, then the later in the alphabet."""
        return any(name == NODE for name, _ in self.labels), len(self.labels), self.text


def scope_of(kind: str, labels: Mapping[str, str]) -> Scope:
    """A scope from its parts; raises BadInput."""
    _check_kind(kind)
    if kind == HUBS and labels:
        raise BadInput("hubs have no labels: settings of the hubs are for all of them")
    if len(labels) > LABELS_MAX:
        raise BadInput(f"a selector has at most {LABELS_MAX} labels, not {len(labels)}")
    for name, value in labels.items():
        _check_label(name, value)
    scope = Scope(kind, tuple(sorted(labels.items())))
    if len(scope.text) > SCOPE_LENGTH_MAX:
        raise BadInput(f"a selector has at most {SCOPE_LENGTH_MAX} characters")
    return scope


def _check_kind(kind: str) -> None:
    if kind not in (HUBS, EDGES):
        raise BadInput(f"settings are for {HUBS} or {EDGES}, not for {kind[:60]!r}")


def _check_label(name: str, value: str) -> None:
    if not 0 < len(name) <= LABEL_NAME_LENGTH_MAX or set(name) & set("=,"):
        raise BadInput(
            f"the name of a label has 1 to {LABEL_NAME_LENGTH_MAX} characters without '=' and ',', "
            f"unlike {name[:80]!r}"
        )
    if len(value) > LABEL_VALUE_LENGTH_MAX or "," in value:
        raise BadInput(
            f"the value of a label in a selector has at most {LABEL_VALUE_LENGTH_MAX} characters "
            f"and no ',', unlike {name}={value[:80]!r}"
        )
    if not (name + value).isprintable():
        raise BadInput(f"the label {name[:80]!r} holds characters that cannot be shown")


def read_scope(text: str) -> Scope:
    """Read a scope as `Scope.text` writes it, and only so; raises BadInput."""
    if len(text) > SCOPE_LENGTH_MAX:
        raise BadInput(f"a selector has at most {SCOPE_LENGTH_MAX} characters")
    kind, colon, written = text.partition(":")
    _check_kind(kind)
    pairs = [item.partition("=") for item in written.split(",")] if colon else []
    if not all(equals for _, equals, _ in pairs):
        raise BadInput(f"a selector is written as edges:role=web,zone=a, unlike {text[:80]!r}")
    scope = scope_of(kind, {name: value for name, _, value in pairs})
    if scope.text != text:
        raise BadInput(f"this selector is written {scope.text!r}, not {text[:80]!r}")
    return scope
