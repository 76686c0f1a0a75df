"""Megatron-core: IndexedDataset files of documents, GPTDataset, BlendedDataset, a torch DataLoader.

As `pretrain_gpt.py` does it: the builder makes document, sample and shuffle indices for a known number of samples and
caches them; resuming means building the same again and skipping the consumed samples. No attention mask, as is usual
with a fused kernel; loss mask and position ids come along, and labels, so it does more than was asked.

Megatron-core 0.19 says that it needs Python 3.12; the datasets in its wheel for 3.11 run all the same, which
`megatron.training` does not: its MegatronPretrainingSampler is copied in `batches_of`. Import brings the whole of core.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.loaders.common import SEED, Peer, Setup
from benchmarks.loaders.measuring import run
from benchmarks.tools.library import library

VOCABULARY = 1 << 16


def load() -> None:
    """Imports dataset and builder."""
    for name in ("gpt_dataset", "indexed_dataset", "blended_megatron_dataset_builder"):
        library(f"megatron.core.datasets.{name}")
    library("megatron.core.tokenizers.text.libraries.null_tokenizer")


def convert(setup: Setup) -> None:
    """Writes .bin and .idx of every domain, document by document."""
    indexed = library("megatron.core.datasets.indexed_dataset")
    for domain in setup.corpus.sizes:
        tokens, offsets = setup.corpus.tokens(domain), setup.corpus.offsets(domain).tolist()
        builder = indexed.IndexedDatasetBuilder(str(setup.folder / f"{domain}.bin"), dtype=np.uint16)
        for start, stop in zip(offsets[:-1], offsets[1:], strict=True):
            builder.add_document(tokens[start:stop], [stop - start])
        builder.finalize(str(setup.folder / f"{domain}.idx"))


def batches_of(setup: Setup, total: int, consumed: int) -> list[range]:
    """Indices of this rank's batches: whole global batches in order, each cut by rank."""
    step = setup.batch * setup.world_size
    begins = range(consumed + setup.rank * setup.batch, total - step + 1 + setup.rank * setup.batch, step)
    return [range(begin, begin + setup.batch) for begin in begins]


class Blended:
    """A blended dataset behind a DataLoader, and the samples consumed."""

    def __init__(self, setup: Setup, state: Any) -> None:
        gpt = library("megatron.core.datasets.gpt_dataset")
        tokenizer = library("megatron.core.tokenizers.text.libraries.null_tokenizer")
        config = gpt.GPTDatasetConfig(
            random_seed=SEED,
            sequence_length=setup.sequence_length,
            blend=([str(setup.folder / domain) for domain in setup.weights], list(setup.weights.values())),
            split="1,0,0",
            path_to_cache=str(setup.folder / "cache"),
            tokenizer=tokenizer.NullTokenizer(VOCABULARY, eod_id=setup.corpus.end_of_document),
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=False,
            create_attention_mask=False,
        )
        builder = library("megatron.core.datasets.blended_megatron_dataset_builder").BlendedMegatronDatasetBuilder
        dataset = builder(gpt.GPTDataset, [setup.samples, 0, 0], lambda: True, config).build()[0]
        self.consumed = int(state or 0)
        self.step = setup.batch * setup.world_size
        self.loader = library("torch.utils.data").DataLoader(
            dataset,
            batch_sampler=batches_of(setup, len(dataset), self.consumed),
            num_workers=setup.workers,
            persistent_workers=setup.workers > 0,
        )

    def __iter__(self) -> Iterator[Any]:
        """Tokens of each batch."""
        for batch in self.loader:
            self.consumed += self.step
            yield batch["tokens"]

    def state(self) -> int:
        """Consumed samples, which is all that Megatron saves."""
        return self.consumed

    def close(self) -> None:
        """Nothing to do."""


PEER = Peer(
    name="Megatron-core",
    packages=("megatron-core",),
    load=load,
    convert=convert,
    open=Blended,
    note="makes labels, loss mask and position ids too",
)

if __name__ == "__main__":
    run(PEER, "megatron_core")
