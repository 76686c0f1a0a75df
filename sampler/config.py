"""Strict YAML into frozen pydantic models, with errors of one sentence.

pydantic's own report is a paragraph for each union branch and names neither the file nor what would be
allowed; a person who mistyped a key wants the key, what was found and what may stand there. Cost: none that
matters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from corpus.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A frozen config that knows all its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def load_yaml(model: type[Model], path: Path) -> Model:
    """Read a YAML file into a strict model.

    Args:
        model: the pydantic class.
        path: the YAML file.

    Raises:
        ConfigError: no such file, broken YAML, or a key that is unknown, missing or out of range.
    """
    try:
        with path.open(encoding="utf-8") as file:
            data = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: the file holds {_shown(data)} (allowed: a mapping of keys).")
    return parse(model, data, str(path))


def parse(model: type[Model], data: dict[str, Any], where: str) -> Model:
    """Validate a mapping; the first error becomes one sentence.

    Raises:
        ConfigError: naming `where`, the key, what was found and what is allowed.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_sentence(model, error)}") from error


def _sentence(model: type[BaseModel], error: ValidationError) -> str:
    # A mistyped key is both unknown and missing: the former says more.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
    if first["type"] == "extra_forbidden":
        allowed = ", ".join(sorted(_keys_at(model, first["loc"][:-1])))
        return f"unknown key `{key}` = {_shown(first['input'])} (allowed: {allowed})."
    if first["type"] == "missing":
        return f"key `{key}` is missing (found: nothing; allowed: {_allowed_type(model, first['loc'])})."
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"key `{key}` is {_shown(first['input'])} (allowed: {message})."


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model that lies at a path, through fields and mappings."""
    current: Any = model
    for part in path:
        fields = getattr(current, "model_fields", None)
        current = fields[str(part)].annotation if fields and str(part) in fields else current
        for inner in getattr(current, "__args__", ()):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                current = inner
    return list(getattr(current, "model_fields", {}))


def _allowed_type(model: type[BaseModel], path: tuple[int | str, ...]) -> str:
    owner: Any = model
    for part in path[:-1]:
        fields = getattr(owner, "model_fields", {})
        if str(part) in fields:
            owner = fields[str(part)].annotation
    field = getattr(owner, "model_fields", {}).get(str(path[-1]))
    annotation = getattr(field, "annotation", None)
    return getattr(annotation, "__name__", None) or str(annotation or "a value")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
