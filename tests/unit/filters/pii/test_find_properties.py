"""The finder equals its slow twin on texts rich in digits and separators; what is valid and stands free is found."""

from __future__ import annotations

import datetime
import ipaddress
import re
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from benchmarks.corpora.base_text import read_records
from filters.pii.find import KINDS, find
from filters.pii.numbers import IBAN_LENGTHS, PROVINCES
from tests.oracles import pii as oracles_pii
from tests.support.examples import examples
from text.arrow import TextColumn

DIGITS = "0123456789"
PIECES = [
    "@",
    "@",
    ".",
    ".",
    "-",
    " ",
    " ",
    "+",
    "(",
    ")",
    ":",
    ":",
    "::",
    "_",
    "/",
    "%",
    "'",
    "X",
    "x",
    "a",
    "F",
    "zz",
    "com",
    "org.cn",
    "png",
    "bob",
    "DE",
    "GB",
    "NO",
    "v",
    "Version ",
    "版本：",
    "号",
    "，",
    "：",
    "中",
    "é",
    "𠀀",
    "..",
    "--",
    "１",
    "３",
    "９",
    "＠",
    "．",
    "＋",
    "－",
    "　",
    "\xa0",
    "–",
    "（",
    "）",
    "Ａ",
    "\n",
    *DIGITS[:2],
    "13",
    "86",
    "+86",
    "0086",
    "(+86)",
    "139",
    "1391",
    "1234",
    "5678",
    "13912345678",
    "415",
    "555-2671",
    "(415)",
    "2001:db8",
    "fe80",
    "ffff:",
    "1.2.3.4",
    "192.168.0.1",
    "255",
    "256",
    "62",
    "4111",
    "4111 1111 1111 1111",
    "378282246310005",
    "11010519491231002X",
    "110105",
    "19491231",
    "002X",
    "DE89370400440532013000",
    "3704 0044 0532 0130 00",
    "DE89 ",
    "+44 20 7946 0958",
    "a@b.co",
    "user.name+tag@mail.example.org",
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.text(alphabet=DIGITS + "  --..+()", max_size=40),
    st.text(alphabet="0123456789abcdefF::::.. ", max_size=40),
    st.text(alphabet="ab0._%+-'@@.c-中＠ ", max_size=40),
    st.lists(st.tuples(st.sampled_from(PIECES), st.text(alphabet=DIGITS, max_size=6)), max_size=8).map(
        lambda pairs: "".join(a + b for a, b in pairs)
    ),
    st.text(max_size=30),
)


def found(texts: list[str], old: bool = False) -> list[list[oracles_pii.Match]]:
    """The finder's answer as the twin gives it."""
    matches = find(TextColumn.from_texts(texts), old)
    rows = [(KINDS[k], int(s), int(e)) for k, s, e in zip(matches.kind, matches.start, matches.end, strict=True)]
    return [rows[matches.ptr[i] : matches.ptr[i + 1]] for i in range(len(texts))]


@examples(2500)
@given(st.lists(texts, min_size=1, max_size=4), st.booleans())
@example(["", "@", ":", "::", "0", "１", "+", "a@b.co@c.de@f.gh", "9" * 200, "1.2.3.4" * 30, ":" * 60, "中"], True)
@example(["(+1)415-555-2671", "+1 (415) 555-2671", "1 (415) 555-2671", "(+44) 20 7946 0958", "(+8613912345678"], False)
def test_the_finder_equals_its_twin(texts: list[str], old: bool) -> None:
    assert found(texts, old) == [oracles_pii.find(text, old) for text in texts]


@pytest.mark.data
@pytest.mark.parametrize("name", ["web_pages_multilingual", "web_pages_zh", "zh_tech_lctt", "zh_spam_mail"])
def test_the_finder_equals_its_twin_on_real_text(shared_data: Path, name: str) -> None:
    lines = []
    for record in read_records(shared_data / f"{name}.jsonl.zst"):
        lines += [line for line in str(record["text"]).split("\n") if re.search("[0-9０-９@＠]", line)]
        if sum(map(len, lines)) > 60_000:
            break
    assert found(lines) == [oracles_pii.find(line) for line in lines]


def wide(text: str) -> str:
    """Digits and letters at full width."""
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text)


AROUND = st.sampled_from(["", " ", "，", "：", "号码", "(", "“", "\n", "電話"])
BEHIND = st.sampled_from(["", " ", "，", "。", ".", ". ", "号", ")", "”", "\n", ", "])


def planted(kind: str, value: str, before: str, behind: str) -> None:
    """Asserts that a value is found alone, to the byte, in both widths."""
    for written in (value, wide(value)):
        (spans,) = found([before + written + behind])
        start = len(before.encode())
        assert spans == [(kind, start, start + len(written.encode()))], (before, written, behind)


@st.composite
def residents(draw: st.DrawFn) -> str:
    body = f"{draw(st.sampled_from(PROVINCES))}{draw(st.integers(0, 9999)):04}"
    body += draw(st.dates(datetime.date(1900, 1, 1), datetime.date(2039, 12, 31))).strftime("%Y%m%d")
    body += f"{draw(st.integers(0, 999)):03}"
    return next(body + c for c in DIGITS + "X" if oracles_pii.is_resident(body + c))


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix, size = draw(
        st.sampled_from(
            [
                ("4", 16),
                ("4", 13),
                ("4", 19),
                ("51", 16),
                ("55", 16),
                ("2221", 16),
                ("2720", 16),
                ("34", 15),
                ("37", 15),
                ("62", 16),
                ("62", 19),
                ("60", 16),
                ("3528", 16),
                ("3589", 16),
                ("36", 14),
            ]
        )
    )
    body = prefix + draw(st.text(alphabet=DIGITS, min_size=size - 1 - len(prefix), max_size=size - 1 - len(prefix)))
    return next(body + c for c in DIGITS if oracles_pii.is_card(body + c))


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country, length = draw(st.sampled_from(sorted(IBAN_LENGTHS.items())))
    body = draw(st.text(alphabet=DIGITS + "ABCXYZ", min_size=length - 4, max_size=length - 4))
    check = 98 - int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
    return f"{country}{check:02}{body}"


@examples(300)
@given(residents(), AROUND, BEHIND)
def test_a_resident_number_is_found(number: str, before: str, behind: str) -> None:
    planted("cn_id", number, before, behind)


@examples(300)
@given(cards(), AROUND, BEHIND, st.sampled_from(["", " ", "-"]))
def test_a_card_is_found(number: str, before: str, behind: str, joint: str) -> None:
    assume(oracles_pii.find(number)[0][0] == "bank_card")  # of 18 or 15 digits some are more than a card
    sizes = [4, 6, 5] if len(number) == 15 else ([4, 6, 4] if len(number) == 14 else [4] * 5)
    groups, at = [], 0
    for size in sizes:
        groups.append(number[at : at + size])
        at += size
    planted("bank_card", joint.join(g for g in groups if g), before, behind)


@examples(300)
@given(ibans(), AROUND, BEHIND, st.booleans())
def test_an_iban_is_found(number: str, before: str, behind: str, in_groups: bool) -> None:
    written = " ".join(number[i : i + 4] for i in range(0, len(number), 4)) if in_groups else number
    planted("iban", written, before, behind)


@examples(300)
@given(
    st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True),
    st.sampled_from(["", "+86", "+86 ", "0086", "86-", "(+86) "]),
    st.sampled_from(["", " ", "-"]),
    AROUND,
    BEHIND,
)
def test_a_chinese_mobile_number_is_found(number: str, prefix: str, joint: str, before: str, behind: str) -> None:
    planted("phone", prefix + joint.join((number[:3], number[3:7], number[7:])), before, behind)


@examples(300)
@given(
    st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9_+-]{1,9}){0,2}", fullmatch=True),
    st.from_regex(r"([a-z0-9]{1,9}\.|[a-z]-[a-z]\.){1,3}(com|cn|org|museum)", fullmatch=True),
    AROUND,
    BEHIND,
)
def test_an_email_address_is_found(local: str, host: str, before: str, behind: str) -> None:
    planted("email", f"{local}@{host}", before, behind)


@examples(300)
@given(st.ip_addresses(v=6), AROUND, BEHIND, st.booleans())
def test_an_ipv6_address_is_found(address: ipaddress.IPv6Address, before: str, behind: str, full: bool) -> None:
    written = address.exploded if full else address.compressed
    (spans,) = found([before + written + behind])
    assert (spans and spans[0][1:] == (len(before.encode()), len((before + written).encode()))) or not full
    assert [s[1:] for s in spans] == [s[1:] for s in oracles_pii.find(before + written + behind)]


@examples(300)
@given(st.ip_addresses(v=4), AROUND, BEHIND)
def test_an_ipv4_address_is_found(address: ipaddress.IPv4Address, before: str, behind: str) -> None:
    (spans,) = found([before + str(address) + behind])
    assert [s[1:] for s in spans] == [(len(before.encode()), len((before + str(address)).encode()))]
