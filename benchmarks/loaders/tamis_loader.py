"""Tamis' own loader: token bins written from the arrays of the corpus, its mixture, int64 tensors.

The one module here that imports Tamis. A batch is what a training step takes: tokens, labels, positions and cu_seqlens;
a thread prepares them. Changed weights are a second phase of the mixture, as a user would write it.

numba imports its compiler, in half a second, when the first kernel is called; here that counts as import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loaders.common import SEED, Corpus, Peer, Setup
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library

VOCABULARY = 1 << 16
SHARD = "0000"


def load() -> None:
    """Imports the sampler, torch, and the compiler of numba."""
    for name in ("sampler.prepare", "sampler.stream.state", "sampler.torch_data"):
        library(name)
    library("sampler.stream.order").permutation(1, 0)


def write_bins(corpus: Corpus, folder: Path) -> None:
    """Writes the corpus as committed bins, as if a tokenizer had made them; ids of documents count through all domains.

    Args:
        corpus: the arrays.
        folder: the bins.
    """
    bins, build, files = map(library, ("sampler.bins.format", "sampler.bins.build", "corpus.files"))
    manifest_name, first = library("sampler.bins.manifests").BINS_MANIFEST, 0
    digest = hashlib.sha256(b"benchmark").hexdigest()
    for domain in corpus.sizes:
        tokens, offsets = corpus.tokens(domain), corpus.offsets(domain)
        doc_ids = np.arange(first, first + len(offsets) - 1, dtype=np.int64)
        first += len(doc_ids)
        paths = {kind: folder / domain / f"{SHARD}.{kind}" for kind in ("bin", "idx")}
        paths["bin"].parent.mkdir(parents=True)
        paths["bin"].write_bytes(tokens.tobytes())
        held = np.zeros(len(doc_ids), bool)
        paths["idx"].write_bytes(bins.index_bytes(offsets, doc_ids, held, np.asarray(tokens)))
        entry = {"shard": SHARD, "documents": len(doc_ids), "tokens": len(tokens)}
        entry |= {kind: build.file_facts(path) for kind, path in paths.items()}
        manifest = {"format": bins.FORMAT, "domain": domain, "tokenizer": digest, "shards": [entry]}
        files.write_json(folder / domain / "manifest.json", manifest)
    head = {"format": bins.FORMAT, "tokenizer": digest, "dtype": "<u2", "domains": sorted(corpus.sizes)}
    files.write_json(folder / manifest_name, {**head, "vocab_size": VOCABULARY, "eos_id": corpus.end_of_document})


def open_for_benchmark(
    folder: Path, sequence_length: int, weights: dict[str, float], later: dict[str, float] | None = None, at: int = 0
) -> Any:
    """Open the mixture over the bins of `write_bins`.

    Args:
        folder: the bins.
        sequence_length: inputs of a sample.
        weights: domain → share of samples.
        later: the shares of a second phase.
        at: the sample at which it begins.

    Returns:
        A sampler.stream.mixture_stream.MixtureStream.
    """
    prepare = library("sampler.prepare")
    phases: list[dict[str, Any]] = []
    if later is not None:
        phases = [{"tokens": at * sequence_length}, {"domains": {name: {"weight": w} for name, w in later.items()}}]
    mixture = library("sampler.mixture").Mixture.model_validate(
        {
            "domains": {domain: {"weight": weight} for domain, weight in weights.items()},
            "sequence_length": sequence_length,
            "seed": SEED,
            "phases": tuple(phases),
        }
    )
    return prepare.open_stream(folder, library("sampler.bins.manifests").open_bins(str(folder)), mixture)


class Ours:
    """One rank's batches of the stream."""

    def __init__(self, setup: Setup, state: Any) -> None:
        changed = setup.weights != setup.corpus.weights and state is not None
        self.stream = open_for_benchmark(
            setup.folder,
            setup.sequence_length,
            setup.corpus.weights if changed else setup.weights,
            setup.weights if changed else None,
            state["position"] if changed else 0,
        )
        step = setup.batch * setup.world_size
        ranked = library("sampler.stream.mixture_stream").RankStream(self.stream, setup.rank, setup.world_size, step)
        self.dataset = library("sampler.torch_data").StreamDataset(ranked)
        if state is not None:
            self.dataset.load_state_dict(state)
        self.workers = setup.workers
        self.item: Any = None
        self.open: Any = None

    def __iter__(self) -> Iterator[Any]:
        """Tokens of each batch."""
        self.open = iter(self.dataset)
        if self.workers:
            torch = library("torch.utils.data")
            self.open = iter(torch.DataLoader(self.dataset, batch_size=None, num_workers=self.workers))
        for item in self.open:
            self.item = item
            yield item["tokens"]

    def state(self) -> Any:
        """The sampler state after the last batch."""
        return self.dataset.state_after(self.item)

    def close(self) -> None:
        """Stop the thread."""
        if not self.workers and self.open is not None:
            self.open.close()


PEER = Peer(
    name="Tamis",
    packages=("tamis",),
    load=load,
    convert=lambda setup: write_bins(setup.corpus, setup.folder),
    open=Ours,
)

if __name__ == "__main__":
    run(PEER, "tamis_loader")
