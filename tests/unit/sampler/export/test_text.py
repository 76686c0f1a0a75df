"""Plain text files for Baichuan-7B's trainer: read as it reads them, even, and nothing else in the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from sampler.export.text import TextExport, export_text, render
from tamis.errors import ConfigError, TamisError
from tamis.progress import Silent
from tests.support.sampler_run import texts, write_run, write_shard

ODD = [
    "第一行\n第二行",
    "",
    "a\r\nb\rc",
    "line separator\u2028next\u0085nel\x0cfeed",
    " \n\t",
    "ends with a newline\n",
    "\n begins with one 😀",
]


def odd_run(folder: Path) -> Path:
    write_shard(folder / "shards" / "web" / "web-00000.parquet", [*ODD, "held out"], 1, {len(ODD)})
    return folder


def read_files(written: TextExport) -> list[list[str]]:
    """Each file's lines as a trainer gets them that opens it as text: universal newlines."""
    found = []
    for has in written.files:
        with open(has.path, encoding="utf-8") as file:
            found.append([line.removesuffix("\n") for line in file])
    return found


def test_a_line_is_a_document(tmp_path: Path) -> None:
    written = export_text(odd_run(tmp_path / "run"), tmp_path / "out", 1)
    assert read_files(written) == [
        [
            "第一行 第二行",
            "a b c",
            "line separator\u2028next\u0085nel\x0cfeed",
            "ends with a newline ",
            " " + " begins with one 😀",
        ]
    ]
    assert written.empty == 2 and written.files[0].documents == 5


def test_or_stays_as_it_is(tmp_path: Path) -> None:
    written = export_text(odd_run(tmp_path / "run"), tmp_path / "out", 1, lines="one")
    data = Path(written.files[0].path).read_bytes().decode("utf-8")
    kept = [text for text in ODD if text.strip()]
    assert data == "".join(text.removesuffix("\n") + "\n" for text in kept)
    assert written.files[0].documents == 5 and len(read_files(written)[0]) == 9


@pytest.mark.parametrize(
    ("text", "joined"),
    [("磨坊\r\n\r\n水", "磨坊  水\n"), ("a\n", "a \n"), ("\x0b", ""), ("\u3000", ""), ("\ufeff", "\ufeff\n")],
)
def test_a_document_as_bytes(text: str, joined: str) -> None:
    assert render(text, "joined") == joined.encode()


@pytest.mark.parametrize(("split", "count"), [("train", 107 * 2), ("heldout", 12 * 2), ("all", 119 * 2)])
@pytest.mark.parametrize("files", [1, 8])
def test_even_whole_and_in_order(tmp_path: Path, split: str, count: int, files: int) -> None:
    run = write_run(tmp_path / "run")
    written = export_text(run, tmp_path / "out", files, split)  # type: ignore[arg-type]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"part-{n:05d}.txt" for n in range(files)]
    assert [Path(has.path).stat().st_size for has in written.files] == [has.bytes for has in written.files]
    lines = read_files(written)
    assert [len(part) for part in lines] == [has.documents for has in written.files]
    documents = [
        text.replace("\n", " ")
        for domain in ("en", "zh")
        for row, text in enumerate(texts(domain, 120))
        if text and (split == "all" or (row % 60 % 10 == 0) == (split == "heldout"))
    ]
    place = {text: number for number, text in enumerate(documents)}
    assert len(place) == count  # no text twice, else the order below says nothing
    assert sorted(line for part in lines for line in part) == sorted(documents)
    assert all([place[line] for line in part] == sorted(place[line] for line in part) for part in lines)
    longest = max(len(text.encode()) + 1 for text in documents)
    sizes = [has.bytes for has in written.files]
    assert max(sizes) - min(sizes) <= longest
    assert files == 1 or split == "heldout" or all({"en", "zh"} == {_domain(line) for line in part} for part in lines)


def _domain(line: str) -> str:
    return "en" if line[0].isascii() else "zh"


def test_twice_the_same_bytes_through_many_flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run")
    first = export_text(run, tmp_path / "a", 3)
    monkeypatch.setattr("sampler.export.text._BUFFER", 200)
    second = export_text(run, tmp_path / "b", 3)
    for one, other in zip(first.files, second.files, strict=True):
        assert Path(one.path).read_bytes() == Path(other.path).read_bytes()


def test_only_a_new_or_empty_folder_and_all_or_nothing(tmp_path: Path) -> None:
    run, out = odd_run(tmp_path / "run"), tmp_path / "out"

    class Stop(Silent):
        def update(self, done: int, detail: str = "") -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_text(run, out, 2, progress=Stop())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    out.mkdir()
    export_text(run, out, 2)
    with pytest.raises(ConfigError, match="out: found files, and the trainer reads all that is in it"):
        export_text(run, out, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file: found files"):
        export_text(run, tmp_path / "file", 2)


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(TamisError, match="no published shards"):
        export_text(tmp_path / "nothing", tmp_path / "out", 2)
    write_shard(tmp_path / "run" / "shards" / "web" / "a.parquet", ["", "x"], 1, {1})
    with pytest.raises(ConfigError, match="--split: found train, in which .*run has no text"):
        export_text(tmp_path / "run", tmp_path / "out", 2)
    with pytest.raises(ConfigError, match="--files: found 0"):
        export_text(tmp_path / "run", tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


def test_command(tmp_path: Path) -> None:
    run = odd_run(tmp_path / "run")
    arguments = ["tokens", "export", str(run), str(tmp_path / "out"), "--to", "text"]
    with pytest.raises(ConfigError, match="--files: found nothing"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    result = CliRunner().invoke(app, [*arguments, "--files", "2"], catch_exceptions=False)
    assert "2 files of " in result.stdout and "5 documents" in result.stdout and "2 documents without" in result.stdout
    arguments[3] = str(tmp_path / "other")
    result = CliRunner().invoke(app, [*arguments, "--files", "2", "--format", "json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["empty"] == 2 and sum(has["documents"] for has in found["files"]) == 5
