"""The door: its names, what they are, what they say of themselves, and how their errors come."""

from __future__ import annotations

import ast
import inspect
import re
import traceback
from pathlib import Path

import pytest

import tamis
from tamis.errors import TamisError, told_briefly


def test_the_names_are_those_that_are_promised_wherever_one_looks(repository: Path) -> None:
    """At run time, for type checkers, and for Tab: the same."""
    body = ast.parse((repository / "tamis" / "__init__.py").read_bytes()).body
    checked = {
        alias.asname for node in body if isinstance(node, ast.If) for i in node.body if isinstance(i, ast.ImportFrom)
        for alias in i.names if alias.asname
    }  # fmt: skip
    assert set(tamis.__all__) == checked == set(tamis._PLACES) and dir(tamis) == sorted(tamis.__all__)
    assert all(getattr(tamis, name) is getattr(tamis, name) for name in tamis.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nobody'; it has Bad, Batch, "):
        tamis.nobody  # type: ignore[attr-defined]  # noqa: B018


def test_a_type_checker_is_told_of_the_very_things(repository: Path) -> None:
    for node in ast.parse((repository / "tamis" / "__init__.py").read_bytes()).body:
        for line in node.body if isinstance(node, ast.If) else ():
            if isinstance(line, ast.ImportFrom) and line.module != "typing":
                for alias in line.names:
                    assert f"{line.module}.{alias.name}" == tamis._PLACES[alias.asname or ""]


def test_every_function_says_what_it_gives_and_what_it_raises() -> None:
    """Shapes and types of what comes back, and when it is refused."""
    functions = [value for name in tamis.__all__ if inspect.isfunction(value := getattr(tamis, name))]
    functions.remove(tamis.setting)  # it makes a field
    assert len(functions) == 10
    for function in functions:
        assert "Raises:" in (function.__doc__ or ""), function
        if str(inspect.signature(function).return_annotation) in ("pa.Table", "pa.Array"):
            assert re.search(r"Returns:\n.*(a row a|float32\[n\])", function.__doc__ or ""), function
    for name in tamis.__all__:
        assert (getattr(tamis, name).__doc__ or "").strip(), name


@told_briefly
def refuse(depth: int) -> None:
    if depth:
        raise TamisError("key: found 1; expected 2") from ValueError("below")
    raise ZeroDivisionError


def test_an_error_for_a_user_comes_without_the_way_that_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two frames, the caller's and the door's, and no error behind it; TAMIS_DEBUG=1 and faults of ours keep all."""
    with pytest.raises(TamisError) as caught:
        refuse(1)
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][1:] == ["told"]
    assert "ValueError" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setenv("TAMIS_DEBUG", "1")
    with pytest.raises(TamisError) as caught:
        refuse(1)
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-1] == "refuse"
    monkeypatch.delenv("TAMIS_DEBUG")
    with pytest.raises(ZeroDivisionError) as fault:
        refuse(0)
    assert [frame.name for frame in traceback.extract_tb(fault.value.__traceback__)][-1] == "refuse"


def test_what_people_get_wrong_is_a_sentence_in_two_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyspark.SparkContext._active_spark_context", None)  # another test's
    for wrong, said in (
        (lambda: tamis.open_run(tmp_path), "is not a run folder: it has no run.json"),
        (lambda: tamis.run("defualt", tmp_path), "found none of that name in pipelines; expected dedup, default"),
        (lambda: tamis.run({"name": "x", "stages": {"score": {"no": 1}}}, tmp_path), "stages.score.no: "),
        (lambda: tamis.run("dedup", tmp_path, settings={"near_dedup.threshold": 2}), "near_dedup.threshold: found 2"),
        (lambda: tamis.run("dedup", tmp_path, settings={"near_dedup.threshold": {1j}}), "a value that YAML can hold"),
        (lambda: tamis.run("dedup", tmp_path), "inputs: found none"),
        (lambda: tamis.stream("default", global_batch=8), "run: found"),
        (lambda: tamis.stream({"domains": "*", "seed": 1}, tmp_path, global_batch=8), "mixture.sequence_length"),
        (lambda: tamis.quality(["a"], tmp_path), "holds no"),
    ):
        with pytest.raises(TamisError, match=said) as caught:
            wrong()
        assert len(traceback.extract_tb(caught.value.__traceback__)) <= 4, said
