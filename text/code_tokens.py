"""Tokens of source code: case, signs and indentation mean something, and spaces between tokens nothing.

    identifier, number    a run of letters, marks, numbers, `_` and `$`, as it is written; a character of a script
                          without spaces is one by itself, as in prose
    sign                  each character of punctuation or symbol, ASCII or not; of a run of one and the same, three
                          at most, so that a rule of 70 dashes is as good as one of 80
    indent, dedent        where a line that is not blank begins deeper than the last one, or closes that many blocks

Indentation is a stack, as Python has it: four spaces in the place of two, or tabs, give equal tokens, another nesting
does not. It begins at the first line's own, so that a function within a class is the function. Text is in NFC, not
NFKC, and keeps its case, since x² is not x2, Ａ is not A and `Foo` is not `foo` to a compiler.

Cost: as the tokens of words.
"""

from __future__ import annotations

import numpy as np

from tamis.kernels import kernel
from text.chars import IGNORABLE, PUNCT, SINGLE, SYMBOL, WORD, class_of, decode, is_tag
from text.hash import TOKEN_SEED, mix, packed

U64 = np.uint64
INDENT, DEDENT = U64(1), U64(2)
"""Control characters, which are no tokens otherwise."""
MAX_REPEATS = 3
_TAB = 8
_DEPTH = 64
"""Blocks within blocks that are told apart."""
_IS_CODE_WORD = np.array([chr(c).isalnum() or chr(c) in "_$" for c in range(128)], np.bool_)


@kernel
def tokenize_code(data, start, end, classes, out):  # type: ignore[no-untyped-def]
    """Writes the hashes of the tokens of source code `data[start:end]` into `out`.

    Args:
        data: uint8[...], valid UTF-8, in NFC.
        start: first byte.
        end: byte behind the last.
        classes: see `CharTables`.
        out: uint64[capacity].

    Returns:
        The number of tokens, or -1 when `out` is too small; one for each byte is enough.
    """
    n = 0
    h, word, size = TOKEN_SEED, U64(0), 0  # the open token, as in `text.tokens.tokenize`
    last, repeats = np.int64(-1), 0
    blocks = np.zeros(_DEPTH, np.int64)
    depth, width, begins, any_line = 0, 0, True, False
    i = start
    while i < end:
        point, step = decode(data, i)
        i += step
        is_word, alone, is_mark = False, False, False
        if point < 128:
            is_word = _IS_CODE_WORD[point]
            is_mark = not is_word and 32 < point < 127
        elif is_tag(point):
            continue
        else:
            bits = class_of(classes, point)
            if bits & IGNORABLE:
                continue
            is_word, alone, is_mark = bits & WORD != 0, bits & SINGLE != 0, bits & (PUNCT | SYMBOL) != 0
        if size != 0 and (alone or not is_word):
            if n == len(out):
                return -1
            out[n] = mix(h ^ word)
            n += 1
            h, word, size = TOKEN_SEED, U64(0), 0
        if not is_word and not is_mark:
            last, repeats = np.int64(-1), 0
            if point == 10 or point == 13:
                width, begins = 0, True
            elif point == 9:
                width += _TAB - width % _TAB
            else:
                width += 1
            continue
        if begins:
            begins = False
            if not any_line:
                any_line = True
                blocks[0] = width
            while width < blocks[depth]:
                if n == len(out):
                    return -1
                out[n] = mix(TOKEN_SEED ^ DEDENT)
                n += 1
                if depth == 0:
                    blocks[0] = width
                else:
                    depth -= 1
            if width > blocks[depth] and depth + 1 < _DEPTH:
                if n == len(out):
                    return -1
                out[n] = mix(TOKEN_SEED ^ INDENT)
                n += 1
                depth += 1
                blocks[depth] = width
        if is_word and not alone:
            last, repeats = np.int64(-1), 0
            room = 1 if point < 128 else 4
            if size + room > 8:
                h, word, size = mix(h ^ word), U64(0), 0
            word = (word << U64(8 * room)) | packed(point)
            size += room
            continue
        repeats = repeats + 1 if is_mark and point == last else 1
        last = np.int64(point) if is_mark else np.int64(-1)
        if repeats <= MAX_REPEATS:
            if n == len(out):
                return -1
            out[n] = mix(TOKEN_SEED ^ packed(point))
            n += 1
    if size != 0:
        if n == len(out):
            return -1
        out[n] = mix(h ^ word)
        n += 1
    return n
