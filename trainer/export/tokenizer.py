"""A SentencePiece BPE as `tokenizer.json`, which transformers loads without protobuf and without SentencePiece.

Of all neighbours whose concatenation is a piece, SentencePiece merges the pair with the highest score; a Hugging Face
BPE has a list of pairs and merges the earliest one. So the list is every split of every piece into two pieces, ordered
by the score of the whole, and both take the same steps. Characters without a piece are encoded as bytes in both.

This works only for models that do not normalise text, such as those that Tamis trains; others are exported as
`tokenizer.model` alone. Cost: linear in the characters of the pieces, seconds for 125,696 pieces.

Source: transformers' `convert_slow_tokenizer.py`; Kudo and Richardson 2018 (SentencePiece).
"""

from __future__ import annotations

from typing import Any

from sampler.tokenizer.model import tokenizer_from
from sampler.tokenizer.sentencepiece_model import BYTE, CONTROL, NORMAL, UNKNOWN, Piece, model_type, read_pieces

SPACE = "▁"
_EXACT = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
_PROBE = " \ufb01  \uff21e\u0301 \u00bd "
"""A text that would be changed by NFKC, by a dummy prefix, and by removing extra spaces."""


def fast_tokenizer(model: bytes) -> dict[str, Any] | None:
    """The content of tokenizer.json, or None if it would encode differently from the SentencePiece model."""
    pieces = read_pieces(model)
    plain = tokenizer_from(model).processor.normalize(_PROBE) == _PROBE.replace(" ", SPACE)
    if model_type(model) != "bpe" or not plain or {p.kind for p in pieces} - {NORMAL, BYTE, CONTROL, UNKNOWN}:
        return None
    special = [(i, piece.text) for i, piece in enumerate(pieces) if piece.kind in (CONTROL, UNKNOWN)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": text, **_EXACT, "special": True} for i, text in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": False},
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": next((piece.text for piece in pieces if piece.kind == UNKNOWN), None),
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece.text: i for i, piece in enumerate(pieces)},
            "merges": merges(pieces),
        },
    }


def merges(pieces: list[Piece]) -> list[list[str]]:
    """Pairs in the order in which they are merged."""
    ids = {piece.text: i for i, piece in enumerate(pieces) if piece.kind == NORMAL}
    found = []
    for text, i in ids.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in ids and right in ids:
                found.append((-pieces[i].score, ids[left], ids[right], left, right))
    return [[left, right] for *_, left, right in sorted(found)]


def settings(bos: str | None, eos: str | None) -> dict[str, Any]:
    """The content of tokenizer_config.json: "</s>" in a text is encoded as text, as in the token bins."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
