"""The slow, obvious twin of `filters.pii.find`: a folded string, regular expressions everywhere, `ipaddress`."""

from __future__ import annotations

import ipaddress
import re
import string

from filters.pii.addresses import FILE_ENDINGS, LOCAL_IPV4, LOCAL_IPV6, VERSION_WORDS
from filters.pii.find import KINDS
from filters.pii.numbers import FIRST_YEAR, IBAN_LENGTHS, LAST_YEAR, PROVINCES

Match = tuple[str, int, int]
"""(kind, start, end)"""

_FOLD = {ord(c) + 0xFEE0: c for c in string.ascii_letters + string.digits + ".+-_%@()"}
_FOLD |= dict.fromkeys((0xA0, 0x2007, 0x2009, 0x202F, 0x3000), " ")
_FOLD |= dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), "-")
_NAME = "[0-9A-Za-z_]"
_BEGINS, _ENDS = rf"(?<!{_NAME})(?<![0-9]\.)", rf"(?!{_NAME})(?!\.[0-9])"
_MOBILE = (
    r"(?:\+86[ -]?|0086[ -]?|86[ -]?|\(\+?86\)[ -]?|\(0086\)[ -]?)?"
    r"(?:1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}|1[3-9][0-9]{2}([ -])[0-9]{3}\1[0-9]{4})"
)
_PLUS_ONE = r"\+1[ .-]?(?:[2-9][0-9]{2}|\([2-9][0-9]{2}\))[ .-]?[2-9][0-9]{2}[ .-]?[0-9]{4}"
_JOINT = r"(?:[ .-]| ?\(|\)[ -]?)"
_PLUS = rf"(?:\+[1-9]|\(\+[1-9][0-9]{{0,2}}\)[ -]?[0-9])(?:{_JOINT}?[0-9])*"
_US = "|".join(
    (
        r"(?:1[ -]?)?\([2-9][0-9]{2}\) ?[2-9][0-9]{2}-[0-9]{4}",
        r"(?:1-)?[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}",
        r"(?:1\.)?[2-9][0-9]{2}\.[2-9][0-9]{2}\.[0-9]{4}",
    )
)
_BEFORE_PHONE = _BEGINS + r"(?<!\+)"
MOBILE = re.compile(_BEFORE_PHONE + _MOBILE + _ENDS)
PLUS_ONE = re.compile(_BEFORE_PHONE + _PLUS_ONE + _ENDS)
PLUS = re.compile(_BEFORE_PHONE + rf"(?:{_PLUS})(?!{_NAME})")
US = re.compile(_BEFORE_PHONE + r"(?<![.-])(?:" + _US + ")" + _ENDS + "(?!-[0-9])")
IPV4 = re.compile(rf"(?<!{_NAME})(?<!\.)(?<![A-Za-z][-/])[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}{_ENDS}(?!-[A-Za-z])")
VERSION = re.compile(rf"(?:(?<![A-Za-z])(?i:{'|'.join(VERSION_WORDS)})|版本号?)[ :=：]{{0,2}}\Z")
IPV6_RUN = re.compile("[0-9A-Fa-f]*:[0-9A-Fa-f:]*")
TAIL = re.compile(rf"[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}{_ENDS}")
RESIDENT = re.compile(_BEGINS + r"[0-9]{6}[ -]?[0-9]{8}[ -]?[0-9]{3}[0-9Xx]" + _ENDS)
OLD_RESIDENT = re.compile(_BEGINS + "[0-9]{15}" + _ENDS)
_LAYOUTS = (
    (4, 4, 4, 4, 3),
    (4, 4, 4, 4, 2),
    (4, 4, 4, 4, 1),
    (4, 4, 4, 4),
    (6, 13),
    (6, 12),
    (6, 11),
    (6, 10),
    (4, 6, 5),
    (4, 6, 4),
    (4, 4, 4, 3),
    (4, 4, 4, 2),
    (4, 4, 4, 1),
)
CARDS = [re.compile(_BEGINS + "[0-9]{13,19}" + _ENDS)] + [
    re.compile(_BEGINS + f"[0-9]{{{first}}}([ -])" + r"\1".join(f"[0-9]{{{n}}}" for n in rest) + _ENDS)
    for first, *rest in _LAYOUTS
]
ISSUERS = re.compile(
    "4(?:.{12}|.{15}|.{18})|5[1-5].{14}|(?:222[1-9]|22[3-9].|2[3-6]..|27[01].|2720).{12}|3[47].{13}"
    "|(?:352[89]|35[3-8].|6[025]..|64[4-9].).{12,15}|(?:36..|38..|30[0-5].).{10}"
)


def fold(text: str) -> str:
    """The text as the finder reads it, character by character."""
    return text.translate(_FOLD)


def find(text: str, old_resident_numbers: bool = False) -> list[Match]:
    """What is found in one text: (kind, first byte, byte behind the last), in the order of the text."""
    plain = fold(text)
    sizes = [0]
    for char in text:
        sizes.append(sizes[-1] + len(char.encode()))
    found = [*_emails(plain), *_addresses(plain)]
    for i in range(len(plain)):
        found += _at(plain, i, old_resident_numbers)
    in_bytes = [(kind, sizes[start], sizes[end]) for kind, start, end in found]
    in_bytes.sort(key=lambda m: (m[1] - m[2], KINDS.index(m[0]), m[1]))
    chosen: list[Match] = []
    for kind, start, end in in_bytes:
        if all(end <= s or e <= start for _, s, e in chosen):
            chosen.append((kind, start, end))
    return sorted(chosen, key=lambda m: m[1])


def _at(text: str, i: int, old: bool) -> list[Match]:
    """The numbers that begin at a character."""
    found = []
    if number := _phone(text, i):
        found.append(("phone", i, number))
    if (m := IPV4.match(text, i)) and _is_ipv4(m.group()) and not VERSION.search(text[:i]):
        found.append(("ip_local" if _is_local(m.group()) else "ip", i, m.end()))
    if (m := RESIDENT.match(text, i)) and is_resident(re.sub("[ -]", "", m.group())):
        found.append(("cn_id", i, m.end()))
    if old and (m := OLD_RESIDENT.match(text, i)) and _is_person(m.group()[:6] + "19" + m.group()[6:]):
        found.append(("cn_id", i, m.end()))
    cards = [m.end() for form in CARDS if (m := form.match(text, i)) and is_card(re.sub("[ -]", "", m.group()))]
    if cards:
        found.append(("bank_card", i, max(cards)))
    if end := _iban(text, i):
        found.append(("iban", i, end))
    return found


def _phone(text: str, i: int) -> int:
    for form in (MOBILE, PLUS_ONE):
        if m := form.match(text, i):
            return m.end()
    ends = (
        [
            m.end()
            for end in range(len(text), i, -1)
            if (m := PLUS.match(text, i, end))
            and m.end() == end
            and not re.match(_NAME, text[end : end + 1])
            and 8 <= sum(c.isdigit() for c in m.group()) <= 15
        ]
        if text[i] in "+("
        else []
    )
    if ends:
        return max(ends)
    if text[i] == "+" or text[i : i + 2] == "(+":
        return 0
    m = US.match(text, i)
    return m.end() if m else 0


def _emails(text: str) -> list[Match]:
    found = []
    for m in re.finditer("@", text):
        local = re.search(r"[A-Za-z0-9_](?:\.?[A-Za-z0-9_%+'-])*\Z", text[: m.start()])
        run = re.search(r"[A-Za-z0-9._%+'-]*\Z", text[: m.start()])
        assert run
        start = m.start() - len(run.group())
        pieces = run.group().split("..")[-1].lstrip(".%+'-")
        start = m.start() - len(pieces)
        end = _host_end(text, m.end())
        if local and 0 < len(pieces) <= 64 and not pieces.endswith(".") and end:
            found.append(("email", start, end))
    return found


def _host_end(text: str, i: int) -> int:
    best, labels = 0, 0
    while m := re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*").match(text, i):
        label = m.group().rstrip("-")
        if len(label) > 63:
            break
        if labels and re.fullmatch("[A-Za-z]{2,24}", label) and label.lower() not in FILE_ENDINGS:
            best = i + len(label)
        labels += 1
        if label != m.group() or text[m.end() : m.end() + 1] != ".":
            break
        i = m.end() + 1
    return best


def _addresses(text: str) -> list[Match]:
    """IPv6: each run of hexadecimal digits and colons is one address or none."""
    found = []
    for m in IPV6_RUN.finditer(text):
        start, end = m.span()
        if len(m.group()) > 46:
            continue
        if re.match(":(?!:)", m.group()):
            start += 1
        elif re.search(rf"{_NAME}\Z", text[:start]):
            continue
        body = text[start:end]
        if re.search(r"(?<!:):\Z", body):
            end -= 1
            body = body[:-1]
        elif not body.endswith(":") and re.match(r"\.[0-9]", text[end:]):
            first = start + body.rfind(":") + 1
            tail = TAIL.match(text, first)
            if not tail:
                continue
            end = tail.end()
            body = text[start:end]
        if re.match(_NAME, text[end:]):
            continue
        try:
            address = ipaddress.IPv6Address(body)
        except ValueError:
            continue
        if _is_meant(body):
            found.append(("ip_local" if _is_local_6(address) else "ip", start, end))
    return found


def _is_meant(body: str) -> bool:
    groups = [g for g in body.split(":") if g]
    if "::" not in body:
        return any(len(g) != 2 for g in groups)
    written = len(groups) + ("." in body)
    in_use = re.match("[23][0-9a-f]{3}:|f[c-f][0-9a-f]{2}:", body.lower()) and re.search("[0-9]", body)
    return body == "::1" or "." in body or written >= 4 or bool(in_use)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_local(text: str) -> bool:
    return any(ipaddress.IPv4Address(text) in ipaddress.ip_network(n) for n in LOCAL_IPV4)


def _is_local_6(address: ipaddress.IPv6Address) -> bool:
    number = int(address)
    if number <= 1:
        return True
    if number >> 32 in (0, 0xFFFF):
        return _is_local(str(ipaddress.IPv4Address(number & 0xFFFFFFFF)))
    return any(address in ipaddress.ip_network(n) for n in LOCAL_IPV6)


def is_resident(number: str) -> bool:
    """Whether 18 places are a resident identity number."""
    value = [10 if c in "Xx" else int(c) for c in number]
    weights = [2 ** (17 - k) % 11 for k in range(18)]
    return sum(v * w for v, w in zip(value, weights, strict=True)) % 11 == 1 and _is_person(number)


def _is_person(number: str) -> bool:
    import datetime

    try:
        day = datetime.datetime.strptime(number[6:14], "%Y%m%d")
    except ValueError:
        return False
    return FIRST_YEAR <= day.year <= LAST_YEAR and int(number[:2]) in PROVINCES


def is_card(number: str) -> bool:
    """Whether digits are a card's: issuer, length, Luhn."""
    doubled = [sum(divmod(int(c) * (1 + k % 2), 10)) for k, c in enumerate(reversed(number))]
    return sum(doubled) % 10 == 0 and bool(ISSUERS.fullmatch(number))


def is_iban(number: str) -> bool:
    """Whether letters and digits without separators are an IBAN."""
    moved = number[4:] + number[:4]
    return IBAN_LENGTHS.get(number[:2]) == len(number) and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _iban(text: str, i: int) -> int:
    head = re.compile(rf"(?<!{_NAME})[A-Z]{{2}}[0-9]{{2}}").match(text, i)
    length = IBAN_LENGTHS.get(text[i : i + 2], 0)
    if not head or not length:
        return 0
    joint = text[i + 4 : i + 5] if text[i + 4 : i + 5] in (" ", "-") else ""
    groups = [4] * (length // 4) + ([length % 4] if length % 4 else [])
    m = re.compile(joint.join(f"[A-Z0-9]{{{n}}}" for n in groups)).match(text, i)
    if not m or re.match(_NAME, text[m.end() :]) or not is_iban(m.group().replace(joint or " ", "")):
        return 0
    return m.end()
