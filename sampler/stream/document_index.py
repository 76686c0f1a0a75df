"""The index of a domain's documents, made from its bins and weights, which a stream opens.

It is made once and stored: two uint32 for each document (weight, draw) and the block table, in a folder named by the
hash of all its inputs. `index.json` is written last and is the commit. Opening it again reads a small JSON and maps
two arrays. Cost of making it: reading the weights, and a hash for each document, some 20 ns: far below a second for
100 M tokens.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.files import atomic_file, read_json, stable_hash, write_json
from sampler.bins.checksums import check_of
from sampler.bins.format import AnyBin
from sampler.bins.retries import LOG
from sampler.stream import order
from sampler.stream.domain_documents import DomainDocuments, lay_blocks, map_columns, read_only
from sampler.weight_files import Weights
from tamis.errors import ConfigError, TamisError
from text.hash import uniform

FORMAT = 2
_FILES = ("weights", "draws", "starts", "block_shards")
_HOLDOUT_SALT = 0x686F6C646F757400


class Boost:
    """A factor for the expected copies of documents: `doc_ids`, or all (None), in the shards of these names."""

    def __init__(self, factor: float, shards: frozenset[str], doc_ids: npt.NDArray[np.int64] | None = None) -> None:
        self.factor, self.shards = factor, shards
        self.doc_ids = None if doc_ids is None else np.unique(doc_ids)
        named = None if self.doc_ids is None else hashlib.sha256(self.doc_ids.tobytes()).hexdigest()
        self.identity = [factor, sorted(shards), named]

    def apply(
        self, weights: npt.NDArray[np.float32], shard: str, doc_ids: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """A shard's weights with the factor applied: float32[n]."""
        if shard not in self.shards:
            return weights
        chosen = True if self.doc_ids is None else np.isin(doc_ids, self.doc_ids)
        return np.where(chosen, weights * np.float32(self.factor), weights).astype(np.float32)


def open_documents(
    domain: str,
    shards: Sequence[AnyBin],
    *,
    weights: Weights,
    seed: int,
    block_tokens: int,
    split: str = "train",
    holdout: float = 0.0,
    boosts: Sequence[Boost] = (),
    cache: Path | None = None,
) -> DomainDocuments:
    """The documents of a domain, from the index in the folder `cache` if it was made before; None keeps it in memory.
    Weights and their boosts are expected copies an epoch; a held-out split takes every document once. Where the run
    held out none, the share `holdout` is, chosen by hash.

    Raises:
        TamisError: weights that are not those of the bins' documents, negative, or above 64.
    """
    if split == "heldout":
        weights, boosts = Weights.none(), ()
    key = stable_hash(
        {
            "format": FORMAT,
            "domain": domain,
            "seed": seed,
            "split": split,
            "holdout": holdout,
            "block_tokens": block_tokens,
            "bins": [[shard.name, shard.digest] for shard in shards],
            "weights": [weights.digest_of(shard.name) for shard in shards],
            "boosts": [boost.identity for boost in boosts],
        }
    )
    folder = cache / key if cache else None
    if folder and (folder / "index.json").exists() and (known := _open(folder, domain, seed, shards)):
        return known
    if folder is None:
        return _make(domain, seed, shards, weights, boosts, split, holdout, block_tokens, None)
    folder.mkdir(parents=True, exist_ok=True)
    made = _make(domain, seed, shards, weights, boosts, split, holdout, block_tokens, folder)
    return _open(folder, domain, seed, shards) or made


def _make(
    domain: str,
    seed: int,
    shards: Sequence[AnyBin],
    weights: Weights,
    boosts: Sequence[Boost],
    split: str,
    holdout: float,
    block_tokens: int,
    folder: Path | None,
) -> DomainDocuments:
    """Make the index shard by shard, so that with a folder to write to a large domain is never in memory as a whole."""
    bases, digest, expected, top = _bases(shards), hashlib.sha256(), 0.0, 0
    with _column(folder, "weights", int(bases[-1])) as packed, _column(folder, "draws", int(bases[-1])) as draws:
        for shard, low, high in zip(shards, bases[:-1], bases[1:], strict=True):
            fixed = _fixed(shard, weights, boosts, split, holdout)
            packed[low:high], draws[low:high] = fixed, order.draws(seed, shard.index.doc_ids)
            expected += order.expected_tokens(read_only(fixed), shard.index.offsets) if high > low else 0.0
            top = max(top, order.passes_per_epoch(fixed))
            digest.update(fixed.tobytes() + shard.digest.encode())
    starts, owners = lay_blocks(shards, bases, block_tokens)
    found = DomainDocuments(
        domain=domain,
        seed=seed,
        shards=shards,
        bases=bases,
        weights=read_only(packed),
        draws=read_only(draws),
        starts=starts,
        block_shards=owners,
        passes=max(top, 1),
        tokens_per_epoch=expected,
        digest=digest.hexdigest(),
        folder=folder,
    )
    if folder:
        for name in ("starts", "block_shards"):
            with atomic_file(folder / f"{name}.npy") as file:
                np.save(file, getattr(found, name))
        facts = {name: getattr(found, name) for name in ("passes", "tokens_per_epoch", "digest")}
        write_json(folder / "index.json", {**facts, "checks": _checks(folder)})
    return found


def _fixed(
    shard: AnyBin, weights: Weights, boosts: Sequence[Boost], split: str, holdout: float
) -> npt.NDArray[np.uint32]:
    """A shard's weights, 0 for documents outside the split: uint32[n]."""
    index = shard.index
    given = weights.read(shard.name, index.doc_ids)
    for boost in boosts:
        given = boost.apply(given, shard.name, index.doc_ids)
    try:
        fixed = order.fixed_weights(given)
    except ValueError as error:
        raise TamisError(f"{weights.where(shard.name)}: {error}") from error
    held = heldout_rows(shard, holdout)
    return np.where(held if split == "heldout" else ~held, fixed, 0).astype(np.uint32)


def heldout_rows(shard: AnyBin, holdout: float) -> npt.NDArray[np.bool_]:
    """Which documents of a shard are held out, by the run or, for a share of them, by hash: bool[n]."""
    held = shard.index.heldout.view(np.bool_)
    if not holdout:
        return held
    return held | (uniform(_HOLDOUT_SALT, shard.index.doc_ids) < holdout)


@contextmanager
def _column(folder: Path | None, name: str, count: int) -> Iterator[npt.NDArray[np.uint32]]:
    """An array to fill; with a folder it becomes a file of that name in it."""
    if folder is None or not count:
        array = np.zeros(count, np.uint32)
        yield array
        if folder:
            np.save(folder / f"{name}.npy", array)
        return
    temporary = folder / f"{name}.{uuid.uuid4().hex[:12]}.tmp"
    mapped = np.lib.format.open_memmap(temporary, "w+", np.uint32, (count,))
    try:
        yield np.asarray(mapped)
        mapped.flush()
        temporary.replace(folder / f"{name}.npy")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _open(folder: Path, domain: str, seed: int, shards: Sequence[AnyBin]) -> DomainDocuments | None:
    """A stored index; None if it is damaged, since it can be made again."""
    try:
        facts = read_json(folder / "index.json")
        if facts["checks"] != _checks(folder):
            raise ValueError("a file is not what it was")
        weights, draws = map_columns(folder)
        starts, owners = np.load(folder / "starts.npy"), np.load(folder / "block_shards.npy")
        return DomainDocuments(
            domain=domain,
            seed=seed,
            shards=shards,
            bases=_bases(shards),
            weights=weights,
            draws=draws,
            starts=starts,
            block_shards=owners,
            passes=facts["passes"],
            tokens_per_epoch=facts["tokens_per_epoch"],
            digest=facts["digest"],
            folder=folder,
        )
    except (OSError, ValueError, KeyError, TamisError) as error:
        LOG.warning("%s: is a damaged index (%s); made again", folder, error)
        return None


def _checks(folder: Path) -> dict[str, str]:
    """The checksum of each file: a stream must draw from exactly the data that its manifest's hash stands for."""
    return {name: f"{check_of(np.asarray(np.memmap(folder / f'{name}.npy', np.uint8, 'r'))):016x}" for name in _FILES}


def _bases(shards: Sequence[AnyBin]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([shard.documents for shard in shards], dtype=np.int64)]).astype(np.int64)


def read_doc_ids(path: Path, key: str) -> npt.NDArray[np.int64]:
    """Document ids of a text file, one a line; empty lines and comments after # are ignored.

    Raises:
        ConfigError: the file cannot be read, or a line is no id.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path} cannot be read ({error}).") from error
    found = []
    for number, line in enumerate(lines, 1):
        if text := line.split("#", 1)[0].strip():
            if not text.isdecimal() or int(text) >= 1 << 63:
                raise ConfigError(f"{key}: found {text[:40]!r} in line {number} of {path}; expected a doc_id")
            found.append(int(text))
    return np.array(found, np.int64)
