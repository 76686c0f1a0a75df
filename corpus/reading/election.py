"""Why one of two copies stayed, in words, from the rows that `near_dedup` leaves about its elections."""

from __future__ import annotations

from typing import Any

_WORDS = {
    "text": "it has {amount:,.0f} tokens more of sentences like the others",
    "strange": "it has {amount:,.0f} tokens less of notices, advertising or remarks of readers",
    "invisible": "it has {amount:,.0f} invisible characters less",
    "wide": "it has {amount:,.0f} full-width letters and digits less",
    "broken": "it has {amount:,.0f} characters of a broken encoding less",
    "markup": "it has {amount:,.0f} entities and tags less",
    "quoted": "it has {amount:,.0f} quoted lines less",
    "ornaments": "it has {amount:,.0f} ornaments less",
    "spaced": "it has {amount:,.0f} letters less that stand apart",
    "gaps": "it has {amount:,.0f} superfluous spaces less",
    "odd_marks": "it has {amount:,.0f} marks less of another script's width",
    "marks": "it has {amount:,.0f} commas and full stops more",
    "wraps": "it has {amount:,.0f} hard line breaks less",
    "shouted": "it has {amount:,.0f} words less in capitals",
    "quality": "its quality is higher by {amount:.2f}",
    "bytes": "it says the same in {amount:,.0f} bytes less",
    "priority": "its domain comes first",
    "first": "nothing tells them apart, and it came first",
    "published": "an earlier snapshot has published it",
    "longest": "it is longer by {amount:,.0f} bytes",
    "furthest_from_centroid": "it is further from its centroid by {amount:.4f}",
}


def why(row: dict[str, Any], stayed: bool) -> str:
    """A row about a document's election as a sentence; `stayed` says whether it is the one that was kept."""
    reason = _WORDS[row["because"]].format(amount=row["amount"])
    if not stayed and row["because"] == "published" and row["merit"] > row["other_merit"]:
        reason += ", though this one is better: what is published stays"
    winner = "this copy stayed" if stayed else f"{row['other']} stayed"
    own, other = (row["merit"], row["other_merit"]) if stayed else (row["other_merit"], row["merit"])
    rest = f" before {row['other']}" if stayed else ""
    return f"{winner}{rest}: {reason} (merit {own:,.1f} against {other:,.1f})"
