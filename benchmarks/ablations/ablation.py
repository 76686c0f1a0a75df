"""What deduplication, filtering and sampling are worth to a model: one small crawl, five pipelines, one tiny model.

    python -m benchmarks.ablations.ablation [--megabytes 2] [--steps 160] [--seeds 3] [--small] [--work FOLDER]

A small crawl (`benchmarks.corpora.ablation_corpus`) goes through five pipelines
(`benchmarks.tools.ablation.pipeline_arms`): as it is; documents deduplicated; spans deduplicated too; filters and
sentence quality too; the same shards sampled by score. The same model trains on each for the same number of tokens,
half of them of each language, from several seeds (initial weights and order of the data). Printed is the loss on
reference text that no page of the crawl is related to, in nats a token and in bits a byte, which do not depend on the
tokenizer: mean and spread over the seeds, and whether an arm differs from the arm before it (*within the spread* where
their ranges overlap). By default a training is about one epoch of the multi-level arm, which is how pretraining uses
clean text; the arms without dedup see a part of theirs.

The design follows BaichuanSEED's ablation (arXiv 2408.15079) of a 2 B model on a real crawl, whose losses stand beside
ours. A model of two million weights need not behave as a large one does, and three seeds show large differences only:
read the spread before the means.

`--small` only shows that everything works; its figures mean nothing. Where other work shares the cores, set
`OMP_WAIT_POLICY=PASSIVE` or take one thread: two threads that spin while they wait for each other are slower than one.

Cost: minutes, nearly all of it training; `--small` one minute.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.corpora.ablation_corpus import make
from benchmarks.corpora.base_text import LANGUAGES
from benchmarks.tools import machine
from benchmarks.tools.ablation.pipeline_arms import ARMS, run_arm
from benchmarks.tools.ablation.spread import loss_cells
from benchmarks.tools.ablation.trials import prepare_trials, text_cells, text_of, tiny_model, train
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.cpu_by_stage import CpuByStage
from benchmarks.tools.pipeline_run import local_cluster
from benchmarks.tools.report import show, table_head

NEEDS = ("data", "torch", "linux")

SEED_TABLE = {"none": (3.136, 2.893), "document": (3.083, 2.877), "multi-level": (3.006, 2.874)}
"""BaichuanSEED's held-out losses, Chinese and English."""


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes of an ablation.

    Attributes:
        megabytes: raw text.
        reference_bytes: reference text of each language.
        steps: of each training.
        seeds: how often each arm is trained.
    """

    megabytes: float = 2.0
    reference_bytes: int = 150_000
    steps: int = 160
    seeds: int = 3


SMALL = Size(megabytes=0.5, reference_bytes=6000, steps=2, seeds=1)


def measure(work: Path, data: Path, size: Size, seed: int) -> dict[str, Any]:
    """Makes the corpus, runs the pipelines and trains; returns what `ablation.json` says."""
    from cli.progress import shown_progress
    from tamis.progress import PlainProgress

    meter, started = CpuByStage(), time.monotonic()
    body: dict[str, Any] = {"machine": machine.describe(), "size": asdict(size), "seed": seed}
    body["corpus"] = make(work / "corpus", size.megabytes, size.reference_bytes, seed, data)
    arms: dict[str, Any] = {arm.name: {"losses": []} for arm in ARMS}
    with local_cluster(progress=PlainProgress()) as cluster:
        for arm in ARMS:
            before = meter.total()
            run_arm(arm, work, cluster)
            arms[arm.name]["pipeline_cpu_seconds"] = meter.total() - before
    with shown_progress() as progress:
        raw, reference = work / ARMS[0].name, work / "corpus" / "reference"
        trials = prepare_trials(raw, reference, tiny_model(size.steps), progress)
    for arm in ARMS:
        arms[arm.name] |= {"text": text_of(trials, work / arm.name), "training_cpu_seconds": 0.0}
    for number in range(size.seeds):
        for arm in ARMS:
            before = meter.total()
            with shown_progress() as progress:
                losses = train(trials, work / arm.name, seed + number, progress)[-1].losses
            arms[arm.name]["training_cpu_seconds"] += meter.total() - before
            arms[arm.name]["losses"].append(losses)
            shown = ", ".join(f"{lang} {loss['nats']:.3f}" for lang, loss in losses.items())
            print(f"seed {seed + number}, {arm.name}: {shown} nats a token", file=sys.stderr)
    return body | {"tokens_trained": trials.tokens, "arms": arms, "seconds": time.monotonic() - started}


def as_markdown(body: dict[str, Any]) -> str:
    """Two tables: what each arm trains on, and how well its models predict the reference."""
    size, corpus = body["size"], body["corpus"]
    raw = sum(facts["raw_bytes"] for facts in corpus.values())
    by_language = "tokens en | zh | epochs en | zh | junk en | zh"
    lines = [
        machine.as_line(body["machine"]),
        "",
        f"{sum(f['documents'] for f in corpus.values()):,.0f} raw pages, {raw / 1e6:.1f} MB; reference "
        + ", ".join(
            f"{lang} {f['reference_documents']} documents, {f['reference_bytes']:,} bytes" for lang, f in corpus.items()
        )
        + "; largest share of 5-grams in common "
        + ", ".join(f"{f['most_shared']:.2f}" for f in corpus.values())
        + f". {body['tokens_trained']:,} tokens a training, {size['seeds']} seeds; {body['seconds']:.0f} s wall.",
        "",
        table_head(f"arm | documents | {by_language} | pipeline CPU-s | training CPU-s"),
    ]
    for name, arm in body["arms"].items():
        cells = text_cells({lang: arm["text"][lang] for lang in LANGUAGES})
        cells += [f"{arm['pipeline_cpu_seconds']:.0f}", f"{arm['training_cpu_seconds']:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    heads = "arm | language | nats a token | range | bits a byte | less the arm before | BaichuanSEED"
    lines += ["", table_head(heads)]
    for lang in LANGUAGES:
        for name, cells in loss_cells({name: arm["losses"] for name, arm in body["arms"].items()}, lang):
            known = SEED_TABLE.get(name)
            cells.append(str(known[lang == "en"]) if known else "")
            lines.append(f"| {name} | {lang} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = command_line(__doc__, NEEDS, work="tamis-ablation", formats=True)
    parser.add_argument("--megabytes", type=float, help=f"raw text (default {Size().megabytes:g})")
    parser.add_argument("--steps", type=int, help=f"of a training (default {Size().steps})")
    parser.add_argument("--seeds", type=int, help=f"trainings an arm (default {Size().seeds})")
    parser.add_argument("--seed", type=int, default=1, help="the first, and that of the corpus")
    parser.add_argument("--threads", type=int, default=2, help="of a training")
    parser.add_argument("--small", action="store_true", help="sizes that only show that it works, in a minute")
    options = parser.parse_args()
    require(NEEDS, options)
    import torch

    torch.set_num_threads(options.threads)
    given = {k: v for k in ("megabytes", "steps", "seeds") if (v := getattr(options, k)) is not None}
    size = Size(**{**asdict(SMALL if options.small else Size()), **given})
    work = options.work / "tamis-ablation"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    body = measure(work, options.data, size, options.seed)
    (work / "ablation.json").write_text(json.dumps(body, indent=1), "utf-8")
    show(body, options.format == "json", as_markdown)


if __name__ == "__main__":
    main()
