"""Slow, obvious twins of the kernels: what the fast code must equal."""

from __future__ import annotations

import re
import unicodedata

_SINGLE = (
    (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3038, 0x303C), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF), (0x20000, 0x3FFFF), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F),
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x19E0, 0x19FF), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),
)  # fmt: skip


def tokens(text: str) -> list[str]:
    """Tokens of a text by DESIGN's definition, one Python character at a time."""
    found: list[str] = []
    word = ""
    for char in unicodedata.normalize("NFKC", text).lower():
        is_word = unicodedata.category(char)[0] in "LMN"
        single = is_word and any(low <= ord(char) <= high for low, high in _SINGLE)
        if word and (single or not is_word):
            found.append(word)
            word = ""
        if single:
            found.append(char)
        elif is_word:
            word += char
    return [*found, word] if word else found


def shingles(text: str, n: int = 5) -> set[tuple[str, ...]]:
    """The set of token n-grams; a text of fewer tokens is one shingle, an empty one none."""
    words = tokens(text)
    if not words:
        return set()
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def jaccard(a: str, b: str) -> float:
    """Similarity as DESIGN defines it; two texts without tokens have none."""
    x, y = shingles(a), shingles(b)
    return len(x & y) / len(x | y) if x | y else 0.0


def exact_form(text: str) -> str:
    """What "exact" compares: NFC, white space collapsed, ends stripped."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text), flags=re.UNICODE).strip()
