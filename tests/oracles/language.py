"""The slow, obvious twin of `filters.language.scripts` and `detect`: regular expressions by script name."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import regex

from filters.language.detect import LINE_LETTERS, LINE_SCORE
from filters.language.rules import HARDLY, MOST, SURE
from filters.language.scripts import LANGUAGES, NAMES

Probabilities = Callable[[str], dict[str, float]]
"""A model's probability of each language for a text."""
_BREAK = regex.compile("\r\n|[\n\r\x85\u2028\u2029]")


@cache
def script_of(char: str) -> str | None:
    """The name in `NAMES`, "other" for other letters, None for what is no letter."""
    if unicodedata.category(char)[0] != "L" or ord(char) >= 0x32400:
        return None
    if char in "\u30fc\uff70" or regex.match(r"[\p{Script=Hiragana}\p{Script=Katakana}]", char):
        return "kana"
    return next((n for n in NAMES if n != "kana" and regex.match(rf"\p{{Script={n}}}", char)), "other")


def letters(text: str) -> Counter[str]:
    """UTF-8 bytes of letters by script."""
    found: Counter[str] = Counter()
    for char in text:
        if (script := script_of(char)) is not None:
            found[script] += len(char.encode())
    return found


def main_script(text: str) -> tuple[str | None, float]:
    """The script of most letters, and its share."""
    counts = letters(text)
    total = sum(counts.values())
    both = counts.pop("han", 0) + (kana := counts.pop("kana", 0))
    if both:
        counts["kana" if 10 * kana >= both else "han"] = both
    if not total:
        return None, 0.0
    order = [*NAMES, "other"]
    best = max(counts, key=lambda name: (counts[name], -order.index(name)))
    return best, counts[best] / total


def lines(text: str) -> list[str]:
    """With their breaks."""
    found, at = [], 0
    for match in _BREAK.finditer(text):
        found.append(text[at : match.end()])
        at = match.end()
    return [*found, text[at:]] if at < len(text) else found


def judge(text: str, probabilities: Probabilities) -> tuple[str, float]:
    """Language and score of a text that has a letter."""
    found = probabilities(_BREAK.sub(" ", text))
    script, share = main_script(text)
    languages = LANGUAGES[script].split() if script in LANGUAGES and share >= MOST else sorted(found)
    if len(languages) == 1:
        return languages[0], share
    if languages == ["zh", "ja", "yue", "wuu"]:
        chinese_only = any(script_of(c) == "han" and not c.encode("cp932", "ignore") for c in text)
        others = languages[2:] if chinese_only else languages[1:]
        other = max(others, key=lambda code: found.get(code, 0.0))
        p = found.get(other, 0.0)
        p = p if p >= np.exp(HARDLY) else 0.0
        return (other, p) if p >= SURE else ("zh", share * (1 - p))
    best = max(languages, key=lambda code: found.get(code, 0.0))
    return best, min(1.0, found.get(best, 0.0))


def judge_line(line: str, probabilities: Probabilities) -> tuple[str, float]:
    """The same for a line, which may be too short or too doubtful."""
    if sum(letters(line).values()) < LINE_LETTERS:
        return "und", 0.0
    code, score = judge(line, probabilities)
    return (code, score) if score >= LINE_SCORE else ("und", 0.0)


def detect(text: str, probabilities: Probabilities) -> tuple[str, float, float | None, str | None]:
    """Language, score, share of its lines and second language of a text that is read whole."""
    if not letters(text):
        return "und", 0.0, None, None
    code, score = judge(text, probabilities)
    told: Counter[str] = Counter()
    for line in lines(text):
        told[judge_line(line, probabilities)[0]] += sum(letters(line).values())
    told.pop("und", None)
    told = +told
    second = max((c for c in told if c != code), key=lambda c: told[c], default=None)
    return code, score, told[code] / sum(told.values()) if told else None, second
