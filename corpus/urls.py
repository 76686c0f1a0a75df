"""URLs as lists compare them. A list names a URL, or a host with all hosts below it."""

from __future__ import annotations

from collections.abc import Iterable


def url_key(url: str) -> str:
    """A URL to compare: host in lower case; no scheme, user, www, usual port, fragment or last slash."""
    rest = url.strip().split("#", 1)[0].split("://", 1)[-1]
    cut = min((rest.index(c) for c in "/?" if c in rest), default=len(rest))
    host = rest[:cut].rsplit("@", 1)[-1].lower().removesuffix(":80").removesuffix(":443")
    return (host.rstrip(".").removeprefix("www.") + rest[cut:]).rstrip("/")


def host_of(key: str) -> str:
    """The host of what ``url_key`` returns, without its port."""
    return key.split("/", 1)[0].split("?", 1)[0].split(":", 1)[0].rstrip(".")


def hosts_above(host: str) -> Iterable[str]:
    """A host and those that it lies below: ``a.b.org`` → ``a.b.org``, ``b.org``, ``org``."""
    labels = host.split(".")
    return (".".join(labels[i:]) for i in range(len(labels)))
