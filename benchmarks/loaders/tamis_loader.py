"""Tamis' own loader: bins in its format written from the corpus's arrays, its mixture, int64 tensors.

The one module here that imports Tamis. `write_bins` and `open_for_benchmark` are all that knows the sampler; the rest
is what every loader has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loaders.common import SEED, Corpus, Peer, Setup, library, widened
from benchmarks.loaders.measuring import run

VOCABULARY = 1 << 16


def load() -> None:
    """Imports the sampler and torch."""
    for name in ("sampler.stream", "sampler.state", "sampler.tokens", "sampler.torch_data"):
        library(name)


def write_bins(corpus: Corpus, folder: Path) -> None:
    """Write the corpus as a run's committed bins, as if a tokenizer had made them; documents are numbered on.

    Args:
        corpus: the arrays.
        folder: the run.
    """
    files, first = library("corpus.files"), 0
    target = folder / "tokens" / "benchmark"
    target.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {}
    for domain in corpus.sizes:
        tokens, offsets = corpus.tokens(domain), corpus.offsets(domain)
        doc_ids = np.arange(first, first + len(offsets) - 1, dtype=np.int64)
        first += len(doc_ids)
        (target / f"{domain}.bin").write_bytes(tokens.tobytes())
        np.savez(target / f"{domain}.idx.npz", offsets=offsets, doc_ids=doc_ids, heldout=np.zeros(len(doc_ids), bool))
        paths = {kind: target / f"{domain}.{kind}" for kind in ("bin", "idx.npz")}
        entries[domain] = {
            kind: {"size": path.stat().st_size, "sha256": files.file_digest(path)} for kind, path in paths.items()
        }
    manifest = {
        "format": 1,
        "key": "benchmark",
        "tokenizer": hashlib.sha256(b"benchmark").hexdigest(),
        "dtype": "<u2",
        "domains": entries,
        "vocab_size": VOCABULARY,
        "eos_id": corpus.end_of_document,
    }
    files.write_json(target / "manifest.json", manifest)


def open_for_benchmark(folder: Path, sequence_length: int, weights: dict[str, float]) -> Any:
    """Open the mixture over the bins of `write_bins`.

    Args:
        folder: the run.
        sequence_length: inputs of a sample.
        weights: domain → share of samples.

    Returns:
        What `Ours` reads: a sampler.stream.MixtureStream.
    """
    bins = library("sampler.tokens").open_bins(folder / "tokens" / "benchmark", verify=False)
    mixture = library("sampler.mixture").Mixture.model_validate(
        {
            "domains": {domain: {"weight": weight} for domain, weight in weights.items()},
            "sequence_length": sequence_length,
            "seed": SEED,
        }
    )
    return library("sampler.stream").open_stream(folder, bins, mixture)


class Ours:
    """One rank's batches of the stream."""

    def __init__(self, setup: Setup, state: Any) -> None:
        self.stream = open_for_benchmark(setup.folder, setup.sequence_length, setup.weights)
        step = setup.batch * setup.world_size
        self.ranked = library("sampler.stream").RankStream(self.stream, setup.rank, setup.world_size, step)
        self.workers = setup.workers
        self.position = library("sampler.state").position_of(self.stream, state) if state else 0

    def __iter__(self) -> Iterator[Any]:
        """Tokens of each batch."""
        while self.workers == 0:
            batch = self.ranked.batch(self.position // self.ranked.global_batch)
            self.position += self.ranked.global_batch
            yield widened(batch.tokens)
        dataset = library("sampler.torch_data").StreamDataset(self.ranked)
        dataset.step = self.position // self.ranked.global_batch
        loader = library("torch.utils.data").DataLoader(dataset, batch_size=None, num_workers=self.workers)
        for item in loader:
            self.position += self.ranked.global_batch
            yield item["tokens"]

    def state(self) -> Any:
        """The sampler state after the last batch."""
        return library("sampler.state").state_at(self.stream, self.position)

    def close(self) -> None:
        """Nothing to do."""


PEER = Peer(
    name="Tamis",
    packages=("tamis",),
    load=load,
    convert=lambda setup: write_bins(setup.corpus, setup.folder),
    open=Ours,
)

if __name__ == "__main__":
    run(PEER, "tamis_loader")
