"""Rows of tables as values that a person or JSON can read."""

from __future__ import annotations

import math
from typing import Any

_ID_COLUMNS = frozenset({"doc_id", "survivor", "component_id", "semantic_component", "other", "first"})
_EXACT_INTEGER = 1 << 53
_SHOWN_BYTES = 12


def first_chars(text: str, chars: int | None) -> str:
    """The beginning of a text as it is; `None` is all of it."""
    return text if chars is None or len(text) <= chars else text[:chars].rstrip() + "…"


def plain(name: str, value: Any) -> Any:
    """A table's value for JSON: ids and integers past 2^53 as strings, bytes as the first of their hex digits."""
    if isinstance(value, bytes):
        rest = f"… ({len(value)} bytes)" if len(value) > _SHOWN_BYTES else ""
        return value[:_SHOWN_BYTES].hex() + rest
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if name in _ID_COLUMNS or abs(value) >= _EXACT_INTEGER else value
    if isinstance(value, list):
        return [plain(name, v) for v in value]
    return value


def plain_row(row: dict[str, Any], leave: tuple[str, ...] = ()) -> dict[str, Any]:
    """A table's row for JSON, without some columns."""
    return {name: plain(name, value) for name, value in row.items() if name not in leave}
