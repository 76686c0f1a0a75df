"""What crosses: each function that the product hands to tasks is found by its name, each dataclass comes back equal."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.config import StrictModel
from corpus.inputs import FieldMap, InputConfig
from corpus.schemas import DROPS, EDITS, SEMANTIC_CELLS
from pipelines.run.config import IngestConfig, WriteShardsConfig, load_pipeline
from pipelines.run.curves import Curve
from pipelines.spark.blocks import Block, Inbox, NextHop
from pipelines.spark.shard_files import ShardFiles
from pipelines.spark.wire import answer_type, argument_type, decode, encode, function_of, name_of
from pipelines.stages.near_dedup.tables import PAIRS
from pipelines.stages.scan import StageConfig, scan_shard
from tests.conftest import REPOSITORY
from tests.support.examples import examples

ROOMS = ("tamis", "corpus", "text", "filters", "dedup", "sampler", "pipelines", "jobs", "trainer", "cli", "benchmarks")
SENT = re.compile("(Task|Source|Hop|Last hop): ")
"""How the docstring of a function begins that runs in a task."""


def sources(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        yield from sorted((REPOSITORY / room).rglob("*.py"))


# ------------------------------------------------------------------------------------------ what the product sends


@functools.cache
def handed_over() -> dict[str, Callable[..., Any]]:
    """The functions of ours that some call is given and that run in tasks: by syntax, so that none is forgotten."""
    found = {}
    for path in sources("pipelines"):
        module, tree = module_of(path), ast.parse(path.read_text("utf-8"))
        known = {**vars(module), **dict(imported_inside(tree))}
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else f"{getattr(call.func, 'id', '')}()"
            for place, argument in enumerate(call.args):
                function = known.get(argument.id) if isinstance(argument, ast.Name) else None
                if inspect.isfunction(function):
                    first = place == 0 and called in ("exchange", "map", "Hop()")
                    if first or SENT.match(inspect.getdoc(function) or ""):
                        found[name_of(function)] = function
    return found


def module_of(path: Path) -> types.ModuleType:
    return importlib.import_module(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))


def imported_inside(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """What functions of a module import of ours when they run."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for node in (n for n in ast.walk(function) if isinstance(n, ast.ImportFrom)):
            if node.module and node.module.split(".")[0] in ROOMS:
                yield from ((a.name, getattr(importlib.import_module(node.module), a.name)) for a in node.names)


IN_TASKS = {
    "corpus/run": "ingest_files count_shard write_published write_dropped_rows weigh_shard",
    "every stage": "scan_shard decide_shard write_by_shard",
    "exact_dedup": "emit_digests group_copies emit_contested elect write_drops",
    "semantic_clusters": "sample_vectors emit_cells compare_cells",
    "near_dedup": "emit_keys pair_twins write_twins emit_bands find_edges write_participants read_shard "
    "emit_members resolve_components",
    "span_dedup": "emit_spans name_owners write_by_home emit_orphans name_heirs decide_spans emit_near link_sentences "
    "keep_unlinked_anchors emit_questions keep_anchors_that_stay write_links",
    "token bins": "build_shard",
}


def test_these_functions_run_in_tasks() -> None:
    """The list that a reader sees; each is handed over by the function itself, and says in a word what it is."""
    found = handed_over()
    assert {function.__name__ for function in found.values()} == set(" ".join(IN_TASKS.values()).split())
    for path in sources("pipelines"):
        module = module_of(path)
        for function in (f for f in vars(module).values() if inspect.isfunction(f)):
            if function.__module__ == module.__name__ and SENT.match(inspect.getdoc(function) or ""):
                assert name_of(function) in found, "said to run in a task, and handed to none"


@pytest.mark.parametrize("name", sorted(handed_over()))
def test_a_task_finds_the_function_and_its_types_by_name(name: str) -> None:
    function = function_of(name)
    assert function is handed_over()[name] and name_of(function) == name
    hop = next(iter(get_type_hints(function).values())) is Inbox
    assert is_dataclass(argument_type(function, int(hop)))
    assert hop or (answer_type(function) is Block) == inspect.isgeneratorfunction(function), "a task or a source"
    assert made_up(argument_type(function, int(hop))) is not None


def types_that_cross() -> list[Any]:
    """Tasks, settings and answers; a block crosses as Arrow."""
    found: dict[str, Any] = {}
    for function in handed_over().values():
        hop = next(iter(get_type_hints(function).values())) is Inbox
        for kind in (argument_type(function, int(hop)), answer_type(function)):
            if kind is not Block:
                found[str(kind)] = kind
    return list(found.values())


# ---------------------------------------------------------------------------------------------------- there and back


@functools.cache
def models() -> dict[type[StrictModel], list[StrictModel]]:
    """Configs that tasks take: as they are by default, and as a user may set them."""
    shipped = load_pipeline(REPOSITORY / "conf" / "pipelines" / "default.yaml")
    own = FieldMap(text="meta.texte", id=None, source="출처")
    inputs = [
        InputConfig(domain="web", paths=("a/*.jsonl", "s3://b/{c}/**")),
        InputConfig(domain="x-1", paths=("é 中.warc",), fields=own, keep="all", constants={"lang": "zh"}),
        InputConfig(domain="y", paths=("a",), keep=("b", "c"), encoding="gb18030", format="text"),
    ]
    return {
        InputConfig: inputs,
        IngestConfig: [IngestConfig(), shipped.ingest],
        WriteShardsConfig: [WriteShardsConfig(), WriteShardsConfig(heldout_fraction=0.1, heldout_seed=7)],
        Curve: [Curve(), Curve(cap=3, floor=0.1 + 0.2), *shipped.weights.domains.values()],
    }


TEXTS = st.sampled_from(["", "web", "Ω é 中文 \U0001f600", '"\\\n\x00\u2028', "a:b"])
INTEGERS = (
    st.integers(0, 9) | st.sampled_from([2**63 - 1, -(2**63), 2**62 + 1, 2**53 + 1]) | st.integers(-(2**63), 2**63)
)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: INTEGERS,
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: TEXTS,
    bool: st.booleans(),
    types.NoneType: st.none(),
    Any: JSON,
    Path: st.sampled_from([Path("/"), Path("/tmp/é 中/..x"), Path("below/a b#?.parquet")]),
    pa.Schema: st.sampled_from([DROPS, EDITS, PAIRS, SEMANTIC_CELLS, pa.schema([])]),
}


@functools.cache
def made_up(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type, as its annotations say; a type that JSON cannot carry has none, such as a set."""
    inner = get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return st.builds(kind, **{field.name: made_up(hints[field.name]) for field in fields(kind)})
    if inspect.isclass(kind) and issubclass(kind, StrictModel):
        return st.sampled_from(models()[kind])
    origin = get_origin(kind)
    if origin in (types.UnionType, Union):
        return st.one_of(*map(made_up, inner))
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is Annotated:
        return made_up(inner[0])
    if origin is tuple and inner[-1] is not ...:
        return st.tuples(*map(made_up, inner))
    if origin in (tuple, list):
        return st.lists(made_up(inner[0]), max_size=3).map(origin)
    if origin is dict:
        return st.dictionaries(made_up(inner[0]), made_up(inner[1]), max_size=3)
    raise TypeError(f"{kind} is nothing that crosses")


@pytest.mark.parametrize("kind", types_that_cross(), ids=lambda kind: getattr(kind, "__name__", str(kind)))
def test_what_is_sent_comes_back_equal(kind: Any) -> None:
    """And says the same again, as receipts are found by a hash of the text."""

    @examples(30)
    @given(made_up(kind))
    def there_and_back(value: Any) -> None:
        text = encode(value)
        back = decode(kind, text)
        assert back == value and type(back) is type(value)
        assert encode(back) == text and "\n" not in text

    there_and_back()


def test_ids_and_paths_and_schemas_keep_every_bit() -> None:
    largest = Nested(((2**63 - 1, None), (-(2**63), Path("/é/中"))), {"z": 0.1 + 0.2, "a": None}, None)
    assert encode(largest) == (
        '{"places":[[9223372036854775807,null],[-9223372036854775808,"/é/中"]],'
        '"facts":{"z":0.30000000000000004,"a":null},"next":null}'
    )
    twice = Nested((), {}, largest)
    assert decode(Nested, encode(twice)) == twice
    nullable = ShardFiles(Path("x"), {"drops": DROPS})
    back = decode(ShardFiles, encode(nullable)).schemas["drops"]
    assert back.equals(DROPS, check_metadata=True) and not back.field("reason").nullable


@dataclass(frozen=True)
class Nested:
    """A dataclass in itself."""

    places: tuple[tuple[int, Path | None], ...]
    facts: dict[str, float | None]
    next: Nested | None


def test_equal_values_say_the_same() -> None:
    def made() -> StageConfig:
        evidence = {"view": "stored", "seed": 1}
        return StageConfig("near_dedup", evidence, {"model": "/m"}, {"threshold": 0.75}, {"law": {"threshold": 0.9}})

    assert made() is not made() and encode(made()) == encode(made())
    for model in (WriteShardsConfig(), Curve()):
        assert encode(model) == encode(type(model)(**model.model_dump()))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"partitions": "many"}', '{"partitions": 1.5}', "null"])
def test_what_was_not_written_by_encode_is_refused(text: str) -> None:
    """So is a receipt that another version left, or that a full disk cut short."""
    with pytest.raises(ValueError, match="NextHop"):
        decode(NextHop, text)


# ----------------------------------------------------------------------------------------------------------- names


class Holder:
    """A class with a function in it."""

    def method(self, task: NextHop) -> NextHop:
        return task

    @staticmethod
    def static(task: NextHop) -> NextHop:
        return task


def test_a_function_without_a_name_is_refused() -> None:
    def inner(task: NextHop) -> NextHop:
        return task

    named_lambda = lambda task: task  # noqa: E731
    for nameless in (inner, named_lambda, Holder.method, Holder().method, Holder.static):
        with pytest.raises(TypeError, match="has no name by which a task could find it"):
            name_of(nameless)
    assert name_of(scan_shard) == "pipelines.stages.scan:scan_shard"


def ours(name: str) -> bool:
    """Whether a dotted name is a module of ours."""
    path = REPOSITORY.joinpath(*name.split("."))
    return name.split(".")[0] in ROOMS and (path.with_suffix(".py").exists() or path.is_dir())


def names_in(text: str) -> list[str]:
    """String literals of the form `module:function` that name a module of ours."""
    values = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [v for v in values if re.fullmatch(r"[a-z_][\w.]*:\w+", v) and ours(v.partition(":")[0])]


def test_no_function_is_named_by_a_string() -> None:
    assert names_in('x = f("pipelines.stages.scan:scan_shard", "cut:reason", "tests.x:y")') == [
        "pipelines.stages.scan:scan_shard"
    ], "the check would see one"
    assert {str(path): found for path in sources(*ROOMS) if (found := names_in(path.read_text("utf-8")))} == {}
