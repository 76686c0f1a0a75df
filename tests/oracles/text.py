"""Slow, obvious twins of the kernels: what the fast code must equal."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SINGLE = (
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3038, 0x303C),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
    (0x3041, 0x30FF),
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1B16F),
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x19E0, 0x19FF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
)


@lru_cache(1 << 16)
def is_word(char: str) -> bool:
    """Whether a character is part of a token: a letter, a mark or a number."""
    return unicodedata.category(char)[0] in "LMN"


@lru_cache(1 << 16)
def stands_alone(char: str) -> bool:
    """Whether a character is a token by itself, before any folding."""
    return is_word(char) and any(low <= ord(char) <= high for low, high in _SINGLE)


def tokens(text: str, signs: bool = False) -> list[str]:
    """Tokens of a text by docs/design/principles.md's definition, one Python character at a time."""
    found: list[str] = []
    word = ""
    folded = fold(text)
    for i, char in enumerate(folded):
        single = stands_alone(char)
        if word and (single or not is_word(char)):
            found.append(word)
            word = ""
        if single:
            found.append(char)
        elif is_word(char):
            word += char
        elif signs and is_sign(folded, i):
            found.append("-" if char in "−–" else char)
    return [*found, word] if word else found


_CURRENCY = "[$\u00a2-\u00a5\u20a0-\u20cf\u0e3f]"
_NUMERIC = rf"{_CURRENCY}?\.?d"
_NO_SIGN = rf"(?:[dam]|ds{{1,3}}|ds{{0,3}}{_CURRENCY}|[)\]}}+\-−–%./_\\°‰])\Z"
_MATHEMATICS = "[\u2200-\u22ff]"
_ORNAMENTS = "∎∗∘∙∣∥∶∷∼∽⋄⋅⋆⋮⋯⋰⋱"
_COMPARISONS = ("<", ">", "=", "<=", ">=", "==", "!=", "<>")


def _classes(text: str) -> str:
    """Each character of words as one of d (number), s (by itself), a (letter), m (mark); the others as they are."""
    kinds = {"N": "d", "L": "a", "M": "m"}
    return "".join(("s" if stands_alone(c) else kinds[unicodedata.category(c)[0]]) if is_word(c) else c for c in text)


def is_sign(text: str, i: int) -> bool:
    """Whether the sign at `text[i]`, which is folded, is a token: the rules of `text.signs`, as patterns."""
    char, left, right = text[i], _classes(text[max(0, i - 6) : i]), _classes(text[i + 1 : i + 7])
    mathematics = bool(re.match(_MATHEMATICS, char)) and char not in _ORNAMENTS and char != "−"
    if not mathematics and char not in "!$%*+-/<=>^¬±×÷–‰−" and unicodedata.category(char) != "Sc":
        return False
    compares = char in "<=>!"
    if not compares and char in (left[-1:], right[:1]):
        return False
    if compares:
        before, after = re.findall(r"[<=>!]*\Z", left)[0], re.findall("^[<=>!]*", right)[0]
        if before + char + after not in _COMPARISONS:
            return False
        left, right = left[: len(left) - len(before)], right[len(after) :]
    number_sign = char in "-−–+" and re.match(_NUMERIC, right) and not re.search(_NO_SIGN, left)
    spaced = left[-1:] == " ", right[:1] == " "
    near, far = left.removesuffix(" ") if spaced[0] else left, right[1:] if spaced[1] else right
    if char in "%‰":
        return near[-1:] == "d"
    if unicodedata.category(char) == "Sc":
        return near[-1:] == "d" or bool(re.match(rf"[-+−]?{_NUMERIC}", far))
    if number_sign or char == "–":
        return bool(number_sign)
    if char == "±":
        return bool(re.match(_NUMERIC, far))
    if char == "√":
        return bool(re.match(r"[([{dam]", right))
    if mathematics or char == "¬":
        return near[-1:] in tuple("dsam") or far[:1] in tuple("dsam")
    ends = r"[)\]}%dsam]\Z" if compares else r"(?:[)\]}%d]|(?<![dsam'’])a)\Z"
    word = "[dsam]" if compares else "(?:d|a(?![dsam'’]))"
    inner = f"[{''.join(chr(c) for c in range(0x2200, 0x2300) if chr(c) not in _ORNAMENTS + '−')}]"
    if not re.search(ends, near) or not re.match(
        rf"[(\[{{]|[-+−]{_NUMERIC}|(?=\.|{_CURRENCY}){_NUMERIC}|{inner}|{word}", far
    ):
        return False
    numbers = near[-1:] == "d", bool(re.match(_NUMERIC, far))
    if char in "×÷":
        return True
    if char == "^":
        return not any(spaced)
    if char in "-−":
        return all(spaced) and not all(numbers)
    if spaced[0] != spaced[1]:
        return compares and any(numbers)
    return not (char == "/" and (re.search(r"/[dsam]*\Z", near) or re.match("[dsam]*/", far)))


@lru_cache(512)
def shingles(text: str, n: int = 5) -> frozenset[tuple[str, ...]]:
    """The set of token n-grams; a text of fewer tokens is one shingle, an empty one none."""
    words = tokens(text, signs=True)
    return frozenset(tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1)) if words)


def jaccard(a: str, b: str) -> float:
    """Similarity as docs/design/principles.md defines it; two texts without tokens have none."""
    x, y = shingles(a), shingles(b)
    return len(x & y) / len(x | y) if x | y else 0.0


def exact_form(text: str) -> str:
    """What "exact" compares: NFC, white space collapsed, ends stripped."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text), flags=re.UNICODE).strip()


def fold(text: str) -> str:
    """What tokens are made of: NFKC, lower case, without what shows nothing."""
    return unicodedata.normalize("NFKC", "".join(c for c in text if not is_hidden(c))).lower()


def is_hidden(char: str) -> bool:
    """Unicode's Default_Ignorable_Code_Point, by the rule that DerivedCoreProperties.txt states at its head."""
    point = ord(char)
    others = (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0)
    if point in others or 0xFFF0 <= point <= 0xFFF8 or 0xE0000 <= point <= 0xE0FFF:
        return True
    if 0xFE00 <= point <= 0xFE0F or 0x180B <= point <= 0x180F:  # variation selectors
        return True
    excepted = 0xFFF9 <= point <= 0xFFFB or 0x13430 <= point <= 0x1345F or 0x0600 <= point <= 0x0605
    excepted |= point in (0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD)  # they show
    return unicodedata.category(char) == "Cf" and not excepted


def fasttext_hash(word: str) -> int:
    """fastText's word hash: FNV-1a, 32 bits, each byte widened as a *signed* char (fastText, dictionary.cc, hash)."""
    h = 2166136261
    for byte in word.encode("utf-8"):
        signed = byte - 256 if byte > 127 else byte
        h = ((h ^ (signed & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
    return h


Edit = tuple[int, int, bytes | None]
"""(start, end, replacement) in the stored text; None is a cut."""


def later_edits(old: list[Edit], new: list[Edit]) -> list[Edit]:
    """Edits of one document after one more stage: a new edit takes away the old ones that lie in it."""
    left = [o for o in old if not any(n[0] <= o[0] and o[1] <= n[1] for n in new)]
    return sorted(left + new, key=lambda edit: edit[:2])


def view_pieces(stored: bytes, edits: list[Edit]) -> list[tuple[int, int, int]]:
    """The view, byte by byte: (the byte, start and end of what it stands for in the stored text)."""
    pieces = []
    position = 0
    while position < len(stored):
        edit = next((e for e in edits if e[0] == position), None)
        if edit is None:
            pieces.append((stored[position], position, position + 1))
            position += 1
        else:
            pieces += [(byte, edit[0], edit[1]) for byte in edit[2] or b""]
            position = edit[1]
    return pieces


def stored_span(pieces: list[tuple[int, int, int]], start: int, end: int) -> tuple[int, int]:
    """Where a span of the view (not an empty one) lies in the stored text, as tightly as can be."""
    return min(p[1] for p in pieces[start:end]), max(p[2] for p in pieces[start:end])
