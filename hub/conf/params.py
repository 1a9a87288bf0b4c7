"""The parameters of the methods about replicated settings."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from hub.params import Name
from shared.conf_report import Key
from shared.conf_scope import LABEL_VALUE_LENGTH_MAX, LABELS_MAX
from shared.label_name import LABEL_NAME_LENGTH_MAX

Labels = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=LABEL_NAME_LENGTH_MAX)],
        Annotated[str, Meta(max_length=LABEL_VALUE_LENGTH_MAX)],
    ],
    Meta(max_length=LABELS_MAX),
]
Whom = Literal["hubs", "edges"]


class SetConf(Struct, forbid_unknown_fields=True):
    """Settings by key, for hubs or for edges; with labels, for the edges that have them all."""

    settings: Annotated[dict[Key, Any], Meta(min_length=1, max_length=50)]
    whom: Whom | None = field(default=None, name="for")
    labels: Labels = {}
    author: Name = "admin"


class UnsetConf(Struct, forbid_unknown_fields=True):
    """Keys that are to be as if nobody had set them, in one scope."""

    keys: Annotated[list[Key], Meta(min_length=1, max_length=50)]
    whom: Whom | None = field(default=None, name="for")
    labels: Labels = {}
    author: Name = "admin"


class ConfHistory(Struct, forbid_unknown_fields=True):
    """The newest versions, of all settings or of one key."""

    key: Key | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50


class ConfDrift(Struct, forbid_unknown_fields=True):
    """How many of the worst edges to show."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
