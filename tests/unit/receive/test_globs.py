"""Rules of the file tail: how they are written, and which files they find."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.receive import globs
from edge.receive.globs import find_files
from edge.receive.tail_rule import RULES_MAX, TailRule, read_tail_rules
from tests.unit.otlp.samples import patient


@pytest.mark.parametrize(
    ("value", "rules"),
    [
        ("", ()),
        ("/a.log,/b/*.log", (TailRule("/a.log"), TailRule("/b/*.log"))),
        (" /a.log , ", (TailRule("/a.log"),)),
        (["/a,b.log"], (TailRule("/a,b.log"),)),
        (["/a.log", {"pattern": "/b.log"}], (TailRule("/a.log"), TailRule("/b.log"))),
        (
            [
                {
                    "pattern": "/v/**/*.log",
                    "exclude": ["*.tmp.log", "/v/old/*"],
                    "multiline": "java",
                    "encoding": "Latin-1",
                }
            ],
            (TailRule("/v/**/*.log", ("*.tmp.log", "/v/old/*"), "java", "latin-1"),),
        ),
        ([{"pattern": "/b", "exclude": "a,b"}], (TailRule("/b", ("a", "b")),)),
    ],
)
def test_rules_are_a_text_or_a_list_of_texts_and_tables(
    value: object, rules: tuple[TailRule, ...]
) -> None:
    assert read_tail_rules(value) == rules


def test_the_home_folder_is_written_as_in_a_shell() -> None:
    assert read_tail_rules("~/a.log") == (TailRule(os.path.expanduser("~/a.log")),)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "log files, as in"),
        ({"pattern": "/a"}, "log files, as in"),
        ([5], "entry 1: it is neither a text nor a table"),
        (["/a", {}], "entry 2: pattern is missing"),
        ([{"pattern": ""}], "entry 1: pattern must be a path"),
        ([{"pattern": "/a\0"}], "entry 1: pattern must be a path"),
        ([{"pattern": "/**/a/**/b/**"}], "entry 1: pattern must not have ** more than twice"),
        ([{"pattern": "/a", "multiline": "("}], "entry 1: multiline must be one of python"),
        ([{"pattern": "/a", "multiline": 1}], "entry 1: multiline must be a text"),
        ([{"pattern": "/a", "encoding": "ebcdic"}], "entry 1: encoding must be one of utf-8"),
        ([{"pattern": "/a", "exclude": 1}], "entry 1: exclude must be a list"),
        ([{"pattern": "/a", "exclude": [""]}], "entry 1: exclude must be a path"),
        ([{"pattern": "/a", "patern": 1}], "entry 1: patern is not known"),
        (["/a"] * (RULES_MAX + 1), f"at most {RULES_MAX}"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_with_its_number_and_key(
    value: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_tail_rules(value)


json_like: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["pattern", "exclude", "multiline", "encoding", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@patient
@given(json_like)
def test_any_value_is_read_or_refused(value: object) -> None:
    try:
        rules = read_tail_rules(value)
    except ValueError:
        return
    assert all(rule.pattern for rule in rules)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number, name in enumerate(
        ["a.log", "b.log", "b.txt", "sub/c.log", "sub/deep/d.log", ".hidden/e.log", ".f.log"]
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1000 + number, 1000 + number))
    return tmp_path


def names(tree: Path, *rules: TailRule) -> list[str]:
    wanted = [TailRule(f"{tree}/{r.pattern}", r.exclude) for r in rules]
    return [str(found.path.relative_to(tree)) for found in find_files(wanted)]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.log", ["b.log", "a.log"]),
        ("**/*.log", ["sub/deep/d.log", "sub/c.log", "b.log", "a.log"]),
        ("**", ["sub/deep/d.log", "sub/c.log", "b.txt", "b.log", "a.log"]),
        ("sub/**/*.log", ["sub/deep/d.log", "sub/c.log"]),
        ("*/*.log", ["sub/c.log"]),
        ("[ab].log", ["b.log", "a.log"]),
        ("?.txt", ["b.txt"]),
        (".*/*.log", [".hidden/e.log"]),
        (".*.log", [".f.log"]),
        ("s*/deep/d.log", ["sub/deep/d.log"]),
        ("none*/x", []),
        ("a.log/*", []),
        ("not-there.log", ["not-there.log"]),
    ],
)
def test_wildcards_are_those_of_the_shell_and_the_newest_file_comes_first(
    tree: Path, pattern: str, found: list[str]
) -> None:
    assert names(tree, TailRule(pattern)) == found


@pytest.mark.parametrize(
    ("exclude", "found"),
    [
        (("b.*",), ["sub/deep/d.log", "sub/c.log", "a.log"]),
        (("{}/sub/**",), ["b.log", "a.log"]),
        (("{}/sub/*",), ["sub/deep/d.log", "b.log", "a.log"]),
        (("{}/**/d.log", "a.log"), ["sub/c.log", "b.log"]),
    ],
)
def test_what_is_excluded_is_not_found(
    tree: Path, exclude: tuple[str, ...], found: list[str]
) -> None:
    excluded = tuple(pattern.format(tree) for pattern in exclude)
    assert names(tree, TailRule("**/*.log", excluded)) == found


def test_a_file_is_found_once_by_its_first_rule_and_named_files_come_first(tree: Path) -> None:
    (tree / "z.log").symlink_to("a.log")
    (tree / "dangling.log").symlink_to("nowhere")
    assert names(tree, TailRule("*.log"), TailRule("a.log"), TailRule("later")) == [
        "later",
        "b.log",
        "a.log",
    ]


def test_older_generations_are_read_with_their_file_and_not_on_their_own(tree: Path) -> None:
    for name in ["a.log.1", "a.log.2.gz", "a.log-20261121", "gone.log.1", "a.log.bak"]:
        (tree / name).write_text(name)
    assert sorted(names(tree, TailRule("*.log*"))) == ["a.log", "a.log.bak", "b.log", "gone.log.1"]


def test_folders_that_link_to_their_parents_do_not_lead_astray(tree: Path) -> None:
    (tree / "sub" / "up").symlink_to(tree)
    assert names(tree, TailRule("**/*.log")) == ["sub/deep/d.log", "sub/c.log", "b.log", "a.log"]


def test_pipes_and_folders_are_not_found_by_wildcards(tree: Path) -> None:
    os.mkfifo(tree / "p.log")
    (tree / "d.log").mkdir()
    assert names(tree, TailRule("*.log")) == ["b.log", "a.log"]


def test_a_search_ends_whatever_there_is_to_look_at(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (tree / f"{number}.log").write_text("x")
    monkeypatch.setattr(globs, "LOOKS_MAX", 20)
    assert len(names(tree, TailRule("*.log"))) < 20
