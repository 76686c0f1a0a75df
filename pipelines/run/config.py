"""The pipeline YAML: what a run is.

    name: default
    snapshot: 0
    inputs: [{domain: web, paths: [crawl/*.warc.gz]}]
    ingest: {target_shard_bytes: 134217728}
    stages:                       # in this order
      eligibility: {}
      exact_dedup: {}
      near_dedup: {threshold: 0.75}
    domains:
      code: {skip: [sentence_quality, span_dedup], heuristic_filter: {…}}
    alarm: {max_removed_fraction: 0.95, min_documents: 1000}
    write_shards: {target_shard_bytes: 268435456}

`domains: {statutes: {profile: law}}` takes the settings that Tamis ships for that kind of text
(`pipelines.run.profiles`). `extends: default.yaml` takes the pipeline beside it, `extends: default` the one that Tamis
ships, and changes the settings that are given; `order: [eligibility, …]` puts its stages in another order.

A stage or reader of one's own is named by reference (`corpus.own_code`); a stage then goes by the name of its class.

A stage's block is flat: settings of its evidence and of its decision stand side by side, and Tamis knows which is
which. A domain may override settings of decisions; of evidence, those alone that the stage names in `scan_by_domain`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import field_validator

from corpus.config import StrictModel, key_value, load_yaml, parse, setting, unknown_key
from corpus.ids import MAX_SNAPSHOT
from corpus.inputs import InputConfig
from corpus.own_code import is_reference
from corpus.readers import reader_version
from pipelines.run.alarm import AlarmConfig
from pipelines.run.curves import WeightsConfig
from pipelines.run.own_names import name_own_code
from pipelines.run.profiles import merge, resolve_names
from pipelines.run.settings import IngestConfig, WriteShardsConfig
from pipelines.stages.base import Stage
from pipelines.stages.own import told, version_of
from pipelines.stages.registry import STAGES, stage_class
from tamis.errors import ConfigError
from tamis.places import find_config, is_name

PRIORITY = "priority"
"""The decision setting of a stage of ours that is filled in from the pipeline's own."""


class PipelineConfig(StrictModel):
    """A whole pipeline, after `extends`, `order` and `domains.NAME.profile` have been resolved."""

    name: str = setting(..., "What the pipeline is called; the file's name where it is not said.")
    snapshot: int = setting(
        0, "Number of this crawl among those deduplicated against each other.", unit="number", ge=0, le=MAX_SNAPSHOT
    )
    inputs: tuple[InputConfig, ...] = setting((), "The files that are ingested; `--input DOMAIN=GLOB` replaces them.")
    ingest: IngestConfig = setting(IngestConfig(), "How raw input becomes document shards.")
    stages: dict[str, dict[str, Any]] = setting(
        ..., "Stage to its settings; stages run in this order. One of one's own is named as `module:Class`."
    )
    own_stages: dict[str, str] = setting(
        {}, "Name of a stage of one's own to its `module:Class`; Tamis fills this in from the keys of `stages`."
    )
    code: tuple[str, ...] = setting(
        (), "Folders of modules of one's own, relative to the YAML; they travel to the executors."
    )
    domains: dict[str, dict[str, Any]] = setting(
        {}, "Domain to what is different for it: stages that it skips, settings of stages, its alarm."
    )
    priority: tuple[str, ...] = setting(
        (),
        "Domains in the order in which they keep a text that several have; those not named come behind, in the order in"
        " which inputs, then `domains`, name them.",
    )
    alarm: AlarmConfig = setting(AlarmConfig(), "When a loss is no longer believed.")
    write_shards: WriteShardsConfig = setting(WriteShardsConfig(), "How decisions become published shards.")
    weights: WeightsConfig = setting(WeightsConfig(), "Curves that turn columns into document weights.")

    @field_validator("stages", mode="before")
    @classmethod
    def _empty_blocks(cls, value: Any) -> Any:
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    def own_code(self) -> dict[str, int | str]:
        """Code of one's own that a run calls: reference → version."""
        stages = {reference: version_of(stage_class(reference)) for reference in self.own_stages.values()}
        readers = {i.format: reader_version(i.format) for i in self.inputs if is_reference(i.format)}
        return {**stages, **readers}

    def kind(self, stage: str) -> type[Stage]:
        """The class of a stage."""
        return stage_class(self.own_stages.get(stage, stage))

    def evidence(self, stage: str) -> StrictModel:
        """The evidence config of a stage."""
        kind = self.kind(stage)
        block = {k: v for k, v in self.stages[stage].items() if k in kind.Evidence.model_fields}
        common = parse(kind.Evidence, block, f"stages.{stage}")
        differing: dict[str, dict[str, Any]] = {}
        for domain, settings in sorted(self.domains.items()):
            own = {k: v for k, v in (settings.get(stage) or {}).items() if k in kind.scan_by_domain}
            if own and stage not in settings.get("skip", []):
                found = parse(kind.Evidence, {**block, **own}, f"domains.{domain}.{stage}")
                for name in own:
                    if getattr(found, name) != getattr(common, name):
                        differing.setdefault(f"{name}_of", {})[domain] = getattr(found, name)
        return parse(kind.Evidence, {**block, **differing}, f"stages.{stage}") if differing else common

    def priorities(self) -> tuple[str, ...]:
        """All domains that the pipeline names, in the order in which they keep a text that several have."""
        named = (*self.priority, *(i.domain for i in self.inputs), *self.domains)
        return tuple(dict.fromkeys(named))

    def decisions(self, stage: str) -> dict[str, Any]:
        """The decision configs of a stage as JSON: `default`, `domains` (domain → config), `skip` (domains).

        Here a domain overrides a threshold; `pipelines.stages.scan` applies to each row the config of its domain.
        """
        kind = self.kind(stage)
        block = {k: v for k, v in self.stages[stage].items() if k in kind.Decision.model_fields}
        if PRIORITY in kind.Decision.model_fields and stage not in self.own_stages:
            block[PRIORITY] = self.priorities()
        overrides, skip = {}, []
        for domain, settings in sorted(self.domains.items()):
            if stage in settings.get("skip", []):
                skip.append(domain)
            if stage in settings:
                own = {k: v for k, v in (settings[stage] or {}).items() if k not in kind.scan_by_domain}
                if own or not settings[stage]:
                    merged = parse(kind.Decision, merge(block, own), f"domains.{domain}.{stage}")
                    overrides[domain] = merged.model_dump(mode="json")
        return {
            "default": parse(kind.Decision, block, f"stages.{stage}").model_dump(mode="json"),
            "domains": overrides,
            "skip": skip,
        }

    def alarm_of(self, domain: str) -> AlarmConfig:
        """The alarm of a domain and its sources."""
        own = self.domains.get(domain, {}).get("alarm", {})
        if not isinstance(own, dict):
            raise ConfigError(f"domains.{domain}.alarm: found {own!r}; expected a mapping of settings")
        found = parse(AlarmConfig, {**self.alarm.model_dump(), **own}, f"domains.{domain}.alarm")
        self._check_watched(found, f"domains.{domain}.alarm")
        return found

    def _check_watched(self, alarm: AlarmConfig, where: str) -> None:
        known = list(dict.fromkeys([*STAGES, *self.stages]))
        for name in alarm.stages or ():
            if name not in known:
                raise ConfigError(unknown_key(f"{where}.stages.{name}", known))


def load_pipeline(
    path: Path,
    *,
    inputs: list[str] | None = None,
    settings: list[str] | None = None,
    given: Mapping[str, Any] | None = None,
) -> PipelineConfig:
    """Reads and checks a pipeline YAML.

    Of `inputs`, each `DOMAIN=GLOB` replaces the YAML's inputs of that domain; `settings` are `stage.key=value`, the
    value in YAML. `given` is what a YAML at `path` would hold, for a pipeline that is in no file.

    Raises:
        ConfigError: anything is wrong; one sentence.
    """
    raw = _load(path, set(), given)
    raw.setdefault("name", path.stem)
    resolve_names(raw, path.absolute().parent)  # before the settings, which may change what a name stands for
    for text in settings or []:
        _set(raw, text)
    if inputs:
        raw["inputs"] = _with_inputs(raw.get("inputs") or [], inputs)
    _put_in_order(raw)
    resolve_names(raw, path.absolute().parent)
    config = parse(PipelineConfig, raw, "")
    _check_stages(config)
    return config


def _load(path: Path, seen: set[Path], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Reads a YAML and the one that it `extends` (a path from there, or a shipped one); what it says itself wins."""
    path = path.absolute()
    if path in seen:
        raise ConfigError(f"{path}: extends: found itself; expected another pipeline YAML")
    raw = load_yaml(path) if given is None else copy.deepcopy(dict(given))
    base = raw.pop("extends", None)
    if not isinstance(base, str | None):
        raise ConfigError(
            f"{path}: extends: found {base!r}; expected the name of a shipped pipeline, or the path of a YAML"
        )
    extended: dict[str, Any] = {}
    if base is not None:
        named = Path(base)
        extended = _load(find_config("pipelines", named) if is_name(named) else path.parent / named, seen | {path})
    name_own_code(raw, path.parent, extended.get("own_stages", {}))
    return merge(extended, raw)


def _put_in_order(raw: dict[str, Any]) -> None:
    """Puts the stages in the order that `order` names, if it is there; refuses one that names not each stage once."""
    order, stages = raw.pop("order", None), raw.get("stages")
    if order is None or not isinstance(stages, dict):
        return
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(stages):
        raise ConfigError(f"order: found {order!r}; expected each stage once: {', '.join(stages)}")
    raw["stages"] = {name: stages[name] for name in order}


def _check_stages(config: PipelineConfig) -> None:
    _check_order(config)
    _check_priority(config)
    for name, block in config.stages.items():
        kind = config.kind(name)
        filled = {f"{key}_of" for key in kind.scan_by_domain}
        if name not in config.own_stages:
            filled.add(PRIORITY)
        allowed = sorted({*kind.Evidence.model_fields, *kind.Decision.model_fields} - filled)
        for key in block:
            if key not in allowed:
                raise ConfigError(unknown_key(f"stages.{name}.{key}", allowed))
    for domain, settings in config.domains.items():
        for key, value in settings.items():
            if key == "skip":
                _check_skip(domain, value, config)
                continue
            if key == "alarm":
                config.alarm_of(domain)
                continue
            if key not in config.stages:
                raise ConfigError(unknown_key(f"domains.{domain}.{key}", ["skip", "alarm", *config.stages]))
            _check_override(f"domains.{domain}.{key}", value, config.kind(key))
    for name in config.stages:
        kind, decisions = config.kind(name), config.decisions(name)
        for block in (decisions["default"], *decisions["domains"].values()):
            with told(kind, "check"):
                kind.check(config.evidence(name), parse(kind.Decision, block, f"stages.{name}"))
    _check_sources(config)
    _check_columns(config)
    config._check_watched(config.alarm, "alarm")


def _check_order(config: PipelineConfig) -> None:
    first, *others = config.stages or [""]
    for name in others:
        if config.kind(name).comes_first:
            raise ConfigError(
                f"stages: found {name} behind {first}; expected it first, so that what may not be used is no "
                "document's survivor"
            )


def _check_priority(config: PipelineConfig) -> None:
    """Refuses a domain that neither an input, nor `domains`, nor what assigns domains names."""
    assigned = str([config.stages[name] for name in config.stages if config.kind(name).assigns_domains])
    known = sorted({*(i.domain for i in config.inputs), *config.domains})
    for number, name in enumerate(config.priority):
        if name not in known and f"'{name}'" not in assigned:
            raise ConfigError(unknown_key(f"priority[{number}].{name}", known))
    if len(set(config.priority)) != len(config.priority):
        raise ConfigError(f"priority: found {list(config.priority)!r}; expected each domain once")


def _check_columns(config: PipelineConfig) -> None:
    seen: dict[str, str] = {}
    for name in config.own_stages:
        for column in config.kind(name).provides:
            if (other := seen.setdefault(column, name)) != name:
                raise ConfigError(
                    f"stages.{name}: found {column!r} in `provides`, as in {other}; expected another name"
                )


def _check_sources(config: PipelineConfig) -> None:
    stages = list(config.stages)
    for i, name in enumerate(stages):
        kind = config.kind(name)
        decision = parse(kind.Decision, config.decisions(name)["default"], f"stages.{name}")
        with told(kind, "needs"):
            needed = kind.needs(decision)
        for wanted in needed:
            if wanted not in stages[:i]:
                raise ConfigError(
                    f"stages: found {name} without {wanted}; expected {wanted} before it, to decide by what it saw"
                )
        if kind.evidence_of is not None:
            with told(kind, "check_source"):
                kind.check_source(config.evidence(kind.evidence_of), decision)


def _check_override(where: str, value: Any, kind: type[Stage]) -> None:
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{where}: found {value!r}; expected a mapping of settings")
    by_domain = kind.Decision.model_fields if kind.by_domain is None else kind.by_domain
    allowed = sorted({*by_domain, *kind.scan_by_domain})
    for key in value or {}:
        shared = key in kind.Evidence.model_fields or key in kind.Decision.model_fields
        if shared and key not in allowed:
            names = f"one of {', '.join(allowed)}" if allowed else "none"
            what = "the scan" if key in kind.Evidence.model_fields else "a comparison between documents"
            raise ConfigError(f"{where}.{key}: found a setting of {what}, the same for all domains; expected {names}")
        if key not in allowed:
            raise ConfigError(unknown_key(f"{where}.{key}", allowed))


def _check_skip(domain: str, value: Any, config: PipelineConfig) -> None:
    if not isinstance(value, list):
        raise ConfigError(f"domains.{domain}.skip: found {value!r}; expected a list of stages")
    for stage in value:
        if stage not in config.stages:
            raise ConfigError(unknown_key(f"domains.{domain}.skip.{stage}", list(config.stages)))


def _with_inputs(given: list[Any], overrides: list[str]) -> list[Any]:
    named: dict[str, list[str]] = {}
    for text in overrides:
        domain, glob = key_value(text, "--input", "DOMAIN=GLOB")
        named.setdefault(domain, []).append(glob if _is_rooted(glob) else str(Path(glob).absolute()))
    if not isinstance(given, list):
        raise ConfigError(f"inputs: found {given!r}; expected a list")
    for domain in named:
        if sum(isinstance(i, dict) and i.get("domain") == domain for i in given) > 1:
            raise ConfigError(
                f"--input {domain}: found several inputs of that domain in the YAML; expected one (change them there)"
            )
    kept = [i for i in given if not (isinstance(i, dict) and i.get("domain") in named)]
    template = {i["domain"]: i for i in given if isinstance(i, dict) and i.get("domain") in named}
    return kept + [{**template.get(d, {}), "domain": d, "paths": paths} for d, paths in named.items()]


def _is_rooted(glob: str) -> bool:
    """Whether a glob stands for itself, and not for a path below the current folder: a URL, `package:…`, `~`, `$…`."""
    return "://" in glob or glob.startswith(("package:", "~", "$"))


def _set(raw: dict[str, Any], text: str) -> None:
    form = "stage.key=value, or snapshot=N"
    key, value = key_value(text, "--set", form, empty=True)
    parts = key.split(".")
    if len(parts) < 2 and key != "snapshot":
        raise ConfigError(f"--set: found {text!r}; expected {form}")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: found {value!r}; expected a value in YAML") from None
    if parts[0] not in PipelineConfig.model_fields:
        present = raw.get("stages")
        if parts[0] not in (known := [*STAGES, *raw.get("own_stages", {})]):
            raise ConfigError(f"--set {key}: {unknown_key(parts[0], [*known, *PipelineConfig.model_fields])}")
        if isinstance(present, dict) and parts[0] not in present:
            raise ConfigError(
                f"--set {key}: found {parts[0]!r}, which the pipeline does not have; expected one of its "
                f"stages: {', '.join(present) or 'none'}"
            )
        parts = ["stages", *parts]
    target = raw
    for part in parts[:-1]:
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise ConfigError(f"--set {key}: found a {type(target).__name__} at {part}; expected a mapping")
    target[parts[-1]] = parsed
