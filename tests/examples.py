"""How many examples a law is tried with: few each time, very many with `make fuzz`."""

from hypothesis import HealthCheck, settings

USUAL = 100
"""The number of examples that counts of laws are written for."""

SHORT, LONG = 50, 2000


def register() -> None:
    """The profiles; a busy machine is no reason for a test to fail."""
    for name, count in {"short": SHORT, "long": LONG}.items():
        settings.register_profile(
            name,
            max_examples=count,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
    settings.load_profile("short")


def examples(count: int) -> int:
    """What a law with so many examples does in the profile of this run; to be called on import."""
    usual = settings.default
    assert usual is not None
    return max(count * usual.max_examples // USUAL, 10)
