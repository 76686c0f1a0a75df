"""Personal data starred out, byte for byte, so that every offset stays what it is: for text that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from filters.pii.find import find
from text.arrow import TextColumn


def masked(texts: Sequence[str]) -> list[str]:
    """The texts with a star for each byte of personal data."""
    column = TextColumn.from_texts(list(texts))
    found = find(column)
    starred = [bytearray(text.encode("utf-8")) for text in texts]
    spans = zip(found.documents().tolist(), found.start.tolist(), found.end.tolist(), strict=True)
    for document, start, end in spans:
        starred[document][start:end] = b"*" * (end - start)
    return [bytes(text).decode("utf-8") for text in starred]
