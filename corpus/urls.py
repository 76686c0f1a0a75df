"""URLs as block lists compare them: an entry is a URL, a host or a folder, and stands for all that lies below it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*://")


def url_key(url: str) -> str:
    """A URL to compare: host in lower case; no scheme, user, www, usual port, fragment or last slash."""
    rest = _SCHEME.sub("", url.strip().split("#", 1)[0])
    cut = min((rest.index(c) for c in "/?" if c in rest), default=len(rest))
    host = rest[:cut].rsplit("@", 1)[-1].lower().removesuffix(":80").removesuffix(":443")
    return (host.rstrip(".").removeprefix("www.") + rest[cut:]).rstrip("/")


def host_of(key: str) -> str:
    """The host of what `url_key` returns, without its port."""
    return key.split("/", 1)[0].split("?", 1)[0].split(":", 1)[0].rstrip(".")


def hosts_above(host: str) -> Iterable[str]:
    """A host and those that it lies below: `a.b.org` → `a.b.org`, `b.org`, `org`."""
    labels = host.split(".")
    return (".".join(labels[i:]) for i in range(len(labels)))


def places_above(key: str) -> Iterable[str]:
    """The entries that cover a URL: each host above it, and its folders there: `a.org/b/c` → `a.org`, `a.org/b`, …"""
    path = key[len(key.split("/", 1)[0].split("?", 1)[0]) :].split("?", 1)[0]
    folders = [path[:i] for i, c in enumerate(path) if c == "/" and i] + ([path] if path else [])
    for host in hosts_above(host_of(key)):
        yield host
        yield from (host + folder for folder in folders)
