"""What a shim needs of `dataclasses`, whose import alone takes longer than all else that a shim does
before its payload runs.

A class that is marked here is a frozen or plain dataclass with slots to whoever checks types, and
nearly one at run time: made by place or by name, equal by its fields, shown with them. Its fields
have names that do not begin with an underscore, and it inherits from nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # Type checkers take it for true; importing `typing` costs as much again.

if TYPE_CHECKING:
    from dataclasses import asdict as asdict  # noqa: PLC0414 -- handed on.
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 -- handed on.
    from dataclasses import field as field  # noqa: PLC0414 -- handed on.
    from dataclasses import replace as replace  # noqa: PLC0414 -- handed on.
else:

    class _Made:
        """The default of a field that is made anew for each object."""

        def __init__(self, make):
            self.make = make

    def field(*, default_factory):
        """A field whose default is made anew for each object."""
        return _Made(default_factory)

    def dataclass(*, frozen=False, slots=True):
        """Make a class of its annotations."""
        return lambda plain: _class_of(plain, is_frozen=frozen)

    def replace(value, **changes):
        """The same with some fields changed."""
        return type(value)(**{**asdict(value), **changes})

    def asdict(value):
        """The fields by name; what they hold is not copied."""
        return {name: getattr(value, name) for name in value.__slots__}

    def _class_of(plain, *, is_frozen):
        names = tuple(plain.__annotations__)
        left_out = {*names, "__dict__", "__weakref__"}
        body = {name: held for name, held in plain.__dict__.items() if name not in left_out}
        defaults = {name: plain.__dict__[name] for name in names if name in plain.__dict__}
        body |= {
            "__slots__": names,
            "__match_args__": names,
            "__init__": _init(plain.__name__, names, defaults),
            "__eq__": _eq,
            "__hash__": _hash if is_frozen else None,
            "__repr__": _repr,
        }
        if is_frozen:
            body |= {"__setattr__": _refuse, "__delattr__": _refuse}
        return type(plain.__name__, (), body)

    def _init(title, names, defaults):
        def make(self, *words, **named):
            if len(words) > len(names):
                raise TypeError(f"{title} has {len(names)} fields, not {len(words)}")
            given = dict(zip(names, words))  # noqa: B905 -- what is left out is named or a default.
            if twice := given.keys() & named.keys() or named.keys() - set(names):
                raise TypeError(f"{title}: unexpected {', '.join(sorted(twice))}")
            given |= named
            for name in names:
                object.__setattr__(self, name, _value(title, name, given, defaults))

        return make

    def _value(title, name, given, defaults):
        if name in given:
            return given[name]
        if name not in defaults:
            raise TypeError(f"{title}: {name} is missing")
        held = defaults[name]
        return held.make() if isinstance(held, _Made) else held

    def _refuse(self, name, *_):
        raise AttributeError(f"{type(self).__name__} is frozen: {name}")

    def _eq(self, other):
        return asdict(self) == asdict(other) if type(other) is type(self) else NotImplemented

    def _hash(self):
        return hash(tuple(asdict(self).values()))

    def _repr(self):
        shown = ", ".join(f"{name}={held!r}" for name, held in asdict(self).items())
        return f"{type(self).__name__}({shown})"
