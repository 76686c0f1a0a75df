"""`tamis run` and `tamis plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.options import Answer, answering, named
from corpus.reading.lineage import ancestors_line
from corpus.run_folder import RunFolder
from tamis.places import base_folder

PipelineArgument = Annotated[
    Path,
    typer.Argument(
        help="The name of a shipped pipeline, or the path of a YAML.",
        metavar="PIPELINE.yaml",
        parser=named("pipelines"),
    ),
]
InputOption = Annotated[
    list[str] | None, typer.Option("--input", help="DOMAIN=GLOB; replaces the YAML's inputs of that domain.")
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="stage.key=value, the value in YAML.")]
AgainstOption = Annotated[
    Path | None,
    typer.Option("--against", help="The run of the snapshot before; near copies of its documents are not kept again."),
]


@answering
def run(
    pipeline: PipelineArgument,
    out: Annotated[Path, typer.Option("--out", help="The run folder.")],
    inputs: InputOption = None,
    settings: SetOption = None,
    sample: Annotated[
        float | None, typer.Option("--sample", help="Share of the records to take, above 0 and at most 1.")
    ] = None,
    against: AgainstOption = None,
    until: Annotated[str | None, typer.Option("--until", help="Stop behind this stage.")] = None,
    spark: Annotated[list[str] | None, typer.Option("--spark", help="key=value, a Spark setting.")] = None,
    batch_bytes: Annotated[int, typer.Option("--batch-bytes", help="View text per batch; changes no output.")] = 8
    << 20,
) -> Answer:
    """Run a pipeline into a run folder; run again to go on where it stopped."""
    from cli.progress import shown_progress
    from corpus.config import key_value
    from pipelines.run.config import load_pipeline
    from pipelines.run.runner import Runner
    from pipelines.spark.session import Cluster, local_settings
    from tamis.errors import ConfigError

    extra = list(settings or [])
    if sample is not None:
        extra.append(f"ingest.sample={sample}")
    config = load_pipeline(pipeline, inputs=inputs, settings=extra)
    if batch_bytes < 1:
        raise ConfigError(f"--batch-bytes: found {batch_bytes}; expected a positive number of bytes")
    given = dict(key_value(text, "--spark", "key=value", empty=True) for text in spark or [])
    with shown_progress() as progress:
        cluster = Cluster({**local_settings(), **given}, progress)
        try:
            Runner(config, out, cluster, base_folder(pipeline), batch_bytes, against).run(until)
        finally:
            cluster.stop()
    ledger = RunFolder(out).ledger()
    stages, documents = ledger["stages"], ledger["ingest"]["documents"]
    kept = stages[-1]["documents_kept"] if stages else documents
    said = f"{kept:,} of {documents:,} documents kept in {out}/shards; `tamis stats {out}` shows the funnel"
    return Answer({"run": str(out), **ledger}, lambda: Console().print(said, highlight=False, soft_wrap=True))


@answering
def plan(
    pipeline: PipelineArgument, inputs: InputOption = None, settings: SetOption = None, against: AgainstOption = None
) -> Answer:
    """Show what a pipeline would do, without doing it: inputs, stages, settings, earlier snapshots, what is missing."""
    from pipelines.run.ancestors import open_ancestors
    from pipelines.run.config import load_pipeline
    from pipelines.run.ingest import find_inputs
    from pipelines.run.preflight import missing, missing_inputs
    from pipelines.stages.own import version_of

    config, base = load_pipeline(pipeline, inputs=inputs, settings=settings), base_folder(pipeline)
    ancestors = [{"snapshot": a.snapshot, "run": str(a.run.root)} for a in open_ancestors(against, config)]
    lacking = list(missing_inputs(config, base))
    files = find_inputs(config, base) if not lacking else []
    lacking += missing(config, base, list(config.stages))
    domains: dict[str, dict[str, int]] = {}
    for file in files:
        line = domains.setdefault(file.domain, {"files": 0, "bytes": 0})
        line["files"] += 1
        line["bytes"] += file.size
    stages: list[dict[str, Any]] = []
    for name in config.stages:
        kind = config.kind(name)
        stages.append(
            {
                "name": name,
                "module": kind.__module__,
                "version": version_of(kind),
                "paper": kind.paper,
                "evidence": config.evidence(name).model_dump(mode="json"),
                "decision": config.decisions(name),
            }
        )
    result = {"name": config.name, "snapshot": config.snapshot, "ancestors": ancestors}
    result |= {"inputs": domains, "stages": stages, "own_code": config.own_code(), "missing": lacking}
    return Answer(result, lambda: _print_plan(result))


def _print_plan(result: dict[str, Any]) -> None:
    console = Console()
    if earlier := ancestors_line(result["ancestors"]):
        console.print(f"snapshot {result['snapshot']}, {earlier}", highlight=False, markup=False, soft_wrap=True)
    inputs_table = Table("domain", "files", "bytes on disk", title=f"{result['name']}: inputs")
    for domain, line in result["inputs"].items():
        inputs_table.add_row(domain, f"{line['files']:,}", f"{line['bytes']:,}")
    if result["inputs"]:
        console.print(inputs_table)
    table = Table("stage", "module", "scan", "decision", "skipped in")
    for stage in result["stages"]:
        decision = stage["decision"]
        table.add_row(
            stage["name"],
            stage["module"],
            _short(stage["evidence"]),
            _short(decision["default"]),
            ", ".join(decision["skip"]),
        )
    console.print(table)
    for reference, version in result["own_code"].items():
        console.print(f"{reference}, version {version}", highlight=False, markup=False, soft_wrap=True)
    for said in result["missing"]:
        console.print(f"missing: {said}", highlight=False, markup=False, soft_wrap=True)


def _short(settings: dict[str, object]) -> str:
    flat = {k: v for k, v in settings.items() if not isinstance(v, dict)}
    nested = [k for k, v in settings.items() if isinstance(v, dict)]
    shown = [f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in flat.items()]
    return "\n".join([s if len(s) < 60 else s[:57] + "…" for s in shown] + [f"{k}: …" for k in nested])
