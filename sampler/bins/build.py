"""Building token bins from published shards, shard by shard; finished shards are kept.

A shard's pair of files is written under temporary names and renamed, then its receipt is written: a killed build
resumes where it stopped. The domain's manifest lists all shards and is written last. The same shards and tokenizer
give the same bytes, whether built by one process here or by tasks on a cluster (`pipelines.run.token_bins`).

Cost: one encoding of the text, 2-6 MB/s on two threads; memory: a batch of documents and 16 bytes a document of the
shard.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.files import file_digest, stable_hash
from sampler.bins.checksums import check_of
from sampler.bins.format import FORMAT, TokenBins, Tokens, index_bytes
from sampler.bins.local_store import LocalStore
from sampler.bins.manifests import BINS_MANIFEST, MODEL, model_beside, open_bins, read_json_of
from sampler.bins.retries import LOG
from sampler.bins.store import Store, open_store
from sampler.published import Shard, list_shards, read_rows
from sampler.tokenizer.model import Tokenizer
from tamis.errors import ConfigError, TamisError
from tamis.progress import SILENT, Progress
from tamis.version import RECORD


@dataclass(frozen=True)
class ShardToBuild:
    """A published shard whose bins are to be built."""

    domain: str
    path: Path
    digest: str  # of the shard's bytes
    out: str  # folder or URI of the bins
    tokenizer: str  # digest of the model


@dataclass(frozen=True)
class Built:
    """What was built of a shard."""

    documents: int
    tokens: int


def build_bins(
    run: Path,
    tokenizer: Tokenizer,
    out: str,
    progress: Progress = SILENT,
    each: Callable[[list[ShardToBuild]], Iterable[Built]] | None = None,
) -> TokenBins:
    """Build what is missing of a run's bins in a folder or an object store, and open them. `each` runs `build_shard`
    for each shard, in order; here, one after the other, by default.

    Raises:
        ConfigError: the bins there are of another tokenizer.
        TamisError: the run has no shards, or one cannot be read.
    """
    store, shards = open_store(out), list_shards(run)
    _claim(store, tokenizer)
    wanted = [
        ShardToBuild(domain, shard.path, shard.digest, out, tokenizer.digest)
        for domain, items in shards.items()
        for shard in items
    ]
    todo = [shard for shard in wanted if read_receipt(store, shard) is None]
    progress.start("encoding shards", len(wanted))
    progress.update(len(wanted) - len(todo))
    for number, _ in enumerate((each or _one_by_one(tokenizer))(todo), 1):
        progress.update(len(wanted) - len(todo) + number)
    progress.finish()
    for domain in shards:
        entries = [read_receipt(store, shard) for shard in wanted if shard.domain == domain]
        _refuse_disorder(domain, entries)
        body = {**RECORD, "format": FORMAT, "domain": domain, "tokenizer": tokenizer.digest, "shards": entries}
        store.write(f"{domain}/manifest.json", _json(body))
    store.write(BINS_MANIFEST, _json({**RECORD, **_identity(tokenizer), "domains": sorted(shards)}))
    return open_bins(out)


def build_shard(task: ShardToBuild, tokenizer: Tokenizer | None = None) -> Built:
    """Encode one shard and leave its receipt: shard, source, documents, tokens, and of each file bytes and digests.

    Here a document's text becomes tokens. The tokenizer is loaded from beside the bins, unless it is open already.

    Raises:
        TamisError: the shard cannot be read, or its documents are out of order.
    """
    store = open_store(task.out)
    shard = Shard(domain=task.domain, path=task.path, digest=task.digest)
    model = tokenizer or model_beside(store, task.tokenizer)
    dtype, name = dtype_of(model.vocab_size), f"{shard.domain}/{shard.path.stem}"
    scratch = _scratch(store)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".building-") as folder:
        paths = {kind: Path(folder) / f"{shard.path.stem}.{kind}" for kind in ("bin", "idx")}
        offsets, ids, heldout = encode_shard(shard, model, dtype, paths["bin"])
        size = paths["bin"].stat().st_size
        tokens = np.memmap(paths["bin"], dtype, "r") if size else np.zeros(0, dtype)
        paths["idx"].write_bytes(index_bytes(offsets, ids, heldout, np.asarray(tokens)))
        receipt = {
            "shard": shard.path.stem,
            "source": shard.digest,
            "documents": len(ids),
            "tokens": int(offsets[-1]),
            "first": [int(ids[0]), int(ids[-1])] if len(ids) else [],
            **{k: file_facts(p) for k, p in paths.items()},
        }
        for kind, path in paths.items():
            store.put(path, f"{name}.{kind}")
    store.write(f"{name}.json", _json({**receipt, "key": _key(task)}))
    return Built(len(ids), int(offsets[-1]))


def _scratch(store: Store) -> Path | None:
    """The folder for temporary files: that of a local store, so that a rename moves them; else the system's."""
    if not isinstance(store, LocalStore):
        return None
    try:
        Path(store.root).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TamisError(f"{store.root}: cannot be made ({error.strerror}).") from error
    return Path(store.root)


def encode_shard(
    shard: Shard, tokenizer: Tokenizer, dtype: str, path: Path
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Write a shard's tokens to a file.

    Returns:
        int64[n + 1] offsets; int64[n] doc_ids; bool[n] held out.
    """
    offsets, ids, heldout = [np.zeros(1, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
    with path.open("wb") as file:
        for rows in read_rows(shard):
            if (np.diff(np.concatenate([ids[-1][-1:], rows.doc_ids])) <= 0).any():
                raise TamisError(f"{shard.path}: its doc_id are not ascending.")
            flat, ends = encode_texts(tokenizer, rows.texts, dtype)
            file.write(flat.tobytes())
            offsets.append(ends + offsets[-1][-1])
            ids.append(rows.doc_ids)
            heldout.append(rows.heldout)
    return np.concatenate(offsets), np.concatenate(ids), np.concatenate(heldout)


def encode_texts(tokenizer: Tokenizer, texts: list[str], dtype: str) -> tuple[Tokens, npt.NDArray[np.int64]]:
    """The concatenated tokens of documents, each followed by the end token, and where each document ends."""
    encoded = tokenizer.encode_batch(texts)
    ends = np.cumsum([len(tokens) + 1 for tokens in encoded], dtype=np.int64)
    flat = np.full(int(ends[-1]) if len(ends) else 0, tokenizer.eos_id, dtype)
    start = 0
    for tokens, end in zip(encoded, ends, strict=True):
        flat[start : end - 1] = tokens
        start = end
    return flat, ends


def dtype_of(vocab_size: int) -> str:
    """The type of a token in the bins."""
    return "<u2" if vocab_size <= 1 << 16 else "<u4"


def read_receipt(store: Store, task: ShardToBuild) -> dict[str, Any] | None:
    """What an earlier build left of a shard, if it is of the same text and tokenizer and its files are there."""
    name = f"{task.domain}/{task.path.stem}"
    if store.size(f"{name}.json") is None:
        return None
    try:
        receipt = read_json_of(store, f"{name}.json")
    except TamisError as error:
        LOG.warning("%s", error)
        return None  # a damaged receipt is none
    if receipt.pop("key", None) != _key(task):
        return None
    for kind in ("bin", "idx"):
        found, wanted = store.size(f"{name}.{kind}"), receipt[kind]["bytes"]
        if found != wanted:
            LOG.warning("%s: has %s bytes, not %d; built again", store.where(f"{name}.{kind}"), found, wanted)
            return None
    return receipt


def _one_by_one(model: Tokenizer) -> Callable[[list[ShardToBuild]], Iterable[Built]]:
    return lambda shards: (build_shard(shard, model) for shard in shards)


def _claim(store: Store, model: Tokenizer) -> None:
    """Put the tokenizer beside the bins, or refuse a place that has bins of another one."""
    if store.size(BINS_MANIFEST) is not None:
        found = read_json_of(store, BINS_MANIFEST).get("tokenizer")
        if found != model.digest:
            raise ConfigError(
                f"--out {store.root}: found bins of tokenizer {str(found)[:12]}, not of {model.digest[:12]}"
                f"; expected the same tokenizer, or another place"
            )
    store.write(MODEL, model.processor.serialized_model_proto())


def _identity(model: Tokenizer) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "tokenizer": model.digest,
        "vocab_size": model.vocab_size,
        "eos_id": model.eos_id,
        "dtype": dtype_of(model.vocab_size),
    }


def _key(task: ShardToBuild) -> str:
    return stable_hash([FORMAT, task.domain, task.digest, task.tokenizer])


def file_facts(path: Path) -> dict[str, Any]:
    """A file's entry in a manifest: bytes, sha256 and check."""
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    return {"bytes": len(data), "sha256": file_digest(path), "check": f"{check_of(np.asarray(data)):016x}"}


def _refuse_disorder(domain: str, entries: list[dict[str, Any] | None]) -> None:
    ends = [end for entry in entries if entry for end in entry["first"]]
    if any(second <= first for first, second in zip(ends[1::2], ends[2::2], strict=False)):
        raise TamisError(f"shards/{domain}: a shard's doc_id do not follow those of the shard before it.")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode("utf-8")
