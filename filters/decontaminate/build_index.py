"""Builds the index of benchmark n-grams: what of each item is searched for, and which n-grams identify it.

Cost: sorts the grams of all items; some 100 bytes a gram while it does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.decontaminate.benchmark_items import BadLine, Form, Item
from filters.decontaminate.index import (
    FORMAT,
    ITEMS,
    NGRAMS,
    TOO_SHORT,
    WHOLE,
    Int32,
    Int64,
    NgramConfig,
    NgramIndex,
    Uint64,
)
from filters.decontaminate.ngrams import (
    AT_FIRST,
    FULL,
    IN_FORM,
    LONG,
    SHORT,
    count_items,
    covered_tokens,
    fill_bits,
    grams_of_forms,
    powers,
    weigh_forms,
)
from tamis.errors import ConfigError
from text.arrow import TextColumn
from text.chars import char_tables
from text.tokens import token_hashes

_BITS_A_KEY = 16


@dataclass(frozen=True, slots=True)
class _Forms:
    """The texts of items as tokens: form f owns `tokens[ptr[f]:ptr[f + 1]]`, is of item[f], and is a role[f]."""

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
    enough = weigh_forms(forms.ptr, forms.tokens, classes, weights) >= weights[:, FULL]
    forms = forms.take(_searched(forms, enough[:, LONG], enough[:, SHORT]))
    same_as, first = _repeated(forms, len(items), weights)
    forms = forms.take(first)
    power = powers(int(np.diff(forms.ptr).max(initial=1)))
    full = weigh_forms(forms.ptr, forms.tokens, classes, weights)[:, LONG] >= weights[LONG, FULL]
    hashes, place, whole_hash = grams_of_forms(forms.ptr, forms.tokens, classes, weights, LONG, full, power)
    telling, templates = _telling(hashes, forms.item[place[:, IN_FORM]], config.max_items)
    hashes, place = hashes[telling], place[telling]
    covered = covered_tokens(place, len(forms.item))
    whole = covered == 0
    anchors, anchor_place = _anchors(
        *grams_of_forms(forms.ptr, forms.tokens, classes, weights, SHORT, whole, power)[:2]
    )
    lengths = np.diff(forms.ptr).astype(np.int32)
    keys, post_ptr, posts = _postings(np.concatenate([hashes, anchors]), np.concatenate([place, anchor_place]))
    weights[LONG, FULL] *= len(hashes) > 0
    weights[SHORT, FULL] *= len(anchors) > 0
    how = np.full(len(items), TOO_SHORT, dtype=object)
    how[forms.item[whole]] = WHOLE
    how[forms.item[~whole]] = NGRAMS
    how = np.where(same_as >= 0, how[same_as], how)
    arrays = {
        "keys": keys,
        "starts": _starts(keys),
        "bits": _bits(hashes),
        "anchor_bits": _bits(anchors),
        "post_ptr": post_ptr,
        "posts": posts,
        "form_item": forms.item,
        "form_tokens": np.where(whole, lengths, covered),
        "form_length": np.where(whole, lengths, 0),
        "form_hash": whole_hash,
        "weights": weights,
    }
    table = _items_table(items, how, same_as, tokens)
    about = {
        "format": FORMAT,
        "ngrams": config.model_dump(mode="json"),
        "grams": len(keys),
        "templates": templates,
        "benchmarks": _counts(table, bad),
    }
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
    "which is correct?" identifies nothing. An answer, or a passage with its question, needs an n-gram of its own; a
    short passage is searched for where the item has nothing else.
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
    """Which n-grams occur in few enough items to identify one; and how many distinct ones are commoner: templates."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    common = count_items(ordered, items[order]) > max_items
    telling = np.empty(len(hashes), np.bool_)
    telling[order] = ~common
    return telling, len(np.unique(ordered[common]))


def _anchors(hashes: Uint64, place: Int32) -> tuple[Uint64, Int32]:
    """The anchor of each form: its rarest n-gram; of several, the earliest."""
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    order = np.lexsort((place[:, AT_FIRST], counts[inverse], place[:, IN_FORM]))
    form = place[order, IN_FORM]
    lead = order[np.flatnonzero(np.diff(form, prepend=-1))]
    return hashes[lead], place[lead]


def _postings(hashes: Uint64, place: Int32) -> tuple[Uint64, Int64, Int32]:
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    lead = np.ones(len(ordered), np.bool_)
    lead[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(lead)
    return ordered[starts], np.append(starts, len(ordered)).astype(np.int64), place[order].astype(np.int32)


def _starts(keys: Uint64) -> Int32:
    """Where the keys with the same leading bits begin, and the end."""
    b = max(1, len(keys).bit_length() - 1)
    bounds = np.arange(1, 1 << b, dtype=np.uint64) << np.uint64(64 - b)
    return np.concatenate(([0], np.searchsorted(keys, bounds), [len(keys)])).astype(np.int32)


def _bits(hashes: Uint64) -> Uint64:
    """The Bloom filter of some grams."""
    bits = np.zeros(1 << max(1, (_BITS_A_KEY * len(hashes) // 64).bit_length()), np.uint64)
    fill_bits(hashes, bits)
    return bits


def _items_table(items: list[Item], how: npt.NDArray[np.object_], same_as: Int32, tokens: Int32) -> pa.Table:
    columns = [
        pa.array([i.benchmark for i in items]),
        pa.array([i.name for i in items]),
        pa.array([i.file for i in items]),
        pa.array([i.line for i in items], pa.int32()),
        pa.array(how.tolist(), pa.string()),
        pa.array(same_as, mask=same_as < 0),
        pa.array(tokens),
    ]
    return pa.Table.from_arrays(columns, schema=ITEMS)


def _counts(items: pa.Table, bad: list[BadLine]) -> dict[str, dict[str, int]]:
    """For each benchmark: items, how they are searched for, how many repeat an earlier one, lines that are none."""
    names = sorted({*items.column("benchmark").to_pylist(), *(b.benchmark for b in bad)})
    keys = ("items", NGRAMS, WHOLE, TOO_SHORT, "repeated", "bad_lines")
    counts = {name: dict.fromkeys(keys, 0) for name in names}
    for (name, how, repeated), number in Counter(
        zip(
            items.column("benchmark").to_pylist(),
            items.column("searched_by").to_pylist(),
            items.column("same_as").is_valid().to_pylist(),
            strict=True,
        )
    ).items():
        counts[name]["items"] += number
        counts[name][how] += number
        counts[name]["repeated"] += number if repeated else 0
    for line in bad:
        counts[line.benchmark]["bad_lines"] += 1
    return counts


def _fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array read-only, as a loaded one is, so that kernels are compiled for one type."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
