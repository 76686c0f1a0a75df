"""Inputs resolve to one sorted list that does not depend on the machine, or to one clear sentence."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from pydantic import ValidationError

from corpus import inputs
from corpus.inputs import Format, InputConfig, InputFile, open_input, resolve_inputs
from corpus.streams import Compression
from pipelines.run.ingest import _groups
from tamis.errors import ConfigError, ReadError, TamisError


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def config(*paths: str, domain: str = "web", **more: object) -> InputConfig:
    return InputConfig(domain=domain, paths=paths, **more)


def names(folder: Path, *paths: str) -> list[str]:
    return [file.name for file in resolve_inputs([config(*paths)], base_dir=folder)]


def fails(folder: Path, *configs: InputConfig) -> str:
    with pytest.raises(ConfigError) as error:
        resolve_inputs(configs, base_dir=folder)
    return str(error.value)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("d/*.jsonl", ["a.jsonl", "b1.jsonl"]),
        ("d/b?.jsonl", ["b1.jsonl"]),
        ("d/[ab]*.jsonl", ["a.jsonl", "b1.jsonl"]),
        ("d/[!a]*.jsonl", ["b1.jsonl"]),
        ("d/**", ["a.jsonl", "b1.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl"]),
        ("d/**/*.jsonl", ["a.jsonl", "b1.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl"]),
        ("d/*/*.jsonl", ["sub/c.jsonl"]),
        ("d/**/deep/*.jsonl", ["sub/deep/d.jsonl"]),
        ("*/a.jsonl", ["d/a.jsonl"]),
        ("d/a.jsonl", ["a.jsonl"]),
        ("d/sub/../a.jsonl", ["a.jsonl"]),
    ],
)
def test_globs(tmp_path, pattern, expected):
    make(
        tmp_path, "d/a.jsonl", "d/b1.jsonl", "d/sub/c.jsonl", "d/sub/deep/d.jsonl", "d/.hidden.jsonl", "d/.git/x.jsonl"
    )
    assert names(tmp_path, pattern) == expected


def test_an_existing_file_with_brackets_in_its_name_is_that_file(tmp_path):
    make(tmp_path, "a[1].jsonl", "a1.jsonl")
    assert names(tmp_path, "a[1].jsonl") == ["a[1].jsonl"]


def test_the_list_is_the_same_wherever_the_folder_lies(tmp_path):
    for place in ("here", "there/below"):
        make(tmp_path / place, "x/2.jsonl", "x/1.jsonl", "y/3.jsonl")
    lists = [
        [
            (file.domain, file.name, file.size, file.format, file.compression, file.config_index)
            for file in resolve_inputs(
                [config("x/*", "y/*"), config("x/1.jsonl", domain="web")], base_dir=tmp_path / place
            )
        ]
        for place in ("here", "there/below")
    ]
    assert lists[0] == lists[1]
    assert [row[1] for row in lists[0]] == ["1.jsonl", "2.jsonl", "3.jsonl"]


def test_sorted_by_domain_then_name(tmp_path):
    make(tmp_path, "p/b.jsonl", "p/a.jsonl", "q/0.jsonl")
    files = resolve_inputs([config("p/*"), config("q/*", domain="code")], base_dir=tmp_path)
    assert [(file.domain, file.name) for file in files] == [("code", "0.jsonl"), ("web", "a.jsonl"), ("web", "b.jsonl")]


def test_a_file_matched_twice_counts_once(tmp_path):
    make(tmp_path, "d/a.jsonl")
    files = resolve_inputs([config("d/*", f"file://{tmp_path}/d/a.jsonl"), config("d/a.jsonl")], base_dir=tmp_path)
    assert [(file.name, file.config_index) for file in files] == [("a.jsonl", 0)]


def test_a_file_in_two_domains_is_refused(tmp_path):
    make(tmp_path, "d/a.jsonl")
    message = fails(tmp_path, config("d/*"), config("d/a.jsonl", domain="code"))
    assert "inputs[1].paths[0]" in message and "'web'" in message and "'code'" in message


def test_equal_names_take_parent_folders_until_they_differ(tmp_path):
    make(tmp_path, "p/x/data.jsonl", "q/x/data.jsonl", "q/y/data.jsonl", "q/other.jsonl")
    assert names(tmp_path, "p/x/*", "q/x/*", "q/y/*", "q/other.jsonl") == [
        "other.jsonl",
        "p/x/data.jsonl",
        "q/x/data.jsonl",
        "y/data.jsonl",
    ]
    assert names(tmp_path, "q/y/*", "q/other.jsonl", "q/x/*", "p/x/*") == names(
        tmp_path, "p/x/*", "q/x/*", "q/y/*", "q/other.jsonl"
    )


@pytest.mark.parametrize(
    ("name", "kind", "compression"),
    [
        ("a.jsonl", "jsonl", "none"),
        ("a.JSONL.ZST", "jsonl", "zstd"),
        ("a.ndjson.gz", "jsonl", "gzip"),
        ("a.parquet", "parquet", "none"),
        ("a.warc.gz", "warc", "gzip"),
        ("a.warc.wet.gz", "wet", "gzip"),
        ("a.warc.zst", "warc", "zstd"),
        ("a.txt.zstd", "text", "zstd"),
        ("a.md", "text", "none"),
    ],
)
def test_formats_and_compressions_by_name(tmp_path, name, kind, compression):
    make(tmp_path, name)
    (file,) = resolve_inputs([config(name)], base_dir=tmp_path)
    assert (file.format, file.compression, file.size) == (kind, compression, len(name))


def test_a_format_that_is_named_wins_and_one_that_cannot_be_told_is_refused(tmp_path):
    make(tmp_path, "a.data", "b.jsonl.bz2")
    assert resolve_inputs([config("a.data", format="jsonl")], base_dir=tmp_path)[0].format == "jsonl"
    assert "expected format to be one of jsonl, parquet" in fails(tmp_path, config("a.data"))
    assert ".bz2" in fails(tmp_path, config("b.jsonl.bz2"))


@pytest.mark.parametrize("pattern", ["none/*.jsonl", "none.jsonl", "folder", "folder/*.txt"])
def test_a_glob_that_matches_nothing_is_one_sentence(tmp_path, pattern):
    make(tmp_path, "folder/a.jsonl")
    message = fails(tmp_path, config("folder/*"), config(pattern))
    assert message.startswith(f"inputs[1].paths[0]: found '{pattern}', which matches no file; ") and "\n" not in message


def test_variables_and_home_are_expanded(tmp_path, monkeypatch):
    make(tmp_path, "d/a.jsonl")
    monkeypatch.setenv("TAMIS_TEST_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names(Path("/"), "${TAMIS_TEST_ROOT}/d/*") == names(Path("/"), "~/d/*") == ["a.jsonl"]
    monkeypatch.delenv("TAMIS_TEST_ROOT")
    assert "TAMIS_TEST_ROOT, which is not set" in fails(tmp_path, config("${TAMIS_TEST_ROOT}/d/*"))


def test_packages_are_found_and_not_imported(tmp_path, monkeypatch):
    make(tmp_path, "pkg_with_data/data/a.txt", "pkg_with_data/sub/data/b.txt")
    for folder in ("pkg_with_data", "pkg_with_data/sub"):
        (tmp_path / folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert names(tmp_path, "package:pkg_with_data/data/*.txt") == ["a.txt"]
    assert names(tmp_path, "package:pkg_with_data.sub/**/*.txt") == ["data/b.txt"]
    assert "pkg_with_data" not in sys.modules
    assert "not installed" in fails(tmp_path, config("package:no_such_package/*"))
    assert "not installed" in fails(tmp_path, config("package:pkg_with_data.no/*"))
    assert "'..'" in fails(tmp_path, config("package:pkg_with_data/../x/*"))
    assert "<import name>/<glob>" in fails(tmp_path, config("package:pkg_with_data"))


def test_s3_goes_through_pyarrow_with_its_query(tmp_path, monkeypatch):
    make(tmp_path, "bucket/crawl/2/a.jsonl", "bucket/crawl/1/b.jsonl")
    asked: list[str] = []

    def from_uri(uri: str) -> tuple[pafs.FileSystem, str]:
        asked.append(uri)
        store = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
        return store, uri.removeprefix("s3://").partition("?")[0]

    monkeypatch.setattr(inputs, "_from_uri", from_uri)
    files = resolve_inputs([config("s3://bucket/crawl/*/*.jsonl?region=eu-west-1")], base_dir=tmp_path)
    assert [(file.name, file.uri) for file in files] == [
        ("1/b.jsonl", "s3://bucket/crawl/1/b.jsonl?region=eu-west-1"),
        ("2/a.jsonl", "s3://bucket/crawl/2/a.jsonl?region=eu-west-1"),
    ]
    assert asked == ["s3://bucket/crawl/?region=eu-west-1"]
    assert open_input(files[0].uri).read(100) == b"bucket/crawl/1/b.jsonl"


def test_a_file_that_is_gone_is_a_read_error(tmp_path):
    with pytest.raises(ReadError):
        open_input(str(tmp_path / "gone.jsonl"))
    assert issubclass(ReadError, TamisError) and issubclass(ConfigError, TamisError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": "../up"},
        {"domain": ""},
        {"paths": ()},
        {"format": "csv"},
        {"unknown": 1},
        {"keep": "some"},
        {"encoding": "no-such-encoding"},
        {"encoding": "hex"},
        {"encoding": "utf-16", "text_unit": "line"},
        {"constants": {"colour": "red"}},
        {"fields": {"txt": "body"}},
    ],
)
def test_wrong_configurations_are_refused(wrong):
    with pytest.raises(ValidationError):
        InputConfig.model_validate({"domain": "web", "paths": ["*"], **wrong})


def test_a_configuration_is_frozen_and_survives_json():
    given = InputConfig.model_validate(
        {"domain": "web", "paths": ["*"], "keep": ["a"], "fields": {"text": "body", "id": None}}
    )
    assert InputConfig.model_validate_json(given.model_dump_json()) == given
    with pytest.raises(ValidationError):
        given.domain = "other"


def test_files_are_grouped_by_the_text_that_they_may_hold() -> None:
    """A stored byte of a compressed file, or of Parquet, counts for four."""
    kinds: list[tuple[Format, Compression]] = [
        ("jsonl", "none"),
        ("jsonl", "zstd"),
        ("parquet", "none"),
        ("text", "none"),
    ]
    files = [InputFile("web", f"/{n}", f"{n}", 100, *kind, 0) for n, kind in enumerate(kinds)]
    found = [[f.name for f in group] for group in _groups([*files, replace(files[0], domain="news")], 500)]
    assert found == [["0", "1"], ["2", "3"], ["0"]]
