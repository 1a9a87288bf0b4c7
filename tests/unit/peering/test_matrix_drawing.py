"""The matrix as text and as a drawing: complete, readable without colour, and safe."""

from xml.etree import ElementTree as ET

from hub.peering.detect_row import Entry, Row
from hub.peering.detect_values import PeerState
from hub.peering.matrix import Matrix, SeenRow
from hub.peering.matrix_drawing import draw_svg, draw_text

ROWS = Matrix(
    (
        SeenRow(
            Row(
                "hub-1",
                "i",
                1,
                1,
                [
                    Entry("hub-2", PeerState.ALIVE, 60.0, 0.2, 0.2, 0.83),
                    Entry("hub-3", PeerState.DEAD, 12.0, 19.0, 19.0, 0.9, 21, "refused"),
                ],
            ),
            0.0,
        ),
        SeenRow(
            Row("hub-2", "i", 1, 1, [Entry("hub-1", PeerState.AVOID, 3.0)], isolated=True), 0.2
        ),
        SeenRow(Row("hub-3", "i", 1, 1, [Entry("hub-1", PeerState.ALIVE, 9.0)]), 19.0),
    )
)
NOBODY = Matrix(())


def test_the_table_has_a_line_for_each_hub_and_the_findings_below() -> None:
    lines = draw_text(ROWS).splitlines()
    assert lines[0].split() == ["from", "\\", "to", "hub-1", "hub-2", "hub-3"]
    assert lines[1].split("  ")[0] == "hub-1"
    assert "alive 0.8 ms" in lines[1]
    assert "dead 12 s, 21 missed" in lines[1]
    assert lines[2].startswith("hub-2 (isolated)")
    assert lines[3].startswith("hub-3 (old: 19 s)")
    assert "error: hub-3 is dead: hub-1 declared it, and nobody hears it" in lines


def test_columns_stand_below_each_other() -> None:
    lines = draw_text(ROWS).splitlines()[:4]
    at = lines[0].index("hub-2")
    assert lines[1][at - 2 : at + 5] == "  alive"
    assert lines[2][at - 2 : at + 1] == "  -"


def test_without_findings_the_table_says_that_all_is_well() -> None:
    assert draw_text(NOBODY).endswith("every hub reaches every other\n")


def test_the_drawing_is_sound_xml_with_title_and_description_and_no_script() -> None:
    root = ET.fromstring(draw_svg(ROWS))
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "desc", "style", "rect", "g", "text"}
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Which hub reaches which"
    assert root.get("aria-describedby") == "matrix-words"
    (words,) = (each.text for each in root.iter() if each.get("id") == "matrix-words")
    assert words is not None
    assert "hub-3 is dead" in words


def test_the_drawing_is_complete_in_itself_and_has_colours_for_light_and_dark() -> None:
    drawing = draw_svg(ROWS)
    assert "prefers-color-scheme:dark" in drawing
    assert "href" not in drawing
    assert "url(" not in drawing


def test_every_cell_says_in_words_what_its_colour_says() -> None:
    root = ET.fromstring(draw_svg(ROWS))
    titles = [each.text for each in root.iter() if each.tag.endswith("title")][1:]
    assert len(titles) == 9
    assert "hub-1 to hub-3: dead, 12 s, 21 missed" in titles
    assert "hub-3 to hub-1: alive (old)" in titles


def test_names_and_states_cannot_break_the_drawing() -> None:
    odd = Matrix((SeenRow(Row("<&'\">", "i", 1, 1, [Entry("]]>", PeerState.UNKNOWN)]), 0.0),))
    root = ET.fromstring(draw_svg(odd))
    assert any(each.text == "<&'\">" for each in root.iter())


def test_a_mesh_of_many_hubs_is_drawn_too() -> None:
    names = [f"hub-{number}-with-a-very-long-name" for number in range(7)]
    rows = [
        Row(name, "i", 1, 1, [Entry(other, PeerState.AVOID) for other in names if other != name])
        for name in names
    ]
    ET.fromstring(draw_svg(Matrix(tuple(SeenRow(row, 0.0) for row in rows))))
