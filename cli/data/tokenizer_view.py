"""How `tamis tokenizer` shows its results to people."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from cli.present import clean, console, share, size

_ORIGINS = {
    "held-out": "held-out documents",
    "training": "training documents, for none is held out",
    "input": "documents",
}


def print_training(result: dict[str, Any]) -> None:
    """What each domain gave to the sample, and where the model is."""
    table = _table("domain", "factor", "documents", "of", "bytes", "of", "% of the sample")
    total = sum(sample["bytes"] for sample in result["sampled"].values())
    for domain, sample in result["sampled"].items():
        table.add_row(
            escape(domain),
            f"{sample['factor']:g}",
            f"{sample['documents']:,}",
            f"{sample['of_documents']:,}",
            size(sample["bytes"]),
            size(sample["of_bytes"]),
            f"{share(sample['bytes'], total):.1f}",
        )
    screen = console()
    screen.print(table)
    screen.print(
        f"{escape(result['model'])}: {result['vocab_size']:,} pieces, sha256 {result['digest'][:12]}; settings in "
        f"{escape(result['settings'])}"
    )


def print_report(result: dict[str, Any]) -> None:
    """One row a group and tokenizer."""
    table = _table("text", "tokenizer", "vocabulary", "tokens a character", "bytes a token", "changed", left=2)
    for group in result["groups"]:
        for number, tokenizer in enumerate(result["tokenizers"]):
            found = tokenizer["groups"][group["name"]]
            table.add_row(
                escape(group["name"]) if number == 0 else "",
                escape(clean(tokenizer["name"])),
                f"{tokenizer['vocabulary']:,}",
                f"{found['tokens_per_character']:.4f}",
                f"{found['bytes_per_token']:.3f}",
                _changed(found),
            )
    screen = console()
    screen.print(table)
    for group in result["groups"]:
        found = result["tokenizers"][0]["groups"][group["name"]]
        screen.print(
            f"{escape(group['name'])}: {found['documents']:,} {_ORIGINS[group['origin']]}, {size(found['bytes'])}"
        )
    screen.print("changed: documents that do not come back as they were when their tokens are decoded")
    for line in result["left_out"]:
        screen.print(escape(clean(line)))


def print_extension(result: dict[str, Any]) -> None:
    """How many pieces came in, and what they changed."""
    screen = console()
    screen.print(
        f"{escape(result['model'])}: {result['base_size']:,} pieces of the base + {result['added']:,} added = "
        f"{result['vocabulary']:,}; of the other model {result['known']:,} were there and {result['filtered']:,} are "
        f"of other scripts; sha256 {result['digest'][:12]}"
    )
    if not result["compression"]:
        return
    table = _table("text", "", "tokens a character", "bytes a token", "changed", "encoded as before", left=2)
    for name, found in result["compression"].items():
        for when in ("before", "after"):
            row = found[when]
            alike = f"{found['encoded_as_before']:,} of {row['documents']:,}" if when == "after" else ""
            table.add_row(
                escape(name) if when == "before" else "",
                when,
                f"{row['tokens_per_character']:.4f}",
                f"{row['bytes_per_token']:.3f}",
                _changed(row),
                alike,
            )
    screen.print(table)


def _changed(found: dict[str, Any]) -> str:
    return f"{found['round_trip_failures']:,} of {found['documents']:,}"


def _table(*heads: str, left: int = 1) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number < left else "right", overflow="fold")
    return table
