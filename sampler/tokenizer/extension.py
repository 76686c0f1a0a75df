"""Another language for a vocabulary that is in use: the pieces of a second model appended to those of the first.

A language model that was trained with the first vocabulary keeps its embeddings, as each old piece keeps its id and
bytes (`sampler.tokenizer.sentencepiece_model`). New pieces come in the second model's order, with scores below all
merges of the base: SentencePiece's BPE merges the highest score first, so a base merge always precedes an added one.
(Some models give runs of spaces a score of -1e9, where float32 can represent only every 64th number; so scores go down
in steps that float32 can tell apart.) A text in which no added piece can occur is encoded as before. With `han`, that
is every text without Han characters and the punctuation used with them.

A BPE piece can only be formed from two shorter ones. If all characters of a piece are allowed, so are those of its
parts, so filtering by characters never makes a piece unreachable. But if the base merges in another order, a piece may
be unreachable: then it is never used, and costs an embedding but no correctness.

Deviation: Chinese-LLaMA's script, which others copied, gives added pieces the score 0, which is above every
base merge.

Source: BiLLa, stage 1 (Chinese vocabulary added to LLaMA's); Cui et al. 2023, arXiv 2304.08177, section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from sampler.tokenizer.sentencepiece_model import NORMAL, Piece, model_type, read_pieces, with_pieces
from tamis.errors import TamisError
from text.chars import HAN, TABLE_SIZE, char_tables

Script = Literal["han"]
_AMONG_HAN = (
    (0x3000, 0x303F),  # CJK symbols and punctuation
    (0xFE30, 0xFE4F),  # CJK compatibility forms
    (0xFF00, 0xFF0F),
    (0xFF1A, 0xFF20),
    (0xFF3B, 0xFF40),
    (0xFF5B, 0xFF65),
    (0xFFE0, 0xFFE6),  # full-width marks
)


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A merged model."""

    model: bytes  # the bytes of its `.model` file, which begin with those of the base
    base_size: int  # pieces of the base
    added: list[str]  # the texts of the new pieces, in the order of their ids
    known: int  # pieces of the second model that the base had
    filtered: int  # pieces of the second model that the script left out


def extend_model(base: bytes, other: bytes, script: Script | None = None) -> Extension:
    """Add the pieces of another model that the base lacks; both are bytes of BPE `.model` files. Under a script, only
    pieces all of whose characters belong to it are added.

    Control, byte, unknown and user-defined pieces of the other model are not added.

    Raises:
        TamisError: one of the two is not a SentencePiece model, or not a BPE.
    """
    ours, theirs = _bpe_pieces(base, "base"), _bpe_pieces(other, "second")
    known = {piece.text for piece in ours}
    allowed = {None: lambda text: True, "han": is_han}[script]
    lowest = min((piece.score for piece in ours if len(piece.text) > 1 and piece.kind == NORMAL), default=0.0)
    normal = sorted((p for p in theirs if p.kind == NORMAL), key=lambda piece: -piece.score)  # stable: ties by id
    step = _step(lowest, len(normal))
    new: list[Piece] = []
    seen = filtered = 0
    for piece in normal:
        if piece.text in known:
            seen += 1
        elif not allowed(piece.text):
            filtered += 1
        else:
            known.add(piece.text)
            new.append(Piece(piece.text, lowest - step * (1 + len(new))))
    return Extension(
        model=with_pieces(base, new) if new else base,
        base_size=len(ours),
        added=[piece.text for piece in new],
        known=seen,
        filtered=filtered,
    )


def _step(lowest: float, count: int) -> float:
    """The step between scores: 1, or more where float32 is too coarse to tell such scores apart."""
    return max(1.0, float(np.spacing(np.float32(2 * (abs(lowest) + count)))))


def is_han(text: str) -> bool:
    """Whether every character is Han, or punctuation that is set among Han."""
    return all(map(_is_han_character, text))


@cache
def _is_han_character(character: str) -> bool:
    point = ord(character)
    if any(low <= point <= high for low, high in _AMONG_HAN):
        return True
    return point < TABLE_SIZE and bool(char_tables().classes[point] & HAN)


def _bpe_pieces(model: bytes, which: str) -> list[Piece]:
    try:
        pieces, kind = read_pieces(model), model_type(model)
    except (ValueError, UnicodeDecodeError) as error:
        raise TamisError(f"the {which} model is not a SentencePiece model ({error}).") from error
    if kind != "bpe":
        raise TamisError(f"the {which} model: found a {kind} model; expected bpe, in which scores order the merges")
    return pieces
