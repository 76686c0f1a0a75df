"""Token bins: the shards, tokenised once, as flat files to map into memory.

`RUN/tokens/<key>/<domain>.bin` is every document's tokens and an end-of-document token, back to back, in
doc_id order, little-endian uint16 where the vocabulary fits and uint32 otherwise; `<domain>.idx.npz` says
where documents start and which are held out. Bins rather than tokenising on the fly: BPE runs at a few MB/s a
core, a memory map at GB/s, and random access needs lengths in tokens anyway. Weights stay outside, so a new
curve leaves bins alone.

The key hashes the tokenizer and the shards; the manifest, written last, is the commit. Opening compares sizes
and sha256 with it (0.5-2 GB/s; `verify=False` compares sizes only). Cost of a build: one encoding of the
text, 2-6 MB/s on two threads; memory: 256 documents and 24 bytes a document.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.errors import TamisError
from corpus.files import atomic_file, canonical_json, file_digest, read_json, write_json
from sampler.progress import Progress, silent
from sampler.shards import Shard, read_rows
from sampler.tokenizer import Tokenizer

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class DomainBin:
    """One domain's tokens, mapped.

    Attributes:
        tokens: uint16|uint32[n_tokens], read-only memory map.
        offsets: int64[n_docs + 1], where each document starts.
        doc_ids: int64[n_docs], ascending.
        heldout: bool[n_docs].
        digest: sha256 of the bin's and the index's digests.
    """

    domain: str
    tokens: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    doc_ids: npt.NDArray[np.int64]
    heldout: npt.NDArray[np.bool_]
    digest: str


@dataclass(frozen=True, kw_only=True)
class TokenBins:
    """All domains of a run under one tokenizer."""

    key: str
    tokenizer_digest: str
    vocab_size: int
    eos_id: int
    domains: dict[str, DomainBin]


def bins_for(run: Path, shards: dict[str, list[Shard]], tokenizer: Tokenizer, progress: Progress = silent) -> TokenBins:
    """The run's bins for this tokenizer: opened if they were built before, built and committed if not.

    Args:
        run: the run folder.
        shards: its published shards, by domain.
        tokenizer: what encodes them.
        progress: called while it works.

    Raises:
        TamisError: a shard is unreadable or out of order, or a stored bin is corrupt.
    """
    identity = {
        "format": FORMAT,
        "tokenizer": tokenizer.digest,
        "shards": {domain: [shard.digest for shard in items] for domain, items in shards.items()},
    }
    key = hashlib.sha256(canonical_json(identity)).hexdigest()[:16]
    folder = run / "tokens" / key
    if not (folder / "manifest.json").exists():
        _build(folder, key, shards, tokenizer, progress)
    return open_bins(folder)


def open_bins(folder: Path, *, verify: bool = True) -> TokenBins:
    """Open committed bins.

    Args:
        folder: `RUN/tokens/<key>`.
        verify: compare the sha256 of every file, not its size alone.

    Raises:
        TamisError: naming the file that is missing, truncated, exchanged or corrupt.
    """
    manifest = read_json(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise TamisError(f"{folder / 'manifest.json'}: has format {manifest.get('format')} (allowed: {FORMAT}).")
    domains = {
        name: _open_domain(folder, name, entry, manifest["dtype"], verify)
        for name, entry in manifest["domains"].items()
    }
    return TokenBins(
        key=manifest["key"],
        tokenizer_digest=manifest["tokenizer"],
        vocab_size=manifest["vocab_size"],
        eos_id=manifest["eos_id"],
        domains=domains,
    )


def _open_domain(folder: Path, name: str, entry: dict[str, Any], dtype: str, verify: bool) -> DomainBin:
    for kind in ("bin", "idx.npz"):
        _check(folder / f"{name}.{kind}", entry[kind], verify)
    with np.load(folder / f"{name}.idx.npz") as index:
        offsets, doc_ids, heldout = index["offsets"], index["doc_ids"], index["heldout"]
    size = entry["bin"]["size"]
    mapped = np.memmap(folder / f"{name}.bin", dtype, "r") if size else np.zeros(0, dtype)
    return DomainBin(
        domain=name,
        tokens=mapped.view(np.ndarray),
        offsets=offsets,
        doc_ids=doc_ids,
        heldout=heldout,
        digest=hashlib.sha256((entry["bin"]["sha256"] + entry["idx.npz"]["sha256"]).encode()).hexdigest(),
    )


def _check(path: Path, expected: dict[str, Any], verify: bool) -> None:
    advice = f"delete {path.parent} to build it again"
    if not path.exists():
        raise TamisError(f"{path}: is missing, though its manifest names it; {advice}.")
    if path.stat().st_size != expected["size"]:
        raise TamisError(f"{path}: has {path.stat().st_size} bytes, its manifest says {expected['size']}; {advice}.")
    if verify and file_digest(path) != expected["sha256"]:
        raise TamisError(f"{path}: is corrupt, its sha256 is not the manifest's; {advice}.")


def _build(folder: Path, key: str, shards: dict[str, list[Shard]], tokenizer: Tokenizer, progress: Progress) -> None:
    dtype = "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4"
    total, done = sum(len(items) for items in shards.values()), 0
    entries: dict[str, Any] = {}
    for domain, items in shards.items():
        offsets, ids, heldout = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
        with atomic_file(folder / f"{domain}.bin") as file:
            for shard in items:
                progress("encoding shards", done, total)
                for rows in read_rows(shard):
                    _refuse_disorder(shard, ids[-1], rows.doc_ids)
                    flat, ends = _encode(tokenizer, rows.texts, dtype)
                    file.write(flat.tobytes())
                    offsets.append(ends + offsets[-1][-1])
                    ids.append(rows.doc_ids)
                    heldout.append(rows.heldout)
                done += 1
        with atomic_file(folder / f"{domain}.idx.npz") as file:
            np.savez(
                file,
                offsets=np.concatenate(offsets),
                doc_ids=np.concatenate(ids),
                heldout=np.concatenate(heldout),
            )
        entries[domain] = {
            kind: {"size": path.stat().st_size, "sha256": file_digest(path)}
            for kind, path in ((kind, folder / f"{domain}.{kind}") for kind in ("bin", "idx.npz"))
        }
    progress("encoding shards", total, total)
    manifest = {
        "format": FORMAT,
        "key": key,
        "tokenizer": tokenizer.digest,
        "dtype": dtype,
        "domains": entries,
    }
    write_json(folder / "manifest.json", {**manifest, "vocab_size": tokenizer.vocab_size, "eos_id": tokenizer.eos_id})


def _encode(tokenizer: Tokenizer, texts: list[str], dtype: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Documents as flat tokens, each with its end token, and the end of each."""
    encoded = tokenizer.encode_batch(texts)
    ends = np.cumsum([len(tokens) + 1 for tokens in encoded], dtype=np.int64)
    flat = np.full(int(ends[-1]) if len(ends) else 0, tokenizer.eos_id, dtype)
    start = 0
    for tokens, end in zip(encoded, ends, strict=True):
        flat[start : end - 1] = tokens
        start = end
    return flat, ends


def _refuse_disorder(shard: Shard, before: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> None:
    joined = np.concatenate([before[-1:], ids])
    if (np.diff(joined) <= 0).any():
        raise TamisError(f"{shard.path}: its doc_id are not ascending, or repeat the shard before it.")
