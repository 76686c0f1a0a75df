"""Builds a `Record` from a row with any columns: what all formats share.

A row is a mapping from column names to values, be it a JSON object, a Parquet row or the headers of a WARC
record, so one field map and one list of kept columns mean the same everywhere.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import orjson

from corpus.inputs import InputConfig
from corpus.records import Bad, Record


def dig(row: Mapping[str, object], path: str | None) -> object:
    """Return the value at a key, or else at a dotted path into nested objects; None if there is none."""
    if path is None:
        return None
    if path in row:
        return row[path]
    value: object = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def as_string(value: object) -> str | None:
    """Return a non-empty string as it is and an integer in digits; anything else as None."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def to_record(row: Mapping[str, object], config: InputConfig, offset: int, length: int) -> Record | Bad:
    """Build the record of a row that takes `length` at `offset`, as in `Record`, or say why it is none."""
    text = dig(row, config.fields.text)
    if not isinstance(text, str):
        found = "is missing" if text is None else f"is a {type(text).__name__}"
        return Bad(offset, length, "no_text", f"{config.fields.text!r} {found}")
    return with_text(text, row, config, offset, length)


def with_text(text: str, row: Mapping[str, object], config: InputConfig, offset: int, length: int) -> Record | Bad:
    """Build the record of a row whose text is already known; arguments as for `to_record`."""
    if not text or text.isspace():
        return Bad(offset, length, "empty_text", "white space only" if text else "")
    try:
        extra = _extra(row, config)
    except TypeError:
        return Bad(offset, length, "broken_json", "the kept columns cannot be written as JSON")
    fields, constants = config.fields, config.constants
    return Record(
        offset=offset,
        length=length,
        text=text,
        source_id=as_string(dig(row, fields.id)),
        url=as_string(dig(row, fields.url)),
        source=constants.get("source") or as_string(dig(row, fields.source)),
        lang=constants.get("lang") or as_string(dig(row, fields.lang)),
        licence=constants.get("licence") or as_string(dig(row, fields.licence)),
        extra=extra,
    )


def _extra(row: Mapping[str, object], config: InputConfig) -> str | None:
    if not config.keep:
        return None
    if config.keep == "all":
        mapped = mapped_columns(config)
        kept = {key: value for key, value in row.items() if key not in mapped}
    else:
        kept = {key: value for key in config.keep if (value := dig(row, key)) is not None}
    if not kept:
        return None
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS, default=_as_json).decode()


def mapped_columns(config: InputConfig) -> set[str]:
    """Return the columns that the field map already carries; of a dotted path also its first part."""
    paths = [path for _, path in config.fields if path]
    return {*paths, *(path.split(".")[0] for path in paths)}


def _as_json(value: object) -> str:
    """Write what JSON has no type for: bytes as base64, anything else (decimals, durations) as text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
