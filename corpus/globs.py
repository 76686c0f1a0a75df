"""Globs over any file system that Arrow knows.

Why not a library: `glob` reads local folders alone, `fnmatch` knows no `**`, and Arrow lists without patterns;
`glob.translate` comes with Python 3.13.
"""

from __future__ import annotations

import os
import re

import pyarrow.fs as pafs


def split_glob(path: str) -> tuple[str, str]:
    """Split at the last slash before the first wildcard; without a wildcard, at the last slash."""
    wildcard = re.search(r"[*?\[]", path)
    cut = path.rfind("/", 0, wildcard.start() if wildcard and not os.path.isfile(path) else None) + 1
    return path[:cut], path[cut:]


def list_matching(filesystem: pafs.FileSystem, folder: str, pattern: str) -> list[tuple[str, int]]:
    """Return `(path below the folder, bytes)` of the files that match, sorted."""
    literal = filesystem.get_file_info(f"{folder.rstrip('/')}/{pattern}")
    if literal.type == pafs.FileType.File:
        return [(pattern, literal.size)]
    selector = pafs.FileSelector(folder, recursive="/" in pattern or "**" in pattern, allow_not_found=True)
    matching = re.compile(_glob_regex(pattern))
    below = [
        (info.path.removeprefix(folder).lstrip("/"), info.size)
        for info in filesystem.get_file_info(selector)
        if info.type == pafs.FileType.File
    ]
    return sorted((name, size) for name, size in below if matching.fullmatch(name))


def _glob_regex(pattern: str) -> str:
    """Translate a glob; as in a shell, a wildcard matches no hidden file or folder."""
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|[^*?\[]+|\[", pattern)
    translated = ""
    for token in tokens:
        visible = "(?!\\.)" if not translated or translated.endswith(("/", "/)*")) else ""
        if token == "**/":
            translated += r"(?:(?!\.)[^/]+/)*"
            continue
        if token == "**":
            translated += r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+" if visible else r"[^/]*"
        elif token == "*":
            translated += visible + r"[^/]*"
        elif token == "?":
            translated += visible + r"[^/]"
        elif len(token) > 2 and token[0] == "[":
            negated = token[1] == "!"
            inside = re.sub(r"([\\^\[])", r"\\\1", token[1 + negated : -1])
            translated += f"{visible}(?!/)[{'^' * negated}{inside}]"
        else:
            translated += re.escape(token)
    return translated
