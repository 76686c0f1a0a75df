"""The slow, obvious twin of `filters.heuristic.features`: strings, lists and counters."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np

from filters.character_marks import CLOSERS, LINE_BULLETS, LINE_TERMINALS, STOP_WORDS, STOPS
from filters.heuristic.counting import LONG_LINE_CHARS, SHORT_CJK_LINE_CHARS, SHORT_LINE_CHARS
from filters.heuristic.features import CJK, COUNTS, FEATURES, OTHER, SPACED
from tests.oracles.segment import is_cjk, is_single, is_word

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def _category(char: str) -> str:
    return unicodedata.category(char)[0] if ord(char) < 0x32400 or is_word(char) else "C"


def _duplicates(items: list[str], sizes: list[int], chars: int) -> tuple[float, float]:
    again = [k for k, item in enumerate(items) if item in items[:k]]
    return len(again) / max(len(items), 1), sum(sizes[k] for k in again) / max(chars, 1)


def _top(units: list[str], size: int, glue: str, n: int) -> int:
    """Characters of the commonest gram, times its count; a unit of two tokens is glued without a space."""
    grams = [tuple(units[i : i + size]) for i in range(len(units) - size + 1)]
    if not grams:
        return 0
    gram, count = Counter(grams).most_common(1)[0]
    return 0 if count == 1 else count * (len("".join(gram)) + len(glue) * (n - 1))


def _repeated(units: list[str], size: int) -> int:
    seen: set[tuple[str, ...]] = set()
    i = chars = 0
    while i + size <= len(units):
        gram = tuple(units[i : i + size])
        if gram in seen:
            chars += len("".join(gram))
            i += size
        else:
            seen.add(gram)
            i += 1
    return chars


def _units(text: str, words: list[str]) -> tuple[list[str], int]:
    """The units of n-grams, and how many of them make one."""
    of_words = [c for c in text if is_word(c)]
    if not of_words or 10 * sum(map(is_single, of_words)) < 3 * len(of_words):
        return words, 1
    spread = "".join(f" {c} " if is_single(c) else c if is_word(c) else " " for c in text)
    return spread.split(), 2


def _is_terminal(line: str) -> bool:
    return line.rstrip("".join(CLOSERS))[-1:] in tuple(LINE_TERMINALS)


def sentences_in(line: str) -> int:
    """Sentence ends in a line, and one more if text is left behind the last."""
    found, is_open = 0, False
    for word in line.split():
        for char in word:
            if char in STOPS:
                found, is_open = found + is_open, False
            elif char not in CLOSERS:
                is_open = True
        core = word.rstrip("".join(CLOSERS))
        is_initial = re.search(r"(?:^|[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f])[A-Za-z][.]$", core)
        if is_open and core[-1:] in tuple(".!?…") and not is_initial:
            found, is_open = found + 1, False
    return found + is_open


def _foreign_run(text: str) -> int:
    return max(map(len, "".join("中" if is_cjk(c) else "x" for c in text).split("中")))


def features(text: str) -> dict[str, int | np.float32]:
    """Every feature of one document."""
    chars = len(text)
    solid = max(sum(not c.isspace() for c in text), 1)
    words = text.split()
    real = [w for w in words if any(_category(c) not in "PS" for c in w)]
    of_words = [c for c in text if is_word(c)]
    letters = [c for c in of_words if _category(c) == "L"]
    latin = [c for c in letters if ord(c) < 0x250 or 0x1E00 <= ord(c) < 0x1F00]
    cjk = sum(map(is_cjk, text))
    lines = [line.strip() for line in _BREAK.split(text)]
    blocks = [b.strip("\n").split("\n") for b in re.split("\n{2,}", "\n".join(lines).strip("\n")) if b]
    filled = [line for line in lines if line]
    n_lines, n_words = max(len(filled), 1), max(len(words), 1)
    is_cjk_text = bool(of_words) and 10 * cjk >= 3 * len(of_words)
    trimmed = {re.sub("^[\x00-\x40\x5b-\x60\x7b-\x7f]+|[\x00-\x40\x5b-\x60\x7b-\x7f]+$", "", w) for w in words}
    terminal = [line for line in filled if _is_terminal(line) or set(line) & set(STOPS)]
    units, step = _units(text, words)
    found: dict[str, float] = {
        "profile": CJK if is_cjk_text else SPACED if 2 * len(latin) >= len(letters) else OTHER,
        "chars": chars,
        "text_chars": sum(not c.isspace() for c in text),
        "words": len(real),
        "lines": len(filled),
        "stop_words": len({w.lower() for w in trimmed if w.isascii()} & set(STOP_WORDS)),
        "sentences": sum(map(sentences_in, filled)),
        "cjk_chars": cjk,
        "foreign_run": _foreign_run(text),
        "long_lines": sum(len(line) >= LONG_LINE_CHARS for line in filled),
        "lorem_ipsum": len(re.findall("lorem ipsum", text, re.IGNORECASE | re.ASCII)),
        "curly_brackets": text.count("{"),
        "mean_word_chars": sum(map(len, real)) / max(len(real), 1),
        "symbol_word_ratio": max(text.count("#"), text.count("...") + text.count("…")) / n_words,
        "bullet_line_ratio": sum(line[0] in LINE_BULLETS for line in filled) / n_lines,
        "ellipsis_line_ratio": sum(line.endswith(("...", "…")) for line in filled) / n_lines,
        "alpha_word_ratio": sum(any(_category(c) == "L" for c in w) for w in words) / n_words,
        "cjk_ratio": cjk / solid,
        "punctuation_ratio": sum(_category(c) == "P" for c in text) / solid,
        "digit_ratio": sum(_category(c) == "N" for c in text) / solid,
        "terminal_line_ratio": sum(line[-1] in LINE_TERMINALS.replace("…", "") for line in filled) / n_lines,
        "terminal_line_char_ratio": sum(map(len, terminal)) / max(sum(map(len, filled)), 1),
        "mean_line_chars": sum(map(len, filled)) / n_lines,
        "short_line_ratio": sum(
            len(line) <= (SHORT_CJK_LINE_CHARS if is_cjk_text else SHORT_LINE_CHARS) for line in filled
        )
        / n_lines,
        "line_break_word_ratio": (len(lines) - 1) / n_words,
    }
    for name, items, sizes in (
        ("line", filled, list(map(len, filled))),
        ("paragraph", ["\n".join(b) for b in blocks], [sum(map(len, b)) for b in blocks]),
    ):
        found[f"dup_{name}_ratio"], found[f"dup_{name}_char_ratio"] = _duplicates(items, sizes, chars)
    found["dup_line_own_char_ratio"] = _duplicates(filled, list(map(len, filled)), sum(map(len, filled)))[1]
    for n in range(2, 5):
        found[f"top_{n}gram_char_ratio"] = _top(units, n * step, " " if step == 1 else "", n) / max(chars, 1)
    for n in range(5, 11):
        found[f"dup_{n}gram_char_ratio"] = _repeated(units, n * step) / max(chars, 1)
    return {name: int(found[name]) if name in COUNTS else np.float32(found[name]) for name in FEATURES}
