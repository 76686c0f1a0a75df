"""A miniature run for the sampler's and trainer's tests: shards as the pipeline publishes them; bare bins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sampler.bins.format import MemoryBin, ShardIndex
from sampler.stream.document_index import open_documents
from sampler.stream.domain_documents import DomainDocuments
from sampler.weight_files import Weights

ENGLISH = " ".join(
    [
        "The miller opened the gate before sunrise. Water ran over the wheel and the stones began to turn.",
        "Farmers brought wheat from the valley, and nobody spoke of the price. In the evening the flour was",
        "sifted through a drum of silk, and the bran went to the horses. A child counted 1234 sacks by lamp",
        "light. When winter came the river froze, so the men mended the sieve and told old stories.",
    ]
).split(" ")
CHINESE = (
    "磨坊主在日出之前打开了闸门。水流过木轮，石磨开始转动。农民从山谷里运来小麦，谁也不谈价钱。"
    "傍晚时分，面粉用丝筛细细地筛过，麸皮留给马吃。孩子在灯下数了一千二百三十四袋。"
    "冬天到了，河水结冰，人们修补筛子，讲起关于大海的老故事。"
)
SMALL = {"vocab_size": 620, "sample_bytes": 1_000_000}


def english(rng: np.random.Generator, words: int) -> str:
    """Runs of the English text, from random starts."""
    start = int(rng.integers(len(ENGLISH)))
    return " ".join(ENGLISH[(start + i) % len(ENGLISH)] for i in range(words))


def chinese(rng: np.random.Generator, characters: int) -> str:
    """Runs of the Chinese text, from random starts."""
    start = int(rng.integers(len(CHINESE)))
    return "".join(CHINESE[(start + i) % len(CHINESE)] for i in range(characters))


def texts(domain: str, count: int, seed: int = 0) -> list[str]:
    """Documents of many lengths, some with lines, one empty."""
    rng = np.random.default_rng([seed, len(domain)])
    make = chinese if domain.startswith("zh") else english
    found = []
    for number in range(count):
        parts = [make(rng, int(rng.integers(3, 60))) for _ in range(int(rng.integers(1, 4)))]
        found.append("" if number == 3 else "\n".join(parts) + f" {number}")
    return found


def write_shard(path: Path, documents: list[str], first_id: int, heldout: set[int] | None = None) -> None:
    """One published shard; `heldout` are positions in `documents`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = range(first_id, first_id + len(documents))
    table = pa.table(
        {
            "doc_id": pa.array(ids, pa.int64()),
            "source_id": [f"source-{number}" for number in ids],
            "text": documents,
            "split": ["heldout" if row in (heldout or set()) else "train" for row in range(len(documents))],
        }
    )
    pq.write_table(table, path)


def write_run(run: Path, domains: tuple[str, ...] = ("en", "zh"), count: int = 120, heldout: bool = True) -> Path:
    """A run of two shards a domain; every tenth document is held out."""
    for number, domain in enumerate(domains):
        documents, half = texts(domain, count), count // 2
        chosen = set(range(0, half, 10)) if heldout else set()
        for shard, part in enumerate((documents[:half], documents[half:])):
            first = ((number * 2 + shard) << 27) + 5
            write_shard(run / "shards" / domain / f"{domain}-{shard:05d}.parquet", part, first, chosen)
    return run


def write_weights(run: Path, domain: str, weights: list[float], curve: str = "c0ffee", shift: int = 0) -> None:
    """Weights beside a domain's shards, and the state that names them; `shift` spoils the alignment."""
    start = 0
    for path in sorted((run / "shards" / domain).glob("*.parquet")):
        ids = pq.read_table(path, columns=["doc_id"])["doc_id"].to_numpy()
        part = pa.array(weights[start : start + len(ids)], pa.float32())
        start += len(ids)
        target = run / "weights" / curve / domain / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"doc_id": ids + shift, "weight": part}), target)
    (run / "state.json").write_text(json.dumps({"weights": curve}))


def bare_bin(lengths: list[int], name: str = "web/0", first: int = 0, dtype: str = "<u4") -> MemoryBin:
    """A bin in memory in which every token is its own position, from `first` on: what comes out can be told apart."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = ShardIndex(
        offsets=_frozen(offsets),
        doc_ids=_frozen(np.arange(len(lengths), dtype=np.int64) * 7 + 100 + (first << 20)),
        heldout=_frozen(np.zeros(len(lengths), np.uint8)),
        checks=np.zeros(0, np.uint64),
    )
    return MemoryBin(
        name, index, _frozen(np.arange(first, first + offsets[-1]).astype(dtype)), f"bare-{name}-{lengths}"
    )


class GivenWeights(Weights):
    """Weights out of a list, in the order of the documents of all shards."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        object.__setattr__(self, "left", list(weights))

    def read(self, shard: str, doc_ids: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        """The next ones of the list."""
        found = [self.left.pop(0) for _ in doc_ids]  # type: ignore[attr-defined]
        return np.array(found, np.float32)


def bare_documents(
    lengths: list[int],
    weights: list[float] | None = None,
    seed: int = 1,
    block_tokens: int = 64,
    domain: str = "web",
    shards: int = 1,
) -> DomainDocuments:
    """All documents of some bare bins, weighted; token values run on from shard to shard."""
    bins, first = [], 0
    for number, part in enumerate(np.array_split(np.array(lengths), shards)):
        bins.append(bare_bin(part.tolist(), f"{domain}/{number}", first))
        first += int(part.sum())
    given = GivenWeights(weights or [1.0] * len(lengths))
    return open_documents(domain, bins, weights=given, seed=seed, block_tokens=block_tokens)


def _frozen(array: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    array.setflags(write=False)
    return array
