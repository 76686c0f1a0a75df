"""E-mail and IP addresses in text.

**E-mail**: the dot-atom of RFC 5322 without its rarer signs (letters, digits, `_ % + - '`), at most 64 characters, and
a host of letters, digits and hyphens whose last label is two to 24 letters. Quoted local parts, addresses with other
letters than ASCII's (RFC 6531), punycode top-level domains and hosts given as numbers are not found; what ends like a
file's name (`icon@2x.png`) is none.

**IPv4**: four octets without leading zeros, not in a longer dotted run, nor behind a word for a version. **IPv6**: the
forms of RFC 4291, 2.2. Of the compressed ones those count that text does not use for something else: `::1`, those
with octets, those of four groups, and those that hold a decimal digit and begin in a range that is in use
(`2000::/3`, `fc00::` and above): `a[1::2]`, `std::dec` and the `498:498::` of a password file are none. Eight
groups of two digits are a hardware address.

An address that the registries of RFC 6890 give to no one in particular (private, loopback, link-local, documentation,
multicast) is reported as such: it identifies nobody.
"""

from __future__ import annotations

import ipaddress

import numpy as np
import numpy.typing as npt

from filters.pii.characters import (
    CLASSES,
    COLON,
    DOT,
    EQUALS,
    HEX,
    HYPHEN,
    LOCAL,
    SLASH,
    SPACE,
    WIDE_COLON,
    code_at,
    code_before,
    is_digit,
    is_letter,
    is_name,
)
from filters.pii.numbers import BEFORE
from tamis.kernels import kernel

MAX_LOCAL, MAX_LABEL, MAX_TOP = 64, 63, 24
FILE_ENDINGS = (
    "bmp",
    "css",
    "gif",
    "htm",
    "html",
    "ico",
    "jpeg",
    "jpg",
    "js",
    "json",
    "pdf",
    "php",
    "png",
    "svg",
    "txt",
    "webp",
    "xml",
)
"""Last labels that are no top-level domains but look like one."""
VERSION_WORDS = ("build", "chapter", "release", "rev", "section", "v", "ver", "version")
"""A number of four parts behind one of them, or behind 版本 or 版本号, is no address."""
LOCAL_IPV4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
)
LOCAL_IPV6 = ("64:ff9b:1::/48", "100::/64", "2001:db8::/32", "3fff::/20", "fc00::/7", "fe80::/10", "ff00::/8")
"""Beside `::`, `::1` and what embeds a local IPv4 address."""


def _packed(words: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    return np.array([int.from_bytes(word.encode(), "big") for word in words], np.uint64)


def _networks(names: tuple[str, ...], shift: int) -> npt.NDArray[np.uint64]:
    """Address and mask of each network, without the `shift` lowest bits: uint64[n, 2]."""
    networks = [ipaddress.ip_network(name) for name in names]
    return np.array([[int(n.network_address) >> shift, int(n.netmask) >> shift] for n in networks], np.uint64)


_FILE_ENDINGS, _VERSION_WORDS = _packed(FILE_ENDINGS), _packed(VERSION_WORDS)
_LOCAL_4, _LOCAL_6 = _networks(LOCAL_IPV4, 0), _networks(LOCAL_IPV6, 64)
_EDITION = np.frombuffer("版本".encode(), np.uint8)
_EDITION_NUMBER = np.frombuffer("版本号".encode(), np.uint8)


@kernel
def email(text, at, size):  # type: ignore[no-untyped-def]
    """The address around the `@` of `size` bytes at `at`: (first byte, byte behind the last), or (-1, -1)."""
    start = _local_part(text, at)
    if start < 0:
        return -1, -1
    end = _host(text, at + size)
    return (start, end) if end >= 0 else (-1, -1)


@kernel
def _local_part(text, at):  # type: ignore[no-untyped-def]
    """Where the local part before `at` begins, or -1; it begins with a letter, a digit or `_`."""
    i, start, chars, kept = at, -1, 0, 0
    behind = DOT
    while True:
        code, size = code_before(text, i)
        if not CLASSES[code] & LOCAL or (code == DOT and behind == DOT):
            break
        i -= size
        chars += 1
        if is_name(code):
            start, kept = i, chars
        behind = code
    return start if 0 < kept <= MAX_LOCAL else -1


@kernel
def _host(text, i):  # type: ignore[no-untyped-def]
    """The end of the host that begins at `i`, behind its last possible top-level domain, or -1."""
    best, labels = -1, 0
    while True:
        chars, letters, hyphens, end, packed = 0, 0, 0, i, np.uint64(0)
        while i < len(text):
            code, size = code_at(text, i)
            if not (is_letter(code) or is_digit(code) or (code == HYPHEN and chars > 0)):
                break
            i += size
            chars += 1
            if code == HYPHEN:
                hyphens += 1
                continue
            hyphens, end = 0, i
            if is_letter(code):
                letters += 1
                packed = (packed << np.uint64(8)) | np.uint64(code | 32)
        chars -= hyphens
        if chars == 0 or chars > MAX_LABEL:
            return best
        if labels > 0 and letters == chars and 2 <= chars <= MAX_TOP and not _is_one_of(packed, chars, _FILE_ENDINGS):
            best = end
        labels += 1
        if hyphens > 0 or i >= len(text):
            return best
        code, size = code_at(text, i)
        if code != DOT:
            return best
        i += size


@kernel
def _is_one_of(packed, chars, words):  # type: ignore[no-untyped-def]
    if chars <= 8:
        for word in words:
            if word == packed:
                return True
    return False


@kernel
def ipv4(text, first, window):  # type: ignore[no-untyped-def]
    """The IPv4 address at a window's run of digits: (index behind it, its number), or (-1, 0).

    Args:
        text: uint8[...].
        first: the run's first byte in it.
        window: see `filters.pii.numbers`.
    """
    before, earlier = window[BEFORE - 1], window[BEFORE - 2]
    if is_name(before) or before == DOT or (before in (HYPHEN, SLASH) and is_letter(earlier)):
        return -1, 0
    end, address = _octets(window, BEFORE)
    if end < 0 or (window[end] == HYPHEN and is_letter(window[end + 1])) or _behind_version_word(text, first):
        return -1, 0
    return end, address


@kernel
def _octets(codes, i):  # type: ignore[no-untyped-def]
    """The four octets at `i`, unless they are a part of something longer: (end, address), or (-1, 0)."""
    address = 0
    for k in range(4):
        if k > 0:
            if codes[i] != DOT:
                return -1, 0
            i += 1
        value, digits = 0, 0
        while is_digit(codes[i]) and digits < 4:
            value = value * 10 + codes[i] - 48
            digits += 1
            i += 1
        if digits == 0 or digits > 3 or value > 255 or (digits > 1 and codes[i - digits] == 48):
            return -1, 0
        address = address * 256 + value
    if is_name(codes[i]) or (codes[i] == DOT and is_digit(codes[i + 1])):
        return -1, 0
    return i, address


@kernel
def _behind_version_word(text, i):  # type: ignore[no-untyped-def]
    for _ in range(2):
        code, size = code_before(text, i)
        if code != SPACE and code != COLON and code != EQUALS and code != WIDE_COLON:
            break
        i -= size
    if _stands_before(text, i, _EDITION) or _stands_before(text, i, _EDITION_NUMBER):
        return True
    chars, packed = 0, np.uint64(0)
    while chars <= 8:
        code, size = code_before(text, i)
        if not is_letter(code):
            break
        if chars < 8:
            packed |= np.uint64(code | 32) << np.uint64(8 * chars)
        chars += 1
        i -= size
    return chars > 0 and _is_one_of(packed, chars, _VERSION_WORDS)


@kernel
def _stands_before(text, i, word):  # type: ignore[no-untyped-def]
    return i >= len(word) and (text[i - len(word) : i] == word).all()


@kernel
def is_local_4(address):  # type: ignore[no-untyped-def]
    """Whether an IPv4 address identifies nobody."""
    found = False
    for k in range(len(_LOCAL_4)):
        found = found or np.uint64(address) & _LOCAL_4[k, 1] == _LOCAL_4[k, 0]
    return found


@kernel
def ipv6(text, colon, codes, places):  # type: ignore[no-untyped-def]
    """The IPv6 address around the first colon of a run of hexadecimal digits and colons.

    Args:
        text: uint8[...].
        colon: where that colon is.
        codes: int64[...], scratch.
        places: int64[...], scratch, as long.

    Returns:
        (first byte, byte behind the last, whether it is local, first byte behind the run); -1 where there is none.
    """
    start = colon
    before, size = code_before(text, start)
    while CLASSES[before] & HEX:
        start -= size
        before, size = code_before(text, start)
    n, i = 0, start
    last = 0
    while i < len(text):
        code, size = code_at(text, i)
        if code != COLON and not CLASSES[code] & HEX:
            break
        if n < len(codes) - 24:
            codes[n], places[n] = code, i
        n += 1
        i += size
        last = code
    if n > 46:
        return -1, -1, False, i
    behind, at = i, n
    for _ in range(20):  # what may be the octets at its end, and what stands behind them
        code, size = code_at(text, behind) if behind < len(text) else (np.int64(0), 0)
        codes[at], places[at] = code, behind
        at += 1
        behind += size
    codes[at], places[at] = 0, behind
    low, high = 0, n
    if codes[0] == COLON and codes[1] != COLON:
        low = 1
    elif is_name(before):
        return -1, -1, False, i
    if last == COLON and high >= 2 and codes[high - 2] != COLON:
        high -= 1
    if high - low < 2:
        return -1, -1, False, i
    end, local = _groups(codes, low, high)
    if end < 0:
        return -1, -1, False, i
    return places[low], places[end], local, i


@kernel
def _groups(codes, low, high):  # type: ignore[no-untyped-def]
    """Reads the groups of `codes[low:high]` and octets behind them: (end, whether it is local), or (-1, False)."""
    values = np.zeros(8, np.int64)
    n, gap, longest, shortest = 0, -1, 0, 4
    decimal, dotted = False, False
    end = high
    i = low
    while i < high:
        if codes[i] == COLON:
            if i + 1 < high and codes[i + 1] == COLON and gap < 0:  # ::
                gap = n
                i += 2
                if i < high and codes[i] == COLON:
                    return -1, False
                continue
            if i == low or i + 1 >= high or codes[i + 1] == COLON:
                return -1, False
            i += 1
            continue
        first = i
        value = 0
        while i < high and codes[i] != COLON:
            c = codes[i]
            decimal = decimal or is_digit(c)
            value = value * 16 + (c - 48 if is_digit(c) else (c | 32) - 87)
            i += 1
            if i - first > 4:
                return -1, False
        if i == high and codes[i] == DOT and is_digit(codes[i + 1]):
            end, address = _octets(codes, first)
            if end < 0 or n > 6:
                return -1, False
            dotted = True
            values[n], values[n + 1] = address >> 16, address & 0xFFFF
            n += 2
            break
        if n == 8:
            return -1, False
        values[n] = value
        n += 1
        longest, shortest = max(longest, i - first), min(shortest, i - first)
    if is_name(codes[end]):
        return -1, False
    if gap < 0:
        if n != 8 or (longest == 2 and shortest == 2 and not dotted):
            return -1, False
    else:
        one = n == 1 and gap == 0 and values[0] == 1 and high - low == 3
        in_use = gap > 0 and (values[0] >> 13 == 1 or values[0] >= 0xFC00)
        if n > 7 or not (one or dotted or n >= 4 or (in_use and decimal)):
            return -1, False
        for k in range(n - gap):
            values[7 - k] = values[n - 1 - k]
        for k in range(gap, 8 - (n - gap)):
            values[k] = 0
    return end, _is_local_6(values)


@kernel
def _is_local_6(values):  # type: ignore[no-untyped-def]
    upper, lower = np.uint64(0), np.uint64(0)
    for k in range(4):
        upper = (upper << np.uint64(16)) | np.uint64(values[k])
        lower = (lower << np.uint64(16)) | np.uint64(values[4 + k])
    if upper == 0 and lower <= 1:
        return True
    if upper == 0 and (lower >> np.uint64(32) == 0xFFFF or lower >> np.uint64(32) == 0):
        return is_local_4(lower & np.uint64(0xFFFFFFFF))
    found = False
    for k in range(len(_LOCAL_6)):
        found = found or upper & _LOCAL_6[k, 1] == _LOCAL_6[k, 0]
    return found
