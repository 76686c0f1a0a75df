"""Peak memory and time of the output loss at a large vocabulary: the full logits beside the chunked head.

    python -m benchmarks.trainer.loss_memory [--tokens 2048] [--width 512] [--vocabulary 125696] [--chunks 256 1024]

Each form runs forward and backward in a process of its own, in float32 on the CPU. Memory is the growth of the
process's peak resident size (ru_maxrss) over its size with weights and inputs; it includes the gradient of the head,
which both forms need.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import table_head

NEEDS = ("torch",)

PLAIN = 0


def measure(tokens: int, width: int, vocabulary: int, chunk: int) -> dict[str, float]:
    """Mebibytes, seconds and loss of one form, measured in this process; `chunk` 0 is the full logits."""
    import torch

    from trainer.head import OutputHead

    torch.manual_seed(1)
    head = OutputHead(width, vocabulary, normed=True, max_z=2e-4, chunk_tokens=chunk or tokens)
    torch.nn.init.normal_(head.weight)
    hidden = torch.randn(tokens, width, requires_grad=True)
    labels = torch.randint(0, vocabulary, (tokens,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    if chunk:
        loss = head(hidden, labels).objective
    else:
        logits = head(hidden)
        top = logits.max(-1).values
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum") + 2e-4 * top.square().sum()
    loss.backward()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"mib": (peak - before) / 1024, "seconds": seconds, "loss": float(loss.detach()) / tokens}


def main() -> None:
    """Prints a table."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=125_696)
    parser.add_argument("--chunks", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--one", type=int, help="measure this form alone and print JSON")
    options = parser.parse_args()
    shape = (options.tokens, options.width, options.vocabulary)
    if options.one is not None:
        print(json.dumps(measure(*shape, options.one)))
        return
    require(NEEDS, options)
    print(machine.as_line(machine.describe()))
    print("\n" + table_head("form | peak beyond weights and inputs, MiB | s | loss"))
    for chunk in (PLAIN, *options.chunks):
        given = {"one": chunk, "tokens": options.tokens, "width": options.width, "vocabulary": options.vocabulary}
        command = [sys.executable, "-m", "benchmarks.trainer.loss_memory"]
        command += [part for name, value in given.items() for part in (f"--{name}", str(value))]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        name = f"chunks of {chunk}" if chunk else "full logits"
        print(f"| {name} | {found['mib']:,.0f} | {found['seconds']:.1f} | {found['loss']:.6f} |", flush=True)


if __name__ == "__main__":
    main()
