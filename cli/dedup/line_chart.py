"""Lines in the terminal: curves over [0, 1] × [0, 1], drawn in Braille dots, four rows and two columns to a character.

plotext and its like draw more and are one more dependency; this needs some fifty lines. A curve carries its number
where it passes one half, so that several can be told apart where there is no colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_MARGIN = 6
Cell = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line to draw.

    Attributes:
        label: one character, put on the line where it passes one half.
        style: its colour.
        value: y of x, both in 0..1.
    """

    label: str
    style: str
    value: Callable[[float], float]


def line_chart(
    curves: Sequence[Curve], *, width: int, height: int, vertical: float, horizontal: float, mark_style: str = "dim"
) -> list[Text]:
    """Draws curves.

    Args:
        curves: what to draw; a later one covers an earlier one.
        width: characters of the plot, axis labels not counted.
        height: lines of the plot.
        vertical: x of a dotted line.
        horizontal: y of a dotted line.
        mark_style: the style of the dotted lines.

    Returns:
        ``height + 2`` lines: the plot, the axis and its numbers.
    """
    cells: dict[tuple[int, int], Cell] = {}
    column, row = _column(vertical, width), _row(horizontal, height)
    cells |= {(x, row): ("┄", mark_style) for x in range(width)}
    cells |= {(column, y): ("┆", mark_style) for y in range(height)}
    for curve in curves:
        cells |= _dots(curve, width, height)
    for curve in curves:
        cells[_half(curve, width, height)] = (curve.label, f"bold {curve.style}")
    lines = []
    for y in range(height):
        label = _label(y, height)
        line = Text.assemble((label + ("┤" if label.strip() else "│"), "dim"))
        for x in range(width):
            line.append(*cells.get((x, y), (" ", "")))
        lines.append(line)
    return [*lines, *_axis(width)]


def _dots(curve: Curve, width: int, height: int) -> dict[tuple[int, int], Cell]:
    """The characters of one curve: every column of dots is joined to the one before."""
    bits: dict[tuple[int, int], int] = {}
    last = None
    for x in range(2 * width):
        value = min(1.0, max(0.0, curve.value(x / (2 * width - 1))))
        y = round((1.0 - value) * (4 * height - 1))
        low, high = (y, y) if last is None else (min(y, last + 1), max(y, last - 1))
        for dot in range(low, high + 1):
            place = (x // 2, dot // 4)
            bits[place] = bits.get(place, 0) | _DOTS[dot % 4][x % 2]
        last = y
    return {place: (chr(0x2800 | found), curve.style) for place, found in bits.items()}


def _half(curve: Curve, width: int, height: int) -> tuple[int, int]:
    """The character in which a rising curve passes one half; the last one where it never does."""
    for x in range(width):
        if curve.value((x + 0.5) / width) >= 0.5:
            return x, _row(curve.value((x + 0.5) / width), height)
    return width - 1, _row(curve.value(1.0), height)


def _column(x: float, width: int) -> int:
    return min(width - 1, int(x * width))


def _row(y: float, height: int) -> int:
    return min(height - 1, int((1.0 - y) * height))


def _label(y: int, height: int) -> str:
    for value in (1.0, 0.8, 0.6, 0.4, 0.2, 0.0):
        if _row(value, height) == y:
            return f"{value:{_MARGIN - 1}.1f} "
    return " " * _MARGIN


def _axis(width: int) -> list[Text]:
    line, numbers = list("└" + "─" * width), [" "] * (width + 4)
    for tenth in range(0, 11, 2):
        x = _column(tenth / 10, width)
        line[x + 1] = "┴"
        numbers[x : x + 3] = list(f"{tenth / 10:.1f}")
    return [Text(" " * _MARGIN + "".join(line), "dim"), Text(" " * _MARGIN + "".join(numbers).rstrip(), "dim")]
