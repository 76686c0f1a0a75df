"""Stages and readers of one's own in a pipeline YAML: from references to the names by which a run knows them.

A key `module:Class` of `stages`, or the name of an installed entry point, becomes the stage's own name wherever the
YAML says it, and `own_stages` keeps what it stands for. The `format` of an input becomes a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.own_code import installed, is_reference, reference_of, use_folders
from corpus.readers import reader_reference
from pipelines.stages.registry import STAGES, stage_class
from tamis.errors import ConfigError


def name_own_code(raw: dict[str, Any], folder: Path, known: Mapping[str, str]) -> None:
    """Puts names in the place of references in a loaded YAML of a folder; `known` are those of the YAML it extends.

    Raises:
        ConfigError: a stage or reader is not there, or cannot be used.
    """
    if "code" in raw:
        raw["code"] = _folders(raw["code"], folder)
        use_folders(map(Path, raw["code"]))
    if isinstance(stages := raw.get("stages"), dict):  # from Python a class or function may stand for its reference
        raw["stages"] = {key if isinstance(key, str) else reference_of(key): block for key, block in stages.items()}
    _name_stages(raw, known)
    inputs = raw.get("inputs")
    for number, block in enumerate(inputs if isinstance(inputs, list) else []):
        if isinstance(block, dict) and (format := block.get("format")) is not None:
            reference = reference_of(format) if callable(format) else str(format)
            block["format"] = reader_reference(reference, f"inputs[{number}].format")


def _folders(value: Any, folder: Path) -> list[str]:
    folders = [value] if isinstance(value, str) else value
    if not isinstance(folders, list) or not all(isinstance(f, str) for f in folders):
        raise ConfigError(f"code: found {value!r}; expected folders of modules")
    found = [(folder / f).expanduser().resolve() for f in folders]
    for given, place in zip(folders, found, strict=True):
        if not place.is_dir():
            raise ConfigError(f"code: found {given!r}; expected a folder, and there is none at {place}")
    return [str(place) for place in found]


def _name_stages(raw: dict[str, Any], known: Mapping[str, str]) -> None:
    stages = raw.get("stages") or {}
    own = raw.get("own_stages") or {}
    if not isinstance(stages, dict) or not isinstance(own, dict):
        return
    own = {**known, **own}
    names = {key: _own_name(key, own) for key in map(str, stages)}
    for key, name in names.items():
        if key != name and name in names:
            raise ConfigError(f"stages.{key}: found {name!r}, the name of another stage; expected a name of its own")
    names |= {reference: name for name, reference in known.items()}
    if stages:
        raw["stages"] = {names[str(key)]: block for key, block in stages.items()}
    if mine := {name: own[name] for name in raw.get("stages") or {} if name in own}:
        raw["own_stages"] = mine
    if isinstance(order := raw.get("order"), list):
        raw["order"] = [names.get(key, key) if isinstance(key, str) else key for key in order]
    if isinstance(domains := raw.get("domains"), dict):
        raw["domains"] = {domain: _named(block, names) for domain, block in domains.items()}


def _named(block: Any, names: Mapping[str, str]) -> Any:
    """The settings of a domain by the names of their stages."""
    if not isinstance(block, dict):
        return block
    named = {names.get(key, key): value for key, value in block.items()}
    if isinstance(skip := named.get("skip"), list):
        named["skip"] = [names.get(key, key) if isinstance(key, str) else key for key in skip]
    return named


def _own_name(key: str, own: dict[str, str]) -> str:
    """The name of a stage that a key of `stages` stands for; notes in `own` what it is, if it is no stage of ours."""
    if key in STAGES:
        return key
    registered = installed("tamis.stages") if key not in own and not is_reference(key) else {}
    reference = key if is_reference(key) else own.get(key) or registered.get(key)
    if reference is None:
        stage_class(key)  # refuses it
        raise AssertionError
    if not is_reference(reference):
        raise ConfigError(f"own_stages.{key}: found {reference!r}; expected module:Class")
    name = stage_class(reference).name
    if reference != key and name != key:
        raise ConfigError(f"stages.{key}: found {reference}, which calls itself {name!r}; expected the same name")
    if name in STAGES or own.get(name, reference) != reference:
        there = "a stage of Tamis" if name in STAGES else own[name]
        raise ConfigError(f"stages.{key}: found the name {name!r}, which is that of {there}; expected another `name`")
    own[name] = reference
    return name
