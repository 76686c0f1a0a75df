"""How numbers and texts are written for people, and values for JSON.

Texts come from the web: what a terminal would take for a command is replaced before it is printed, and every id leaves
as a string, because a 63-bit number does not survive a JSON reader that thinks in doubles.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 110
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def console() -> Console:
    """The console for results: as wide as the terminal, and wide enough for a table where there is none."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=max(screen.width, PIPE_WIDTH))


def grid(left: Iterable[str], right: Iterable[str] = (), **settings: Any) -> Table:
    """A table without lines: columns of text, then of numbers, none of which is broken."""
    table = Table(box=None, padding=(0, 1), title_justify="left", caption_justify="left", **settings)
    for name in left:
        table.add_column(name, no_wrap=True)
    add_numbers(table, right)
    return table


def add_numbers(table: Table, names: Iterable[str]) -> None:
    """Adds columns of numbers."""
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def size(number: int) -> str:
    """Bytes in decimal units, three figures: "24.2 MB"."""
    scaled, unit = float(number), 0
    while abs(scaled) >= 999.5 and unit < 5:
        scaled, unit = scaled / 1000, unit + 1
    names = ("B", "kB", "MB", "GB", "TB", "PB")
    return f"{number} B" if unit == 0 else f"{scaled:.{max(0, 2 - int(math.log10(abs(scaled))))}f} {names[unit]}"


def share(part: float, whole: float) -> float:
    """A part as a percentage of the whole; 0 where there is no whole."""
    return 100.0 * part / whole if whole else 0.0


def removed(percentage: float) -> str:
    """A percentage taken away: "−29.89 %", or a dash for nothing."""
    return f"−{percentage:.2f} %" if percentage >= 0.005 else ("−0.00 %" if percentage > 0 else "–")


def clean(text: str) -> str:
    """The text with "�" for control characters and changes of writing direction, which a terminal would act on."""
    if text.isprintable():
        return text
    return "".join("�" if _obeyed(c) else c for c in text.replace("\r\n", "\n"))


def _obeyed(character: str) -> bool:
    if character in _DIRECTIONS:
        return True
    return unicodedata.category(character) == "Cc" and character not in "\n\t"


def one_line(text: str, chars: int) -> str:
    """The beginning of a text on one line, white space collapsed, with "…" where it goes on."""
    flat = " ".join(clean(text[: 4 * chars]).split())
    return flat if len(flat) <= chars and len(text) <= 4 * chars else flat[: chars - 1].rstrip() + "…"
