"""What a check may be, where it goes, and which hub runs it."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.nodes.check_rules import (
    CHECKS_MAX,
    Target,
    host_of,
    phase_seconds,
    read_checks,
    runner_of,
)
from shared.errors import BadInput

TCP = {"name": "ssh", "kind": "tcp", "target": ":22"}


@pytest.mark.parametrize(
    ("kind", "target", "read"),
    [
        ("tcp", ":22", Target("", 22)),
        ("tcp", "db.example:5432", Target("db.example", 5432)),
        ("tcp", "[2001:db8::1]:22", Target("2001:db8::1", 22)),
        ("http", ":8080/healthz", Target("", 8080, "/healthz")),
        ("http", "web.example", Target("web.example", 80, "/")),
        ("https", "web.example/a?b=c", Target("web.example", 443, "/a?b=c")),
        ("https", "web.example:8443?b=c", Target("web.example", 8443, "/?b=c")),
    ],
)
def test_targets_are_read_as_written(kind: str, target: str, read: Target) -> None:
    """Without a host the node itself is meant; HTTP has its usual ports."""
    (check,) = read_checks([{"name": "a", "kind": kind, "target": target}])
    assert check.target == read


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"target": "db.example"}, "target must be"),
        ({"target": ":0"}, "target must be"),
        ({"target": ":70000"}, "target must be"),
        ({"target": ":22/path"}, "target must be"),
        ({"target": "user:pw@db.example:22"}, "no user name or password"),
        ({"kind": "http", "target": "http://web.example/"}, "target must be"),
        ({"kind": "http", "target": "web.example/#part"}, "target must be"),
        ({"kind": "http", "target": "web.example/a b\r\nhost: x"}, "target must be"),
        ({"kind": "http", "target": "web.example/ä"}, "target must be"),
        ({"kind": "http", "target": "web example:80"}, "target must be"),
        ({"kind": "http", "target": "[::1:80"}, "target must be"),
        ({"kind": "exec", "target": ":22"}, "kind must be tcp, http or https, not 'exec'"),
        ({"kind": ["tcp"], "target": ":22"}, "kind must be tcp, http or https"),
        ({"kind": "http", "method": "PUT"}, "method must be GET or HEAD, not 'PUT'"),
        ({"name": "Not/a/name"}, "name"),
        ({"interval_s": 1}, "interval_s"),
        ({"timeout_s": 31}, "timeout_s"),
        ({"timeout_s": 6, "interval_s": 5}, "longer than interval_s"),
        ({"text": "x"}, "no method, status and text"),
        ({"kind": "http", "method": "HEAD", "text": "x"}, "has no text"),
        ({"kind": "http", "method": "POST"}, "method"),
        ({"kind": "http", "headers": {"authorization": "x"}}, "headers"),
    ],
)
def test_what_is_no_check_is_refused_with_its_number_or_name(
    wrong: dict[str, Any], reason: str
) -> None:
    """The whole list is refused, so that nothing is half set."""
    with pytest.raises(BadInput, match=reason):
        read_checks([{**TCP, "name": "good"}, {**TCP, **wrong}])


def test_a_node_has_a_bounded_number_of_checks_with_different_names() -> None:
    """16, and each name once."""
    many = [{**TCP, "name": f"c{number}"} for number in range(CHECKS_MAX)]
    assert len(read_checks(many)) == CHECKS_MAX
    with pytest.raises(BadInput, match="at most 16"):
        read_checks([*many, TCP])
    with pytest.raises(BadInput, match="two checks are called ssh"):
        read_checks([TCP, TCP])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@given(anything)
def test_any_value_is_a_list_of_checks_or_bad_input(value: Any) -> None:
    """A peer of another version may store anything there."""
    try:
        read_checks(value)
    except BadInput:
        pass
    else:
        assert value == []


@given(st.text(max_size=60), st.sampled_from(["tcp", "http", "https"]))
def test_any_target_is_read_or_refused(target: str, kind: str) -> None:
    """What is read has a port and nothing that could end a line of HTTP."""
    try:
        (check,) = read_checks([{"name": "a", "kind": kind, "target": target}])
    except BadInput:
        return
    assert 0 < check.target.port < 65536
    assert (check.target.host + check.target.path).isprintable()
    assert " " not in check.target.host


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8::5", "2001:db8::5"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
    ],
)
def test_without_a_host_a_check_goes_to_where_hubs_see_the_node(address: str, host: str) -> None:
    """An address, and never a name: nobody is asked what it means."""
    (check,) = read_checks([TCP])
    assert host_of(check, address) == host


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "edge-1.example",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_a_node_cannot_send_its_hub_where_it_likes(address: str | None) -> None:
    """The metadata service of a cloud is link-local; a name could mean anything."""
    (check,) = read_checks([TCP])
    with pytest.raises(BadInput, match="write a host"):
        host_of(check, address)


def test_a_written_host_is_taken_whatever_the_address() -> None:
    """The person who wrote it knows."""
    (check,) = read_checks([{**TCP, "target": "db.example:22"}])
    assert host_of(check, "169.254.169.254") == "db.example"


@given(st.sets(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=2), st.text(max_size=9))
def test_a_hub_that_goes_passes_on_its_own_checks_only(hubs: set[str], node: str) -> None:
    """All hubs that see the same ones alive choose the same, in whatever order they list them."""
    chosen = runner_of(node, "ssh", sorted(hubs))
    assert runner_of(node, "ssh", sorted(hubs, reverse=True)) == chosen
    for gone in hubs:
        if gone != chosen:
            assert runner_of(node, "ssh", hubs - {gone}) == chosen


def test_checks_are_spread_over_hubs_and_time() -> None:
    """A thousand nodes on three hubs: about a third each, and no second is empty of 60."""
    nodes = [f"edge-{number}" for number in range(1000)]
    shares = Counter(runner_of(node, "ssh", ["hub-1", "hub-2", "hub-3"]) for node in nodes)
    assert min(shares.values()) > 270
    seconds = Counter(int(phase_seconds(node, "ssh", 60)) for node in nodes)
    assert set(seconds) == set(range(60))
    assert max(seconds.values()) < 50


def test_nobody_runs_a_check_where_nobody_lives() -> None:
    """An empty list of hubs is no error."""
    assert runner_of("edge-1", "ssh", []) is None


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (Target("", 80, "/a?token=x"), "10.0.0.1:80/a"),
        (Target("", 22), "10.0.0.1:22"),
    ],
)
def test_what_is_shown_of_a_target_has_no_query(target: Target, shown: str) -> None:
    """A query may hold a secret."""
    assert target.shown("10.0.0.1") == shown
