"""Strict configuration: YAML in, frozen pydantic out, and one clear sentence when something is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from tamis.errors import ConfigError


class StrictModel(BaseModel):
    """A frozen config that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)
_EXPECTED = {
    "missing": "a value, as this key is required",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "literal_error": "{expected}",
    "string_type": "text",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "tuple_type": "a list",
    "too_short": "at least {min_length} in the list",
    "too_long": "at most {max_length} in the list",
    "dict_type": "a mapping of settings",
    "model_type": "a mapping of settings",
    "value_error": "{error}",
}
"""Pydantic's kinds of error, as what stands behind "expected"."""


def setting(default: Any, what: str, *, unit: str = "", source: str = "", **bounds: Any) -> Any:
    """A field of a config, as docs/configuration.md tells it; `...` is the default of one that must be given.

    `what` it does is told in whole sentences. `unit` is what its number counts: bytes, tokens, share (0 to 1), …;
    `source` where the default is from: paper and section, or a benchmark of ours. `bounds` go to `pydantic.Field`.
    """
    known: dict[str, Any] = {name: text for name, text in (("unit", unit), ("source", source)) if text}
    return Field(default, description=what, json_schema_extra=known, **bounds)


def parse(model: type[Model], value: Any, where: str) -> Model:
    """Validates what a YAML held, under the key `where`, against a model.

    Raises:
        ConfigError: one sentence that names the key, what was found and what is allowed.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: found {_short(value)}; expected a mapping of settings")
    try:
        return model.model_validate(dict(value))
    except ValidationError as error:
        # A mistyped key is both unknown and missing: the former says more.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in (where, *first["loc"]) if part != "")
        if first["type"] == "extra_forbidden":
            raise ConfigError(unknown_key(key, _allowed_beside(model, first["loc"]))) from None
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, Refused):
            raise ConfigError(f"{key}.{cause.key}: {cause}".removeprefix(".")) from None
        found = "nothing" if first["type"] == "missing" else _short(first["input"])
        raise ConfigError(f"{key}: found {found}; expected {_expected(first)}") from None


class Refused(ValueError):
    """Raised by a validator of a whole config, about one of its keys.

    A validator of a single key raises a plain `ValueError`, which says what is expected in its place.
    """

    def __init__(self, key: str, found: object, expected: str) -> None:
        super().__init__(f"found {_short(found)}; expected {expected}")
        self.key = key


def key_value(text: str, option: str, form: str, *, empty: bool = False, last: bool = False) -> tuple[str, str]:
    """The two sides of a `KEY=VALUE` on a command line; with `last` the last "=" parts the two, not the first.

    Raises:
        ConfigError: a side is missing.
    """
    key, separator, value = text.rpartition("=") if last else text.partition("=")
    if not separator or not key or not (value or empty):
        raise ConfigError(f"{option}: found {text!r}; expected {form}")
    return key, value


def unknown_key(key: str, allowed: list[str]) -> str:
    """The sentence for a key that does not exist, with the nearest one that does."""
    name = key.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(name, allowed, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{key}: unknown key {name!r}{hint}; allowed are {', '.join(sorted(allowed)) or 'none'}"


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping; plain YAML would let the second win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping.

    Raises:
        ConfigError: there is no such file, it is no YAML, or no mapping.
    """
    try:
        loaded = yaml.load(path.read_text("utf-8"), _UniqueKeyLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: found a {type(loaded).__name__} at the top; expected a mapping")
    return loaded


def load_config(model: type[Model], path: Path) -> Model:
    """Reads a YAML file that is one config.

    Raises:
        ConfigError: as `load_yaml` and `parse`; the sentence begins with the path.
    """
    loaded = load_yaml(path)
    try:
        return parse(model, loaded, "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _expected(error: ErrorDetails) -> str:
    """What pydantic would have taken; an error of a kind that no config here meets is told in its own words."""
    if error["type"] not in _EXPECTED:
        return error["msg"]
    limits = {name: f"{v:g}" if isinstance(v, float) else v for name, v in error.get("ctx", {}).items()}
    return _EXPECTED[error["type"]].format_map(limits)


def _allowed_beside(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    current: Any = model
    inside_container = False  # then the next part is an index or a mapping's key, no field
    for part in loc[:-1]:
        if inside_container:
            inside_container = False
            continue
        if not (isinstance(current, type) and issubclass(current, BaseModel)) or part not in current.model_fields:
            return []
        annotation = current.model_fields[str(part)].annotation
        current, inside_container = _model_in(annotation), get_origin(annotation) in (tuple, list, dict)
    return sorted(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _model_in(annotation: Any) -> Any:
    if get_origin(annotation) is None:
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None
