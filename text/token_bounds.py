"""The byte range of each token of `text.tokens`, for the few documents in which something was found.

This is a state machine of its own and not two more outputs of `tokenize`: ranges are needed for one document in
thousands, while `tokenize` runs in every stage on every byte and must stay fast. A test checks that both agree.

Cost: as `tokenize`; a document that is folded as a string (see `text.fold`) is folded once more, piece by piece.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import PLAIN, SINGLE, SLOW, WORD, char_tables, class_of, decode, ignorables, is_tag
from text.fold import fold, fold_text
from text.tokens import ASCII_FOLD

Int64 = npt.NDArray[np.int64]


def token_bounds(column: TextColumn) -> tuple[Int64, Int64, Int64]:
    """The bytes of each token.

    Returns:
        ptr: int64[n_docs + 1], as `token_hashes` gives it; start, end: int64[ptr[-1]], in bytes from the document's
        beginning. Tokens that come from one character ("㍻" folds to 平成) have the same range.
    """
    folded = fold(column)
    texts = folded.column
    capacity = texts.nbytes + len(texts) + 64
    while True:
        start, end = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
        ptr = _bounds(texts.offsets, texts.data, folded.done, *char_tables(), start, end)
        if ptr[-1] >= 0:
            break
        capacity *= 2
    start, end = start[: ptr[-1]], end[: ptr[-1]]
    for i in np.flatnonzero(folded.done):
        low, high = ptr[i], ptr[i + 1]
        start[low:high], end[low:high] = _unfolded(column.text_at(int(i)), start[low:high], end[low:high])
    return ptr, start, end


def _unfolded(text: str, start: Int64, end: Int64) -> tuple[Int64, Int64]:
    """Maps offsets in the folded text back to the original text, rounded outwards to whole pieces.

    A piece begins at a character that can be folded without its neighbours, so that the folded pieces, concatenated,
    are the folded text. The one exception, a final sigma, has as many bytes as the sigma that it is mistaken for.
    """
    classes = char_tables().classes
    before, behind = [0], [0]
    pieces: list[str] = []
    for char in text:
        point = ord(char)
        if pieces and char != "Σ" and point < len(classes) and classes[point] & SLOW:
            while len(pieces) > 1 and not pieces[-1].translate(ignorables()):  # it composes with what shows before it
                pieces[-2:] = [pieces[-2] + pieces[-1]]
            pieces[-1] += char
        else:
            pieces.append(char)
    for piece in pieces:
        before.append(before[-1] + len(piece.encode()))
        behind.append(behind[-1] + len(fold_text(piece).encode()))
    place, folded = np.array(before), np.array(behind)
    first = np.searchsorted(folded, start, "right") - 1
    last = np.searchsorted(folded, end, "left")
    return place[first], place[last]


@kernel
def _bounds(offsets, data, done, classes, fold_start, fold_data, start, end):  # type: ignore[no-untyped-def]
    """Writes the bounds of the tokens; returns ptr, whose last entry is -1 where `start` and `end` are too small."""
    ptr = np.zeros(len(offsets), np.int64)
    n = 0
    for d in range(len(offsets) - 1):
        low, high, is_done = offsets[d], offsets[d + 1], done[d]
        i = low
        is_open = False  # whether start[n] and end[n] are of a token that may go on
        while i < high:
            at = i
            if data[i] < 128 and is_open and ASCII_FOLD[data[i]] != 0:  # inside a word
                i += 1
                end[n] = i - low
                continue
            point, width = decode(data, i)
            i += width
            bits = class_of(classes, point)
            first_fold, last_fold = 0, 1
            folded = not is_done and point >= 128 and (bits & PLAIN) == 0 and point < len(classes)
            if folded:
                first_fold, last_fold = fold_start[point], fold_start[point + 1]
            elif is_tag(point):
                last_fold = 0
            for k in range(first_fold, last_fold):
                if folded:
                    bits = class_of(classes, fold_data[k])
                is_word, is_single = (bits & WORD) != 0, (bits & SINGLE) != 0
                if is_open and (is_single or not is_word):
                    n += 1
                    is_open = False
                if not is_word:
                    continue
                if not is_open:
                    if n == len(start):
                        ptr[-1] = -1
                        return ptr
                    start[n] = at - low
                end[n] = i - low
                is_open = not is_single
                n += is_single
        n += is_open
        ptr[d + 1] = n
    return ptr
