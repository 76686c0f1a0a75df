"""The index of benchmark n-grams: which grams of tokens tell of which items.

An item is searched for by its n-grams. One that is shorter than an n-gram is searched for whole: one short gram of it,
the one that fewest such items share, is its anchor, and where that is met all its tokens are compared. A gram that more
than ``max_items`` different items hold is a template ("which of the following statements is correct") and tells of
none of them: it is left out, and the item's share is taken over the rest; an item of templates alone is searched for
whole. An item below the least length cannot be told from chance: it is listed as too short.

Source: Brown et al. 2020 (arXiv 2005.14165), appendix C: n-grams of 8 to 13 words by benchmark, those in more than ten
places left out; Rae et al. 2021 (arXiv 2112.11446): 13; Touvron et al. 2023 (arXiv 2307.09288), A.6: the share
of an item's tokens that lie in some gram found. Chinese is counted by characters: 20 of them hold about 13 words.

Cost: sorts the grams of all items; some 24 bytes a gram on disk, mapped into memory and shared by the workers.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
from pydantic import Field, model_validator

from corpus.config import StrictModel
from corpus.errors import ConfigError
from filters.benchmark_items import BadLine, Form, Item
from filters.decontaminate_kernels import (
    LONG,
    SHORT,
    count_items,
    covered_tokens,
    fill_bits,
    grams_of_forms,
    powers,
    weigh_forms,
)
from text.arrow import TextColumn
from text.chars import char_tables
from text.tokens import token_hashes

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Uint64 = npt.NDArray[np.uint64]
_FORMAT = 1
_BITS_A_KEY = 16
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
"""The items, in the order of their files; ``same_as`` is the row of an earlier item with the same texts."""


class NgramConfig(StrictModel):
    """How long an n-gram is; mixed text counts a word as 1/words and a character as 1/characters of one."""

    words: int = Field(
        13, ge=1, le=256, description="Tokens of scripts with spaces (Brown et al. 2020; Rae et al. 2021)."
    )
    characters: int = Field(20, ge=1, le=256, description="Characters of Han, Kana, Thai, Lao, Khmer, Myanmar.")
    min_words: int = Field(8, ge=1, le=256, description="A shorter item is not searched for (Brown et al. 2020).")
    min_characters: int = Field(12, ge=1, le=256, description="The same, for scripts without spaces.")
    max_items: int = Field(10, ge=1, description="An n-gram that more items hold tells of none (Brown et al. 2020).")

    @model_validator(mode="after")
    def _shorter(self) -> Self:
        if self.min_words > self.words or self.min_characters > self.characters:
            raise ValueError("min_words and min_characters must not be more than words and characters")
        return self

    def weights(self) -> Int64:
        """What tokens weigh, int64[2, 3]; see ``filters.decontaminate_kernels``."""
        longs = [self.characters, self.words, self.words * self.characters]
        shorts = [self.min_characters, self.min_words, self.min_words * self.min_characters]
        return np.array([longs, shorts], np.int64)


@dataclass(frozen=True)
class NgramIndex:
    """An index, built or loaded. Arrays are read-only; see ``find_hits`` for most of them.

    Attributes:
        keys: uint64[m], hashes of grams, ascending.
        starts: int32[2^b + 1].
        bits: uint64[2^c].
        post_ptr: int64[m + 1].
        posts: int32[p, 3].
        form_item: int32[n_forms], the item of each form, ascending.
        form_tokens: int32[n_forms], tokens that can be found.
        form_length: int32[n_forms], its tokens where it must be met whole, else 0.
        form_hash: uint64[n_forms].
        weights: int64[2, 3]; a kind without grams is filled by 0.
        items: rows of ``ITEMS``.
        bad_lines: lines that are no items.
        about: the settings and the counts of each benchmark.
    """

    keys: Uint64
    starts: Int32
    bits: Uint64
    post_ptr: Int64
    posts: Int32
    form_item: Int32
    form_tokens: Int32
    form_length: Int32
    form_hash: Uint64
    weights: Int64
    items: pa.Table
    bad_lines: tuple[BadLine, ...]
    about: dict[str, Any]

    @property
    def longest(self) -> int:
        """Tokens of the longest gram or whole form."""
        settings = self.about["ngrams"]
        most = int(self.form_length.max()) if len(self.form_length) else 0
        return max(most, *(int(settings[name]) for name in settings if name != "max_items"))

    def save(self, folder: Path) -> None:
        """Writes the index as a folder, all or nothing; equal indexes give equal bytes."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            made = Path(scratch) / "index"
            made.mkdir()
            for name in _ARRAYS:
                np.save(made / f"{name}.npy", getattr(self, name))
            with pa.ipc.new_file(made / "items.arrow", ITEMS) as file:
                file.write_table(self.items)
            lines = b"".join(orjson.dumps(bad, option=orjson.OPT_APPEND_NEWLINE) for bad in self.bad_lines)
            (made / "bad_lines.jsonl").write_bytes(lines)
            text = json.dumps(self.about, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
            (made / "index.json").write_text(text, "utf-8")
            if folder.exists():
                folder.rename(Path(scratch) / "replaced")
            made.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> NgramIndex:
        """Maps what ``save`` wrote.

        Raises:
            ConfigError: the folder holds no index, or one of another format.
        """
        try:
            about = json.loads((folder / "index.json").read_text("utf-8"))
            arrays = {name: _mapped(folder / f"{name}.npy") for name in _ARRAYS}
            items = pa.ipc.open_file(pa.memory_map(str(folder / "items.arrow"))).read_all()
            lines = (folder / "bad_lines.jsonl").read_bytes().splitlines()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder}: holds no index of benchmarks ({error})") from error
        if about.get("format") != _FORMAT:
            raise ConfigError(f"{folder}: holds an index of another format; remove it and run again")
        return cls(**arrays, items=items, bad_lines=tuple(BadLine(**orjson.loads(b)) for b in lines), about=about)


_ARRAYS = [f.name for f in fields(NgramIndex) if f.name not in ("items", "bad_lines", "about")]


def _mapped(path: Path) -> npt.NDArray[Any]:
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    return found.view(np.ndarray)


def _fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array read-only, as a loaded one is, so that kernels are compiled for one type."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class _Forms:
    """The texts of items as tokens: form f owns ``tokens[ptr[f]:ptr[f + 1]]``, is of item[f], and is a role[f]."""

    ptr: Int64
    tokens: Uint64
    item: Int32
    role: npt.NDArray[np.int8]

    def take(self, which: npt.NDArray[np.bool_]) -> _Forms:
        """Some of the forms."""
        lengths = np.diff(self.ptr)[which]
        ptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        places = np.repeat(self.ptr[:-1][which] - ptr[:-1], lengths) + np.arange(ptr[-1])
        return _Forms(ptr, self.tokens[places], self.item[which], self.role[which])


def build_index(found: Iterable[Item | BadLine], config: NgramConfig) -> NgramIndex:
    """Builds the index of some items.

    Raises:
        ConfigError: there is no item.
    """
    items: list[Item] = []
    bad: list[BadLine] = []
    for one in found:
        if isinstance(one, Item):
            items.append(one)
        else:
            bad.append(one)
    if not items:
        raise ConfigError(f"benchmarks: the files hold no item ({len(bad)} lines could not be read)")
    forms = _tokenised(items)
    classes, weights = char_tables().classes, config.weights()
    tokens = np.zeros(len(items), np.int32)
    np.maximum.at(tokens, forms.item, np.diff(forms.ptr).astype(np.int32))
    weight = weigh_forms(forms.ptr, forms.tokens, classes, weights)
    forms = forms.take(_searched(forms, weight[:, LONG] >= weights[LONG, 2], weight[:, SHORT] >= weights[SHORT, 2]))
    same_as, first = _repeated(forms, len(items), weights)
    forms = forms.take(first)
    power = powers(int(np.diff(forms.ptr).max(initial=1)))
    full = weigh_forms(forms.ptr, forms.tokens, classes, weights)[:, LONG] >= weights[LONG, 2]
    hashes, place, whole_hash = grams_of_forms(forms.ptr, forms.tokens, classes, weights, LONG, full, power)
    telling, templates = _telling(hashes, forms.item[place[:, 0]], config.max_items)
    hashes, place = hashes[telling], place[telling]
    covered = covered_tokens(place, len(forms.item))
    whole = covered == 0
    anchors, anchor_place = _anchors(
        *grams_of_forms(forms.ptr, forms.tokens, classes, weights, SHORT, whole, power)[:2]
    )
    lengths = np.diff(forms.ptr).astype(np.int32)
    keys, post_ptr, posts = _postings(np.concatenate([hashes, anchors]), np.concatenate([place, anchor_place]))
    weights[LONG, 2] *= len(hashes) > 0
    weights[SHORT, 2] *= len(anchors) > 0
    how = np.full(len(items), TOO_SHORT, dtype=object)
    how[forms.item[whole]] = WHOLE
    how[forms.item[~whole]] = NGRAMS
    how = np.where(same_as >= 0, how[same_as], how)
    arrays = {
        "keys": keys, **_look_up(keys), "post_ptr": post_ptr, "posts": posts, "form_item": forms.item,
        "form_tokens": np.where(whole, lengths, covered), "form_length": np.where(whole, lengths, 0),
        "form_hash": whole_hash, "weights": weights,
    }  # fmt: skip
    table = _items_table(items, how, same_as, tokens)
    about = {
        "format": _FORMAT, "ngrams": config.model_dump(mode="json"), "grams": len(keys), "templates": templates,
        "benchmarks": _counts(table, bad),
    }  # fmt: skip
    return NgramIndex(**{k: _fixed(v) for k, v in arrays.items()}, items=table, bad_lines=tuple(bad), about=about)


def _tokenised(items: list[Item]) -> _Forms:
    texts = [text for item in items for _, text in item.forms]
    ptr, tokens = token_hashes(TextColumn.from_arrow(pa.array(texts, pa.large_string())))
    owner = np.repeat(np.arange(len(items), dtype=np.int32), [len(item.forms) for item in items])
    role = np.array([role for item in items for role, _ in item.forms], np.int8)
    return _Forms(ptr, tokens, owner, role)


def _searched(forms: _Forms, full: npt.NDArray[np.bool_], enough: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The forms that are searched for.

    A question with an n-gram of its own needs no choices beside it; a shorter one is searched for with its choices, as
    "which is correct?" tells nothing. An answer, or a passage with its question, needs an n-gram of its own; a short
    passage is searched for where the item has nothing else.
    """
    n = int(forms.item[-1]) + 1
    question, offered = forms.role == Form.QUESTION, forms.role == Form.OFFERED
    speaks = np.bincount(forms.item[question & full], minlength=n) > 0
    has_offered = np.bincount(forms.item[offered], minlength=n) > 0
    by_itself = question & (full | (enough & ~has_offered[forms.item]))
    together = offered & enough & ~speaks[forms.item]
    by_ngrams = np.isin(forms.role, (Form.ANSWER, Form.PASSAGE)) & full
    used = by_itself | together | by_ngrams
    alone = np.bincount(forms.item[used], minlength=n) == 0
    return used | ((forms.role == Form.PASSAGE) & enough & alone[forms.item])


def _repeated(forms: _Forms, n_items: int, weights: Int64) -> tuple[Int32, npt.NDArray[np.bool_]]:
    """Which item each one repeats, int32[n_items], -1 for none; and the forms of those that repeat none, each once."""
    power = powers(int(np.diff(forms.ptr).max(initial=1)))
    none = np.zeros(len(forms.item), np.bool_)
    whole = grams_of_forms(forms.ptr, forms.tokens, char_tables().classes, weights, LONG, none, power)[2].tolist()
    same_as = np.full(n_items, -1, np.int32)
    first = np.zeros(len(forms.item), np.bool_)
    known: dict[frozenset[int], int] = {}
    bounds = np.searchsorted(forms.item, np.arange(n_items + 1)).tolist()
    for item in range(n_items):
        own = whole[bounds[item] : bounds[item + 1]]
        if not own:
            continue
        earlier = known.setdefault(frozenset(own), item)
        if earlier != item:
            same_as[item] = earlier
            continue
        for k, value in enumerate(own):
            first[bounds[item] + k] = value not in own[:k]
    return same_as, first


def _telling(hashes: Uint64, items: Int32, max_items: int) -> tuple[npt.NDArray[np.bool_], int]:
    """Which grams few enough items hold, and how many different ones are templates."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    common = count_items(ordered, items[order]) > max_items
    telling = np.empty(len(hashes), np.bool_)
    telling[order] = ~common
    return telling, len(np.unique(ordered[common]))


def _anchors(hashes: Uint64, place: Int32) -> tuple[Uint64, Int32]:
    """Of each form the gram that is rarest among them, the first of equals."""
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    order = np.lexsort((place[:, 1], counts[inverse], place[:, 0]))
    form = place[order, 0]
    lead = order[np.flatnonzero(np.diff(form, prepend=-1))]
    return hashes[lead], place[lead]


def _postings(hashes: Uint64, place: Int32) -> tuple[Uint64, Int64, Int32]:
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    lead = np.ones(len(ordered), np.bool_)
    lead[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(lead)
    return ordered[starts], np.append(starts, len(ordered)).astype(np.int64), place[order].astype(np.int32)


def _look_up(keys: Uint64) -> dict[str, npt.NDArray[Any]]:
    """The bucket table and the bit table over the keys."""
    b = max(1, len(keys).bit_length() - 1)
    bounds = np.arange(1, 1 << b, dtype=np.uint64) << np.uint64(64 - b)
    starts = np.concatenate(([0], np.searchsorted(keys, bounds), [len(keys)])).astype(np.int32)
    bits = np.zeros(1 << max(1, (_BITS_A_KEY * len(keys) // 64).bit_length()), np.uint64)
    fill_bits(keys, bits)
    return {"starts": starts, "bits": bits}


def _items_table(items: list[Item], how: npt.NDArray[np.object_], same_as: Int32, tokens: Int32) -> pa.Table:
    columns = [
        pa.array([i.benchmark for i in items]), pa.array([i.name for i in items]), pa.array([i.file for i in items]),
        pa.array([i.line for i in items], pa.int32()), pa.array(how.tolist(), pa.string()),
        pa.array(same_as, mask=same_as < 0), pa.array(tokens),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=ITEMS)


def _counts(items: pa.Table, bad: list[BadLine]) -> dict[str, dict[str, int]]:
    """For each benchmark: items, how they are searched for, how many repeat an earlier one, lines that are none."""
    names = sorted({*items.column("benchmark").to_pylist(), *(b.benchmark for b in bad)})
    keys = ("items", NGRAMS, WHOLE, TOO_SHORT, "repeated", "bad_lines")
    counts = {name: dict.fromkeys(keys, 0) for name in names}
    for (name, how, repeated), number in Counter(
        zip(
            items.column("benchmark").to_pylist(), items.column("searched_by").to_pylist(),
            items.column("same_as").is_valid().to_pylist(), strict=True,
        )
    ).items():  # fmt: skip
        counts[name]["items"] += number
        counts[name][how] += number
        counts[name]["repeated"] += number if repeated else 0
    for line in bad:
        counts[line.benchmark]["bad_lines"] += 1
    return counts
