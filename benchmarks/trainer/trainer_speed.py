"""How fast one device trains: tokens a second, MFU over both denominators, and where the time goes.

    python -m benchmarks.trainer.trainer_speed [--model conf/models/1b.yaml] [--length 4096] [--rows 8]
           [--vocabulary 125696] [--steps 20] [--device cuda] [--eager] [--attention auto] [--format json]

A model of a file in `conf/models` takes steps of `rows` sequences, one micro-batch each, with the loop's own step,
loader and optimizer; only checkpoints and judging are left out. The text is made up: ids by Zipf's law, documents of
log-normal lengths as in `benchmarks.corpora.sampler_corpus`, packed and masked as usual. After `--warmup` steps, in
which blocks and loss are compiled, each step is timed. Then three more are profiled, and the time of kernels is summed
by what they do; *idle* is the time in which no kernel ran. The memory is the allocator's peak (on a CPU the process's).

The aim is 58.3 % of the data sheet at 1 B, 4,096 and bfloat16 on one GPU (Baichuan-7B's headline, on A800). On a CPU
everything runs, but without that figure: `--device cpu --model conf/models/10m.yaml --length 256 --rows 2 --vocabulary
4096`.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.corpora.sampler_corpus import document_ends
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import show, table_head
from tamis.places import ROOT

if TYPE_CHECKING:
    from trainer.setup import TrainingRun

NEEDS = ("torch", "gpu")

KINDS = {
    "attention": r"flash|fmha|flex|scaled_dot_product|varlen",
    "optimizer": r"adam|multi_tensor|lerp|addcdiv",
    "matrix products": r"gemm|triton_tem\w*mm|nvjet|cutlass|xmma|cublas|aten::(mm|addmm|bmm|matmul|linear)\b|mkl",
    "exchange between ranks": r"nccl",
    "fused: norms, rotation, SwiGLU, loss": r"triton|cpp_fused|CompiledFxGraph|CompiledFunction",
    "copies": r"memcpy|memset|copy_|aten::(to|cat|clone|contiguous|fill_|zero_|empty)",
}
"""What a kernel does → a pattern of its name; the first that matches counts, and *other* where none does."""
PROFILED = 3


@dataclass(frozen=True)
class Ids:
    """A stand-in for the tokenizer, as no text is encoded."""

    vocab_size: int
    eos_id: int = 2
    digest: str = "benchmark"


def open_run(options: argparse.Namespace, folder: Path) -> TrainingRun:
    """A run of the model over made-up text, ready to take steps."""
    from corpus.config import load_config
    from sampler.bins.format import MemoryBin, ShardIndex, TokenBins
    from sampler.mixture import Mixture
    from sampler.prepare import Prepared, open_stream
    from trainer.config import TrainConfig
    from trainer.setup import assemble

    config = load_config(TrainConfig, options.model)
    shape = config.model.model_copy(update={"attention": options.attention})
    config = config.model_copy(
        update={
            "model": shape,
            "device": options.device,
            "global_batch": options.rows,
            "compile": not options.eager,
            "name": "speed",
            "steps": options.warmup + options.steps + PROFILED + 1,
            "heldout_sequences": 1,
            "loss_band": False,
            "spike_factor": 0.0,
            "parallel": config.parallel.model_copy(update={"recompute": options.recompute}),
        }
    )
    tokens = max(1 << 20, (config.steps + 8) * options.rows * (options.length + 1))
    rng, ids = np.random.default_rng(1), Ids(options.vocabulary)
    ends = document_ends(rng, tokens)
    data = np.minimum(3 + rng.zipf(1.2, tokens) % (ids.vocab_size - 3), ids.vocab_size - 1).astype(np.uint32)
    data[ends - 1] = ids.eos_id
    index = ShardIndex(
        offsets=np.append(np.int64(0), ends),
        doc_ids=np.arange(len(ends)),
        heldout=np.zeros(len(ends), np.uint8),
        checks=np.zeros(0, np.uint64),
    )
    for array in (data, index.offsets, index.doc_ids, index.heldout):
        array.setflags(write=False)
    bins = TokenBins(
        tokenizer_digest=ids.digest,
        vocab_size=ids.vocab_size,
        eos_id=ids.eos_id,
        domains={"made": [MemoryBin("made/0000", index, data, "made")]},
        cache=None,
    )
    mixture = Mixture(domains="*", sequence_length=options.length, seed=1)  # type: ignore[arg-type]
    stream = open_stream(folder, bins, mixture)
    prepared: Any = Prepared(run=folder, mixture=mixture, tokenizer=ids, bins=bins, stream=stream)  # type: ignore[arg-type]
    return assemble(config, prepared, stream, stream)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Takes the steps; returns rates, shares of time and memory."""
    import torch

    from trainer.loop import steps_of, take_step
    from trainer.spikes import SpikeGuard

    state = open_run(options, folder)
    steps, guard, seconds, waits = steps_of(state), SpikeGuard(factor=0.0), [], []
    rate = state.config.optimizer.max_learning_rate / 100  # as in warm-up: on made-up text the loss must not diverge
    losses = []

    def one() -> None:
        begun = time.perf_counter()
        parts = next(steps)
        waits.append(time.perf_counter() - begun)
        losses.append(take_step(state, parts, rate, guard)[0])
        if state.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)

    for _ in range(options.warmup + options.steps):
        one()
    memory = _memory(state.device.type)
    typical = statistics.median(seconds[options.warmup :])
    tokens = options.rows * options.length
    found = {
        "model": state.config.name,
        "parameters": state.parameters,
        "tokens_a_step": tokens,
        "loss": losses[-1],
        "seconds_a_step": typical,
        "first_step_seconds": seconds[0],
        "tokens_per_second": tokens / typical,
        "loader_seconds": statistics.median(waits[options.warmup :]),
        "longest_wait": max(waits[options.warmup :]),
        "peak_memory_gib": memory,
        **state.rates.describe(),
        "whole": state.rates.of(tokens / typical, options.length),
        "causal": state.rates.of(tokens / typical, options.length / 2),
        "time": profile(state.device.type, one),
    }
    steps.close()
    state.metrics.close()
    return found


def profile(device: str, one: Any) -> dict[str, float]:
    """Shares of the time of some steps by what kernels do."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
    begun = time.perf_counter()
    with profiler(activities=activities) as seen:
        for _ in range(PROFILED):
            one()
        whole = (time.perf_counter() - begun) * 1e6
    sums = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in seen.key_averages():
        took = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        if device == "cuda" and str(event.device_type).endswith("CPU"):
            continue  # the kernels themselves, not the calls that launched them
        sums[kind_of(event.key)] += took
    sums["idle"] = max(0.0, whole - sum(sums.values()))
    return {kind: value / max(whole, sum(sums.values())) for kind, value in sums.items()}


def kind_of(kernel: str) -> str:
    """What a kernel does, by its name."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, kernel, re.IGNORECASE)), "other")


def _memory(device: str) -> float:
    import torch

    if device == "cuda":
        return float(torch.cuda.max_memory_allocated()) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def as_markdown(found: dict[str, Any], options: argparse.Namespace) -> str:
    """The result as tables."""
    import torch

    how = "eager" if options.eager else "compiled"
    model = f"{options.model.stem}: {found['parameters']:,} parameters, vocabulary {options.vocabulary:,}"
    waits = f"{found['loader_seconds'] * 1e3:.2f} ms a step (longest {found['longest_wait'] * 1e3:.2f})"
    lines = [
        machine.as_line(machine.describe()),
        "",
        f"{found['device_name']}, torch {torch.__version__}, {how}, attention {options.attention}; {model}, "
        f"{options.rows} × {options.length:,} tokens a step. {found['tokens_per_second']:,.0f} tokens/s: "
        f"{found['seconds_a_step']:.3f} s a step (median of {options.steps}; the first "
        f"{found['first_step_seconds']:.1f} s); {found['peak_memory_gib']:.1f} GiB; waiting for data {waits}.",
        "",
        found["formula"],
        "",
        table_head("MFU over | TFLOP/s | attention whole | causal half"),
    ]
    for name, key, share in (("the data sheet", "peak", "mfu"), ("a measured matrix product", "gemm", "mfu_gemm")):
        if found[key] is not None:
            shares = f"{found['whole'][share]:.1%} | {found['causal'][share]:.1%}"
            lines.append(f"| {name} | {found[key] / 1e12:,.2f} | {shares} |")
    lines += ["", table_head("where the time goes | share")]
    lines += [f"| {kind} | {share:.1%} |" for kind, share in sorted(found["time"].items(), key=lambda item: -item[1])]
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = command_line(__doc__, NEEDS, formats=True)
    parser.add_argument("--model", type=Path, default=ROOT / "conf" / "models" / "1b.yaml")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a sequence")
    parser.add_argument("--rows", type=int, default=8, help="sequences of a step, all one micro-batch")
    parser.add_argument("--vocabulary", type=int, default=125_696)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--attention", choices=("auto", "sdpa", "flex", "varlen"), default="auto")
    parser.add_argument("--recompute", type=int, default=0, help="blocks that keep no activations")
    options = parser.parse_args()
    require(NEEDS, options)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    show(found, options.format == "json", lambda body: as_markdown(body, options))


if __name__ == "__main__":
    main()
