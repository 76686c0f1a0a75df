"""Code of one's own in a pipeline YAML: what it becomes, and a sentence for each thing that can be wrong with it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.run.config import PipelineConfig, load_pipeline
from pipelines.stages.keep_function import KeepFunction
from pipelines.stages.own import code_of, version_of
from tamis.errors import ConfigError, TamisError

MODULE = """
import pyarrow as pa
import tamis

class Limits(tamis.StrictModel):
    most: float = tamis.setting(0.5, "x", ge=0, le=1)

class Loud(tamis.Stage):
    name = "loud"
    Decision = Limits
    def scan(self, batch): return batch.table()

class Named(Loud):
    version = 3
    name = "named"

class NoName(tamis.Stage):
    reads = ("url",)

class Ours(Loud):
    name = "near_dedup"

class Word(Loud):
    name = "skip"

class Twice(Loud):
    name = "named"

class NoScan(tamis.Stage):
    name = "no_scan"

class Column(Loud):
    name = "column"
    reads = ("txt",)

class Taken(Loud):
    name = "taken"
    provides = {"quality": pa.float32()}

class Kind(Loud):
    name = "kind"
    provides = {"x": "float"}

class Plain(Loud):
    name = "plain"
    class Decision: most = 1

class Both(Loud):
    name = "both"
    Evidence = Limits

class Version(Loud):
    name = "version"
    version = 1.5

def keep(document, *, least: int = 1, flag: bool = False): return True
def two(document, other): return True
def read(raw, file, config, limits): yield {"text": "a"}
value = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with `code/mine.py`; what was imported from it is forgotten behind the test."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "mine.py").write_text(MODULE)
    (code / "broken.py").write_text("import tamis\n\nnothing.here\n")
    (code / "syntax.py").write_text("def (:\n")
    (code / "needs.py").write_text("import a_module_that_nobody_has\n")
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def load(folder: Path, text: str, settings: list[str] | None = None) -> PipelineConfig:
    path = folder / "p.yaml"
    path.write_text(f"code: code\n{text}\n")
    return load_pipeline(path, settings=settings)


def test_references_become_names_wherever_the_pipeline_says_them(folder: Path) -> None:
    config = load(
        folder,
        """
stages:
  eligibility: {}
  mine:Loud: {most: 0.2}
  mine:keep: {least: 2}
order: [eligibility, mine:keep, mine:Loud]
domains: {web: {mine:Loud: {most: 0.3}}, code: {skip: [mine:Loud, keep]}}
inputs: [{domain: web, paths: [a.txt], format: mine:read}]
alarm: {stages: [loud, near_dedup]}
""",
        ["loud.most=0.1", "keep.flag=true"],
    )
    assert list(config.stages) == ["eligibility", "keep", "loud"]
    assert config.own_stages == {"loud": "mine:Loud", "keep": "mine:keep"}
    found = config.decisions("loud")
    assert (found["default"], found["domains"], found["skip"]) == ({"most": 0.1}, {"web": {"most": 0.3}}, ["code"])
    assert config.decisions("keep")["skip"] == ["code"]
    assert config.evidence("keep").model_dump() == {"least": 2, "flag": True}
    assert config.code == (str(folder / "code"),)
    assert set(config.own_code()) == {"mine:Loud", "mine:keep", "mine:read"}
    again = PipelineConfig.model_validate(config.model_dump(mode="json"))
    assert again == config and again.kind("loud").__name__ == "Loud", "what run.json keeps says all of it"


def test_a_pipeline_that_extends_one_with_own_stages_calls_them_by_name_or_reference(folder: Path) -> None:
    load(folder, "stages: {eligibility: {}, mine:Loud: {most: 0.2}, mine:Named: {}}")
    child = folder / "child.yaml"
    child.write_text(
        "extends: p.yaml\nstages: {loud: {most: 0.4}, mine:Named: {most: 0.1}}\ndomains: {x: {skip: [mine:Loud]}}\n"
    )
    config = load_pipeline(child)
    assert config.stages == {"eligibility": {}, "loud": {"most": 0.4}, "named": {"most": 0.1}}
    assert config.decisions("loud")["skip"] == ["x"]


def test_from_python_a_class_or_function_may_stand_for_its_reference(folder: Path) -> None:
    load(folder, "stages: {}")
    mine = importlib.import_module("mine")
    given = {
        "stages": {"eligibility": {}, mine.Loud: {"most": 0.2}, mine.keep: None},
        "inputs": [{"domain": "a", "paths": ["b"], "format": mine.read}],
    }
    config = load_pipeline(folder / "given", given=given)
    assert config.own_stages == {"loud": "mine:Loud", "keep": "mine:keep"} and config.inputs[0].format == "mine:read"
    with pytest.raises(ConfigError, match="3"):
        load_pipeline(folder / "given", given={"stages": {3: {}}})


def test_a_version_is_what_is_declared_or_the_source_of_the_module(folder: Path) -> None:
    versions = load(folder, "stages: {mine:Loud: {}, mine:Named: {}}").own_code()
    assert versions["mine:Named"] == 3
    assert isinstance(versions["mine:Loud"], str) and len(versions["mine:Loud"]) == 12


def test_installed_packages_register_short_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = folder / "site"
    meta = site / "my_package-1.0.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(
        "[tamis.stages]\nloud = mine:Loud\nother = mine:Named\n[tamis.readers]\nsayings = mine:read\n"
    )
    monkeypatch.syspath_prepend(str(site))
    config = load(folder, "stages: {loud: {}}\ninputs: [{domain: a, paths: [b], format: sayings}]")
    assert config.own_stages == {"loud": "mine:Loud"} and config.inputs[0].format == "mine:read"
    with pytest.raises(ConfigError, match="mine:Named, which calls itself 'named'; expected the same name"):
        load(folder, "stages: {other: {}}")
    with pytest.raises(ConfigError, match="unknown key 'loude' \\(did you mean 'loud'\\?\\)"):
        load(folder, "stages: {loude: {}}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages: {nowhere.at_all:Loud: {}}", "found no module 'nowhere'; expected one that is installed"),
        ("stages: {mine:Lout: {}}", "found no 'Lout' in"),
        ("stages: {mine:Lout: {}}", "did you mean 'Loud'?"),
        (
            "stages: {broken:Loud: {}}",
            "broken cannot be imported: NameError: name 'nothing' is not defined (broken.py, line 3)",
        ),
        ("stages: {syntax:Loud: {}}", "syntax cannot be imported: SyntaxError: invalid syntax (syntax.py, line 1)"),
        ("stages: {needs:Loud: {}}", "needs cannot be imported: ModuleNotFoundError: No module named 'a_module_that"),
        ("stages: {__main__:Loud: {}}", "code of a script or notebook"),
        ("stages: {mine:value: {}}", "stages.mine:value: found 3; expected a class of `tamis.Stage`, or a function"),
        ("stages: {mine:Limits: {}}", "expected a class of `tamis.Stage`"),
        ("stages: {mine:two: {}}", "expected a function of one document"),
        ("stages: {mine:NoName: {}}", "found the name None"),
        ("stages: {mine:Word: {}}", "found the name 'skip'"),
        ("stages: {mine:Ours: {}}", "found the name 'near_dedup', which is that of a stage of Tamis"),
        ("stages: {mine:Named: {}, mine:Twice: {}}", "found the name 'named', which is that of mine:Named"),
        ("stages: {mine:Loud: {}, loud: {}}", "stages.mine:Loud: found 'loud', the name of another stage"),
        ("stages: {mine:NoScan: {}}", "found `reads` with text and no method `scan`"),
        ("stages: {mine:Column: {}}", "reads.txt: unknown key 'txt' (did you mean 'text'?)"),
        ("stages: {mine:Taken: {}}", "provides.quality: found a column that published shards have already"),
        ("stages: {mine:Kind: {}}", "provides.x: found 'float'; expected an Arrow type"),
        ("stages: {mine:Plain: {}}", "expected a class of `tamis.StrictModel`"),
        ("stages: {mine:Both: {}}", "found 'most' in Evidence and in Decision"),
        ("stages: {mine:Version: {}}", "found version 1.5"),
        ("stages: {mine:Loud: {mots: 1}}", "stages.loud.mots: unknown key 'mots' (did you mean 'most'?)"),
        ("stages: {mine:Loud: {most: 2}}", "stages.loud.most: found 2; expected at most 1"),
        ("stages: {mine:keep: {least: many}}", "stages.keep.least: found 'many'; expected a whole number"),
        (
            "stages: {loud: {}}\nown_stages: {loud: nonsense}",
            "own_stages.loud: found 'nonsense'; expected module:Class",
        ),
        ("stages: {}\ninputs: [{domain: a, paths: [b], format: csv}]", "inputs[0].format.csv: unknown key 'csv'"),
        ("stages: {}\ninputs: [{domain: a, paths: [b], format: mine:value}]", "mine:value, which is no function"),
        ("stages: {}\ninputs: [{domain: a, paths: [b], format: mine:reed}]", "did you mean 'read'?"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(folder: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"), [("[1]", "found [1]"), ("nowhere", "expected a folder, and there is none at")]
)
def test_folders_of_code_must_be_there(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "p.yaml").write_text(f"code: {code}\nstages: {{}}\n")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(tmp_path / "p.yaml")
    assert str(caught.value).startswith("code: ") and said in str(caught.value)


ODD = """
from __future__ import annotations
from typing import TYPE_CHECKING
import numpy as np
import pyarrow as pa
import tamis
from pipelines.stages.line_filter import LineFilter
if TYPE_CHECKING:
    from nowhere import Doc

def hinted(document: Doc, *, least: int = 3) -> bool: return True
def unknown(document, *, least: Doc = 3) -> bool: return True

def plain(function):
    def asks(document): return function(document)
    return asks

@plain
def decorated(document): return True

def made():
    class Made(tamis.Stage):
        name = "made"
        def scan(self, batch): return batch.table()
    return Made
Made = made()

class Provides(Made):
    provides = ["x"]

class Says(Made):
    provides = {"x": tamis.Column(pa.int32(), None)}

class One(Made):
    name = "one"
    provides = {"x": pa.int32()}

class Two(One):
    name = "two"

class Checks(Made):
    name = "checks"
    @classmethod
    def check(cls, evidence, decision): raise ValueError("mistaken")

class Needs(Made):
    name = "needing"
    @classmethod
    def needs(cls, decision): raise ValueError("mistaken")

class Ours(LineFilter):
    name = "lines_of_mine"
"""


@pytest.mark.parametrize(("key", "name"), [("hinted", "hinted"), ("decorated", "asks"), ("Made", "made")])
def test_a_stage_is_known_by_the_reference_that_finds_it_however_it_was_made(folder: Path, key: str, name: str) -> None:
    (folder / "code" / "odd.py").write_text(ODD)
    config = load(folder, f"stages: {{'odd:{key}': {{}}}}")
    assert list(config.stages) == [name]
    assert code_of(config.kind(name)) == f"odd:{key}", "manifests keep it, and the tasks of later stages look it up"


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (["unknown"], r"stages.odd:unknown: cannot be used: NameError: name 'Doc' is not defined"),
        (["Provides"], r"stages.odd:Provides: cannot be used: AttributeError"),
        (["Says"], r"stages.odd:Says: provides.x: found Column.*; expected a name, and a text"),
        (["One", "Two"], r"stages.two: found 'x' in `provides`, as in one; expected another"),
        (["Checks"], r"checks: check failed: ValueError: mistaken \(odd.py, line \d+\)"),
        (["Needs"], r"needing: needs failed: ValueError: mistaken \(odd.py, line \d+\)"),
    ],
)
def test_a_mistake_in_a_stage_is_told_in_a_sentence(folder: Path, keys: list[str], sentence: str) -> None:
    (folder / "code" / "odd.py").write_text(ODD)
    with pytest.raises(TamisError, match=sentence):
        load(folder, "stages: {" + ", ".join(f"'odd:{key}': {{}}" for key in keys) + "}")


def test_a_stage_made_of_one_of_ours_has_no_version_of_ours(folder: Path) -> None:
    (folder / "code" / "odd.py").write_text(ODD)
    kind = load(folder, "stages: {'odd:Ours': {}}").kind("lines_of_mine")
    before = version_of(kind)
    (folder / "code" / "odd.py").write_text(f"{ODD}\n# edited\n")
    assert version_of(load(folder, "stages: {'odd:Ours': {}}").kind("lines_of_mine")) != before


def test_another_pipeline_in_the_same_process_has_its_own_module_of_the_same_name(folder: Path) -> None:
    load(folder, "stages: {'mine:Loud': {}}")
    (folder / "other").mkdir()
    (folder / "other" / "mine.py").write_text("def other(document): return True\n")
    (folder / "q.yaml").write_text("code: other\nstages: {'mine:other': {}}\n")
    assert load_pipeline(folder / "q.yaml").own_stages == {"other": "mine:other"}
    assert load(folder, "stages: {'mine:Loud': {}}").own_stages == {"loud": "mine:Loud"}


def test_a_function_may_answer_with_a_bool_of_numpy(folder: Path) -> None:
    (folder / "code" / "odd.py").write_text(ODD)
    kind = load(folder, "stages: {'odd:hinted': {}}").kind("hinted")
    assert issubclass(kind, KeepFunction)
    stage = kind(kind.Evidence(), {})
    assert [stage._reason(answer) for answer in (np.bool_(True), np.bool_(False))] == [None, "hinted"]
