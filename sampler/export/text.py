"""Published shards as plain text files, in the layout that Baichuan-7B's demo trainer reads.

That trainer reads a folder of UTF-8 text files, split evenly over its ranks: rank r of n takes every n-th file of the
folder, strips and encodes each line, and appends an end token. So every line is a text. It skips lines of fewer than
20 tokens, end token included. As it reads everything in the folder, the folder must never hold anything but
`part-00000.txt` …: the export is made next to it and renamed as a whole; the target must be new or empty.

**Lines.** With `joined`, the default, every line break within a document ("\\r\\n", "\\n", "\\r") becomes one space, so
that a line is a document. `one` keeps documents as they are; then the trainer sees each line as a text of its own,
puts end tokens inside documents, and skips short lines: headings, verse, dialogue, most of code. Other separators
(U+2028, U+0085, form feeds) are not line ends for a reader of text files and stay. A document without a visible
character would be an empty line; it is left out and counted.

**Balance.** Documents come domain after domain in doc_id order, and each goes to the file with the fewest bytes so far,
the first if there are several. That takes one pass, the sizes of files differ by at most the longest document, and
every file gets a share of every domain. The alternative, runs of consecutive documents, would need the sizes beforehand
and give a rank only one domain. Within a file domains still follow one another, and the trainer does not shuffle.

Source: baichuan-inc/Baichuan-7B, README "Training" and train.py, `DataEngine`.
"""

from __future__ import annotations

import heapq
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sampler.export.megatron import Split
from sampler.published import Shard, list_shards, read_rows
from tamis.errors import ConfigError
from tamis.progress import SILENT, Progress, each

Lines = Literal["joined", "one"]
_BREAK = re.compile("\r\n|\n|\r")
_BUFFER = 1 << 18  # bytes held for a file before they are written


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """A file that was written."""

    path: str
    documents: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class TextExport:
    """What was written."""

    files: list[TextFile]  # in order
    empty: int  # documents left out as they have no visible character


def export_text(
    run: Path, out: Path, files: int, split: Split = "train", lines: Lines = "joined", progress: Progress = SILENT
) -> TextExport:
    """Write a run's documents as text files into a folder that is new or empty; their number is a multiple of the
    trainer's ranks. `lines` says whether line breaks within a document become spaces.

    Raises:
        ConfigError: the folder holds something, or the split has no document.
        TamisError: the run has no shards, or one cannot be read.
    """
    if files < 1:
        raise ConfigError(f"--files: found {files}; expected 1 or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: found files, and the trainer reads all that is in it; expected a new folder")
    shards = [shard for items in list_shards(run).values() for shard in items]
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        writer = _Files(scratch, files)
        for shard in each(progress, "writing text", shards):
            for text in _documents(shard, split):
                writer.add(render(text, lines))
        if not sum(writer.documents):
            raise ConfigError(f"--split: found {split}, in which {run} has no text; expected another split")
        writer.close()
        scratch.chmod(0o755)  # mkdtemp's is for its owner alone
        scratch.replace(out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    found = [
        TextFile(path=str(out / _name(number)), documents=writer.documents[number], bytes=writer.sizes[number])
        for number in range(files)
    ]
    return TextExport(files=found, empty=writer.empty)


def render(text: str, lines: Lines) -> bytes:
    """A document as written to a file: UTF-8, ending with a newline; empty if it has no visible character."""
    if not text.strip():
        return b""
    return (_BREAK.sub(" ", text) if lines == "joined" else text.removesuffix("\n")).encode("utf-8") + b"\n"


def _documents(shard: Shard, split: Split) -> Iterator[str]:
    for rows in read_rows(shard):
        for text, held in zip(rows.texts, rows.heldout.tolist(), strict=True):
            if split == "all" or held == (split == "heldout"):
                yield text


def _name(number: int) -> str:
    return f"part-{number:05d}.txt"


class _Files:
    """Files that fill up evenly; few are open at once, however many there are."""

    def __init__(self, folder: Path, count: int) -> None:
        self.paths = [folder / _name(number) for number in range(count)]
        self.sizes, self.documents, self.empty = [0] * count, [0] * count, 0
        self._held: list[list[bytes]] = [[] for _ in range(count)]
        self._held_bytes = [0] * count
        self._order = [(0, number) for number in range(count)]  # a heap: bytes so far, file
        for path in self.paths:
            path.touch()

    def add(self, line: bytes) -> None:
        """Put a document into the file with the fewest bytes."""
        if not line:
            self.empty += 1
            return
        size, number = self._order[0]
        self.sizes[number] = size + len(line)
        self.documents[number] += 1
        heapq.heapreplace(self._order, (self.sizes[number], number))
        self._held[number].append(line)
        self._held_bytes[number] += len(line)
        if self._held_bytes[number] >= _BUFFER:
            self._flush(number)

    def close(self) -> None:
        """Everything on disk."""
        for number, path in enumerate(self.paths):
            self._flush(number)
            with path.open("rb") as file:
                os.fsync(file.fileno())

    def _flush(self, number: int) -> None:
        with self.paths[number].open("ab") as file:
            file.writelines(self._held[number])
        self._held[number].clear()
        self._held_bytes[number] = 0
