"""How a benchmark tells its figures: tables in Markdown, the same as JSON, both as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def table_head(heads: str) -> str:
    """The first two lines of a Markdown table.

    Args:
        heads: of the columns, as in "size | seconds | rate".
    """
    return f"| {heads} |\n|" + "---|" * (1 + heads.count(" | "))


def show(body: Any, as_json: bool, as_markdown: Callable[[Any], str]) -> None:
    """Prints the figures."""
    print(json.dumps(body, indent=1, ensure_ascii=False) if as_json else as_markdown(body))


def save(folder: Path | None, name: str, body: Any, markdown: str) -> None:
    """Prints the tables, and writes `name.json` and `name.md` where a folder is given."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(body, indent=1, ensure_ascii=False), "utf-8")
        (folder / f"{name}.md").write_text(markdown, "utf-8")
    print(markdown)
