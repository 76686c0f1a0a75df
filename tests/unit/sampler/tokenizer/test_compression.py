"""What compression tables are made from: the draw of texts, the counts, other projects' tokenizers."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.tokenizer import peers as tokenizer_peers
from sampler.tokenizer.compression import encoded_alike, measure
from sampler.tokenizer.peers import Peer, find_peers
from sampler.tokenizer.texts import input_groups, run_groups, smallest_hashes
from tamis.errors import ConfigError
from tests.support.sampler_run import texts, write_run, write_shard


class Characters:
    """A token a character; loses what is not ASCII."""

    vocab_size = 128

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(c) for c in text] for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(chr(token) if token < 128 else "?" for token in tokens)


def test_counts() -> None:
    found = measure(["ab", "水c", ""], Characters())
    assert (found.documents, found.characters, found.bytes, found.tokens, found.changed) == (3, 4, 6, 4, 1)
    assert found.tokens_per_character == 1 and found.bytes_per_token == 1.5
    nothing = measure([], Characters())
    assert nothing.tokens_per_character == nothing.bytes_per_token == 0


def test_encoded_alike() -> None:
    class Doubled(Characters):
        def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
            return [ids * 2 for ids in super().encode_batch(texts)]

    assert encoded_alike(["a", "", "b"] * 50, Characters(), Characters()) == 150
    assert encoded_alike(["a", "", "b"] * 50, Characters(), Doubled()) == 50


def sorted_draw(documents: list[tuple[float, str]], wanted: int) -> list[str]:
    """The oracle: sort by key, take from the front until it is enough."""
    found: list[str] = []
    for _, text in sorted(documents, key=lambda document: document[0]):
        if sum(len(t.encode()) for t in found) >= wanted:
            break
        found += [text] if text else []
    return found


@given(st.lists(st.tuples(st.floats(0, 1), st.text(max_size=8)), max_size=40), st.integers(1, 120))
def test_the_draw_is_the_beginning_of_the_sorted_documents(documents: list[tuple[float, str]], wanted: int) -> None:
    assert smallest_hashes(documents, wanted) == sorted_draw(documents, wanted)


def test_held_out_documents_go_first(tmp_path: Path) -> None:
    write_run(tmp_path, ("en",))
    write_shard(tmp_path / "shards" / "zh" / "a.parquet", texts("zh", 40), 1 << 40)
    english, chinese = run_groups(tmp_path, 3000, 1)
    assert (english.name, english.origin, chinese.origin) == ("en", "held-out", "training")
    everything = texts("en", 120)
    assert set(english.texts) <= {everything[row] for start in (0, 60) for row in range(start, start + 60, 10)}
    assert (
        3000 <= sum(len(text.encode()) for text in chinese.texts) < 3000 + max(len(t.encode()) for t in chinese.texts)
    )
    assert run_groups(tmp_path, 3000, 1) == [english, chinese]
    assert run_groups(tmp_path, 3000, 2) != [english, chinese]


def test_files_of_any_kind(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"line {number}"}) for number in range(3)]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (tmp_path / "b.py").write_text("def f(x):\n    return x\n")
    web, code = input_groups([f"web={tmp_path}/*.gz", f"code={tmp_path}/*.py", f"web={tmp_path}/*.py"], 10**6, 1)
    assert sorted(web.texts) == ["def f(x):\n    return x\n", "line 0", "line 1", "line 2"]
    assert code.texts == ["def f(x):\n    return x\n"] and code.origin == "input"


def test_inputs_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    for given_input, said in [
        ("web", "--input: found 'web'; expected NAME=GLOB"),
        (f"web={tmp_path}/none*", "matches no file"),
        (f"web={tmp_path}/*.txt", "--input web: found no text in 1 files"),
        (f"We b={tmp_path}/*.txt", "--input.domain: found 'We b'"),
    ]:
        with pytest.raises(ConfigError, match=said.replace("*", r"\*")):
            input_groups([given_input], 100, 1)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that must not be imported."""
    place = folder / "vocabulary_of_a_peer"
    place.mkdir()
    (place / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(folder))
    return place


def test_a_package_is_read_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    place = package(tmp_path, monkeypatch)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    tokenizer.decoder = tokenizers.decoders.Fuse()
    tokenizer.save(str(place / "t.json"))
    peer = Peer(name="A", kind="tokenizers", places=(("no_such_package", "t"), ("vocabulary_of_a_peer", "t.json")))
    found, left_out = find_peers([peer, Peer(name="B", kind="tiktoken", places=(("no_such_package", "t"),))])
    assert left_out == [] and list(found) == ["A"]
    assert found["A"].vocab_size == 3 and found["A"].encode_batch(["abb"]) == [[2, 1]]
    assert measure(["abb"], found["A"]).changed == 0
    assert "vocabulary_of_a_peer" not in sys.modules


@pytest.mark.parametrize("kind", ["tiktoken", "tekken"])
def test_ranks_go_to_tiktoken(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = package(tmp_path, monkeypatch)
    entries = [(base64.b64encode(token).decode(), rank) for rank, token in enumerate([b"a", b"b", b"ab"])]
    if kind == "tiktoken":
        (place / "v").write_text("".join(f"{token} {rank}\n" for token, rank in entries))
    else:
        vocabulary = [{"token_bytes": token, "rank": rank} for token, rank in entries]
        config = {"default_vocab_size": 4, "default_num_special_tokens": 1, "pattern": "P"}
        (place / "v").write_text(json.dumps({"config": config, "vocab": [*vocabulary, vocabulary[0]]}))
    asked = {}

    def encoding(**settings: object) -> SimpleNamespace:
        asked.update(settings)
        return SimpleNamespace(encode_ordinary=lambda text: [1], decode=lambda tokens: "b")

    monkeypatch.setitem(sys.modules, "tiktoken", SimpleNamespace(Encoding=encoding, __spec__=object()))
    peer = Peer(name="A", kind=kind, places=(("vocabulary_of_a_peer", "v"),), pattern="P")  # type: ignore[arg-type]
    found, left_out = find_peers([peer])
    assert left_out == [] and found["A"].vocab_size == 3
    assert asked["mergeable_ranks"] == {b"a": 0, b"b": 1, b"ab": 2}
    assert asked["pat_str"] == "P" and asked["special_tokens"] == {}
    assert found["A"].decode([1]) == "b"


def test_what_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package(tmp_path, monkeypatch) / "v").write_text("broken")
    monkeypatch.setattr(tokenizer_peers, "find_spec", lambda name: None if name == "tiktoken" else object())
    places = (("vocabulary_of_a_peer", "v"),)
    found, left_out = find_peers(
        [Peer(name="A", kind="tiktoken", places=places), Peer(name="B", kind="sentencepiece", places=places)]
    )
    assert found == {}
    assert left_out[0] == "A: left out, as the package tiktoken, which reads it, is not installed"
    assert left_out[1].startswith("B: left out, as v cannot be read")
