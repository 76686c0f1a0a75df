"""A corpus of any size made from real text, with planted duplicates and the list of them.

    python -m benchmarks.corpora.corpus --gigabytes 1 --out FOLDER [--lang en|zh|both]

FOLDER gets `input/*.parquet` (id, text), `truth.parquet` (id_a, id_b, jaccard, recipe) and `corpus.json` (what was
made). The shared text is some 105 MB (46 % English, 54 % Chinese by bytes, documents of 500 bytes or more, whole);
larger corpora are made of replicas (`benchmarks.corpora.pieces`), each in its own order. Of the documents 15 % get
edited copies (`benchmarks.corpora.edits`; most one, some up to four) and 5 % exact ones; a copy lies some 50 MB behind
its original. The truth names each copy and its original with their exact similarity as docs/design/principles.md
defines it; natural duplicates, which the text has too, and pairs of two copies are not in it.

The same arguments give the same bytes. Memory: 0.9 GB, whatever the size; 30 MB/s on a quiet core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora.base_text import DATA, LANGUAGES, BaseDocument, base_documents
from benchmarks.corpora.edits import EDITED, PROBE, RECIPES, Editor, render
from benchmarks.corpora.pieces import split
from tamis.kernels import kernel
from text.arrow import TextColumn
from text.shingle import shingle_sets

COPIES = (0.7, 0.2, 0.05, 0.05)
"""The shares of copied documents that get one, two, three and four copies."""
CHUNK_BYTES = 2 << 20
ROW_GROUP_BYTES = 16 << 20
RELEASED = 0.05
"""The share of the waiting copies that is written after each chunk."""
TRUTH = pa.schema([("id_a", pa.string()), ("id_b", pa.string()), ("jaccard", pa.float64()), ("recipe", pa.string())])


@dataclass(frozen=True)
class Plan:
    """What to make.

    Attributes:
        megabytes: text wanted, in 10^6 bytes; 0 takes each real document once, with its copies.
        seed: of replicas, order, choice and edits.
        edited: share of documents that get edited copies.
        exact: share of documents that get exact copies.
        file_megabytes: text of an input file.
    """

    megabytes: float = 0
    seed: int = 1
    edited: float = 0.15
    exact: float = 0.05
    file_megabytes: float = 96


@dataclass
class _Chunk:
    """Documents that were made together, and the truth about their copies, which follow later."""

    ids: list[str]
    texts: pa.Array
    truth: list[tuple[str, str, float, str]] = field(default_factory=list)


def make(out: Path, documents: list[BaseDocument], plan: Plan) -> dict[str, Any]:
    """Writes a corpus; returns what `corpus.json` says.

    Args:
        out: folder to make; a corpus in it is overwritten.
        documents: the real text, language by language.
        plan: what to make.
    """
    inputs = out / "input"
    inputs.mkdir(parents=True, exist_ok=True)
    for old in (*inputs.glob("*.parquet"), out / "corpus.json"):
        old.unlink(missing_ok=True)
    made: Counter[str] = Counter()
    truth: list[tuple[str, str, float, str]] = []
    with _Files(inputs, plan.file_megabytes) as files:
        for chunk in _chunks(documents, plan):
            files.add(chunk.ids, chunk.texts)
            truth += chunk.truth
            sizes = TextColumn.from_arrow(chunk.texts).lengths
            for name, size in zip(chunk.ids, sizes.tolist(), strict=True):
                made[f"{name[:2]} documents"] += 1
                made[f"{name[:2]} bytes"] += size
    rows = [dict(zip(TRUTH.names, row, strict=True)) for row in truth]
    pq.write_table(pa.Table.from_pylist(rows, TRUTH), out / "truth.parquet")
    body = {"plan": asdict(plan), "base_documents": len(documents), "made": dict(sorted(made.items()))}
    body["planted"] = _planted(truth)
    body["bytes"] = sum(n for key, n in made.items() if key.endswith("bytes"))
    body["documents"] = sum(n for key, n in made.items() if key.endswith("documents"))
    (out / "corpus.json").write_text(json.dumps(body, indent=1, sort_keys=True), "utf-8")
    return body


def cached(out: Path, gigabytes: float, lang: str = "both", seed: int = 1, data: Path = DATA) -> dict[str, Any]:
    """Makes the corpus unless the folder holds it already; returns `corpus.json`."""
    plan, langs = Plan(1000 * gigabytes, seed), LANGUAGES if lang == "both" else (lang,)
    path = out / "corpus.json"
    if path.is_file():
        body: dict[str, Any] = json.loads(path.read_text("utf-8"))
        known = tuple(sorted({key[:2] for key in body["made"]}))
        if body["plan"] == asdict(plan) and known == tuple(sorted(langs)):
            return body
    return make(out, base_documents(data, langs), plan)


def _planted(truth: list[tuple[str, str, float, str]]) -> dict[str, dict[str, float]]:
    """For each recipe the number of copies and their similarity."""
    found = defaultdict(list)
    for _, _, jaccard, recipe in truth:
        found[recipe].append(jaccard)
    facts = {}
    for name, similarities in sorted(found.items()):
        js = np.array(similarities)
        facts[name] = {"copies": len(js), "mean_jaccard": float(js.mean()), "share_from_0.8": float((js >= 0.8).mean())}
    return facts


def _chunks(documents: list[BaseDocument], plan: Plan) -> Iterator[_Chunk]:
    """Chunk by chunk: some originals and the copies that were waiting, in a random order."""
    pieces = split([*(d.text for d in documents), PROBE])
    editor = Editor.of(pieces, [d.lang for d in documents])
    sizes = np.array([len(d.text) for d in documents])
    langs = [d.lang for d in documents]
    target, written = plan.megabytes * 1e6, 0
    waiting: list[tuple[str, bytes]] = []
    for replica in count():
        rng = np.random.default_rng([plan.seed, replica, 1])
        order = rng.permutation(len(documents))
        bounds = np.flatnonzero(np.diff(np.cumsum(sizes[order]) // CHUNK_BYTES, prepend=-1, append=-1))
        blob = pieces.replica(plan.seed, replica)
        for low, high in zip(bounds, bounds[1:], strict=False):
            if target and written + sum(len(text) for _, text in waiting) >= target:
                break
            docs = order[low:high]
            names = [f"{langs[d]}-{replica:04d}-{d:06d}" for d in docs]
            column = _rendered(editor, blob, docs)
            truth, copies = _copied(editor, blob, docs, names, plan, rng)
            waiting += copies
            chosen = rng.random(len(waiting)) < RELEASED
            out = [w for w, free in zip(waiting, chosen, strict=True) if free]
            waiting = [w for w, free in zip(waiting, chosen, strict=True) if not free]
            chunk = _shuffled(names, column.to_arrow(), out, rng)
            chunk.truth = truth
            written += column.nbytes + sum(len(text) for _, text in out)
            yield chunk
        else:
            if target:
                continue
        yield _shuffled([], pa.array([], pa.large_string()), waiting, rng)
        return


def _rendered(editor: Editor, blob: npt.NDArray[np.uint8], docs: npt.NDArray[np.int64]) -> TextColumn:
    """The originals of a replica."""
    pieces = editor.pieces
    ptr = np.zeros(len(docs) + 1, np.int64)
    np.cumsum(pieces.ptr[docs + 1] - pieces.ptr[docs], out=ptr[1:])
    ids = np.concatenate([pieces.ids[pieces.ptr[d] : pieces.ptr[d + 1]] for d in docs])
    data, offsets = render(ids, ptr, np.zeros(len(docs), np.uint8), pieces.starts, blob)
    return TextColumn(offsets, data)


def _copied(
    editor: Editor,
    blob: npt.NDArray[np.uint8],
    docs: npt.NDArray[np.int64],
    names: list[str],
    plan: Plan,
    rng: np.random.Generator,
) -> tuple[list[tuple[str, str, float, str]], list[tuple[str, bytes]]]:
    """Plants copies of some of these documents: the truth about them, and their texts."""
    places, recipes = [], []
    for first, last, share in ((0, len(EDITED), plan.edited), (len(EDITED), len(RECIPES), plan.exact)):
        weights = np.array([r.weight for r in RECIPES[first:last]])
        chosen = np.flatnonzero(rng.random(len(docs)) < share)
        copies = 1 + rng.choice(len(COPIES), len(chosen), p=COPIES)
        places.append(np.repeat(chosen, copies))
        recipes.append(first + rng.choice(last - first, int(copies.sum()), p=weights / weights.sum()))
    place, recipe = np.concatenate(places), np.concatenate(recipes)
    if not len(place):
        return [], []
    seeds = rng.integers(0, 2**63, len(place), dtype=np.uint64)
    ids, ptr = editor.copies(docs[place], recipe, seeds)
    case = np.array([r.case for r in RECIPES], np.uint8)[recipe]
    copied = TextColumn(*render(ids, ptr, case, editor.pieces.starts, blob)[::-1])
    similarity = pair_jaccard(_rendered(editor, blob, docs[place]), copied)
    number: Counter[int] = Counter()
    truth, texts = [], []
    for k, p in enumerate(place.tolist()):
        number[p] += 1
        name = f"{names[p]}-{number[p]}"
        truth.append((names[p], name, float(similarity[k]), RECIPES[recipe[k]].name))
        texts.append((name, copied.bytes_at(k)))
    return truth, texts


def _shuffled(names: list[str], texts: pa.Array, more: list[tuple[str, bytes]], rng: np.random.Generator) -> _Chunk:
    both = pa.concat_arrays([texts, pa.array([text for _, text in more], pa.large_binary()).cast(pa.large_string())])
    order = rng.permutation(len(both))
    ids = [*names, *(name for name, _ in more)]
    return _Chunk([ids[i] for i in order], both.take(pa.array(order)))


def pair_jaccard(left: TextColumn, right: TextColumn) -> npt.NDArray[np.float64]:
    """Exact similarity of the documents at the same place of two columns, float64[n]."""
    (ptr_a, a, _), (ptr_b, b, _) = shingle_sets(left), shingle_sets(right)
    return _jaccard(ptr_a, a, ptr_b, b)  # type: ignore[no-any-return]


@kernel
def _jaccard(ptr_a, a, ptr_b, b):  # type: ignore[no-untyped-def]
    out = np.zeros(len(ptr_a) - 1, np.float64)
    for d in range(len(out)):
        i, j, both = ptr_a[d], ptr_b[d], 0
        while i < ptr_a[d + 1] and j < ptr_b[d + 1]:
            both += a[i] == b[j]
            step = a[i] <= b[j]
            j += a[i] >= b[j]
            i += step
        union = ptr_a[d + 1] - ptr_a[d] + ptr_b[d + 1] - ptr_b[d] - both
        out[d] = both / union if union else 0.0
    return out


class _Files:
    """Input files of bounded size; rows come in, row groups of some megabytes go out."""

    def __init__(self, folder: Path, megabytes: float) -> None:
        self._folder, self._most = folder, megabytes * 1e6
        self._number, self._bytes = 0, 0
        self._rows: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _Files:
        return self

    def add(self, ids: list[str], texts: pa.Array) -> None:
        """Appends documents."""
        if not ids:
            return
        self._rows.append(pa.table({"id": pa.array(ids, pa.string()), "text": texts.cast(pa.string())}))
        if sum(t.nbytes for t in self._rows) >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        table = pa.concat_tables(self._rows)
        if self._writer is None:
            path = self._folder / f"part-{self._number:04d}.parquet"
            self._writer = pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=False)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._rows, self._bytes = [], self._bytes + table.nbytes
        if self._bytes >= self._most:
            self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer, self._number, self._bytes = None, self._number + 1, 0

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._close()


def main() -> None:
    """Makes a corpus and prints what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gigabytes", type=float, default=0.25)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lang", choices=[*LANGUAGES, "both"], default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    started = time.perf_counter()
    documents = base_documents(options.data, LANGUAGES if options.lang == "both" else (options.lang,))
    loaded = time.perf_counter()
    body = make(options.out, documents, Plan(1000 * options.gigabytes, options.seed))
    seconds = time.perf_counter() - loaded
    print(f"{body['documents']:,} documents, {body['bytes']:,} bytes of text")
    for lang in LANGUAGES:
        share = body["made"].get(f"{lang} bytes", 0) / body["bytes"]
        print(f"{lang}: {body['made'].get(f'{lang} documents', 0):,} documents, {100 * share:.1f} % of the bytes")
    for recipe, facts in body["planted"].items():
        print(
            f"{recipe:<14} {facts['copies']:7,} copies, mean J {facts['mean_jaccard']:.3f}, "
            f"{100 * facts['share_from_0.8']:5.1f} % from 0.8"
        )
    print(f"loaded in {loaded - started:.1f} s, made in {seconds:.1f} s: {body['bytes'] / 1e6 / seconds:.0f} MB/s")


if __name__ == "__main__":
    main()
