"""How well a tokenizer compresses a text: tokens a character, bytes a token, and whether the text comes back.

Tokens a character (lower is better) is the measure that agrees best with the "compression rate" of Baichuan 2's
table 2, which the report does not define. It depends on the script: the same tokenizer has 0.2 on English and 0.6 on
Chinese. Bytes a token (higher is better) is what matters in training, where the budget is in tokens and the corpus in
bytes. Whole documents are encoded, without control pieces; sums are over a group, so long documents count by length.

Source: Baichuan 2 technical report, section 2.2, table 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_BATCH = 64


class AnyTokenizer(Protocol):
    """What can be measured: `sampler.tokenizer.model.Tokenizer`, or another project's behind the same interface."""

    @property
    def vocab_size(self) -> int:
        """Number of different tokens."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of some texts, without control pieces."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """A tokenizer on a group of texts."""

    documents: int  # texts measured
    characters: int  # Unicode code points of them
    bytes: int  # of UTF-8
    tokens: int  # without control pieces
    changed: int  # texts that are different after encoding and decoding

    @property
    def tokens_per_character(self) -> float:
        """Lower is better; 0 if there is no text."""
        return self.tokens / self.characters if self.characters else 0.0

    @property
    def bytes_per_token(self) -> float:
        """Higher is better; 0 if there is no token."""
        return self.bytes / self.tokens if self.tokens else 0.0

    def to_json(self) -> dict[str, Any]:
        """The figures by name, ratios rounded to five digits."""
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
            "tokens": self.tokens,
            "tokens_per_character": round(self.tokens_per_character, 5),
            "bytes_per_token": round(self.bytes_per_token, 5),
            "round_trip_failures": self.changed,
        }


def measure(texts: Sequence[str], tokenizer: AnyTokenizer) -> Compression:
    """Encode and decode some whole documents, and count."""
    tokens = changed = 0
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        for text, ids in zip(batch, tokenizer.encode_batch(batch), strict=True):
            tokens += len(ids)
            changed += tokenizer.decode(ids) != text
    return Compression(
        documents=len(texts),
        characters=sum(map(len, texts)),
        bytes=sum(len(text.encode("utf-8")) for text in texts),
        tokens=tokens,
        changed=changed,
    )


def encoded_alike(texts: Sequence[str], first: AnyTokenizer, second: AnyTokenizer) -> int:
    """For how many texts two tokenizers give the same ids."""
    alike = 0
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        pairs = zip(first.encode_batch(batch), second.encode_batch(batch), strict=True)
        alike += sum(list(a) == list(b) for a, b in pairs)
    return alike
