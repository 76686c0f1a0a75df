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
from filters.damage.weights import OWN, WEIGHTS
from tamis.kernels import kernel
from text.arrow import TextColumn

RULE = 1
"""Raised when the same text is graded otherwise."""
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
    """The features of a piece by itself, float64[OWN]; `usual` is the length of a line of the document, in tokens."""
    tokens = max(1, piece[read.TOKENS])
    words = max(1, piece[read.LETTERS])
    thin = np.sqrt(1.0 + tokens / 20.0)
    out[0] = 1.0
    out[1] = max(-5.0, min(0.0, np.log2((1.0 + line_tokens) / (1.0 + usual))))
    out[2] = np.log2(1.0 + min(tokens, 48))
    out[3] = 0.0 if piece[read.ENDED] else 1.0
    out[4] = min(6.0, piece[read.NOTICES]) / thin
    out[5] = min(6.0, piece[read.REMARKS]) / thin
    out[6] = min(1.0, 4.0 * piece[read.PERSONS] / tokens)
    out[7] = min(2.0, piece[read.EXCLAIMS])
    out[8] = piece[read.NUMBERS] / tokens
    out[9] = 1.0 if piece[read.LOW_START] else 0.0
    out[10] = piece[read.CAPITALS] / words if words > 2 else 0.3
    out[11] = min(1.0, 3.0 * piece[read.GRAMMAR] / tokens)
    out[12] = min(3.0, piece[read.CLASHES])
    out[13] = piece[read.KNOWN_TERMS] / (1.0 + piece[read.TERMS])
    out[14] = 1.0 / (1.0 + piece[read.TERMS])


COSTS = np.array([60, 25, 200, 150, 200, 60, 60, 5, 20, -10, 2, 15], np.int32)
"""What a mark of damage costs, in hundredths of a token, in the order of `read.SEEN`; proper marks are worth some."""


def grade(column: TextColumn) -> Graded:
    """Grades each text of a column. Cost: some 100 MB/s."""
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
    longest = 0
    for d in range(len(tokens)):
        longest = max(longest, offsets[d + 1] - offsets[d])
    terms, owner = np.empty(longest // 2 + 1, np.int32), np.empty(1 << read.SLOT_BITS, np.int32)
    x = np.zeros((room, OWN))
    mean = np.zeros(OWN)
    for d in range(len(tokens)):
        seen = parts[d, 2:]
        seen[:] = 0
        n, n_lines = read_document(data, offsets[d], offsets[d + 1], tables, pieces, lines, seen, terms, owner)
        if n < 0:
            return False
        usual = usual_line(lines, n_lines)
        mean[:] = 0
        count = 0
        for k in range(n):
            describe(pieces[k], lines[pieces[k, read.LINE]], usual, x[k])
            size = pieces[k, read.TOKENS]
            count += size
            for f in range(2, OWN):
                mean[f] += size * x[k, f]
        for f in range(2, OWN):
            mean[f] /= max(1, count)
        strange = 0.0
        for k in range(n):
            size = pieces[k, read.TOKENS]
            weight = weights[1 if 2 * pieces[k, read.HANS] > size else 0]
            z = weight[0] * x[k, 0] + weight[1] * x[k, 1]
            for f in range(2, OWN):
                z += weight[f] * x[k, f] + weight[OWN - 2 + f] * (x[k, f] - mean[f])
            strange += size / (1.0 + np.exp(-z))
        tokens[d] = count
        parts[d, 0] = np.int32(np.round(100.0 * (count - strange)))
        parts[d, 1] = -np.int32(np.round(100.0 * STRANGE * strange))
    return True
