"""Opening token bins: their manifests, read strictly, and the tokenizer and indexes beside them.

`bins.json` names domains and tokenizer, each `<domain>/manifest.json` its shards. A field that is missing, unknown or
of another type is an error. Sizes of local files are compared at opening; contents when they are read
(`sampler.bins.format`), or all of them by `verify_bins`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from corpus.config import StrictModel, parse
from corpus.files import stable_hash
from sampler.bins.format import FORMAT, AnyBin, ShardBin, TokenBins, corrupt
from sampler.bins.local_store import LocalStore
from sampler.bins.store import Store, open_store
from sampler.tokenizer.model import Tokenizer, tokenizer_from
from tamis.cache import cache_folder
from tamis.errors import ConfigError, TamisError
from tamis.progress import SILENT, Progress, each

BINS_MANIFEST, MODEL = "bins.json", "tokenizer.model"
Parsed = TypeVar("Parsed", bound=StrictModel)


class FileFacts(StrictModel):
    """A file of a bin."""

    bytes: int = Field(ge=0)
    sha256: str
    check: str = Field(pattern="^[0-9a-f]{16}$")


class ShardEntry(StrictModel):
    """A shard, as in its receipt and its domain's manifest."""

    shard: str
    documents: int = Field(ge=0)
    tokens: int = Field(ge=0)
    bin: FileFacts
    idx: FileFacts
    source: str = ""  # digest of the published shard
    first: tuple[int, ...] = ()  # its first and last doc_id


class DomainManifest(StrictModel):
    """`<domain>/manifest.json`."""

    tamis_version: str = ""
    format: int
    domain: str
    tokenizer: str
    shards: tuple[ShardEntry, ...]


class BinsManifest(StrictModel):
    """`bins.json`."""

    tamis_version: str = ""
    format: int
    tokenizer: str
    vocab_size: int = Field(ge=1)
    eos_id: int = Field(ge=0)
    dtype: Literal["<u2", "<u4"]
    domains: tuple[str, ...]


def open_bins(place: str) -> TokenBins:
    """Open the committed bins in the folder or URI that `build_bins` wrote to.

    Raises:
        TamisError: there are no bins, or a manifest is damaged or has another format.
    """
    store = open_store(place)
    if store.size(BINS_MANIFEST) is None:
        raise TamisError(f"{store.root}: holds no finished token bins; run `tamis tokens build` first.")
    manifest = read_bins_manifest(store)
    domains: dict[str, Sequence[AnyBin]] = {}
    for domain in manifest.domains:
        listed = _parsed(DomainManifest, store, f"{domain}/manifest.json")
        if listed.tokenizer != manifest.tokenizer:
            raise TamisError(
                f"{store.where(domain)}/manifest.json: is of another tokenizer than {BINS_MANIFEST}; build again."
            )
        entries = [entry.model_dump() for entry in listed.shards]
        domains[domain] = [ShardBin(entry, domain, manifest.dtype, store) for entry in entries]
        if store.mapped:
            _check_sizes(store, domain, entries)
    return TokenBins(
        tokenizer_digest=manifest.tokenizer,
        vocab_size=manifest.vocab_size,
        eos_id=manifest.eos_id,
        domains=domains,
        cache=index_cache(store),
    )


def tokenizer_of(place: str) -> Tokenizer:
    """The tokenizer that some bins were made with; its model lies beside them."""
    store = open_store(place)
    return model_beside(store, read_bins_manifest(store).tokenizer)


def verify_bins(bins: TokenBins, progress: Progress = SILENT) -> int:
    """Recompute the sha256 of every file; returns how many bytes were read.

    Raises:
        TamisError: a file does not have the sha256 in its manifest; the first one is named.
    """
    shards = [shard for items in bins.domains.values() for shard in items if isinstance(shard, ShardBin)]
    total = 0
    for shard in each(progress, "verifying", shards):
        for kind in ("bin", "idx"):
            total += _verify(shard, kind)
    return total


def read_bins_manifest(store: Store) -> BinsManifest:
    """`bins.json`.

    Raises:
        TamisError: it is missing, damaged, or of another format.
    """
    found = read_json_of(store, BINS_MANIFEST)
    if found.get("format") != FORMAT:
        raise TamisError(
            f"{store.where(BINS_MANIFEST)}: format: found {found.get('format')}; expected {FORMAT} (build again)"
        )
    return _parsed(BinsManifest, store, BINS_MANIFEST)


def _parsed(model: type[Parsed], store: Store, path: str) -> Parsed:
    try:
        return parse(model, read_json_of(store, path), "")
    except ConfigError as error:
        raise TamisError(f"{store.where(path)}: is damaged ({error}); build the bins again.") from error


def _check_sizes(store: Store, domain: str, entries: Sequence[dict[str, Any]]) -> None:
    """Refuse missing and truncated files at once; corrupt ones are found when they are read."""
    for entry in entries:
        for kind in ("bin", "idx"):
            path, size = f"{domain}/{entry['shard']}.{kind}", entry[kind]["bytes"]
            found = store.size(path)
            if found != size:
                what = "is missing" if found is None else f"has {found} bytes, its manifest says {size}"
                raise TamisError(f"{store.where(path)}: {what}; run `tamis tokens build --out {store.root}` again.")


def _verify(shard: ShardBin, kind: str) -> int:
    attempts = 1 if shard.store.mapped else 2  # a download may be damaged though the object is not
    if all(_sum_of(shard, kind) != shard.entry[kind]["sha256"] for _ in range(attempts)):
        raise corrupt(shard.store.where(f"{shard.name}.{kind}"), shard.store)
    return int(shard.entry[kind]["bytes"])


def _sum_of(shard: ShardBin, kind: str) -> str:
    path, entry, hasher = f"{shard.name}.{kind}", shard.entry[kind], hashlib.sha256()
    for start in range(0, entry["bytes"], 64 << 20):
        length = min(64 << 20, entry["bytes"] - start)
        mapped = shard.store.map(path, entry["bytes"])[start : start + length] if shard.store.mapped else None
        hasher.update(shard.store.read(path, start, length).data if mapped is None else mapped.data)
    return hasher.hexdigest()


def index_cache(store: Store) -> str | None:
    """Where indexes of domains are stored: beside the bins, or in the user's cache if they are remote or read-only."""
    if isinstance(store, LocalStore) and os.access(store.root, os.W_OK):
        return str(Path(store.root) / "index")
    return str(cache_folder() / "index" / stable_hash(store.root))


def model_beside(store: Store, digest: str) -> Tokenizer:
    """The tokenizer that lies beside some bins.

    Raises:
        TamisError: it is missing, or has another digest.
    """
    data = store.read_all(MODEL)
    if hashlib.sha256(data).hexdigest() != digest:
        raise TamisError(f"{store.where(MODEL)}: is not the tokenizer {digest[:12]} of these bins.")
    return tokenizer_from(data)


def read_json_of(store: Store, path: str) -> dict[str, Any]:
    """A small JSON mapping.

    Raises:
        TamisError: it is missing or damaged.
    """
    try:
        found = json.loads(store.read_all(path))
    except ValueError as error:
        raise TamisError(f"{store.where(path)}: is damaged ({error}); build the bins again.") from error
    if not isinstance(found, dict):
        raise TamisError(f"{store.where(path)}: is damaged (it holds no mapping); build the bins again.")
    return found
