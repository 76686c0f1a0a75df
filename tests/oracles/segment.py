"""The slow, obvious twin of `text.segment`: strings, one character at a time."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from text import segment_tables

STRONG, DOTS = set(segment_tables.STRONG), set(segment_tables.DOTS)
TERMINALS = STRONG | DOTS | set(".!?")
CLOSERS, OPENERS, MIDDLE = set(segment_tables.CLOSERS), set(segment_tables.OPENERS), set(segment_tables.MIDDLE)
_NEVER, _STARTERS = set(segment_tables.NEVER.split()), set(segment_tables.STARTERS.split())
_BEFORE_NUMBER, _BEFORE_STARTER = set(segment_tables.BEFORE_NUMBER.split()), set(segment_tables.BEFORE_STARTER.split())
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_LIST_ITEM = re.compile(
    rf"[{segment_tables.BULLETS}]|[-*+][ \t]|[0-9]{{1,3}}[.)][ \t]|[(（][0-9０-９一二三四五六七八九十百]{{1,3}}[)）]"
)
_CJK = (
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
)
_OTHER_SINGLE = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x19E0, 0x19FF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
)


@lru_cache(1 << 16)
def is_word(char: str) -> bool:
    return char != "" and unicodedata.category(char)[0] in "LMN"


@lru_cache(1 << 16)
def is_cjk(char: str) -> bool:
    return is_word(char) and any(low <= ord(char) <= high for low, high in _CJK)


@lru_cache(1 << 16)
def is_single(char: str) -> bool:
    return is_cjk(char) or is_word(char) and any(low <= ord(char) <= high for low, high in _OTHER_SINGLE)


@lru_cache(1 << 16)
def is_lower(char: str) -> bool:
    return char != "" and ord(char) < 0x2000 and unicodedata.category(char) == "Ll"


class Line:
    """One line: where it starts, what stands in it, what it is."""

    def __init__(self, start: int, text: str) -> None:
        body = text.strip()
        lead = text[: len(text) - len(text.lstrip())] if body else ""
        self.start = start
        self.blank = not body
        self.indented = _columns(lead) >= 2
        self.code_indented = sum({" ": 1, "\t": 4}.get(c, 0) for c in lead) >= 4
        self.fence = body[:3] if body[:3] in ("```", "~~~") else ""
        self.item = bool(_LIST_ITEM.match(text[len(lead) :]))
        self.code_like = any(c in segment_tables.CODE_CHARS for c in body)
        self.lower = is_lower(body[:1])
        self.cjk = is_cjk(body[:1])
        self.width = _columns(text.rstrip())
        self.block = -1

    @property
    def prose(self) -> bool:
        return not self.blank and self.block < 0


def _columns(text: str) -> int:
    indent = len(text) - len(text.lstrip())
    return sum(4 if c == "\t" and i < indent else 2 if ord(c) >= 0x2E80 else 1 for i, c in enumerate(text))


def lines_of(text: str) -> list[Line]:
    """The lines with their code blocks numbered."""
    starts = [0, *(m.end() for m in _BREAK.finditer(text))]
    ends = [*(m.start() for m in _BREAK.finditer(text)), len(text)]
    lines = [Line(a, text[a:z]) for a, z in zip(starts, ends, strict=True) if a < len(text)]
    k = 0
    while k < len(lines):
        line = lines[k]
        size = 0
        if line.fence:
            closing = [j for j in range(k + 1, len(lines)) if lines[j].fence == line.fence]
            size = closing[0] - k + 1 if closing else 0
        elif line.code_indented and (k == 0 or not lines[k - 1].prose):
            run = k
            while run < len(lines) and (lines[run].blank or lines[run].code_indented) and not lines[run].fence:
                run += 1
            while lines[run - 1].blank:
                run -= 1
            filled = [x for x in lines[k:run] if not x.blank]
            if 2 * sum(x.code_like for x in filled) < len(filled):
                k = run
                continue
            size = run - k
        for j in range(k, k + size):
            lines[j].block = k
        k += max(size, 1)
    return lines


def joined_lines(lines: list[Line]) -> set[int]:
    """The indexes of lines that go on with the paragraph of the line before them."""
    inner: list[int] = []
    in_item = False
    for k, line in enumerate(lines):
        before = lines[k - 1] if k else None
        goes_on = before is not None and before.prose and line.prose and not line.item
        if goes_on and line.indented and not in_item:
            assert before is not None
            goes_on = before.indented and before.width >= 40
        if goes_on and before is not None:
            goes_on = before.width >= 40 or line.lower
        if goes_on:
            inner.append(k)
        else:
            in_item = line.item
    prose = sum(line.prose for line in lines)
    if len(inner) < 3 or 3 * len(inner) < prose or prose - len(inner) < 2:
        return set()
    widths = [lines[k - 1].width for k in inner]
    widest = max([w for w in widths if w <= 90], default=0)
    flowing = sum(
        lines[k].lower or (lines[k].cjk and widest - 4 <= w <= 90) for k, w in zip(inner, widths, strict=True)
    )
    if 4 * sum(not 40 <= w <= 90 for w in widths) > len(inner) or 2 * flowing < len(inner):
        return set()
    return set(inner)


def starts(text: str, want_sentences: bool) -> list[int]:
    """The byte offsets of a document's paragraphs or sentences."""
    found: list[int] = []
    lines = lines_of(text)
    joined = joined_lines(lines)
    for k, line in enumerate(lines):
        if line.blank:
            continue
        if line.block >= 0:
            if want_sentences or line.block == k:
                found.append(line.start)
            continue
        if k in joined:
            continue
        found.append(line.start)
        after = k + 1
        while after in joined:
            after += 1
        if want_sentences and not line.item:
            found += cuts(text, line.start, lines[after].start if after < len(lines) else len(text))
    if text:
        found[:1] = [0]
    return [len(text[:i].encode()) for i in found]


def cuts(text: str, begin: int, end: int) -> list[int]:
    """Where the sentences behind the first of `text[begin:end]` start."""
    text = text[:end]
    found: list[int] = []
    i = begin
    quoted = False
    while i < end:
        if text[i] == '"':
            quoted = not quoted
        if text[i] not in TERMINALS:
            i += 1
            continue
        at = i
        run = closer = ""
        while i < end:
            char, following = text[i], text[i + 1 : i + 2]
            if char in TERMINALS:
                run += char
                closer = ""
            elif char in CLOSERS and (char not in "\"'" or (char == '"' and quoted) or not is_word(following)):
                closer = char
                quoted ^= char == '"'
            else:
                break
            i += 1
        after = i + len(text[i:]) - len(text[i:].lstrip())
        if after < end and _is_end(text, begin, at, run, closer, i, after):
            found.append(after)
            begin = i = after
    return found


def _is_end(text: str, begin: int, at: int, run: str, closer: str, i: int, after: int) -> bool:
    before = text[at - 1] if at > begin else ""
    following = text[after]
    spaced = after > i
    if following in MIDDLE:
        return False
    if run == "．":
        letter = not spaced and is_word(following) and not is_single(following)
        return not letter and not (before and unicodedata.category(before)[0] == "N")
    if set(run) & STRONG or sum(c in DOTS for c in run) >= 2:
        return not (closer in ("》", "〉") and not spaced and is_word(following))
    if not spaced:
        return is_cjk(following) and bool(set(run) & set("!?") or (run == "." and is_single(before)))
    word = text[after:].lstrip("".join(OPENERS))
    if is_lower(word[:1]) or (not word and is_lower(text[-1])):
        return False
    return run != "." or closer != "" or not _is_abbreviation(text[begin:at], word)


def _is_abbreviation(before: str, following: str) -> bool:
    match = re.search(r"[A-Za-z0-9.]{0,24}$", before)
    assert match
    token = match.group()
    ahead = before[: match.start()]
    starter = re.match("[A-Za-z]*", following).group() in _STARTERS  # type: ignore[union-attr]
    if not token or (is_word(ahead[-1:]) and not is_single(ahead[-1:])):
        return False
    if re.fullmatch("[0-9]{1,3}|[A-Za-z]", token) and not ahead.strip():
        return True
    if token.lower() in _NEVER:
        return True
    if token.lower() in _BEFORE_NUMBER:
        return bool(re.match("[0-9]", following))
    initial = re.fullmatch("[A-HJ-Z]", token)
    acronym = re.fullmatch(r"(?=.*\.)[A-Za-z]{0,2}(\.[A-Za-z]{0,2})*", token)
    return bool(token.lower() in _BEFORE_STARTER or initial or acronym) and not starter
