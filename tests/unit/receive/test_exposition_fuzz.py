"""Whatever a target answers: it is read, or refused with BadInput, and what was read is valid OTLP."""

from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadInput
from tests.unit.receive.expositions import OPEN, TEXT, lines, points, read

_words = st.sampled_from(
    [
        *("a", "a_total", "a_bucket", "a_sum", "a_count", "a_created", "a_info", "target_info"),
        *("# TYPE a ", "# HELP a ", "# UNIT a ", "# EOF", "counter", "gauge", "histogram"),
        *("summary", "info", "stateset", "gaugehistogram", "unknown", "\n", "\n", " ", "\t"),
        *('{le="1"}', '{le="+Inf"}', '{quantile="0.5"}', '{a="b"}', "{", "}", '"', ",", "="),
        *("1", "2.5", "NaN", "+Inf", "-1", "1_0", "1e400", "9" * 400, "1795000000.5", "\\", "\\n"),
        *(" # {} 1", ' # {x="y"} 1 5', "é", "\0", "\x85", "٣", "{count:1,sum:1,schema:0}"),
    ]
)


@given(st.lists(_words, max_size=40).map("".join), st.sampled_from([TEXT, OPEN]), st.booleans())
def test_no_text_raises_anything_but_bad_input(text: str, kind: str, honour: bool) -> None:
    for body in (text.encode(), f"{text}\n# EOF\n".encode()):
        try:
            readout = read(body, kind, honour=honour)
        except BadInput:
            continue
        points(readout)


@given(st.binary(max_size=300), st.sampled_from([TEXT, OPEN]))
def test_no_bytes_raise_anything_but_bad_input(body: bytes, kind: str) -> None:
    try:
        points(read(body, kind))
    except BadInput:
        return


_labels = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(max_size=20), max_size=3
)


@given(st.lists(st.tuples(_labels, st.floats(allow_nan=False, allow_infinity=False)), max_size=5))
def test_labels_and_values_come_back_as_they_were_written(
    series: list[tuple[dict[str, str], float]],
) -> None:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

    written = [
        "a{" + ",".join(f'{k}="{escaped(v)}"' for k, v in labels.items()) + f"}} {value!r}"
        for labels, value in series
    ]
    found = points(read(lines(*written)))
    assert [(p.attributes, p.value) for p in found] == series
