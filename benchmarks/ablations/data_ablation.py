"""What the decisions of a run are worth to a model: one run read in five ways, equal tokens, several seeds.

    python -m benchmarks.ablations.data_ablation [--run RUN] [--megabytes 4] [--steps 200] [--seeds 3] [--small]
           [--model conf/models/10m.yaml] [--device cuda] [--work FOLDER] [--format json]

A finished run of the default pipeline is read in five ways, the *arms* (`benchmarks.tools.ablation.reading_arms`): raw;
filtered; without duplicate documents; without duplicate spans, which is what was published; and that drawn by the run's
weights. The same model trains on each for the same number of tokens, an equal part of each language, once for each seed
(initial weights and order of the data). Printed are the held-out loss in nats a token and bits a byte, its spread over
the seeds, the differences seed by seed, and the loss of a unigram model of the arm's text, which depends on no seed.
The loss during training is drawn.

Without `--run` a run is made: a small crawl (`benchmarks.corpora.ablation_corpus`) with duplicates in the shares of the
Baichuan 2 report's funnel, and reference text that was set apart from it before. Such text is better to judge on than
documents of the run itself, as no filter has chosen it. By default a training is about one epoch of the full arm, and
less than half of one of the raw arm.

`benchmarks.ablations.ablation` asks another question: what pipelines of more and more stages make of one crawl, each in
a run of its own.

Every finished training is a file in FOLDER/results, named by a hash of all that made it. So a benchmark that was killed
continues with the trainings that are missing, more `--seeds` add to those that are there, and a second process on the
same FOLDER shares the work once the first has begun to train (on busy cores two processes of one thread each get
further than one of two). FOLDER also gets `data_ablation.json`, `loss.svg` and `loss.html`. `--small` only shows that
everything works; its figures mean nothing. Where other work shares the cores, set `OMP_WAIT_POLICY=PASSIVE`.

Cost: half an hour of two cores, nearly all of it training; `--small` one minute.
"""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.corpora.ablation_corpus import make
from benchmarks.corpora.base_text import LANGUAGES
from benchmarks.tools import machine
from benchmarks.tools.ablation.arm_files import weights_of, write_arms
from benchmarks.tools.ablation.held_out import choose_held_out, read_reference
from benchmarks.tools.ablation.loss_picture import draw_svg, write_html
from benchmarks.tools.ablation.reading_arms import ARMS, RAW, Arm, Source
from benchmarks.tools.ablation.spread import compared, loss_cells
from benchmarks.tools.ablation.trials import (
    CONF,
    Trials,
    prepare_trials,
    repeated_share,
    text_cells,
    text_of,
    tiny_model,
    train,
    unigram_losses,
)
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.pipeline_run import local_cluster, run_pipeline
from benchmarks.tools.report import show, table_head
from corpus.config import load_config, load_yaml, parse
from corpus.files import atomic_file, file_digest, load_manifest, read_json, stable_hash, write_json
from tamis.errors import TamisError
from trainer.config import TrainConfig

NEEDS = ("data", "torch")

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes of a data ablation.

    Attributes:
        megabytes: raw text, where a run is made.
        reference_bytes: held-out text of each language.
        steps: of each training.
        looks: how often the held-out loss is measured during a training, the end included.
        seeds: how often each arm is trained.
    """

    megabytes: float = 4.0
    reference_bytes: int = 100_000
    steps: int = 200
    looks: int = 4
    seeds: int = 3


SMALL = Size(megabytes=0.5, reference_bytes=6000, steps=4, looks=2, seeds=2)


def make_run(work: Path, data: Path, size: Size, seed: int) -> tuple[Path, Path]:
    """A run over a small crawl, and its reference text; made only where they are missing.

    Returns:
        The run folder, the reference's folder.
    """
    import yaml

    from tamis.progress import PlainProgress

    folder = work / f"crawl-{stable_hash([size.megabytes, size.reference_bytes, seed])}"
    corpus, run = folder / "corpus", folder / "run"
    if not (folder / "facts.json").exists():
        write_json(folder / "facts.json", make(corpus, size.megabytes, size.reference_bytes, seed, data))
    body = {
        **load_yaml(CONF / "pipelines" / "default.yaml"),
        "inputs": [{"domain": lang, "paths": [f"corpus/input/{lang}.parquet"]} for lang in LANGUAGES],
        "write_shards": {"heldout_fraction": 0.0},
    }
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(body, allow_unicode=True, sort_keys=False), "utf-8")
    if load_manifest(run / "shards") is None or "weights" not in read_json(run / "state.json"):
        with local_cluster(progress=PlainProgress()) as cluster:
            run_pipeline(folder / "pipeline.yaml", run, cluster, base=folder)
    return run, corpus / "reference"


def training_key(trials: Trials, arm: Arm, folder: Path, seed: int, every: int) -> str:
    """A hash of all that a training depends on, and of nothing else."""
    files = sorted(folder.glob("shards/*/*.parquet")) + (
        sorted(folder.glob("weights/*/*.parquet")) if arm.scored else []
    )
    held = sorted(trials.reference.glob("shards/*/*.parquet"))
    return stable_hash(
        [
            FORMAT,
            [file_digest(path) for path in files],
            [file_digest(path) for path in held],
            trials.tokenizer.digest,
            trials.config.model_dump(mode="json"),
            trials.mixture.model_dump(mode="json"),
            seed,
            every,
        ]
    )


def train_once(
    trials: Trials, arm: Arm, arms: Path, results: Path, seed: int, every: int, wait: bool = True
) -> dict[str, Any] | None:
    """The result of a training, read from its file where it has been done before.

    Args:
        trials: what all trainings share.
        arm: what is read.
        arms: the folder of all.
        results: where the file lies.
        seed: of the training.
        every: steps between two measurements of the held-out loss.
        wait: whether to wait for another process that is doing this training; the answer is None otherwise.
    """
    folder = arms / arm.folder
    path = results / f"{training_key(trials, arm, folder, seed, every)}.json"
    results.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:  # the system releases it when the process dies
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return None
        if not path.exists():
            write_json(path, _train(trials, arm, folder, seed, every))
    found: dict[str, Any] = read_json(path)
    return found


def _train(trials: Trials, arm: Arm, folder: Path, seed: int, every: int) -> dict[str, Any]:
    from cli.progress import shown_progress

    wall, cpu = time.monotonic(), time.process_time()
    with shown_progress() as progress:
        weights, name = weights_of(arm, folder), f"{arm.name}-seed-{seed}"
        points = train(trials, folder, seed, progress, name=name, weights=weights, every=every)
    body = {
        "seed": seed,
        "points": [asdict(point) for point in points],
        "seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    shown = ", ".join(f"{lang} {loss['nats']:.3f}" for lang, loss in points[-1].losses.items())
    print(f"seed {seed}, {arm.name}: {shown} nats a token in {body['seconds']:.0f} s", file=sys.stderr)
    return body


def measure(
    run: Path, reference: Path | None, work: Path, config: TrainConfig, size: Size, seed: int, languages: Sequence[str]
) -> dict[str, Any]:
    """Writes the arms and trains what is missing; returns what `data_ablation.json` says.

    Args:
        run: a finished run of the default pipeline.
        reference: held-out text as shards; None to choose it from the run.
        work: folder for arms and results.
        config: the model and the length of its training.
        size: the other sizes.
        seed: the first one.
        languages: each gets an equal part of the tokens.
    """
    from cli.progress import shown_progress

    described = machine.describe()
    source = Source(run, tuple(languages))
    source.check()
    published = load_manifest(run / "shards")
    assert published is not None  # `check` has found weights, which are written after the shards
    key = [FORMAT, published.body["key"], size.reference_bytes, seed, list(languages)]
    arms = work / f"arms-{stable_hash(key)}"
    if not (arms / "facts.json").exists():
        held = read_reference(reference) if reference else choose_held_out(source, size.reference_bytes, seed)
        write_json(arms / "facts.json", write_arms(source, held, arms, chosen=reference is None))
    facts = read_json(arms / "facts.json")
    with shown_progress() as progress:
        trials = prepare_trials(arms / RAW.folder, arms / "heldout", config, progress, languages)
    every = max(1, config.steps // size.looks)
    body: dict[str, Any] = {
        "machine": described,
        "size": asdict(size) | {"steps": config.steps},
        "seed": seed,
        "model": config.name,
        "device": config.device,
        "languages": list(languages),
        "tokens_trained": trials.tokens,
        **facts,
        "held_out_of": "the run" if reference is None else "text set apart before it",
    }
    texts = body.pop("arms")
    body["arms"] = {
        arm.name: {
            "bytes": {lang: text["bytes"] for lang, text in texts[arm.folder].items()},
            "text": text_of(trials, arms / arm.folder, weights_of(arm, arms / arm.folder)),
            "repeated": repeated_share(trials.bins(arms / arm.folder)),
            "unigram": unigram_losses(trials, arms / arm.folder, weights_of(arm, arms / arm.folder)),
            "trainings": [],
        }
        for arm in ARMS
    }
    for wait in (False, True):  # first the trainings that no other process is doing, then all results
        for number in range(size.seeds):
            for arm in ARMS:
                found = train_once(trials, arm, arms, work / "results", seed + number, every, wait)
                if wait:
                    body["arms"][arm.name]["trainings"].append(found)
    return body


def as_markdown(body: dict[str, Any]) -> str:
    """Two tables: what each arm trains on, and how well its models predict the held-out text."""
    languages, arms = body["languages"], body["arms"]
    wall, cpu = (sum(t[key] for a in arms.values() for t in a["trainings"]) for key in ("seconds", "cpu_seconds"))
    held = ", ".join(f"{lang} {f['documents']} documents, {f['bytes']:,} bytes" for lang, f in body["heldout"].items())
    columns = [f"{what} {lang}" for what in ("tokens", "epochs", "junk", "repeated") for lang in languages]
    lines = [
        machine.as_line(body["machine"]),
        "",
        f"Held out of {body['held_out_of']}: {held}; {body['excluded']} relatives left out of every arm, the nearest "
        f"other shares {body['most_shared']:.2f} of its 5-grams. Model {body['model']}, {body['tokens_trained']:,} "
        f"tokens a training, {body['size']['seeds']} seeds; {wall:.0f} s of training, {cpu:.0f} CPU-s.",
        "",
        table_head(" | ".join(["arm", "documents", *columns])),
    ]
    for name, arm in arms.items():
        cells = text_cells(arm["text"]) + [f"{100 * arm['repeated'][lang]:.1f} %" for lang in languages]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    heads = "arm | language | nats a token | range | bits a byte | less the arm before | less raw | unigram"
    lines += ["", table_head(heads)]
    losses = {name: [t["points"][-1]["losses"] for t in arm["trainings"]] for name, arm in arms.items()}
    for lang in languages:
        raw = [loss[lang]["nats"] for loss in losses[RAW.name]]
        for name, cells in loss_cells(losses, lang):
            beside = "" if name == RAW.name else compared(raw, [loss[lang]["nats"] for loss in losses[name]])
            cells += [beside, f"{arms[name]['unigram'][lang]:.3f}"]
            lines.append(f"| {name} | {lang} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(body: dict[str, Any], folder: Path) -> None:
    """Writes `loss.svg` and `loss.html`."""
    arms = {name: [t["points"] for t in arm["trainings"]] for name, arm in body["arms"].items()}
    with atomic_file(folder / "loss.svg") as file:
        file.write(draw_svg(arms, body["languages"]).encode())
    write_html(folder / "loss.html", arms, body["languages"])


def main() -> None:
    """Measures, prints and draws."""
    parser = command_line(__doc__, NEEDS, work="tamis-data-ablation", formats=True)
    parser.add_argument("--run", type=Path, help="a finished run of the default pipeline (default: one is made)")
    parser.add_argument(
        "--megabytes", type=float, help=f"raw text of a run that is made (default {Size().megabytes:g})"
    )
    parser.add_argument("--steps", type=int, help=f"of a training (default {Size().steps}, or the --model's own)")
    parser.add_argument("--seeds", type=int, help=f"trainings an arm (default {Size().seeds})")
    parser.add_argument("--seed", type=int, default=1, help="the first, and that of the corpus or the held-out text")
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES), help="each gets an equal part of the tokens")
    parser.add_argument("--model", type=Path, help="a model file (default conf/models/tiny.yaml)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="of a training")
    parser.add_argument("--small", action="store_true", help="sizes that only show that it works, in a minute")
    options = parser.parse_args()
    if options.run is None:
        require(NEEDS, options)
    import torch

    torch.set_num_threads(options.threads)
    given = {k: v for k in ("megabytes", "steps", "seeds") if (v := getattr(options, k)) is not None}
    size = Size(**{**asdict(SMALL if options.small else Size()), **given})
    config = tiny_model(size.steps)
    if options.model is not None:
        config = load_config(TrainConfig, options.model)
        config = config.model_copy(update={"steps": size.steps} if options.small or options.steps else {})
    config = config.model_copy(update={"device": options.device})
    work = options.work / "tamis-data-ablation"
    work.mkdir(parents=True, exist_ok=True)
    try:
        if not options.small:
            parse(TrainConfig, config.model_dump(), "--model with --steps")  # a schedule that fits its length
        run, reference = (options.run, None) if options.run else make_run(work, options.data, size, options.seed)
        body = measure(run, reference, work, config, size, options.seed, options.languages)
    except TamisError as error:
        raise SystemExit(str(error)) from None
    write_json(work / "data_ablation.json", body)
    draw(body, work)
    show(body, options.format == "json", as_markdown)


if __name__ == "__main__":
    main()
