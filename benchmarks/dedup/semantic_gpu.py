"""k-means, assignment, comparison and encoding on one device, as shares of what its memory and its GEMM can do.

    python -m benchmarks.dedup.semantic_gpu [--device cuda] [--vectors 1000000] [--cells 1000] [--dim 384]
           [--model FOLDER]

The *floor* is measured in the same run: a float32 GEMM of 8,192 (4,096 on a CPU), and a copy of 256 MiB. k-means takes
2·n·k·d operations an iteration, assignment as many once; both are printed as shares of the GEMM. With `--model` a
folder of sentence-transformers encodes windows of 2,048 bytes; the figure is windows a second. `--device cpu` works as
well, with fewer vectors. Figures of a GPU belong in RESULTS.md, with the machine and the build of FAISS.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora.clustered_vectors import clustered_vectors
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head
from benchmarks.tools.timing import timed
from dedup.clusters import Assigner, open_backend
from dedup.embed import MINILM, Windows, encode_documents, find_model, open_encoder
from text.arrow import TextColumn

NEEDS = ("torch", "gpu")

ITERATIONS = 5


def main() -> None:
    """Prints one row for each step."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--model", default=MINILM, help="a folder, or minilm-en; '' leaves encoding out")
    parser.add_argument("--windows", type=int, default=20_000)
    options = parser.parse_args()
    require(NEEDS, options)
    import torch

    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(machine.as_line(machine.describe()), f"\n\n{name}, torch {torch.__version__}\n")
    print(table_head("step | s | rate | share"))
    gemm, copy = floors(torch, options.device)
    backend = open_backend(options.device)
    vectors = clustered_vectors(options.vectors, options.dim, max(8, options.vectors // options.cells))
    work = 2.0 * options.vectors * options.cells * options.dim
    centroids, seconds = timed(lambda: backend.kmeans(vectors, options.cells, 1, ITERATIONS))
    print_row(f"k-means, {ITERATIONS} iterations, {backend.name}", seconds, ITERATIONS * work, gemm)
    assigner = Assigner(centroids, backend)
    assigner(vectors[:1000])
    print_row(f"assignment, {backend.name}", timed(lambda: assigner(vectors))[1], work, gemm)
    print(f"| (copy of the vectors alone at {copy / 1e9:,.0f} GB/s) | {vectors.nbytes / copy:.4f} | | |")
    if options.model:
        encode(options)


def floors(torch: Any, device: str) -> tuple[float, float]:
    """Operations a second of a float32 GEMM, and bytes a second of a copy (those read and those written)."""
    side = 8192 if device == "cuda" else 4096
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    block = torch.empty(1 << 26, device=device)

    def run(function: Callable[[], Any]) -> float:
        function()
        synchronise(torch, device)
        begun = time.monotonic()
        for _ in range(5):
            function()
        synchronise(torch, device)
        return (time.monotonic() - begun) / 5

    gemm = 2.0 * side**3 / run(lambda: a @ b)
    copy = 2.0 * block.nbytes / run(lambda: block.clone())
    print(f"| GEMM, float32, {side} | | {gemm / 1e12:.2f} Tflop/s | 1 |\n| copy | | {copy / 1e9:,.0f} GB/s | 1 |")
    return gemm, copy


def synchronise(torch: Any, device: str) -> None:
    """Waits for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def print_row(step: str, seconds: float, work: float, gemm: float) -> None:
    """Prints a row."""
    print(f"| {step} | {seconds:.2f} | {work / seconds / 1e12:.2f} Tflop/s | {work / seconds / gemm:.2f} |", flush=True)


def encode(options: argparse.Namespace) -> None:
    """Prints the windows a second of a model of sentence-transformers."""
    path = find_model(options.model, Path.cwd(), Path("unused"))
    encoder = open_encoder(options.model, path, device=options.device, batch_size=256)
    rng = np.random.default_rng(1)
    words = ["".join(map(chr, rng.integers(97, 123, 5))) for _ in range(5000)]
    texts = [" ".join(words[i] for i in rng.integers(0, len(words), 340)) for _ in range(options.windows)]
    column = TextColumn.from_texts(texts)
    encode_documents(TextColumn.from_texts(texts[:256]), encoder, Windows(2048, 1))
    _, seconds = timed(lambda: encode_documents(column, encoder, Windows(2048, 1)))
    print(f"| encode, {options.model} | {seconds:.2f} | {len(texts) / seconds:,.0f} windows/s | |", flush=True)


if __name__ == "__main__":
    main()
