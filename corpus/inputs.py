"""Which files a run ingests: the configuration of an input, and its resolution to one sorted list of files.

The list decides document ids, so it depends on names alone: neither on the order in which a store lists files nor on
where a folder lies on this machine. Everything goes through `pyarrow.fs`, so that a local folder and S3 behave alike;
fsspec would bring a dependency for each store and another glob dialect for each.

Cost: one recursive listing of the folder that stands before a glob's first wildcard.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote

import pyarrow.fs as pafs
from pydantic import AfterValidator, field_validator, model_validator

from corpus.config import Refused, StrictModel, setting
from corpus.globs import list_matching, split_glob
from corpus.own_code import is_reference
from corpus.package_data import package_folders
from corpus.streams import ByteFile, Compression
from tamis.errors import ConfigError, ReadError

_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_UNSUPPORTED = (".bz2", ".xz", ".lz4", ".br", ".zip", ".7z", ".tar")
FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".warc": "warc",
    ".wet": "wet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
"""The format that a file's suffix says, compression aside."""
_NAMED = 5
"""Files that a sentence names at most."""


def _known_format(format: str) -> str:
    names = ["auto", *dict.fromkeys(FORMATS.values())]
    if format not in names and not is_reference(format):
        raise ValueError(f"one of {', '.join(names)}, or module:function")
    return format


Format = Annotated[str, AfterValidator(_known_format)]
"""A format of ours, `auto`, or the reference of a reader of one's own."""


class FieldMap(StrictModel):
    """Where a record's columns are found.

    A name is a key, or a dotted path into nested objects; null where there is none. For WARC and WET
    the columns are the WARC headers, and text, id and url are what the archive says.
    """

    text: str = setting("text", "Column of the text.")
    id: str | None = setting("id", "Column of the source's own id, published as `source_id`.")
    url: str | None = setting("url", "Column of the address.")
    source: str | None = setting("source", "Column of the source's name, by which figures are told.")
    lang: str | None = setting("lang", "Column of the language that the source states.")
    licence: str | None = setting("licence", "Column of the licence.")


class InputConfig(StrictModel):
    """One input: the files, how to read them, and the domain they form."""

    domain: str = setting(..., "Source class of the documents; names a folder.", pattern=r"^[a-z0-9][a-z0-9_\-]{0,63}$")
    paths: tuple[str, ...] = setting(
        ...,
        "Globs (`*`, `?`, `[ab]`, `**`), each relative to the pipeline file, absolute, `file://`, `s3://` (where `?`"
        " is no wildcard but starts a query, such as `?endpoint_override=host:9000&scheme=http` for another store than"
        " Amazon's), or `package:<import name>/<glob>` for data inside an installed Python package. `~` and"
        " `${VARIABLE}` are expanded.",
        min_length=1,
    )
    format: Format = setting(
        "auto",
        "How files are read: jsonl, parquet, warc, wet, text; auto goes by the file's name. A reader of one's own is"
        " named as `module:function`, or as an installed package registers it.",
    )
    fields: FieldMap = setting(FieldMap(), "Which column is what.")
    keep: tuple[str, ...] | Literal["all"] = setting((), "Further columns that are kept in `extra`, or all of them.")
    text_unit: Literal["file", "line", "paragraph"] = setting(
        "file", "What a document is in a plain text file; blank lines separate paragraphs."
    )
    encoding: str | None = setting(None, "Encoding of plain text, decoded strictly; null is UTF-8.")
    main_content: bool = setting(True, "Keep only the main content of an HTML page, without menus and footers.")
    constants: dict[Literal["source", "lang", "licence"], str] = setting(
        {}, "Values that hold for every document of the input; they win over the records' own."
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str | None) -> str | None:
        try:
            "a".encode(encoding or "utf-8")
        except LookupError as error:
            raise ValueError("a text encoding that Python knows") from error
        return encoding

    @model_validator(mode="after")
    def _lines_can_be_found(self) -> Self:
        if self.encoding and self.text_unit != "file" and "\n".encode(self.encoding) != b"\n":
            raise Refused("text_unit", self.text_unit, f"'file', as no other can be found in {self.encoding}")
        return self


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file to ingest.

    `uri` is what `open_input` opens: an absolute local path, or a URI; `name` what hashed files call it: relative to
    the glob's folder, unique in the domain. `size` are stored bytes.
    """

    domain: str
    uri: str
    name: str
    size: int
    format: str
    compression: Compression
    config_index: int


def _in_pipeline(index: int, number: int) -> str:
    return f"inputs[{index}].paths[{number}]"


def resolve_inputs(
    configs: Sequence[InputConfig], *, base_dir: str | Path, where: Callable[[int, int], str] = _in_pipeline
) -> list[InputFile]:
    """Find the files of all inputs, sorted by `(domain, name, uri)`; relative paths start at `base_dir`.

    `where` gives the key of a path, for messages, from the numbers of its input and of the path there.

    Raises:
        ConfigError: a glob matches nothing, a variable is unset, a package is not installed, a format cannot be told,
            or two domains claim one file.
    """
    found: dict[str, InputFile] = {}
    for index, config in enumerate(configs):
        for number, path in enumerate(config.paths):
            key = where(index, number)
            for uri, name, size in _matches(path, Path(base_dir), key):
                kind, compression = _kind(config, name, key)
                file = InputFile(config.domain, uri, name, size, kind, compression, index)
                first = found.setdefault(uri, file)
                if first.domain != file.domain:
                    raise ConfigError(
                        f"{key}: found {name!r} in the domain {file.domain!r}, and in {first.domain!r} by "
                        f"inputs[{first.config_index}]; expected it in one domain"
                    )
    files = _with_unique_names(list(found.values()))
    return sorted(files, key=lambda file: (file.domain, file.name, file.uri))


def named_file(base: Path, name: str, where: str) -> Path:
    """The absolute path of a file that a setting names; a relative name starts at `base`, `where` is the key.

    Raises:
        ConfigError: there is none, or this user may not read it.
    """
    path = (base / name).absolute()
    if not path.is_file():
        raise ConfigError(f"{where}: found {name!r}; expected files that exist")
    refuse_unreadable([str(path)], where)
    return path


def refuse_unreadable(uris: Iterable[str], where: str) -> None:
    """Refuses local files that this user may not read; nothing is opened, so a store's own rights are not seen.

    Raises:
        ConfigError: there are some; the sentence names the key, `where`, and the first few.
    """
    closed = [uri for uri in uris if "://" not in uri and not os.access(uri, os.R_OK)]
    if closed:
        more = f" and {len(closed) - _NAMED:,} more" if len(closed) > _NAMED else ""
        found = f"{', '.join(map(repr, closed[:_NAMED]))}{more}"
        raise ConfigError(f"{where}: found {found}, without the right to read; expected files that may be read")


def open_input(uri: str) -> ByteFile:
    """Open a file for reading at any position; close it after use.

    Raises:
        ReadError: if it cannot be opened.
    """
    try:
        filesystem, path = file_system(uri)
        return filesystem.open_input_file(path)
    except OSError as error:
        raise ReadError(f"cannot open {uri}: {error}") from error


def file_system(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a URI or an absolute local path, and the path within it."""
    return _from_uri(uri) if "://" in uri else (pafs.LocalFileSystem(), uri)


def _from_uri(uri: str) -> tuple[pafs.FileSystem, str]:
    """Names in a URI of ours stand as they are; behind the host, what a URI may not hold is escaped here."""
    address, mark, query = uri.partition("?")
    scheme, slashes, rest = address.partition("://")
    host, slash, name = rest.partition("/")
    return pafs.FileSystem.from_uri(f"{scheme}{slashes}{host}{slash}{quote(name)}{mark}{query}")


def _matches(path: str, base_dir: Path, key: str) -> Iterator[tuple[str, str, int]]:
    """Yield `(uri, name, size)` of every file that a configured path matches; raise if there is none."""
    absolute = _absolute(path, base_dir, key)
    address, mark, query = absolute.partition("?") if "://" in absolute else (absolute, "", "")
    folder, pattern = split_glob(address)
    try:
        filesystem, root = file_system(folder + mark + query)
        found = list_matching(filesystem, root.rstrip("/") or "/", pattern)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}: found {path!r}; expected what can be listed ({error})") from error
    if not found:
        raise ConfigError(
            f"{key}: found {path!r}, which matches no file; expected at least one "
            f"(a folder is written folder/**, and a relative path starts at {base_dir})"
        )
    for name, size in found:
        yield f"{folder}{name}{mark}{query}", name, size


def _absolute(path: str, base_dir: Path, key: str) -> str:
    """Expand `~`, variables, `package:` and `file://`; leave other URIs as they are."""
    expanded = re.sub(r"\$\{(\w+)\}", lambda found: _variable(found[1], path, key), path)
    if expanded.startswith("package:"):
        return _in_package(expanded.removeprefix("package:"), key)
    expanded = expanded.removeprefix("file://")
    if "://" in expanded:
        return expanded
    return os.path.abspath(base_dir / os.path.expanduser(expanded))


def _variable(name: str, path: str, key: str) -> str:
    if name not in os.environ:
        raise ConfigError(f"{key}: found {path!r}; expected the environment variable {name}, which is not set")
    return os.environ[name]


def _in_package(reference: str, key: str) -> str:
    """Turn `<import name>/<glob>` into a path; the package is found, not imported: no code of it runs."""
    name, _, pattern = reference.partition("/")
    if not pattern or ".." in pattern.split("/"):
        raise ConfigError(f"{key}: found 'package:{reference}'; expected package:<import name>/<glob>, without '..'")
    folders = package_folders(name)
    if not folders:
        raise ConfigError(f"{key}: found 'package:{reference}'; expected a package, and {name!r} is not installed")
    return os.path.join(os.path.abspath(folders[0]), pattern)


def _kind(config: InputConfig, name: str, key: str) -> tuple[str, Compression]:
    """Tell a file's format and compression from its name, unless the configuration names the format."""
    stem, suffix = os.path.splitext(name.lower())
    if suffix in _UNSUPPORTED:
        raise ConfigError(f"{key}: found {name!r}; expected one of {', '.join(_COMPRESSIONS)}, or no compression")
    compression = _COMPRESSIONS.get(suffix, "none")
    if compression != "none":
        suffix = os.path.splitext(stem)[1]
    if config.format != "auto":
        return config.format, compression
    if suffix not in FORMATS:
        raise ConfigError(
            f"{key}: found {name!r}, a name that tells no format; expected format to be one of "
            f"{', '.join(sorted(set(FORMATS.values())))}"
        )
    return FORMATS[suffix], compression


def _with_unique_names(files: list[InputFile]) -> list[InputFile]:
    """Lengthen equal names within a domain by parent folders, one at a time, until all differ."""
    while True:
        same: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, file in enumerate(files):
            same[file.domain, file.name].append(index)
        clashing = [index for indexes in same.values() if len(indexes) > 1 for index in indexes]
        if not clashing:
            return files
        for index in clashing:
            depth = files[index].name.count("/") + 2
            files[index] = replace(files[index], name="/".join(files[index].uri.split("/")[-depth:]))
