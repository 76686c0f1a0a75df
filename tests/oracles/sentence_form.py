"""The slow, obvious twin of `filters.quality.form`: Python strings and `unicodedata`."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata

from tests.oracles.text import stands_alone
from text.segment_tables import CLOSERS

MARKS = {
    "commas": ",，、،",
    "exclamations": "!！",
    "questions": "?？",
    "ellipses": "…～~",
    "quotes": '"“”«»「」『』《》〈〉',
    "brackets": "()[]{}（）【】〔〕［］",
    "slashes": "/\\|｜／",
    "signs": "@#*_+=^<>$%&•·★☆◆●■►→",
    "apostrophes": "'’",
}
STOPS, COLONS = ".。｡!！?？…", ":：;；"


def is_kind(char: str, kinds: str) -> bool:
    """Whether a character's category begins with one of these."""
    return unicodedata.category(char)[0] in kinds


def form(text: str) -> dict[str, float]:
    """`FEATURES` by name; empty for white space alone."""
    chars = [c for c in text if not c.isspace()]
    if not chars:
        return {}
    spaced = "".join(c if is_kind(c, "LMN") and not stands_alone(c) else " " for c in text)
    words = spaced.split()
    singles = sum(map(stands_alone, chars))
    count, said = max(1, len(words)), max(1, len(words) + singles)
    runs = [len(list(group)) for c, group in itertools.groupby(text) if not c.isspace()]
    plain = [c for c in chars if c not in CLOSERS + "'" or c in STOPS]
    first, last = chars[0], plain[-1] if plain else chars[0]
    upper = ("Lu", "Lt")
    found = {
        "log_chars": math.log1p(len(chars)),
        "log_tokens": math.log1p(len(words) + singles),
        "share_upper": sum(unicodedata.category(c) in upper for c in chars)
        / max(1, sum(is_kind(c, "L") for c in chars)),
        "share_digit": sum(is_kind(c, "N") for c in chars) / len(chars),
        "share_mark": sum(is_kind(c, "P") for c in chars) / len(chars),
        "share_symbol": sum(is_kind(c, "S") for c in chars) / len(chars),
        "share_single": singles / len(chars),
        "word_length": sum(map(len, words)) / count,
        "longest_word": math.log1p(max(map(len, words), default=0)),
        "one_letter_words": sum(len(w) == 1 for w in words) / count,
        "capital_words": sum(unicodedata.category(w[0]) in upper for w in words) / count,
        "shouted_words": sum(len(w) > 1 and all(unicodedata.category(c) in upper for c in w) for w in words) / count,
        "doubled_marks": sum(a == b and is_kind(a, "P") for a, b in itertools.pairwise(text)) / said,
        **{name: sum(c in marks for c in chars) / said for name, marks in MARKS.items()},
        "longest_run": math.log1p(max(runs)),
        "inner_breaks": math.log1p(re.sub(r"^\s+|\s+$", "", text).count("\n")),
        "starts_upper": float(unicodedata.category(first) in upper),
        "starts_lower": float(
            is_kind(first, "L") and unicodedata.category(first) not in upper and not stands_alone(first)
        ),
        "starts_digit": float(is_kind(first, "N") and not stands_alone(first)),
        "starts_single": float(stands_alone(first)),
        "starts_mark": float(is_kind(first, "PS")),
        "ends_stop": float(last in STOPS),
        "ends_colon": float(last in COLONS),
        "ends_mark": float(is_kind(last, "PS") and last not in STOPS + COLONS),
        "ends_word": float(is_kind(last, "LM")),
        "ends_digit": float(is_kind(last, "N")),
    }
    return found
