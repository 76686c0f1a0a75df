"""Personal data in what the commands show: starred out, byte for byte, so that every offset stays what it is.

Stored text keeps what stage `pii` replaces, and screens and JSON travel further than a run folder does: into issues,
chats and logs. So the views show stars unless `--personal-data` asks for the text as it is. The kinds are those of
`filters.pii.find`, whether the run has the stage or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from corpus.reading.run_reader import RunReader

PersonalOption = Annotated[
    bool, typer.Option("--personal-data", help="Show e-mail addresses, telephone numbers and their like, not stars.")
]


def open_run(root: Path, personal_data: bool) -> RunReader:
    """A run folder opened for showing: with stars for personal data, unless it is asked for."""
    return RunReader(root, None if personal_data else masked)


def masked(texts: Sequence[str]) -> list[str]:
    """The texts with a star for each byte of personal data."""
    from filters.pii.find import find
    from text.arrow import TextColumn

    column = TextColumn.from_texts(list(texts))
    found = find(column)
    starred = [bytearray(text.encode("utf-8")) for text in texts]
    spans = zip(found.documents().tolist(), found.start.tolist(), found.end.tolist(), strict=True)
    for document, start, end in spans:
        starred[document][start:end] = b"*" * (end - start)
    return [bytes(text).decode("utf-8") for text in starred]
