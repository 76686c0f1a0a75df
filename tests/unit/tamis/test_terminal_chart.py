"""Charts of characters: as large as asked for, told apart without colour, and without escape codes in a pipe."""

from __future__ import annotations

from tamis.terminal_chart import ChartLine, terminal_chart

RISING = ChartLine([0, 0.5, 1], [0, 0.5, 1], "1")


def test_a_chart_has_the_size_asked_for_and_no_more_than_a_terminal() -> None:
    lines = terminal_chart([RISING], width=60, height=12).splitlines()
    assert len(lines) == 12 and all(len(line) <= 60 for line in lines)
    assert max(map(len, terminal_chart([RISING], width=3000, height=12).splitlines())) < 1000


def test_colour_is_only_where_it_is_asked_for() -> None:
    marks = {"vertical": 0.5, "horizontal": 0.5}
    assert "\x1b" not in terminal_chart([RISING], width=60, height=12, **marks)
    assert "\x1b" in terminal_chart([RISING], width=60, height=12, color=True, **marks)


def test_a_line_carries_its_label_where_it_passes_the_middle() -> None:
    lines = terminal_chart([RISING], width=61, height=13, x_range=(0, 1), y_range=(0, 1)).splitlines()
    (place,) = ((y, line.index("1", 5)) for y, line in enumerate(lines[:-1]) if "1" in line[5:])
    assert 4 <= place[0] <= 7 and 25 < place[1] < 38


def test_two_charts_do_not_share_their_lines() -> None:
    terminal_chart([RISING], width=60, height=12)
    flat = terminal_chart([ChartLine([0, 1], [5, 5])], width=60, height=12, marker="•")
    assert flat.count("•") == 2 and not any("\u2800" < c <= "\u28ff" for c in flat)
