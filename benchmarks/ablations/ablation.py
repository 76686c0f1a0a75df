"""What deduplication and sampling are worth to a model: one corpus, five ways to make text of it, one tiny model.

    python -m benchmarks.ablations.ablation [--megabytes 2] [--steps 160] [--seeds 3] [--small]
                                           [--work FOLDER] [--format json]

A crawl in miniature (``benchmarks.corpora.ablation_corpus``) goes through five pipelines
(``benchmarks.ablations.ablation_arms``): as it is; documents deduplicated; spans too; filters and sentence quality too;
the same shards sampled by score. On each the same model trains for the same tokens, of which each language has half,
several times from different seeds (initial weights and order of the data). Printed is the loss on reference text that
no page of the crawl is a relative of: nats a token, and bits a byte, which do not depend on the tokenizer; mean and
spread over the seeds, and whether an arm differs from the one before by more than that: *within the spread* where their
ranges touch. By default the training is about one epoch of the multi-level arm, which is how pretraining uses clean
text; the arms without dedup see part of theirs.

The shape is that of BaichuanSEED's ablation (arXiv 2408.15079), of a 2 B model on a real crawl, which is shown beside
it. What a model of two million weights makes of as few tokens need not be what a large one makes of many, and three
seeds show large differences only: read the spread before the means.

FOLDER gets the corpus, the five run folders, and ``ablation.json``. ``--small`` shows that everything works, in a
minute; its figures mean nothing. Cost of the whole: minutes, nearly all of it training. Where other work shares the
cores, set ``OMP_WAIT_POLICY=PASSIVE`` or take one thread: two that wait for each other busily are slower than one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablations.ablation_arms import ARMS, run_pipeline
from benchmarks.ablations.trials import prepare_trials, text_cells, text_of, tiny_model, train
from benchmarks.chain.chain_speed import CpuByStage
from benchmarks.corpora.ablation_corpus import make
from benchmarks.corpora.base_text import DATA, LANGUAGES
from benchmarks.tools import machine
from benchmarks.tools.spread import loss_cells

SEED_TABLE = {"none": (3.136, 2.893), "document": (3.083, 2.877), "multi-level": (3.006, 2.874)}
"""BaichuanSEED's held-out losses, Chinese and English."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything.

    Attributes:
        megabytes: raw text.
        reference_bytes: reference text a language.
        steps: of a training.
        seeds: trainings an arm.
    """

    megabytes: float = 2.0
    reference_bytes: int = 150_000
    steps: int = 160
    seeds: int = 3


SMALL = Size(megabytes=0.5, reference_bytes=6000, steps=2, seeds=1)


def measure(work: Path, data: Path, size: Size, seed: int) -> dict[str, Any]:
    """Makes the corpus, runs the pipelines, trains; what ``ablation.json`` says."""
    from cli.progress import shown_progress
    from pipelines.spark.session import Cluster, local_settings
    from tamis.progress import PlainProgress

    meter, started = CpuByStage(), time.monotonic()
    body: dict[str, Any] = {"machine": machine.describe(), "size": asdict(size), "seed": seed}
    body["corpus"] = make(work / "corpus", size.megabytes, size.reference_bytes, seed, data)
    arms: dict[str, Any] = {arm.name: {"losses": []} for arm in ARMS}
    cluster = Cluster(local_settings(), PlainProgress())
    try:
        for arm in ARMS:
            before = meter.total()
            run_pipeline(arm, work, cluster)
            arms[arm.name]["pipeline_cpu_seconds"] = meter.total() - before
    finally:
        cluster.stop()
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
        "| arm | documents | tokens en | zh | epochs en | zh | junk en | zh | pipeline CPU-s | training CPU-s |",
        "|" + 10 * "---|",
    ]
    for name, arm in body["arms"].items():
        cells = text_cells({lang: arm["text"][lang] for lang in LANGUAGES})
        cells += [f"{arm['pipeline_cpu_seconds']:.0f}", f"{arm['training_cpu_seconds']:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| arm | language | nats a token | range | bits a byte | less the arm before | BaichuanSEED |"]
    lines.append("|" + 7 * "---|")
    for lang in LANGUAGES:
        for name, cells in loss_cells({name: arm["losses"] for name, arm in body["arms"].items()}, lang):
            known = SEED_TABLE.get(name)
            cells.append(str(known[lang == "en"]) if known else "")
            lines.append(f"| {name} | {lang} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--megabytes", type=float, help=f"raw text (default {Size().megabytes:g})")
    parser.add_argument("--steps", type=int, help=f"of a training (default {Size().steps})")
    parser.add_argument("--seeds", type=int, help=f"trainings an arm (default {Size().seeds})")
    parser.add_argument("--seed", type=int, default=1, help="the first, and that of the corpus")
    parser.add_argument("--threads", type=int, default=2, help="of a training")
    parser.add_argument("--small", action="store_true", help="show that it works, in a minute")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tamis-ablation")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"skipped: there is no {options.data}")
        return
    import torch

    torch.set_num_threads(options.threads)
    given = {k: v for k in ("megabytes", "steps", "seeds") if (v := getattr(options, k)) is not None}
    size = Size(**{**asdict(SMALL if options.small else Size()), **given})
    work = options.work / "tamis-ablation"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    body = measure(work, options.data, size, options.seed)
    (work / "ablation.json").write_text(json.dumps(body, indent=1), "utf-8")
    print(json.dumps(body, indent=1) if options.format == "json" else as_markdown(body))


if __name__ == "__main__":
    main()
