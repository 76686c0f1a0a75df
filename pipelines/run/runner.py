"""The runner: decides what must be done, what is done already, and which files count.

    ingest → for each stage: prepare → scan (evidence) → decide (decision) → ledger, alarm → write_shards → weights

Every arrow ends in a manifest. A run that is started again finds the manifests and goes on where the last one stopped.
After a changed threshold, that decision and those behind it are taken again; scans are not repeated.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpus.files import Manifest, commit, file_digest, load_manifest, stable_hash, write_json
from corpus.run_folder import FORMAT_VERSION, RunFolder
from pipelines.run.ancestors import Ancestor, ancestors_json, ancestry, open_ancestors, snapshot_of
from pipelines.run.config import PipelineConfig
from pipelines.run.ingest import ingest
from pipelines.run.ledger import write_ledger
from pipelines.run.preflight import refuse_what_is_missing
from pipelines.run.publish import publish
from pipelines.run.raise_alarm import watch_removal
from pipelines.spark.own_archive import pack
from pipelines.spark.session import Cluster
from pipelines.stages.base import GlobalStage, LocalStage, Stage
from pipelines.stages.context import DecisionContext, GlobalVerdict, PrepareContext, Snapshot
from pipelines.stages.own import code_of, told, version_of
from pipelines.stages.registry import shard_tasks
from pipelines.stages.scan import BATCH_BYTES, DecideTask, ScanTask, StageConfig, decide_shard, scan_shard
from pipelines.stages.shard_task import Chain, ShardTask
from tamis.errors import ConfigError, TamisError
from tamis.version import RECORD


@dataclass
class Done:
    """A finished stage, as `state.json` names it."""

    stage: str
    evidence: Manifest | None
    decision: Manifest
    seconds: float


class Runner:
    """Runs a pipeline into a run folder.

    Relative globs start from `base`. `against` is the run of the snapshot before: what it and its ancestors kept is not
    kept again. `batch_bytes`, the text in a batch of a scan, changes nothing in the output.
    """

    def __init__(
        self,
        config: PipelineConfig,
        out: Path,
        cluster: Cluster,
        base: Path,
        batch_bytes: int = BATCH_BYTES,
        against: Path | None = None,
    ) -> None:
        self.config = config
        self.run_folder = RunFolder(out.absolute())
        self.cluster = cluster
        self.base = base
        self.batch_bytes = batch_bytes
        self.against = against.absolute() if against else None
        self._ancestors: tuple[Ancestor, ...] = ()
        self._done: list[Done] = []

    def run(self, until: str | None = None) -> RunFolder:
        """Brings the run folder to the end of the pipeline, or of a stage: "ingest", one of the YAML's, "write_shards".

        Raises:
            TamisError: the run cannot go on, or the alarm stops it; one sentence.
        """
        order = ["ingest", *self.config.stages, "write_shards"]
        if until is not None and until not in order:
            raise ConfigError(
                f"--until: found {until!r} for pipeline {self.config.name}; expected one of {', '.join(order)}"
            )
        last = order.index(until or "write_shards")
        refuse_what_is_missing(self.config, self.base, self.run_folder, self.against, order[1 : last + 1])
        with self.run_folder.locked():
            self._ancestors = open_ancestors(self.against, self.config)
            self._check_run_info()
            self.cluster.carry(pack([Path(folder) for folder in self.config.code], self.config.own_code()))
            ingest(self.run_folder, self.config, self.base, self.cluster)
            for name in order[1 : min(last, len(self.config.stages)) + 1]:
                self._run_stage(name)
            if last > len(self.config.stages) or until is None:
                self._settle()
            if self._is_beginning_of_state():
                return self.run_folder  # an earlier run got further by the same decisions: its state stays
            self._write_run_info()
            self._save_state()
            seconds = {d.stage: d.seconds for d in self._done}
            kept = write_ledger(self.run_folder, self._chain(), seconds, self.cluster)
            watch_removal(self.run_folder, self.config, [d.stage for d in self._done])
            if last == len(order) - 1:
                publish(self.run_folder, self.config, self._chain(), kept, self.cluster)
        return self.run_folder

    def _check_run_info(self) -> None:
        """Refuses other ancestors than those that the run was begun with; they may have moved."""
        if not (self.run_folder.root / "run.json").exists():
            self._write_run_info()
        info = self.run_folder.run_info()
        begun, now = (
            [(a["snapshot"], a["identity"]) for a in x] for x in (info.get("ancestors", []), self._ancestors_json())
        )
        if begun != now:
            known = info.get("against")
            raise TamisError(
                f"{self.run_folder.root} was begun against {known or 'no earlier run'}; go on with "
                f"{f'--against {known}' if known else 'no --against'}, or choose another --out"
            )

    def _ancestors_json(self) -> list[dict[str, Any]]:
        return ancestors_json(self._ancestors, self.run_folder.root)

    def _write_run_info(self) -> None:
        body = {
            **RECORD,
            "format_version": FORMAT_VERSION,
            "pipeline": self.config.model_dump(mode="json"),
            "base": str(self.base),
            "against": str(self.against) if self.against else None,
            "ancestors": self._ancestors_json(),
            "own_code": self.config.own_code(),
        }
        write_json(self.run_folder.root / "run.json", body)

    def _chain(self) -> list[tuple[str, Manifest]]:
        return [(d.stage, d.decision) for d in self._done]

    def _upstream(self) -> str:
        """A hash of all that the next stage's decision depends on before it."""
        if self._done:
            return str(self._done[-1].decision.body["key"])
        identity = str(self.run_folder.ingest.body["identity"])
        return stable_hash([identity, ancestry(self._ancestors)]) if self._ancestors else identity

    def _run_stage(self, name: str) -> None:
        kind = self.config.kind(name)
        if kind.needs_settled:
            self._settle()
        started = time.monotonic()
        artefacts = self._prepare(name)
        evidence = self._scan(name, artefacts, started) if kind.reads else None
        seen = next((d.evidence for d in self._done if d.stage == kind.evidence_of), evidence)
        decision = self._decide(name, artefacts, seen)
        seconds = sum(float(m.body["seconds"]) for m in (evidence, decision) if m is not None)
        self._done.append(Done(name, evidence, decision, seconds))

    def _prepare(self, name: str) -> dict[str, str]:
        context = PrepareContext(self.run_folder.root / "models" / name, self.base, self.cluster)
        kind = self.config.kind(name)
        with told(kind, "prepare"):
            found = kind.prepare(self.config.evidence(name), context)
            return {key: str(path) for key, path in sorted(found.items())}

    def _scan(self, name: str, artefacts: dict[str, str], started: float) -> Manifest:
        kind, config = self.config.kind(name), self.config.evidence(name)
        pinned, settings = _digests(artefacts), config.model_dump(mode="json")
        identity = self.run_folder.ingest.body["identity"]
        scanned_by = stable_hash([code_of(kind) or name, version_of(kind), settings, pinned, identity])
        folder = self.run_folder.stage_folder(name, "evidence", scanned_by)
        skip = self.config.decisions(name)["skip"]
        key = stable_hash([folder.name, self._upstream(), skip])
        earlier = load_manifest(folder)
        if earlier is not None and earlier.body["key"] == key:
            return earlier
        tasks, stage = self._tasks(earlier, skip), self._stage_config(name, artefacts)
        with told(kind, "its beginning"):
            gpu = kind(config, artefacts).wants_gpu()
        answers = self.cluster.map(
            scan_shard,
            [ScanTask(task, stage, folder, self.batch_bytes) for task in tasks],
            label=f"{name}: scan",
            receipts=folder / "receipts",
            weights=[task.shard.rows for task in tasks],
            gpu=gpu,
        )
        files = [f for answer in answers for f in answer.files]
        body = {
            "key": key,
            "content": stable_hash(sorted([f.shard, f.digest] for f in files)),
            "config": settings,
            "version": version_of(kind),
            **_code(kind),
            "artefacts": pinned,
            "scanned": sum(a.scanned for a in answers),
            "reused": sum(a.reused for a in answers),
            "seconds": round(time.monotonic() - started, 3),
        }
        return commit(folder, body, files)

    def _decide(self, name: str, artefacts: dict[str, str], evidence: Manifest | None) -> Manifest:
        kind, started = self.config.kind(name), time.monotonic()
        decisions = self.config.decisions(name)
        content = evidence.body["content"] if evidence else ""
        settings: list[Any] = []
        if kind.evidence_of:  # what a scan's key would hold
            settings = [self.config.evidence(name).model_dump(mode="json"), _digests(artefacts)]
        key = stable_hash([code_of(kind) or name, version_of(kind), decisions, content, self._upstream(), *settings])
        folder = self.run_folder.stage_folder(name, "decision", key)
        done = load_manifest(folder)
        if done is not None:
            return done
        with told(kind, "its beginning"):
            stage = kind(self.config.evidence(name), artefacts)
        if isinstance(stage, GlobalStage):
            assert evidence is not None
            with told(kind, "decide_globally"):
                verdict = stage.decide_globally(self._context(name, artefacts, evidence, folder))
        else:
            assert isinstance(stage, LocalStage)
            verdict = self._decide_by_shard(stage, artefacts, evidence, folder)
        seconds = round(time.monotonic() - started, 3)
        body = {"key": key, "config": decisions, "facts": verdict.facts, "seconds": seconds, **_code(kind)}
        return commit(folder, body, verdict.files)

    def _decide_by_shard(
        self, stage: LocalStage, artefacts: dict[str, str], evidence: Manifest | None, folder: Path
    ) -> GlobalVerdict:
        tasks = self._tasks(evidence, self.config.decisions(stage.name)["skip"])
        config = self._stage_config(stage.name, artefacts)
        answers = self.cluster.map(
            decide_shard,
            [DecideTask(task, config, folder) for task in tasks],
            label=f"{stage.name}: decide",
            receipts=folder / "receipts",
            weights=[task.shard.rows for task in tasks],
        )
        files = [f for answer in answers for f in answer]
        with told(type(stage), "facts"):
            return GlobalVerdict(files, stage.facts([folder / f.path for f in files if f.table == "columns"]))

    def _context(self, name: str, artefacts: dict[str, str], evidence: Manifest, folder: Path) -> DecisionContext:
        kind, chain, skip = self.config.kind(name), self._chain(), self.config.decisions(name)["skip"]
        config, domain_configs = self._stage_config(name, artefacts).configs()
        return DecisionContext(
            cluster=self.cluster,
            own=Snapshot(self.run_folder, chain, evidence, self._tasks(evidence, skip)),
            earlier=tuple(snapshot_of(a, kind.evidence_of or name, skip) for a in self._ancestors),
            config=config,
            domain_configs=domain_configs,
            skip=tuple(skip),
            folder=folder,
            artefacts=artefacts,
            upstream=str(chain[-1][1].body["key"] if chain else self.run_folder.ingest.body["identity"]),
        )

    def _is_beginning_of_state(self) -> bool:
        """Whether an earlier run took the same decisions and more; so it is with `--until` in a finished run.

        A decision that is provisional here may be settled there; it then counts as the same.
        """
        known = self.run_folder.state().get("stages", [])
        root = self.run_folder.root
        mine = [(d.stage, str(d.decision.folder.relative_to(root))) for d in self._done]
        theirs = [(str(entry["stage"]), str(entry["decision"])) for entry in known]
        if len(theirs) <= len(mine):
            return False
        pairs = zip(mine, theirs, strict=False)
        return all(a == b or (a[0] == b[0] and self.config.kind(a[0]).provisional) for a, b in pairs)

    def _tasks(self, evidence: Manifest | None, skip: Sequence[str]) -> tuple[ShardTask, ...]:
        return shard_tasks(self.run_folder.shards, self._chain(), evidence, skip)

    def _stage_config(self, name: str, artefacts: dict[str, str]) -> StageConfig:
        decisions = self.config.decisions(name)
        evidence = self.config.evidence(name).model_dump(mode="json")
        code = self.config.own_stages.get(name, "")
        return StageConfig(name, evidence, artefacts, decisions["default"], decisions["domains"], code)

    def _settle(self) -> None:
        """Makes provisional decisions final, after the rules of all domains."""
        for i, done in enumerate(self._done):
            if self.config.kind(done.stage).provisional and "settled" not in done.decision.body:
                self._done[i] = replace(done, decision=self._settle_stage(done, self._chain()[i + 1 :]))

    def _settle_stage(self, done: Done, later: Chain) -> Manifest:
        """The final decision of a stage; the provisional decision itself, marked as settled, where nothing changes."""
        kind, provisional = self.config.kind(done.stage), done.decision
        assert issubclass(kind, GlobalStage)
        key = stable_hash([provisional.body["key"], [m.body["key"] for _, m in later]])
        folder = self.run_folder.stage_folder(done.stage, "decision", f"{key}-settled")
        known = load_manifest(folder)
        if known is not None:
            return known
        body = {**provisional.body, "key": key, "settled": True}
        files = kind.settle(provisional, shard_tasks(self.run_folder.shards, later), folder, self.cluster)
        return replace(provisional, body=body) if files is None else commit(folder, body, files)

    def _save_state(self) -> None:
        root = self.run_folder.root
        state = self.run_folder.state()
        state["stages"] = [
            {
                "stage": d.stage,
                "evidence": str(d.evidence.folder.relative_to(root)) if d.evidence else None,
                "decision": str(d.decision.folder.relative_to(root)),
                "seconds": round(d.seconds, 3),
            }
            for d in self._done
        ]
        self.run_folder.write_state(state)


def _code(kind: type[Stage]) -> dict[str, Any]:
    """What the manifests of a stage of one's own say beside what those of ours do."""
    code = code_of(kind)
    return {} if code is None else {"code": code, "version": version_of(kind)}


def _digests(artefacts: dict[str, str]) -> dict[str, str]:
    return {key: _digest(Path(path)) for key, path in artefacts.items()}


def _digest(path: Path) -> str:
    """sha256 of a file, or of a folder's files and their names."""
    if path.is_file():
        return file_digest(path)
    if not path.exists():
        raise TamisError(f"{path}: a model that the pipeline needs is missing")
    return stable_hash([[str(p.relative_to(path)), file_digest(p)] for p in sorted(path.rglob("*")) if p.is_file()])
