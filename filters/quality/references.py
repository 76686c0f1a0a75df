"""Reference sets: texts known to be good or bad, which train and evaluate the sentence-quality model.

A set names files, as an input of a run does, and says what they are. Sets that are held out are never trained
on, whole sources at a time: two halves of one file share authors, subjects and boilerplate, and a model
tested on the other half of its own training set looks far better than it is.

Cost: reading and segmenting are the kernels' own; `tokens_text` makes Python strings, some 10 MB/s.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import field_validator, model_validator

from corpus.config import Refused, StrictModel, setting
from corpus.inputs import FieldMap, Format, InputConfig, open_input, refuse_unreadable, resolve_inputs
from corpus.readers import read
from corpus.records import Record
from filters.quality.corruption import corrupt
from tamis.errors import ConfigError
from text.arrow import TextColumn
from text.chars import SINGLE, WORD, char_tables
from text.fold import fold_text
from text.segment import Spans, sentences

PACKAGED = "packaged:"
"""Paths with this scheme name a set of `filters.quality.packaged_references`."""

Label = Literal["good", "bad"]
Split = Literal["sentence", "line", "document"]


class ReferenceSet(StrictModel):
    """One set of texts and what it is an example of."""

    name: str = setting(..., "Unique in a training.", pattern=r"^[a-z0-9][a-z0-9_\-]{0,63}$")
    source: str = setting(..., "Sets of one source are either all trained on or all held out.", min_length=1)
    label: Label = setting(..., "What its texts are.")
    lang: str = setting(..., "Their language; balance and evaluation are by language.", min_length=2)
    paths: tuple[str, ...] = setting(..., "Globs, URIs or `package:<import name>/<glob>`, as for inputs.", min_length=1)
    format: Format = setting("auto", "How files are read, as for inputs.")
    fields: FieldMap = setting(FieldMap(), "Which column of a record is what.")
    text_unit: Literal["file", "line", "paragraph"] = setting("file", "What a document is in a plain text file.")
    encoding: str | None = setting(None, "Encoding of plain text; null is UTF-8.")
    where: Mapping[str, str] = setting(
        {},
        "Keeps only records whose columns have these values, compared as text; a value that ends in `*` is the"
        " beginning of one.",
    )
    inside: str | None = setting(None, "A column with a page's main content: examples are the sentences also in it.")
    outside: str | None = setting(None, "Such a column: examples are the sentences not in it, menus and notices.")
    share: tuple[float, float] = setting(
        (0.0, 1.0),
        "Keeps only records whose text has a hash in this part of 0 to 1. So a source without parts of its own is taken"
        " apart, in sets under two names of source.",
        unit="share",
    )
    held_out: bool = setting(False, "Evaluated on, never trained on.")
    max_bytes: int = setting(20_000_000, "UTF-8 text that is taken, in the order of files.", unit="bytes", gt=0)
    corrupt: bool = setting(False, "Corrupts the texts (see `filters.quality.corruption`); the label must be bad.")
    split: Split = setting("sentence", "What one example is.")

    @field_validator("share")
    @classmethod
    def _is_a_part(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] < value[1] <= 1:
            raise ValueError("two ascending numbers between 0 and 1")
        return value

    @model_validator(mode="after")
    def _corrupted_is_bad(self) -> Self:
        if self.corrupt and self.label != "bad":
            raise Refused("label", self.label, "'bad', as corrupt: true makes bad sentences")
        return self

    @model_validator(mode="after")
    def _a_part_is_of_whole_pages(self) -> Self:
        if self.inside and self.outside:
            raise Refused("outside", self.outside, "null beside inside: make two sets of them")
        if self.part and (self.corrupt or any(path.startswith(PACKAGED) for path in self.paths)):
            wanted = "null, as corrupted and packaged texts do not stay as they are"
            raise Refused("inside" if self.inside else "outside", self.part, wanted)
        return self

    @property
    def part(self) -> str | None:
        """The column that tells which sentences are examples; None where all are."""
        return self.inside or self.outside

    def as_input(self) -> InputConfig:
        """The set as an input of a run."""
        return InputConfig(
            domain=self.name,
            paths=self.paths,
            format=self.format,
            fields=self.fields,
            text_unit=self.text_unit,
            encoding=self.encoding,
            keep=tuple(dict.fromkeys([*self.where, *([self.part] if self.part else [])])),
        )


@dataclass(frozen=True, slots=True)
class Examples:
    """A reference set as read."""

    reference: ReferenceSet
    column: TextColumn  # documents, corrupted where the set says so
    spans: Spans  # its examples, tiling the documents
    kept: npt.NDArray[np.int64]  # [n_kept], indices of the examples with enough tokens, in text order
    lines: list[str]  # tokens of each kept example, joined by spaces


def read_examples(
    reference: ReferenceSet, where: str, base_dir: Path, seed: int, min_tokens: int, max_record_bytes: int
) -> Examples:
    """Reads a set and splits it into examples of at least `min_tokens`; shorter ones say nothing. `where` is its key in
    the configuration, for messages; `base_dir` the folder at which relative paths start.

    Raises:
        ConfigError: a path matches nothing, or no example is left.
    """
    texts, mains = _texts(reference, where, base_dir, max_record_bytes)
    column = TextColumn.from_texts(texts)
    if reference.corrupt:
        column = TextColumn.from_texts(corrupt(column, seed, reference.name))
    spans = split(column, reference.split)
    pieces = spans.as_column(column)
    lines: list[str] = []
    kept: list[int] = []
    document = np.repeat(np.arange(len(column)), np.diff(spans.ptr)).tolist()
    for i in range(len(pieces)):
        text = pieces.text_at(i)
        line = tokens_text(text)
        if not line or line.count(" ") + 1 < min_tokens:
            continue
        if reference.part and (bare(text) in mains[document[i]]) == (reference.outside is not None):
            continue
        kept.append(i)
        lines.append(line)
    if not lines:
        raise ConfigError(f"{where} ({reference.name}): found no text of {min_tokens} tokens or more; expected one")
    return Examples(reference, column, spans, np.array(kept, np.int64), lines)


def _keys(reference: ReferenceSet, where: str) -> Callable[[int, int], str]:
    return lambda _, number: f"{where} ({reference.name}).paths[{number}]"


def reference_identity(reference: ReferenceSet, where: str, base_dir: Path) -> str:
    """What a set's text is at this moment: a digest of its files, or the versions of the packages that carry it.

    Raises:
        ConfigError: a path matches nothing.
    """
    if all(path.startswith(PACKAGED) for path in reference.paths):
        from filters.quality.packaged_references import packaged_identity

        return packaged_identity()
    digest = hashlib.sha256()
    for file in resolve_inputs([reference.as_input()], base_dir=base_dir, where=_keys(reference, where)):
        digest.update(f"{file.name}\0{file.size}\0".encode())
        with closing(open_input(file.uri)) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def look_for_text(reference: ReferenceSet, where: str, base_dir: Path) -> None:
    """Refuses a set whose files, or the packages that carry its text, are not there; reads none of it.

    Raises:
        ConfigError: see there.
    """
    if all(path.startswith(PACKAGED) for path in reference.paths):
        from filters.quality.packaged_references import look_for_set

        for path in reference.paths:
            look_for_set(path.removeprefix(PACKAGED), f"{where} ({reference.name})")
        return
    files = resolve_inputs([reference.as_input()], base_dir=base_dir, where=_keys(reference, where))
    refuse_unreadable((file.uri for file in files), f"{where} ({reference.name}).paths")


def bare(text: str) -> str:
    """A text without white space, which an extraction changes."""
    return "".join(text.split())


def _texts(reference: ReferenceSet, where: str, base_dir: Path, max_record_bytes: int) -> tuple[list[str], list[str]]:
    """The texts of a set, and the bare main content of each where the set is a part of its pages."""
    if all(path.startswith(PACKAGED) for path in reference.paths):
        return _packaged(reference, where), []
    config = reference.as_input()
    files = resolve_inputs([config], base_dir=base_dir, where=_keys(reference, where))
    texts: list[str] = []
    mains: list[str] = []
    room = reference.max_bytes
    for file in files:
        for record in read(file, config, max_record_bytes=max_record_bytes, extraction_timeout_seconds=10.0):
            if not isinstance(record, Record) or not _taken(record, reference):
                continue
            main = _columns(record).get(reference.part) if reference.part else None
            if reference.part and not main:
                continue
            room -= len(record.text.encode("utf-8"))
            if room < 0:
                return texts, mains
            if main:
                mains.append(bare(str(main)))
            texts.append(record.text)
    return texts, mains


def _packaged(reference: ReferenceSet, where: str) -> list[str]:
    from filters.quality.packaged_references import look_for_set, packaged_sets

    texts: list[str] = []
    for path in reference.paths:
        name = path.removeprefix(PACKAGED)
        look_for_set(name, f"{where} ({reference.name})")
        texts += packaged_sets()[name]
    return texts


def _taken(record: Record, reference: ReferenceSet) -> bool:
    low, high = reference.share
    if (low, high) != (0.0, 1.0):
        place = int.from_bytes(hashlib.sha256(record.text.encode("utf-8")).digest()[:7], "big") / 2**56
        if not low <= place < high:
            return False
    return _matches(record, reference.where)


def _matches(record: Record, where: Mapping[str, str]) -> bool:
    if not where:
        return True
    values = _columns(record)
    return all(_is(values.get(key), wanted) for key, wanted in where.items())


def _is(value: Any, wanted: str) -> bool:
    if value is None:
        return False
    return str(value).startswith(wanted[:-1]) if wanted.endswith("*") else str(value) == wanted


def _columns(record: Record) -> dict[str, Any]:
    return orjson.loads(record.extra) if record.extra else {}


def split(column: TextColumn, how: Split) -> Spans:
    """The examples of each document: its sentences, its lines, or the whole."""
    if how == "sentence":
        return sentences(column)
    starts = column.offsets[:-1][column.lengths > 0]
    if how == "line":
        text = column.data[column.offsets[0] : column.offsets[-1]]
        behind_breaks = np.flatnonzero(text == 10) + 1 + column.offsets[0]
        starts = np.union1d(starts, behind_breaks[behind_breaks < column.offsets[-1]])
    ptr = np.searchsorted(starts, column.offsets).astype(np.int64)
    within = starts - np.repeat(column.offsets[:-1], np.diff(ptr))
    return Spans(ptr, within.astype(np.int32))


def tokens_text(text: str) -> str:
    """The tokens of a text, as similarity is defined over them, joined by spaces: what the model is trained on."""
    return " ".join(fold_text(text).translate(_token_table()).split())


class _TokenTable(dict[int, str]):
    """For `str.translate`: a space for what stands in no token, spaces around what is a token by itself."""

    def __missing__(self, point: int) -> str:
        classes = char_tables().classes
        bits = int(classes[point]) if point < len(classes) else 0
        if point >= len(classes) and unicodedata.category(chr(point))[0] in "LMN":
            bits = int(WORD)
        char = chr(point)
        self[point] = f" {char} " if bits & int(SINGLE) else (char if bits & int(WORD) else " ")
        return self[point]


@cache
def _token_table() -> _TokenTable:
    return _TokenTable()
