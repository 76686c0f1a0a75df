"""Personal data in what the commands show: starred out, byte for byte, so that every offset stays what it is.

Stored text keeps what stage `pii` replaces, and screens and JSON travel further than a run folder does: into issues,
chats and logs. So the views show stars unless `--personal-data` asks for the text as it is. The kinds are those of
`filters.pii.find`, whether the run has the stage or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from corpus.reading.run_reader import RunReader

PersonalOption = Annotated[
    bool, typer.Option("--personal-data", help="Show e-mail addresses, telephone numbers and their like, not stars.")
]


def open_run(root: Path, personal_data: bool) -> RunReader:
    """A run folder opened for showing: with stars for personal data, unless it is asked for."""
    from filters.pii.mask import masked

    return RunReader(root, None if personal_data else masked)
