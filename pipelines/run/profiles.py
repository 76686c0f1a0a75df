"""Names in a pipeline YAML that stand for shipped settings: `conf/profiles` for domains, `conf/scores` for curves.

    domains: {statutes: {profile: law}}
    weights: {default: web, domains: {statutes: law}}

A profile is the settings for a kind of text: stages to skip, thresholds, curves (`weights`). What the YAML says beside
`profile` wins, key by key. Stages that the pipeline does not have are left out, so that one profile serves all
pipelines. A name with a slash or `.yaml` is a file beside the pipeline YAML.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.config import load_yaml
from tamis.errors import ConfigError
from tamis.places import CONF, shipped

NO_STAGES = ("skip", "alarm", "weights")
"""Keys of a profile that are not stages."""


def resolve_names(raw: dict[str, Any], base: Path) -> None:
    """Replaces names of profiles and curves in a loaded YAML of the folder `base` by the settings that they stand for.

    Raises:
        ConfigError: there is no such file or name.
    """
    stages, domains = raw.get("stages"), raw.get("domains")
    curves: dict[str, Any] = {}
    if isinstance(stages, dict) and isinstance(domains, dict):
        for domain, block in domains.items():
            if isinstance(block, dict) and "profile" in block:
                where = f"domains.{domain}.profile"
                profile = _load_named(block.pop("profile"), "profiles", base, where)
                if "weights" in profile:
                    curves[domain] = profile.pop("weights")
                domains[domain] = merge(_for_pipeline(profile, stages, where), block)
    weights = raw.get("weights")
    if weights is None:
        weights = {}
    if isinstance(weights, dict):
        own = weights.get("domains")
        by_domain = {**curves, **own} if isinstance(own, dict) else curves
        if by_domain:
            weights["domains"] = {d: _curve(c, base, f"weights.domains.{d}") for d, c in by_domain.items()}
        if "default" in weights:
            weights["default"] = _curve(weights["default"], base, "weights.default")
        if weights:
            raw["weights"] = weights


def _curve(value: Any, base: Path, where: str) -> Any:
    """A curve, given by its name or as a mapping."""
    return _load_named(value, "scores", base, where) if isinstance(value, str) else value


def _load_named(name: Any, kind: str, base: Path, where: str) -> dict[str, Any]:
    """The settings that a name stands for."""
    if not isinstance(name, str):
        raise ConfigError(f"{where}: found {name!r}; expected the name of one of conf/{kind}, or a YAML file")
    if "/" in name or name.endswith((".yaml", ".yml")):
        return load_yaml((base / name).absolute())
    path = CONF / kind / f"{name}.yaml"
    if not path.is_file():
        known = shipped(kind)
        like = difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean {like[0]!r}?)" if like else ""
        raise ConfigError(f"{where}: found {name!r}{hint}; expected one of conf/{kind}: {', '.join(known)}")
    return load_yaml(path)


def _for_pipeline(profile: Mapping[str, Any], stages: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A profile without the stages that the pipeline does not have."""
    from pipelines.stages.registry import STAGES

    known = list(dict.fromkeys([*STAGES, *stages]))
    found: dict[str, Any] = {}
    for key, value in profile.items():
        if key not in NO_STAGES and key not in known:
            raise ConfigError(f"{where}: found {key!r}; expected one of {', '.join([*NO_STAGES, *known])}")
        if key == "skip" and isinstance(value, list):
            unknown = [s for s in value if s not in known]
            if unknown:
                raise ConfigError(f"{where}.skip: found {unknown[0]!r}; expected one of {', '.join(known)}")
            value = [s for s in value if s in stages]
        if key in NO_STAGES or key in stages:
            found[key] = value
    return found


def merge(base: dict[str, Any], over: dict[str, Any] | None) -> dict[str, Any]:
    """Merges two nested mappings: key by key the second wins; lists are replaced as a whole."""
    merged = dict(base)
    for key, value in (over or {}).items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged
