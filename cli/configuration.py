"""`python -m cli.configuration > docs/configuration.md`: every setting, as the class that reads it describes it.

The page is made from JSON schemas (type, default and bounds by pydantic, unit and source by `corpus.config.setting`),
so that it says what is checked. A nested config stands once, under the first key that takes it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from cli.run.estimate import Rates
from pipelines.run.config import PipelineConfig
from pipelines.stages.registry import STAGES, stage_class
from sampler.mixture import Mixture
from trainer.config import TrainConfig

Schema = dict[str, Any]
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "multiples of {}",
    "minItems": "length ≥ {}",
    "minLength": "length ≥ {}",
    "maxLength": "length ≤ {}",
    "pattern": "`{}`",
}
_TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
_OPENING = """# Configuration

Every setting of the YAML files. Made by `python -m cli.configuration` from the classes that read them; a test holds
this page to them. A *share* lies between 0 and 1. An unknown key is refused, and so is a value out of range.

In a stage's table a change of *evidence* scans the text again, and a change of a *decision* decides again, which is
quick. What is marked *by domain* may differ for a domain: `domains.DOMAIN.STAGE.KEY`. A stage without a table has no
settings.
"""


class Section(NamedTuple):
    """One table: where in the file it stands, "" for the file itself; key → JSON schema, with `part` in a stage's; key
    → type.
    """

    key: str
    about: str
    settings: dict[str, Schema]
    types: dict[str, str]


def sections() -> dict[str, list[Section]]:
    """The tables of each file, by heading."""
    first: dict[str, str] = {}

    def file(model: type[BaseModel]) -> list[Section]:
        return list(_sections("", model.model_json_schema(), first))

    return {
        "Pipeline: `conf/pipelines/`": file(PipelineConfig),
        "Stages of a pipeline": [section for name in STAGES for section in _stage(name, first)],
        "Mixture: `conf/mixtures/`": file(Mixture),
        "Model and training: `conf/models/`": file(TrainConfig),
        "Rates of `tamis estimate`: `conf/rates.yaml`": file(Rates),
    }


def page() -> str:
    """The text of docs/configuration.md."""
    lines = [_OPENING]
    for heading, tables in sections().items():
        lines.append(f"## {heading}\n")
        for section in tables:
            lines += [f"### `{section.key}`\n"] if section.key else []
            lines += [section.about.replace("``", "`") + "\n", *_table(section), ""]
    return "\n".join(lines[:-1]) + "\n"


def _stage(name: str, first: dict[str, str]) -> Iterator[Section]:
    """The settings of a stage, which stand side by side; none where it has none."""
    kind = stage_class(name)
    by_domain = kind.Decision.model_fields if kind.by_domain is None else kind.by_domain
    whole: Schema = {"properties": {}, "$defs": {}, "description": inspect.getdoc(kind)}
    for part, model in (("evidence", kind.Evidence), ("decision", kind.Decision)):
        schema = model.model_json_schema()
        whole["$defs"] |= schema.get("$defs", {})
        for key, setting in schema.get("properties", {}).items():
            free = key in (by_domain if part == "decision" else kind.scan_by_domain)
            said = f"{part}, by domain" if free else part
            whole["properties"][key] = {**setting, "part": said}
    if whole["properties"]:
        yield from _sections(f"stages.{name}", whole, first)


def _sections(key: str, schema: Schema, first: dict[str, str]) -> Iterator[Section]:
    """The table of a config, then those of the configs in it that no earlier table has told."""
    settings, configs = schema.get("properties", {}), schema.get("$defs", {})
    inner = []
    for name, setting in settings.items():
        for config, suffix in _configs(setting):
            setting.setdefault("description", configs[config]["description"])  # pydantic tells the same text once
            if config not in first:
                first[config] = f"{key}.{name}{suffix}".removeprefix(".")
                inner.append(config)
    types = {name: _type(setting, first) for name, setting in settings.items()}
    yield Section(key, schema.get("description", ""), settings, types)
    for config in inner:
        yield from _sections(first[config], {**configs[config], "$defs": configs}, first)


def _configs(schema: Schema) -> Iterator[tuple[str, str]]:
    """The configs that a setting may hold, and what stands behind its key there."""
    if "$ref" in schema:
        yield _name(schema), ""
    for part in schema.get("anyOf", []):
        yield from _configs(part)
    for inner, suffix in (("items", "[]"), ("additionalProperties", ".NAME")):
        if isinstance(schema.get(inner), dict):
            yield from ((config, suffix + more) for config, more in _configs(schema[inner]))


def _name(schema: Schema) -> str:
    return str(schema["$ref"].rsplit("/", 1)[-1])


def _type(schema: Schema, first: dict[str, str]) -> str:
    if "$ref" in schema:
        return f"`{first[_name(schema)]}`"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(_type(part, first) for part in schema["anyOf"])
    if schema["type"] == "array":
        parts = schema.get("prefixItems") or [schema["items"]]
        return "list of " + " and ".join(dict.fromkeys(_type(part, first) for part in parts))
    if schema["type"] == "object":
        inner = schema["additionalProperties"]
        return f"mapping to {_type(inner, first)}" if isinstance(inner, dict) else "mapping"
    return _TYPES[schema["type"]]


def _bounds(schema: Schema) -> str:
    found = [said.format(schema[name]) for name, said in _BOUNDS.items() if name in schema]
    return ", ".join(filter(None, [*found, *map(_bounds, schema.get("anyOf", []))]))


def _default(setting: Schema) -> str:
    if "default" not in setting:
        return "required"
    return "as there" if "$ref" in setting else f"`{json.dumps(setting['default'], ensure_ascii=False)}`"


def _table(section: Section) -> Iterator[str]:
    """Markdown; a column in which nothing stands is left out."""
    rows = [
        {
            "key": f"`{key}`",
            "part": setting.get("part", ""),
            "type": section.types[key],
            "default": _default(setting),
            "allowed": _bounds(setting),
            "unit": setting.get("unit", ""),
            "what it does": setting.get("description", ""),
            "source": setting.get("source", ""),
        }
        for key, setting in section.settings.items()
    ]
    heads = [head for head in rows[0] if any(row[head] for row in rows)]
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        cells = [row[head].replace("|", "\\|") for head in heads]
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(page(), end="")
