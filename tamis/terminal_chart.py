"""Charts of characters for a terminal, drawn by plotext.

Without colour several lines are told apart by a label that each carries where it passes the middle of the chart. Text
for a pipe or a file has no escape codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BRAILLE = "braille"
"""Lines of dots, two columns and four rows to a character."""


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A line to draw; its label, if any, is one character, put on it where it passes the middle."""

    x: Sequence[float]
    y: Sequence[float]
    label: str = ""
    color: str = "cyan"


def terminal_chart(
    curves: Sequence[ChartLine],
    *,
    width: int,
    height: int,
    vertical: float | None = None,
    horizontal: float | None = None,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    marker: str = BRAILLE,
    color: bool = False,
) -> str:
    """Draws curves, a later one over an earlier one, in so many characters and lines, axes and numbers among them.

    The width is never more than the terminal's. There may be a dotted line at an x (`vertical`) and a y. Axes end by
    default where the points do. `marker` is `BRAILLE`, or a character for each point, which are not joined then;
    `color` lets escape codes colour the lines.
    """
    import plotext

    drawn = plotext.figure
    drawn.clear()
    drawn.theme("simple")
    drawn.plot_size(width, height)
    for position, orientation in ((vertical, 1), (horizontal, 0)):
        if position is not None:
            drawn.line(position, orientation=orientation, style="dotted", pixel="gray")
    for curve in curves:
        signal = drawn.signal(curve.x, curve.y, marker=plotext.marker(marker, curve.color))
        drawn.draw(signal.lines() if marker == BRAILLE else signal)
        if curve.label:
            at = _middle(curve.y)
            drawn.draw(drawn.text(curve.x[at], curve.y[at], curve.label))
    for axis, ends in ((0, x_range), (1, y_range)):
        if ends is not None:
            drawn.ruler(axis).lim(*ends)
            drawn.ruler(axis).frequency(6)
    text = str(drawn.build())
    return (text if color else str(plotext.uncolorize(text))).strip("\n")


def _middle(values: Sequence[float]) -> int:
    """The first point above the middle of a line that rises; the last one where it stays below."""
    middle = (min(values) + max(values)) / 2
    return next((i for i, value in enumerate(values) if value >= middle), len(values) - 1)
