"""Earlier snapshots that a run is deduplicated against (`--against`), opened and checked.

A run names one earlier run, which names another, and so on: the chain of ancestors. Their decisions are final. What a
global stage needs of them is their evidence: digests, signatures, span hashes. Their text is read only for documents
about which a signature cannot decide. See `docs/design/snapshots.md`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.files import Manifest, load_manifest, stable_hash
from corpus.run_folder import EarlierRun, RunFolder
from pipelines.run.config import PipelineConfig
from pipelines.run.publish import decisions_of
from pipelines.stages.base import GlobalStage
from pipelines.stages.context import Snapshot
from pipelines.stages.own import version_of
from pipelines.stages.registry import shard_tasks
from pipelines.stages.shard_task import Chain
from tamis.errors import ConfigError, TamisError


@dataclass(frozen=True)
class Ancestor:
    """An earlier snapshot that this run is deduplicated against, with its evidence by stage. Its decisions stand."""

    run: RunFolder
    chain: Chain
    evidence: Mapping[str, Manifest]

    @property
    def snapshot(self) -> int:
        """The number of the snapshot."""
        return int(self.run.ingest.body["snapshot"])


def snapshot_of(ancestor: Ancestor, stage: str, skip: Sequence[str]) -> Snapshot:
    """An ancestor as the deciding stage, which some domains `skip`, sees it: with the evidence of `stage`."""
    evidence = ancestor.evidence[stage]
    tasks = shard_tasks(ancestor.run.shards, ancestor.chain, evidence, skip, earlier=True)
    return Snapshot(ancestor.run, ancestor.chain, evidence, tasks)


def open_ancestors(against: Path | None, config: PipelineConfig) -> tuple[Ancestor, ...]:
    """The chain of ancestors, the earliest first; empty without `--against`.

    Raises:
        ConfigError: a run is missing or not finished, snapshot numbers do not rise, or the evidence of an earlier run
            was taken with other settings.
    """
    if against is None:
        return ()
    run = RunFolder(against.absolute())
    run.run_info()
    chain = [*(_open_ancestor(run, earlier) for earlier in run.earlier_runs()), run]
    seen, latest = {config.snapshot: "this run"}, config.snapshot
    found = []
    for run in reversed(chain):
        snapshot = int(run.ingest.body["snapshot"])
        if snapshot in seen:
            raise ConfigError(
                f"--against: found {run.root}, which is snapshot {snapshot}, as is {seen[snapshot]}; expected a number "
                "of its own for each (`snapshot:` in the YAML, or --set snapshot=N)"
            )
        if snapshot > latest:
            raise ConfigError(
                f"--against: found {run.root}, which is snapshot {snapshot}, later than {latest}; expected an earlier "
                "one (raise `snapshot` in the YAML, or --set snapshot=N)"
            )
        decisions = tuple(run.chain())
        _check_published(run, decisions)
        seen[snapshot], latest = str(run.root), snapshot
        found.append(Ancestor(run, decisions, _comparable_evidence(run, config)))
    return tuple(reversed(found))


def _open_ancestor(later: RunFolder, earlier: EarlierRun) -> RunFolder:
    """The run that a later run was run against; refused if it has been decided anew since."""
    try:
        run = earlier.open()
    except TamisError as error:
        raise ConfigError(
            f"--against: found {later.root}, itself run against an earlier snapshot; expected that to open, but {error}"
        ) from error
    if stable_hash(decisions_of(run.chain())) != earlier.decisions:
        raise ConfigError(
            f"--against: found {run.root} decided anew since {later.root} was run against it; expected that one to be "
            "run again"
        )
    return run


def ancestry(ancestors: tuple[Ancestor, ...]) -> str:
    """A hash of the ancestors' documents and decisions, on which a run's decisions depend; empty for none."""
    if not ancestors:
        return ""
    return stable_hash([[a.run.ingest.body["identity"], [m.body["key"] for _, m in a.chain]] for a in ancestors])


def ancestors_json(ancestors: tuple[Ancestor, ...], out: Path) -> list[dict[str, Any]]:
    """The ancestors as `run.json` in `out` names them: where they lie, and the hashes that identify them."""
    return [
        {
            "snapshot": a.snapshot,
            "run": str(a.run.root),
            "beside": os.path.relpath(a.run.root, out),
            "identity": a.run.ingest.body["identity"],
            "decisions": stable_hash(decisions_of(a.chain)),
        }
        for a in ancestors
    ]


def _check_published(run: RunFolder, chain: Chain) -> None:
    """Refuses a run whose published shards are not those of its decisions."""
    published = load_manifest(run.root / "shards")
    if published is None:
        raise ConfigError(f"--against: found {run.root} without published shards; expected a finished run")
    if published.body.get("decisions") != decisions_of(chain):
        raise ConfigError(
            f"--against: found shards of {run.root} published before its latest decisions; expected a finished run"
        )


def _comparable_evidence(run: RunFolder, config: PipelineConfig) -> Mapping[str, Manifest]:
    """The run's evidence for each stage that compares documents; refused if it was taken with other settings."""
    found = {}
    chain = {name for name, _ in run.chain()}
    compared = [kind for name in config.stages if issubclass(kind := config.kind(name), GlobalStage)]
    for kind in compared:
        if kind.name not in chain:
            raise ConfigError(_missing(run, kind.name))
        name = kind.evidence_of or kind.name
        kind = config.kind(name)
        evidence = run.evidence(name)
        if evidence is None:
            raise ConfigError(_missing(run, name))
        mine = config.evidence(name).model_dump(mode="json")
        if evidence.body["config"] != mine or evidence.body.get("version") != version_of(kind):
            raise ConfigError(
                f"--against: found stages.{name} of {run.root} scanned with {_difference(evidence.body, mine)}; "
                "expected evidence of one kind (set the same here, or run the earlier snapshot again)"
            )
        found[name] = evidence
    return found


def _missing(run: RunFolder, name: str) -> str:
    return (
        f"--against: found {run.root} without the stage {name}; expected it, for this run's {name} to compare with "
        "(use a pipeline that has the same deduplicating stages)"
    )


def _difference(body: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    theirs = body["config"]
    keys = [k for k in sorted({*theirs, *mine}) if theirs.get(k) != mine.get(k)]
    if not keys:
        return "another version of Tamis"
    return ", ".join(f"{k} {theirs.get(k)!r} (here {mine.get(k)!r})" for k in keys)
