"""What a run's data is worth to a model: one run read five ways, the same model, equal tokens, several seeds.

    python -m benchmarks.ablations.data_ablation [--run RUN] [--megabytes 4] [--steps 200] [--seeds 3] [--small]
           [--work FOLDER]
                                       [--model conf/models/10m.yaml] [--device cuda] [--format json]

A finished run of the default pipeline is read raw, filtered, without duplicate documents, without duplicate spans (as
published), and so with the run's weights (``benchmarks.ablations.data_ablation_arms``, which says what two neighbours
differ in and how held-out text stays apart). On each the same model trains for the same tokens, of which each language
has an equal part, once a seed: of the initial weights and of the order of the data. Printed is the held-out loss, nats
a token and bits a byte, with the spread over seeds and the differences seed by seed; beside it the loss of a unigram
model of the arm's text, which has no seed. Drawn is the loss on the way.

Without ``--run`` a run is made: a crawl in miniature (``benchmarks.corpora.ablation_corpus``), copied in the shares of
the Baichuan 2 report's funnel, and the reference text that was set apart from it before. That text is better to judge
on than the run's own documents, for no filter has chosen it. By default a training makes about one epoch of the full
arm, as pretraining uses clean text, and less than half of the raw one.

``benchmarks.ablations.ablation`` asks another question: what pipelines of more and more stages make of one crawl, each
run by itself. Here there is one run, and its own tables say what each arm is.

Every finished training is a file in FOLDER/results, named by all that made it: a benchmark that was killed goes on with
those that are missing, more ``--seeds`` add to those that are there, and once the first has begun to train a second
process on the same FOLDER shares the work (on busy cores two of one thread get further than one of two). FOLDER also
gets ``data_ablation.json``, ``loss.svg`` and ``loss.html``. ``--small`` shows that everything works, in a minute; its
figures mean nothing. Cost of the whole: half an hour of two cores, nearly all of it training. Where other work shares
the cores, set ``OMP_WAIT_POLICY=PASSIVE``.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablations.data_ablation_arms import (
    ARMS,
    RAW,
    Arm,
    Source,
    choose_held_out,
    read_reference,
    repeated_share,
    weights_of,
    write_arms,
)
from benchmarks.ablations.data_ablation_picture import draw_svg, write_html
from benchmarks.ablations.trials import (
    CONF,
    Trials,
    prepare_trials,
    text_cells,
    text_of,
    tiny_model,
    train,
    unigram_losses,
)
from benchmarks.corpora.ablation_corpus import make
from benchmarks.corpora.base_text import DATA, LANGUAGES
from benchmarks.tools import machine
from benchmarks.tools.spread import compared, loss_cells
from corpus.config import load_config, load_yaml, parse
from corpus.files import atomic_file, file_digest, load_manifest, read_json, stable_hash, write_json
from tamis.errors import TamisError
from trainer.config import TrainConfig

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything.

    Attributes:
        megabytes: raw text, where a run is made.
        reference_bytes: held-out text a language.
        steps: of a training.
        looks: how often the held-out loss is taken on the way, the end included.
        seeds: trainings an arm.
    """

    megabytes: float = 4.0
    reference_bytes: int = 100_000
    steps: int = 200
    looks: int = 4
    seeds: int = 3


SMALL = Size(megabytes=0.5, reference_bytes=6000, steps=4, looks=2, seeds=2)


def make_run(work: Path, data: Path, size: Size, seed: int) -> tuple[Path, Path]:
    """The run over a crawl in miniature, and its reference text; what is there already stays.

    Returns:
        The run folder, the reference's folder.
    """
    import yaml

    from pipelines.run.config import load_pipeline
    from pipelines.run.runner import Runner
    from pipelines.spark.session import Cluster, local_settings
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
        cluster = Cluster(local_settings(), PlainProgress())
        try:
            Runner(load_pipeline(folder / "pipeline.yaml"), run, cluster, folder).run()
        finally:
            cluster.stop()
    return run, corpus / "reference"


def training_key(trials: Trials, arm: Arm, folder: Path, seed: int, every: int) -> str:
    """A name for a training: everything that made it, and nothing else."""
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
    """A training's result, from its file where it has been made before.

    Args:
        trials: what all trainings share.
        arm: what is read.
        arms: the folder of all.
        results: where the file lies.
        seed: of the training.
        every: steps between two looks at the held-out text.
        wait: for another process that is at this training; else the answer is None.
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
    """Derives the arms, trains what is missing; what ``data_ablation.json`` says.

    Args:
        run: a finished run of the default pipeline.
        reference: held-out text as shards; None is chosen from the run.
        work: folder for arms and results.
        config: the model, and how long it is trained.
        size: how much else.
        seed: the first one.
        languages: equal parts of the tokens are of each.
    """
    from cli.progress import shown_progress

    described = machine.describe()
    source = Source(run, tuple(languages))
    source.check()
    published = load_manifest(run / "shards")
    assert published is not None  # `check` has found weights, which are written behind the shards
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
    for wait in (False, True):  # first what no other process is at, then what it has made
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
    lines = [
        machine.as_line(body["machine"]),
        "",
        f"Held out of {body['held_out_of']}: {held}; {body['excluded']} relatives left out of every arm, the nearest "
        f"other shares {body['most_shared']:.2f} of its 5-grams. Model {body['model']}, {body['tokens_trained']:,} "
        f"tokens a training, {body['size']['seeds']} seeds; {wall:.0f} s of training, {cpu:.0f} CPU-s.",
        "",
        "| arm | documents | "
        + " | ".join(f"{what} {lang}" for what in ("tokens", "epochs", "junk", "repeated") for lang in languages)
        + " |",
        "|" + (2 + 4 * len(languages)) * "---|",
    ]
    for name, arm in arms.items():
        cells = text_cells(arm["text"]) + [f"{100 * arm['repeated'][lang]:.1f} %" for lang in languages]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| arm | language | nats a token | range | bits a byte | less the arm before | less raw | unigram |"]
    lines.append("|" + 8 * "---|")
    losses = {name: [t["points"][-1]["losses"] for t in arm["trainings"]] for name, arm in arms.items()}
    for lang in languages:
        raw = [loss[lang]["nats"] for loss in losses[RAW.name]]
        for name, cells in loss_cells(losses, lang):
            beside = "" if name == RAW.name else compared(raw, [loss[lang]["nats"] for loss in losses[name]])
            cells += [beside, f"{arms[name]['unigram'][lang]:.3f}"]
            lines.append(f"| {name} | {lang} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(body: dict[str, Any], folder: Path) -> None:
    """Writes ``loss.svg`` and ``loss.html``."""
    arms = {name: [t["points"] for t in arm["trainings"]] for name, arm in body["arms"].items()}
    with atomic_file(folder / "loss.svg") as file:
        file.write(draw_svg(arms, body["languages"]).encode())
    write_html(folder / "loss.html", arms, body["languages"])


def main() -> None:
    """Measures, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--run", type=Path, help="a finished run of the default pipeline (default: one is made)")
    parser.add_argument(
        "--megabytes", type=float, help=f"raw text of a run that is made (default {Size().megabytes:g})"
    )
    parser.add_argument("--steps", type=int, help=f"of a training (default {Size().steps}, or the --model's own)")
    parser.add_argument("--seeds", type=int, help=f"trainings an arm (default {Size().seeds})")
    parser.add_argument("--seed", type=int, default=1, help="the first, and that of the corpus or the held-out text")
    parser.add_argument("--languages", nargs="+", default=list(LANGUAGES), help="equal parts of the tokens are of each")
    parser.add_argument("--model", type=Path, help="a model file (default conf/models/tiny.yaml)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="of a training")
    parser.add_argument("--small", action="store_true", help="show that it works, in a minute")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / f"tamis-data-ablation-{os.getuid()}")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if options.run is None and not options.data.is_dir():
        print(f"skipped: there is no {options.data}")
        return
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
    print(json.dumps(body, indent=1) if options.format == "json" else as_markdown(body))


if __name__ == "__main__":
    main()
