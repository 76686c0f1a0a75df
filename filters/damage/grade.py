"""How good a copy of a text is, by what it says: its own sentences count for it, strange ones and damage against it.

`merit` is in hundredths of a token. A piece of n tokens that is surely the text's own adds 100·n, one that surely is a
notice or a reader's remark takes 100·`STRANGE`·n, others lie between: so that a longer copy wins by sentences like the
others, and loses by a banner. Each mark of damage costs something. Of one text and its longer copy all that they share
counts for both, so that the difference decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filters.damage import read
from filters.damage.read import PIECE_PLACES, read_document
from filters.damage.tables import damage_tables
from tamis.kernels import kernel
from text.arrow import TextColumn

RULE = 1
"""Raised when the same text is graded otherwise."""
FEATURES = 20
STRANGE = 3.0
"""How many of its own tokens a text loses for one that is surely strange."""


PARTS = ("text", "strange", *read.SEEN)
"""What a merit is the sum of: tokens of the text's own, strange ones, and each mark of damage."""


@dataclass(frozen=True, slots=True)
class Graded:
    """What `grade` found of n texts."""

    parts: npt.NDArray[np.int32]  # [n, len(PARTS)], hundredths of a token; what counts against a text is negative
    tokens: npt.NDArray[np.int32]  # [n]

    @property
    def merit(self) -> npt.NDArray[np.int64]:
        """The merit of each text, int64[n], in hundredths of a token."""
        return self.parts.sum(axis=1, dtype=np.int64)


@kernel
def describe(piece, line_tokens, usual, out):  # type: ignore[no-untyped-def]
    """The features of a piece, float64[FEATURES]; `usual` is the length of a line of the document, in tokens."""
    tokens = max(1, piece[read.TOKENS])
    words = max(1, piece[read.LETTERS])
    chinese = 1.0 if 2 * piece[read.HANS] > tokens else 0.0
    out[0] = 1.0
    out[1] = chinese
    out[2] = np.log2(1.0 + tokens)
    out[3] = 0.0 if piece[read.ENDED] else 1.0
    out[4] = min(6.0, piece[read.NOTICES]) / np.sqrt(1.0 + tokens / 20.0)
    out[5] = min(6.0, piece[read.REMARKS]) / np.sqrt(1.0 + tokens / 20.0)
    out[6] = min(1.0, 4.0 * piece[read.PERSONS] / tokens)
    out[7] = min(2.0, piece[read.EXCLAIMS])
    out[8] = min(1.0, 2.0 * piece[read.SIGNS] / tokens)
    out[9] = piece[read.NUMBERS] / tokens
    out[10] = 1.0 if piece[read.LOW_START] else 0.0
    out[11] = max(-5.0, min(0.0, np.log2((1.0 + line_tokens) / (1.0 + usual))))
    out[12] = piece[read.CAPITALS] / words if words > 2 else 0.3
    out[13] = min(1.0, 3.0 * piece[read.GRAMMAR] / tokens)
    out[14] = min(3.0, piece[read.CLASHES])
    out[15] = piece[read.SHOUTED] / words
    out[16] = chinese * out[2]
    out[17] = chinese * out[3]
    out[18] = chinese * out[11]
    out[19] = chinese * out[13]


WEIGHTS = np.array(
    [-2.0, -0.3, -0.25, 1.2, 0.9, 0.7, 0.8, 0.5, 0.7, 1.0, 0.6, -0.45, 0.6, -1.0, 1.5, 1.0, 0.0, 0.0, 0.0, 0.0]
)
COSTS = np.array([60, 25, 200, 150, 200, 60, 60, 5, 20, -10, 2], np.int32)
"""What a mark of damage costs, in hundredths of a token, in the order of `read.SEEN`; proper marks are worth something."""


def grade(column: TextColumn) -> Graded:
    """Grades each text of a column. Cost: some 150 MB/s."""
    tokens, parts = np.zeros(len(column), np.int32), np.zeros((len(column), len(PARTS)), np.int32)
    room = 1024
    while not _grade(column.offsets, column.data, damage_tables(), room, WEIGHTS, tokens, parts):
        room *= 8
    parts[:, 2:] *= -COSTS
    return Graded(parts, tokens)


@kernel
def usual_line(lines, n):  # type: ignore[no-untyped-def]
    """The length of the line that a token stands in, on average."""
    total, square = 0.0, 0.0
    for k in range(n):
        total += lines[k]
        square += np.float64(lines[k]) * lines[k]
    return square / total if total else 0.0


@kernel
def _grade(offsets, data, tables, room, weights, tokens, parts):  # type: ignore[no-untyped-def]
    """Writes tokens and parts, marks of damage as their number; returns False where a document has too many pieces."""
    pieces = np.zeros((room, PIECE_PLACES), np.int32)
    lines = np.zeros(room, np.int32)
    x = np.zeros(FEATURES)
    for d in range(len(tokens)):
        seen = parts[d, 2:]
        seen[:] = 0
        n, n_lines = read_document(data, offsets[d], offsets[d + 1], tables, pieces, lines, seen)
        if n < 0:
            return False
        usual = usual_line(lines, n_lines)
        count, strange = 0, 0.0
        for k in range(n):
            describe(pieces[k], lines[pieces[k, read.LINE]], usual, x)
            z = 0.0
            for f in range(FEATURES):
                z += weights[f] * x[f]
            size = pieces[k, read.TOKENS]
            strange += size / (1.0 + np.exp(-z))
            count += size
        tokens[d] = count
        parts[d, 0] = np.int32(np.round(100.0 * (count - strange)))
        parts[d, 1] = -np.int32(np.round(100.0 * STRANGE * strange))
    return True
