"""Benchmark items as they lie on disk: JSON lines become texts to search for, or a reason why not.

Benchmarks name their columns as they like, so a record's question, choices and answer are looked for under the names in
use, which the configuration may replace. What cannot be read is not raised but returned, with file, line and reason.

Cost: orjson's speed; the texts of all items are held in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import orjson
from pydantic import model_validator

from corpus.config import StrictModel, setting
from corpus.inputs import InputConfig, InputFile, open_input, resolve_inputs
from corpus.readers.columns import as_string, dig
from corpus.records import Bad
from corpus.streams import Line, Raw, read_lines

MAX_LINE_BYTES = 32 << 20
_LETTERS = "ABCDEFGHIJ"
_LABEL = re.compile(r"\s*[(（\[]?([A-J])[)）\].．、:：]\s*")

Names = tuple[str, ...]


class BenchmarkFiles(StrictModel):
    """Some files of benchmark items, JSON lines, plain, `.gz` or `.zst`; a plain string is its `paths`."""

    name: str | None = setting(None, "Its name in reports; null is each file's stem.", pattern=r"^[^/\s][^/]*$")
    paths: Names = setting(..., "Globs, as for an input of a run.", min_length=1)
    passage: Names = setting(("passage", "context", "ctx", "article"), "What a question is about, as for `question`.")
    question: Names = setting(
        ("question", "query", "prompt", "problem", "input"),
        "Columns that make the question, joined in this order; a dotted path reaches into an object.",
    )
    text: str | None = setting("text", "Column of the whole item as text, or of what the question is about.")
    choices: Names = setting(
        ("choices", "options", "endings"), "Columns with a list of answers to choose from; else A, B, C and so on."
    )
    answer: Names = setting(
        ("answer", "solution", "canonical_solution", "target", "code"),
        "Columns of the answer; searched for where it is as long as an n-gram.",
    )
    id: Names = setting(("id", "task_id", "question_id"), "Columns of the item's id; else the line number.")

    @model_validator(mode="before")
    @classmethod
    def _plain_path(cls, value: Any) -> Any:
        return {"paths": [value]} if isinstance(value, str) else value


class Form(IntEnum):
    """What a text of an item is."""

    QUESTION = 0
    """The question by itself."""
    OFFERED = 1
    """The question with its choices, or the item as its own column renders it."""
    ANSWER = 2
    """The answer by itself."""
    PASSAGE = 3
    """The question behind the passage that it is about."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item."""

    benchmark: str
    name: str  # its id in the benchmark, unique there
    file: str  # the file, relative to its glob
    line: int  # its line there, from 1
    forms: tuple[tuple[Form, str], ...]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no item."""

    benchmark: str
    file: str  # the file, relative to its glob
    line: int  # the line, from 1
    reason: str  # one of those of `corpus.records`
    detail: str  # what was found


def benchmark_files(benchmarks: Sequence[BenchmarkFiles], base: Path, where: str) -> list[InputFile]:
    """Finds the files, sorted by name; the `config_index` of each says which entry named it.

    Raises:
        ConfigError: a glob matches nothing; the sentence begins with the key, `where` and the entry.
    """
    inputs = [InputConfig(domain="benchmarks", paths=b.paths, format="jsonl") for b in benchmarks]
    return resolve_inputs(inputs, base_dir=base, where=lambda index, _: f"{where}[{index}]")


def read_items(benchmarks: Sequence[BenchmarkFiles], files: Sequence[InputFile]) -> Iterator[Item | BadLine]:
    """Yields every line that is not blank, as an item or as a bad line, in the files' order."""
    seen: set[tuple[str, str]] = set()
    for file in files:
        config = benchmarks[file.config_index]
        benchmark = config.name or _stem(file.name)
        with closing(open_input(file.uri)) as opened:
            for number, line in enumerate(read_lines(Raw(opened), file.compression, MAX_LINE_BYTES), 1):
                found = _read(line, config)
                if found is None:
                    continue
                if isinstance(found, tuple):
                    yield BadLine(benchmark, file.name, number, *found)
                    continue
                name = next((n for key in config.id if (n := as_string(dig(found, key)))), None) or f"line {number}"
                if (benchmark, name) in seen:
                    name = f"{name} ({file.name}, line {number})"
                seen.add((benchmark, name))
                forms = tuple(item_forms(found, config))
                if forms:
                    yield Item(benchmark, name, file.name, number, forms)
                else:
                    names = ", ".join([*config.question, *config.passage, *([config.text] if config.text else [])])
                    yield BadLine(benchmark, file.name, number, "no_text", f"no text under any of {names}")


def _stem(name: str) -> str:
    """A file's name without its folder and endings."""
    return re.sub(r"(\.(jsonl|ndjson|json))?(\.(gz|zst|zstd))?$", "", name.rsplit("/", 1)[-1], flags=re.IGNORECASE)


def _read(line: Line | Bad, config: BenchmarkFiles) -> Mapping[str, object] | tuple[str, str] | None:
    """The record of a line, or why it is none; None for a blank line."""
    if isinstance(line, Bad):
        return line.reason, line.detail
    if line.data is None:
        return "oversized", f"a line of more than {MAX_LINE_BYTES} bytes"
    data = line.data.removeprefix(b"\xef\xbb\xbf").strip()
    if not data:
        return None
    try:
        row = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:
            data.decode()
        except UnicodeDecodeError:
            return "invalid_utf8", "bytes that are no UTF-8"
        return "broken_json", error.msg.split(":")[0]
    return row if isinstance(row, dict) else ("broken_json", f"a {type(row).__name__}, not an object")


def item_forms(row: Mapping[str, object], config: BenchmarkFiles) -> Iterator[tuple[Form, str]]:
    """The texts of an item under which it may stand in a document.

    A question stands there with or without the passage that it is about. Choices stand there bare, behind letters or
    behind numbers, so that all are tried. A `text` column that repeats the question is one more rendering of the
    item; any other is a passage.
    """
    passage, question = _parts(row, config.passage), _parts(row, config.question)
    rendered = dig(row, config.text)
    if isinstance(rendered, str) and rendered.strip() and not any(rendered in part for part in passage + question):
        if question + passage and all(part in rendered for part in question + passage):
            yield Form.OFFERED, rendered
        else:
            passage = [rendered, *passage]
    about, asked = "\n".join(passage), "\n".join(question)
    if about and asked:
        yield Form.PASSAGE, f"{about}\n{asked}"
    question_text = asked or about
    if question_text:
        yield Form.QUESTION, question_text
    choices = _choices(row, config)
    if choices:
        yield Form.OFFERED, "\n".join([question_text, *choices])
        for signs in (_LETTERS, range(1, len(choices) + 1)):
            signed = (f"{sign}. {choice}" for sign, choice in zip(signs, choices, strict=False))
            yield Form.OFFERED, "\n".join([question_text, *signed, *choices[len(signs) :]])
    for name in config.answer:
        answer = dig(row, name)
        if isinstance(answer, str) and answer.strip():
            yield Form.ANSWER, answer


def _parts(row: Mapping[str, object], names: Names) -> list[str]:
    """The texts of some columns, without those that another one of them holds."""
    parts: list[str] = []
    for name in names:
        value = dig(row, name)
        if isinstance(value, str) and value.strip() and not any(value in part for part in parts):
            parts = [part for part in parts if part not in value] + [value]
    return parts


def _choices(row: Mapping[str, object], config: BenchmarkFiles) -> list[str]:
    """The choices, without letters of their own: a list, a mapping from letters, or columns A, B, C …"""
    value = next((v for name in config.choices if (v := dig(row, name))), None)
    if isinstance(value, Mapping):
        value = value["text"] if isinstance(value.get("text"), list) else list(value.values())
    if not isinstance(value, list):
        value = [row[letter] for letter in _LETTERS if isinstance(row.get(letter), str)]
    texts = [str(v) for v in value if isinstance(v, str | int | float)]
    labels = [_LABEL.match(t) for t in texts]
    if all(m is not None and m[1] == letter for m, letter in zip(labels, _LETTERS, strict=False)):
        texts = [t[m.end() :] if m is not None else t for t, m in zip(texts, labels, strict=True)]
    return [t for t in texts if t.strip()]
