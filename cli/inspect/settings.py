"""In which settings two runs differ, by the names that a pipeline YAML or `--set` gives them.

A stage's settings are those of its committed decision and evidence, defaults included: `run.json` says what was
written in the YAML last, and a default that has changed between two versions would not show there. Of a domain with
overrides, what holds in it is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corpus.reading.run_reader import RunReader

Flat = dict[str, Any]


def differing_settings(a: RunReader, b: RunReader) -> list[dict[str, Any]]:
    """`[{"key", "a", "b"}]`, in the order of the pipeline; None where a run has no such setting."""
    ours, theirs = _settings(a, b), _settings(b, a)
    keys = dict.fromkeys([*ours, *theirs])
    return [{"key": key, "a": ours.get(key), "b": theirs.get(key)} for key in keys if ours.get(key) != theirs.get(key)]


def unfinished(reader: RunReader) -> list[str]:
    """Stages of the run's pipeline that have taken no decision yet."""
    done = {stage for stage, _ in reader.chain}
    return [stage for stage in reader.info["pipeline"].get("stages", {}) if stage not in done]


def _settings(reader: RunReader, other: RunReader) -> Flat:
    """A run's settings; of stages that the other has not, only that they are there."""
    pipeline = {k: v for k, v in reader.info["pipeline"].items() if k not in ("stages", "domains")}
    found = _flat(pipeline, "")
    found["stages"] = [stage for stage, _ in reader.chain]
    stages = reader.info["pipeline"].get("stages", {})
    for domain, settings in reader.info["pipeline"].get("domains", {}).items():
        rest = {k: v for k, v in settings.items() if k != "skip" and k not in stages}
        found |= _flat(rest, f"domains.{domain}.")
    theirs = dict(other.chain)
    for stage, manifest in reader.chain:
        if stage not in theirs:
            continue
        evidence = reader.run.evidence(stage)
        found |= _flat(evidence.body.get("config", {}) if evidence is not None else {}, f"{stage}.")
        config, another = manifest.body.get("config", {}), theirs[stage].body.get("config", {})
        found |= _flat(config.get("default", {}), f"{stage}.")
        found[f"{stage}.skip"] = sorted(config.get("skip", []))
        for domain in sorted({*config.get("domains", {}), *another.get("domains", {})}):
            holds = config.get("domains", {}).get(domain, config.get("default", {}))
            found |= _flat(holds, f"domains.{domain}.{stage}.")
    return found


def _flat(value: Any, prefix: str) -> Flat:
    """Nested mappings, and lists of mappings, as dotted keys."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(i): item for i, item in enumerate(value)}
    if not isinstance(value, dict) or (not value and prefix):
        return {prefix.rstrip("."): value} if prefix and not isinstance(value, dict) else {}
    found: Flat = {}
    for key, item in value.items():
        found |= _flat(item, f"{prefix}{key}.")
    return found
