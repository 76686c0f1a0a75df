"""URLs as block lists see them: exact, by host, by folder."""

from __future__ import annotations

import pytest

from corpus.urls import host_of, places_above, url_key


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("HTTPS://WWW.Example.ORG:443/A/b/?q=1#x", "example.org/A/b/?q=1"),
        ("http://user:pw@example.org:80", "example.org"),
        ("example.org.", "example.org"),
        ("http://例子.测试/路径/", "例子.测试/路径"),
        ("http://x.org?next=http://y.org/", "x.org?next=http://y.org"),
        ("", ""),
    ],
)
def test_keys_leave_out_what_does_not_tell_pages_apart(url: str, key: str) -> None:
    assert url_key(url) == key
    assert url_key(key) == key


@pytest.mark.parametrize(
    ("url", "place", "below"),
    [
        ("http://a.b.org/x/y", "b.org", True),
        ("http://ab.org/x/y", "b.org", False),
        ("http://b.org.evil.com/", "b.org", False),
        ("http://b.org/forum/7", "b.org/forum", True),
        ("http://a.b.org/forum", "b.org/forum", True),
        ("http://b.org/forum/", "b.org/forum", True),
        ("http://b.org/forums/7", "b.org/forum", False),
        ("http://b.org/x?y=/forum/", "b.org/x", True),
        ("http://b.org/x?y=/forum/", "b.org/forum", False),
        ("http://b.org/a/forum", "b.org/forum", False),
        ("http://b.org:8080/forum/1", "b.org/forum", True),
        ("", "b.org", False),
    ],
)
def test_what_lies_below_a_host_or_a_folder(url: str, place: str, below: bool) -> None:
    assert (place in set(places_above(url_key(url)))) is below


def test_the_host_of_a_key_has_no_port() -> None:
    assert host_of("b.org:8080/x?y") == "b.org" and host_of("b.org?x") == "b.org"
