"""A function: the simplest stage, for a rule that one wants to try now."""

from __future__ import annotations

import tamis


def enough_sentences(document: tamis.Document, *, least: int = 3) -> bool | str:
    """Keeps texts of some sentences. True keeps, False drops, a text drops and is the reason."""
    if "lorem ipsum" in document.text.lower():
        return "placeholder_text"
    return sum(document.text.count(mark) for mark in ".!?。！？") >= least
