"""The index of benchmark n-grams: which n-grams of tokens identify which items.

An item is searched for by its n-grams. One that is shorter than an n-gram is searched for whole: one short gram of it,
the one that fewest such items share, is its anchor, and where that is met all its tokens are compared. A gram that more
than `max_items` different items hold is a template ("which of the following statements is correct") and identifies none
of them: it is left out, and the item's share is taken over the rest; an item of templates alone is searched for whole.
An item below the least length cannot be told from chance: it is listed as too short.

Source: Brown et al. 2020 (arXiv 2005.14165), appendix C: n-grams of 8 to 13 words by benchmark, those in more than ten
places left out; Rae et al. 2021 (arXiv 2112.11446): 13; Touvron et al. 2023 (arXiv 2307.09288), A.6: the share
of an item's tokens that lie in some gram found. Chinese is counted by characters: 20 of them hold about 13 words.

Cost: sorts the grams of all items; some 24 bytes a gram on disk, mapped into memory and shared by the workers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
from pydantic import model_validator

from corpus.config import Refused, StrictModel, setting
from corpus.files import atomic_folder
from filters.decontaminate.benchmark_items import BadLine
from tamis.errors import ConfigError

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Uint64 = npt.NDArray[np.uint64]
FORMAT = 1
_BROWN = "Brown et al. 2020 (arXiv 2005.14165), C"
NGRAMS, WHOLE, TOO_SHORT = "ngrams", "whole", "too_short"
ITEMS = pa.schema(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("searched_by", pa.string(), nullable=False),
        pa.field("same_as", pa.int32()),
        pa.field("tokens", pa.int32(), nullable=False),
    ]
)
"""The items, in the order of their files; `same_as` is the row of an earlier item with the same texts."""


class NgramConfig(StrictModel):
    """How long an n-gram is; mixed text counts a word as 1/words and a character as 1/characters of one."""

    words: int = setting(
        13,
        "Length of an n-gram in scripts with spaces; a longer one is found by chance more rarely, and misses more.",
        unit="tokens",
        source=f"{_BROWN}; Rae et al. 2021 (arXiv 2112.11446)",
        ge=1,
        le=256,
    )
    characters: int = setting(
        20,
        "Length of an n-gram in Han, Kana, Thai, Lao, Khmer and Myanmar, where 20 characters hold about 13 words.",
        unit="characters",
        ge=1,
        le=256,
    )
    min_words: int = setting(
        8, "A shorter item is not searched for, as it may be chance.", unit="tokens", source=_BROWN, ge=1, le=256
    )
    min_characters: int = setting(12, "As `min_words`, in scripts without spaces.", unit="characters", ge=1, le=256)
    max_items: int = setting(10, "N-grams that more items hold are mere templates.", unit="items", source=_BROWN, ge=1)

    @model_validator(mode="after")
    def _shorter(self) -> Self:
        for name, least, most in (
            ("words", self.min_words, self.words),
            ("characters", self.min_characters, self.characters),
        ):
            if least > most:
                raise Refused(f"min_{name}", least, f"at most {name}, {most}")
        return self

    def weights(self) -> Int64:
        """What tokens weigh, int64[2, 3]; see `filters.decontaminate.ngrams`."""
        longs = [self.characters, self.words, self.words * self.characters]
        shorts = [self.min_characters, self.min_words, self.min_words * self.min_characters]
        return np.array([longs, shorts], np.int64)


@dataclass(frozen=True)
class NgramIndex:
    """An index, built or loaded. Arrays are read-only; see `find_hits` for most of them."""

    keys: Uint64  # [m], hashes of grams, ascending
    starts: Int32  # [2^b + 1]
    bits: Uint64  # [2^c], a Bloom filter of the n-grams
    anchor_bits: Uint64  # [2^d], one of the anchors; they are few, so it stays in the CPU's cache
    post_ptr: Int64  # [m + 1]
    posts: Int32  # [p, 3]
    form_item: Int32  # [n_forms], the item of each form, ascending
    form_tokens: Int32  # [n_forms], tokens that can be found
    form_length: Int32  # [n_forms], its tokens where it must be met whole, else 0
    form_hash: Uint64  # [n_forms]
    weights: Int64  # [2, 3], see `filters.decontaminate.ngrams`; `FULL` is 0 for a kind of which there is no gram
    items: pa.Table  # rows of `ITEMS`
    bad_lines: tuple[BadLine, ...]  # lines that are no items
    about: dict[str, Any]  # the settings and the counts of each benchmark

    @property
    def longest(self) -> int:
        """Tokens of the longest gram or whole form."""
        settings = self.about["ngrams"]
        most = int(self.form_length.max()) if len(self.form_length) else 0
        return max(most, *(int(settings[name]) for name in settings if name != "max_items"))

    def save(self, folder: Path) -> None:
        """Writes the index as a folder, all or nothing; equal indexes give equal bytes."""
        with atomic_folder(folder) as made:
            for name in _ARRAYS:
                np.save(made / f"{name}.npy", getattr(self, name))
            with pa.ipc.new_file(made / "items.arrow", ITEMS) as file:
                file.write_table(self.items)
            lines = b"".join(orjson.dumps(bad, option=orjson.OPT_APPEND_NEWLINE) for bad in self.bad_lines)
            (made / "bad_lines.jsonl").write_bytes(lines)
            text = json.dumps(self.about, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
            (made / "index.json").write_text(text, "utf-8")

    @classmethod
    def load(cls, folder: Path) -> NgramIndex:
        """Maps what `save` wrote.

        Raises:
            ConfigError: the folder holds no index, or one of another format.
        """
        try:
            about = json.loads((folder / "index.json").read_text("utf-8"))
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray) for name in _ARRAYS}
            items = pa.ipc.open_file(pa.memory_map(str(folder / "items.arrow"))).read_all()
            lines = (folder / "bad_lines.jsonl").read_bytes().splitlines()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder}: holds no index of benchmarks ({error})") from error
        if about.get("format") != FORMAT:
            raise ConfigError(f"{folder}: holds an index of another format; remove it and run again")
        return cls(**arrays, items=items, bad_lines=tuple(BadLine(**orjson.loads(b)) for b in lines), about=about)


_ARRAYS = [f.name for f in fields(NgramIndex) if f.name not in ("items", "bad_lines", "about")]
