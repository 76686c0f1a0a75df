"""The slow, obvious twin of `filters.lines.features`: Python's strings and its own regular expressions."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

from filters.character_marks import CLOSERS, LINE_TERMINALS
from filters.lines import features as f
from filters.lines.phrases import BOILERPLATE, COUNTER, JAVASCRIPT, POLICY, ZH_BOILERPLATE, ZH_COUNTER
from filters.lines.thresholds import STORE_UPPER_RATIO, STORE_WORDS
from tests.oracles.segment import is_cjk, is_word

_LINE = re.compile("(.*?)(\r\n|[\n\r\x85\u2028\u2029]|$)", re.DOTALL)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """RE2's dialect: \\d, \\s and \\W are of ASCII; Python has no \\pL and \\pN."""
    runs = groupby(range(0x110000), key=lambda c: unicodedata.category(chr(c))[0] in "LN")
    ranges = [list(run) for is_letter, run in runs if is_letter]
    wide = "".join(f"\\U{run[0]:08x}-\\U{run[-1]:08x}" for run in ranges)
    return re.compile(pattern.replace(r"[^\pL\pN]", f"[^{wide}]"), re.ASCII)


def _is_ended(line: str, chinese: bool) -> bool:
    if chinese:
        return line.rstrip("".join(CLOSERS))[-1:] in tuple(LINE_TERMINALS)
    return line.endswith((".", "!", "?", '"', "'", "”", "’")) and not line.endswith("...")


def _category(char: str) -> str:
    return unicodedata.category(char) if ord(char) < 0x32400 or is_word(char) else "Cn"


def lines(text: str) -> tuple[list[tuple[Any, ...]], int]:
    """(start, end, words, upper ratio, flags) of each line that a rule could cut; the words of all lines."""
    found, total, fenced, at = [], 0, False, 0
    for match in _LINE.finditer(text):
        start, at = at, at + len(match.group().encode())
        line = match.group(1).strip()
        if not line:
            continue
        letters = [c for c in line if _category(c)[0] == "L"]
        solid = [c for c in line if is_word(c)]
        cjk = sum(map(is_cjk, line))
        chinese = cjk > 0 and 10 * cjk >= 3 * len(solid)
        words = cjk if chinese else len(line.split())
        total += words
        if line.startswith("```"):
            fenced = not fenced
            continue
        if fenced:
            continue
        upper = np.float32(sum(_category(c) in ("Lu", "Lt") for c in letters) / max(len(letters), 1))
        short = len(line.encode()) <= 160 and words <= STORE_WORDS
        flags = [
            (f.NO_TERMINAL, not _is_ended(line, chinese)),
            (f.LONG_WORD, max(map(len, line.split())) > f.MAX_WORD_CHARS),
            (f.NUMERIC, not letters and any(_category(c)[0] == "N" for c in line)),
            (f.HAS_JAVASCRIPT, bool(_compiled(JAVASCRIPT).search(line))),
            (f.HAS_POLICY, bool(_compiled(POLICY).search(line))),
            (f.IS_COUNTER, short and bool(_compiled(ZH_COUNTER if chinese else COUNTER).search(line))),
            (f.IS_BOILERPLATE, short and bool(_compiled(ZH_BOILERPLATE if chinese else BOILERPLATE).search(line))),
        ]
        bits = sum(flag for flag, up in flags if up)
        if bits or words <= STORE_WORDS or upper > STORE_UPPER_RATIO:
            found.append((start, at, words, upper, bits | (f.CHINESE if chinese else 0)))
    return found, total
