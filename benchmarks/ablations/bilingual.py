"""What Chinese text in the training data gives to Chinese and costs English: BiLLa's table with a small model.

    python -m benchmarks.ablations.bilingual --run demo/run [--work FOLDER] [--steps 300] [--format json]

One small model, one tokenizer of both languages and one number of training tokens; the data are English, Chinese, or
half and half. Each model is judged on the held-out documents of the demo's run by `trainer.evaluation.perplexity`: in
English, in Chinese, and on both together. BiLLa's own table compares published models of 7 B weights on 1,000 documents
of each language. Here the direction of the differences can be seen, but not their size in models worth training.

FOLDER gets links to the run's shards, a tokenizer, bins, and the trainings. Cost: some eight minutes of one core.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tools import machine
from benchmarks.tools.ablation.linked_run import link_run
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import show, table_head
from corpus.config import load_config
from sampler.heldout import heldout_text
from sampler.mixture import DomainShare, Mixture
from sampler.prepare import open_tokens
from sampler.tokenizer.sentencepiece_model import piece_bytes
from sampler.tokenizer.training import TokenizerConfig
from tamis.places import ROOT
from trainer.config import TrainConfig
from trainer.evaluation.perplexity import judge, table_of
from trainer.evaluation.scores import scoring_model
from trainer.evaluation.trained import read_trained

NEEDS = ("run", "torch")

DOMAINS = {"en": ("docs_en", "news_en", "wiki_en"), "zh": ("news_zh", "reviews_zh")}
ARMS = {"English": ("en",), "Chinese": ("zh",), "English + Chinese": ("en", "zh")}
TOKENIZER = TokenizerConfig(vocab_size=4096, character_coverage=0.995, sample_bytes=4_000_000)


def mixture_of(languages: tuple[str, ...], work: Path) -> Mixture:
    """Equal parts of each language, and in a language its domains by their size."""
    shards = {name: tuple(f"{domain}/*" for domain in DOMAINS[name]) for name in languages}
    domains = {name: DomainShare(shards=globs) for name, globs in shards.items()}
    return Mixture(run=str(work), domains=domains, curve="none", sequence_length=128, seed=1, tokenizer=TOKENIZER)


def measure(run: Path, work: Path, steps: int) -> dict[str, Any]:
    """Trains every arm and judges its model on the same documents."""
    import torch

    from trainer.loop import train

    link_run(run, work, [domain for names in DOMAINS.values() for domain in names])
    before, both = machine.describe(), mixture_of(("en", "zh"), work)
    tokenizer, bins = open_tokens(work, both)
    sizes = np.array(piece_bytes(tokenizer.processor.serialized_model_proto()), np.int64)
    text = heldout_text(bins, both, work)
    arms = []
    for arm, languages in ARMS.items():
        config = load_config(TrainConfig, ROOT / "conf" / "models" / "tiny.yaml")
        changes = {"name": "-".join(languages), "steps": steps, "heldout_steps": steps, "device": "cpu"}
        config = config.model_copy(update=changes)
        summary = train(config, mixture_of(languages, work), work)
        state, _ = read_trained(Path(summary["folder"]), config, tokenizer=tokenizer.digest)
        model = scoring_model(state, config.model, torch.device("cpu"))
        rows = table_of(judge(model, text, both.sequence_length, sizes), text.domains)
        told = [asdict(row) for row in rows if row.kind != "language"]  # a domain here is a language
        arms.append({"arm": arm, "tokens": summary["tokens"], "rows": told})
        print(f"{arm}: {summary['seconds']:.0f} s", file=sys.stderr)
    return {"machine": before, "steps": steps, "arms": arms}


def as_markdown(body: dict[str, Any]) -> str:
    """One row an arm, one column a language: perplexity; nats a token; bits a byte."""
    first = body["arms"][0]["rows"]
    heads = [f"{row['name']} ({row['documents']:,} documents, {row['tokens']:,} tokens)" for row in first]
    lines = [machine.as_line(body["machine"]), "", table_head(" | ".join(["trained on", "tokens", *heads]))]
    for arm in body["arms"]:
        cells = [
            f"{row['perplexity']:,.1f}; {row['nats']:.3f} ± {row['standard_error']:.3f}; {row['bits_per_byte']:.3f}"
            for row in arm["rows"]
        ]
        lines.append(f"| {arm['arm']} | {arm['tokens']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = command_line(__doc__, NEEDS, work="tamis-bilingual", formats=True)
    parser.add_argument("--steps", type=int, default=300, help="of 2,048 tokens, of each model")
    options = parser.parse_args()
    require(NEEDS, options)
    import torch

    torch.set_num_threads(1)
    body = measure(options.run, options.work, options.steps)
    show(body, options.format == "json", as_markdown)


if __name__ == "__main__":
    main()
