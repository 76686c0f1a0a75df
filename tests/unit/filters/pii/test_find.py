"""What is personal data and what only looks like it, kind by kind; the stage's evidence, counts and placeholders."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from corpus.config import parse
from corpus.view import Edits, build_view
from filters.pii.find import KINDS, find
from pipelines.stages.base import Batch
from pipelines.stages.pii import COUNTED, Pii, PiiDecision, PiiEvidence
from tamis.errors import ConfigError
from tests.oracles.pii import is_card, is_resident
from text.arrow import TextColumn

MARKS = "⟦⟧"


def marked(text: str, old: bool = False) -> list[tuple[str, str]]:
    """(kind, what was found) of one text."""
    column = TextColumn.from_texts([text])
    found, data = find(column, old), text.encode()
    return [(KINDS[k], data[s:e].decode()) for k, s, e in zip(found.kind, found.start, found.end, strict=True)]


FOUND = {
    "email": [
        "⟦bob@example.org⟧",
        "Write to ⟦bob@example.org⟧.",
        "邮箱⟦zhang.san@qq.com⟧，电话",
        "<⟦a.b+c_d%e-f@x-y.example.co.uk⟧>",
        "mailto:⟦bob@example.org⟧?subject=x",
        "⟦o'brien@example.ie⟧",
        "'⟦bob@example.org⟧'",
        "..⟦bob@example.org⟧..",
        "⟦1234567@139.com⟧",
        "联系：⟦ｂｏｂ＠ｅｘａｍｐｌｅ．ｃｏｍ⟧。",
        "⟦bob@example.com⟧_",
        "⟦bob@example.com⟧-",
        "é⟦ric@example.fr⟧",
        "a..⟦b@example.org⟧",
        "⟦a@b.co⟧中",
        "⟦a@b.co⟧,⟦c@d.org⟧;⟦e@f.net⟧",
        "⟦bob@example.com⟧.5",
        "⟦bob@x.js.org⟧",
        "⟦user@mastodon.social⟧/@user",
        "⟦13912345678@139.com⟧",
    ],
    "phone": [
        "⟦13912345678⟧",
        "手机⟦139-1234-5678⟧转",
        "⟦139 1234 5678⟧",
        "⟦+8613912345678⟧",
        "⟦+86 139 1234 5678⟧",
        "⟦008613912345678⟧",
        "⟦8613912345678⟧",
        "⟦(+86)13912345678⟧",
        "（⟦13912345678⟧）",
        "⟦（＋８６）１３９１２３４５６７８⟧",
        "⟦139　1234　5678⟧",
        "⟦139–1234–5678⟧",
        "⟦1391-234-5678⟧",
        "⟦13912345678⟧、⟦13812345678⟧",
        "⟦13912345678⟧ ⟦18612345678⟧",
        "⟦13912345678⟧/⟦18612345678⟧",
        "⟦+44 20 7946 0958⟧",
        "⟦+4915112345678⟧",
        "⟦+1 415 555 2671⟧",
        "⟦+1 (415) 555-2671⟧ 9",
        "⟦(+44) 20 7946 0958⟧",
        "⟦+33 (0)1 23 45 67 89⟧",
        "⟦(415) 555-2671⟧",
        "⟦415-555-2671⟧",
        "⟦415.555.2671⟧.",
        "⟦1-800-555-0199⟧",
        "⟦1 (415) 555-2671⟧",
        "tel:⟦+14155552671⟧",
        "⟦+12345678⟧",
        "⟦+123456789012345⟧",
    ],
    "ip": [
        "⟦8.8.8.8⟧",
        "from ⟦1.2.3.4⟧.",
        "http://⟦93.184.216.34⟧:8080/x",
        "⟦93.184.216.34⟧/24",
        "地址⟦93.184.216.34⟧，",
        "⟦223.1.2.3⟧",
        "⟦1.2.3.4⟧-⟦1.2.3.9⟧",
        "⟦９３．１８４．２１６．３４⟧",
        "⟦2606:2800:220:1:248:1893:25c8:1946⟧",
        "[⟦2a00:1450:4001:81b::200e⟧]:443",
        "IP：⟦2400:cb00::1⟧",
        "ip:⟦2400:cb00::1⟧: up",
        "⟦2400:CB00:2048:1::C629:D7A2⟧.",
        "⟦::ffff:8.8.8.8⟧",
        "⟦1:2:3:4:5:6:7:8⟧",
        "⟦64:ff9b::8.8.8.8⟧",
        "⟦1.2.3.4⟧ ⟦5.6.7.8⟧",
        "v号⟦1.2.3.4⟧",
    ],
    "ip_local": [
        "⟦10.0.0.1⟧",
        "⟦127.0.0.1⟧",
        "⟦192.168.1.1⟧",
        "⟦172.31.255.255⟧",
        "⟦255.255.255.0⟧",
        "⟦203.0.113.7⟧",
        "⟦0.0.0.0⟧",
        "⟦::1⟧",
        "⟦fe80::1⟧%eth0",
        "⟦fd12:3456::1⟧",
        "⟦2001:db8::1⟧",
        "⟦::ffff:10.0.0.1⟧",
        "⟦0:0:0:0:0:ffff:a00:1⟧",
        "⟦0:0:0:0:0:0:0:1⟧",
    ],
    "cn_id": [
        "⟦11010519491231002X⟧",
        "身份证号⟦11010519491231002x⟧，",
        "⟦110105 19491231 002X⟧",
        "⟦110105-19491231-002X⟧",
        "⟦１１０１０５１９４９１２３１００２Ｘ⟧",
    ],
    "bank_card": [
        "⟦4111111111111111⟧",
        "⟦4111 1111 1111 1111⟧",
        "⟦4111-1111-1111-1111⟧",
        "卡号⟦6222021234567890128⟧，",
        "⟦378282246310005⟧",
        "⟦3782 822463 10005⟧",
        "⟦5555555555554444⟧",
        "⟦2223003122003222⟧",
        "⟦6011111111111117⟧",
        "⟦3530111333300000⟧",
        "⟦30569309025904⟧",
        "⟦4222222222222⟧",
        "⟦4111 1111 1111 1111⟧ 2027",
        "⟦４１１１１１１１１１１１１１１１⟧",
        "⟦4111 1111 1111 1111⟧ 123",
        "⟦622202 1234567890128⟧",
        "1 ⟦4111 1111 1111 1111⟧",
    ],
    "iban": [
        "⟦DE89370400440532013000⟧",
        "⟦DE89 3704 0044 0532 0130 00⟧ EUR",
        "⟦GB82WEST12345698765432⟧",
        "⟦GB82 WEST 1234 5698 7654 32⟧.",
        "⟦NO9386011117947⟧",
        "⟦MT84MALT011000012345MTLCAST001S⟧",
        "账号⟦DE89-3704-0044-0532-0130-00⟧。",
        "⟦ＤＥ８９３７０４００４４０５３２０１３０００⟧",
        "⟦FR1420041010050500013M02606⟧",
    ],
}

NOTHING = {
    "email": [
        "",
        "@",
        "a@",
        "@b.com",
        "bob@",
        "bob@localhost",
        "bob @example.org",
        "bob@ example.org",
        "bob.@example.org",
        "bob@-x.com",
        "bob@x-.com",
        "bob@example.c",
        "bob@example.c0m",
        "bob@.com",
        "icon@2x.png",
        "@media.print",
        "bob@例子.中国",
        "x@y.123",
        "a" * 65 + "@example.org",
        "bob@" + "a" * 64 + ".com",
        "bob@x.com-foo",
        "@user.name",
    ],
    "phone": [
        "139123456789",
        "1391234567",
        "12912345678",
        "0.13912345678",
        "13912345678.5",
        "x13912345678",
        "13912345678a",
        "_13912345678",
        "139.1234.5678",
        "139--1234-5678",
        "++13912345678",
        "+1234567",
        "1+23456789",
        "+1234567890123456",
        "+01234567890",
        "415 555 2671",
        "4155552671",
        "115-555-2671",
        "415-055-2671",
        "2024-11-23",
        "978-3-16-148410-0",
        "415-555-26711",
        "21-415-555-2671",
        "415-555-2671-8",
        "415-555.2671",
        "10000-20000",
    ],
    "ip": [
        "1.2.3.4.5",
        "1.2.3",
        "256.1.1.1",
        "01.2.3.4",
        "1.2.3.400",
        "v1.2.3.4",
        "version 1.2.3.4",
        "Version: 1.2.3.4",
        "版本1.2.3.4",
        "版本号：1.2.3.4",
        "Section 3.2.1.4",
        "Chrome/1.2.3.4",
        "linux-2.6.32.5",
        "1.2.3.4-rc1",
        "1.2.3.4a",
        ".1.2.3.4",
        "1..2.3.4",
        "120.0.6099.109",
        "12:30:45",
        "00:1a:2b:3c:4d:5e",
        "00:1a:2b:3c:4d:5e:6f:70",
        "std::dec",
        "a[1::2]",
        "a[::2]",
        "::",
        "abc::def",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "2400::1::2",
        "2400:cb00:::1",
        "2400:12345::1",
        "g2400:cb00::1",
        "2400:cb00::1g",
        "x:1006:1006::",
        "::ffff:1.2.3.400",
        "Foo::Bar::add",
    ],
    "cn_id": [
        "110105194912310021",
        "11010519491331002X",
        "11010519490230002X",
        "990105194912310029",
        "1101051949123100",
        "A11010519491231002X",
        "11010519491231002XX",
        "911010519491231002X",
        "110105194912310020",
        "44052418800101001X",
    ],
    "bank_card": [
        "4111111111111112",
        "411111111111111",
        "1111111111111117",
        "41111111111111111111",
        "4111  1111 1111 1111",
        "4111 1111-1111 1111",
        "a4111111111111111",
        "4111111111111111.5",
        "0000000000000000",
        "41 11 11 11 11 11 11 11",
        "1700000000000",
        "9782123456803",
    ],
    "iban": [
        "DE88370400440532013000",
        "DE8937040044053201300",
        "DE893704004405320130000",
        "de89370400440532013000",
        "XX89370400440532013000",
        "ADE89370400440532013000",
        "DE89 3704 0044 053201 3000",
        "DE89 3704-0044 0532 0130 00",
        "GB82 WEST",
        "DE",
        "DE8",
    ],
}


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k, texts in FOUND.items() for t in texts])
def test_it_is_found_to_the_byte(kind: str, text: str) -> None:
    expected = [(kind, part.split("⟧")[0]) for part in text.split("⟦")[1:]]
    assert marked(text.translate(dict.fromkeys(map(ord, MARKS)))) == expected


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k, texts in NOTHING.items() for t in texts])
def test_it_only_looks_like_it(kind: str, text: str) -> None:
    assert marked(text) == []
    assert marked(f"（{text}）") == []


def test_neighbours_of_several_kinds() -> None:
    text = "张三，13912345678，zs@qq.com，11010519491231002X；卡4111111111111111 DE89370400440532013000"
    assert [k for k, _ in marked(text)] == ["phone", "email", "cn_id", "bank_card", "iban"]
    assert marked("8.8.8.8\n::1") == [("ip", "8.8.8.8"), ("ip_local", "::1")]


def test_of_overlapping_matches_the_longest_stays_and_of_equal_ones_the_first_kind() -> None:
    assert marked("a@b.com@cc.com") == [("email", "b.com@cc.com")]
    numbers = [f"62242119800101{n:04}" for n in range(10_000)]  # a resident of Gansu, or a card of UnionPay
    shared = [n for n in numbers if is_card(n) and is_resident(n)]
    assert shared and all(marked(n) == [("cn_id", n)] for n in shared)
    cards = [n for n in numbers[:300] if is_card(n) and not is_resident(n)]
    assert cards and all(marked(n) == [("bank_card", n)] for n in cards)


def test_old_resident_numbers_are_found_where_they_are_wanted() -> None:
    assert marked("110105491231002") == []
    assert marked("110105491231002", old=True) == [("cn_id", "110105491231002")]
    assert marked("110105491331002", old=True) == marked("1101054912310021", old=True) == []


def test_documents_are_apart_and_slices_of_arrow_are_read() -> None:
    column = TextColumn.from_arrow(pa.array(["x", "1391234", "5678", None, "a@b.co", "8.8.8.8"]).slice(1))
    found = find(column)
    assert found.ptr.tolist() == [0, 0, 0, 0, 1, 2]
    assert found.start.tolist() == [0, 0] and found.end.tolist() == [6, 7]
    assert found.documents().tolist() == [3, 4]
    assert len(find(TextColumn.from_texts([])).start) == 0


def test_more_matches_than_expected_and_long_runs() -> None:
    text = "8.8.8.8 " * 20_000
    assert len(find(TextColumn.from_texts([text])).start) == 20_000
    for hostile in ("a@b.cd" * 30_000, "1" * 200_000, "a" * 200_000 + "@", "f:" * 100_000, "a." * 100_000 + "@x.com"):
        find(TextColumn.from_texts([hostile]))
    assert len(find(TextColumn.from_texts(["aa.bb@" * 10_001 + "x"])).start) == 5_000


# -------------------------------------------------------------------------------------------------------- the stage


def scanned(texts: list[str], edits: Edits | None = None) -> pa.Table:
    """The stage's evidence about a shard."""
    rows = np.arange(len(texts), dtype=np.int32)
    view = build_view(TextColumn.from_texts(texts), edits or Edits.none(len(texts)), rows)
    metadata = pa.table({"url": pa.nulls(len(texts), pa.string())})
    return Pii(PiiEvidence(), {}).scan(Batch(rows, 100 + rows.astype(np.int64), "web", view, metadata))


def decided(texts: list[str], **settings: str | None) -> tuple[list[dict[str, object]], list[dict[str, int]]]:
    rows = np.arange(len(texts), dtype=np.int32)
    decision = parse(PiiDecision, settings, "stages.pii")
    verdict = Pii(PiiEvidence(), {}).decide(scanned(texts), rows, 100, decision, lambda *_: np.zeros(0))
    assert verdict.columns is not None and not verdict.drops.num_rows
    return verdict.edits.to_pylist(), verdict.columns.to_pylist()


TEXTS = ["no one", "手机13912345678，a@b.co or c@d.org", "", "10.0.0.1 8.8.8.8"]


def test_the_evidence_is_where_and_what_kind() -> None:
    assert scanned(TEXTS).column_names == ["row", "doc_id", "start", "end", "kind"]
    assert [(r["row"], r["start"], r["end"], r["kind"]) for r in scanned(TEXTS).to_pylist()] == [
        (0, -1, -1, None),
        (1, -1, -1, None),
        (1, 6, 17, "phone"),
        (1, 20, 26, "email"),
        (1, 30, 37, "email"),
        (2, -1, -1, None),
        (3, -1, -1, None),
        (3, 0, 8, "ip_local"),
        (3, 9, 16, "ip"),
    ]


def test_kinds_are_replaced_by_their_placeholders_and_counted() -> None:
    edits, columns = decided(TEXTS)
    assert [(e["row"], e["start"], e["end"], e["reason"], e["replacement"], e["sentences"]) for e in edits] == [
        (1, 6, 17, "phone", "<PHONE>", 0),
        (1, 20, 26, "email", "<EMAIL>", 0),
        (1, 30, 37, "email", "<EMAIL>", 0),
        (3, 9, 16, "ip", "<IP>", 0),
    ]
    assert [(c["row"], c["doc_id"], c["pii_phone"], c["pii_email"], c["pii_ip"]) for c in columns] == [
        (0, 100, 0, 0, 0),
        (1, 101, 1, 2, 0),
        (2, 102, 0, 0, 0),
        (3, 103, 0, 0, 1),
    ]


def test_a_kind_may_stay_and_is_counted_all_the_same() -> None:
    edits, columns = decided(TEXTS, phone=None, email="[MAIL]", ip_local="<LAN>")
    assert [e["replacement"] for e in edits] == ["[MAIL]", "[MAIL]", "<LAN>", "<IP>"]
    assert columns[1]["pii_phone"] == 1


def test_a_match_over_a_cut_takes_the_cut_with_it() -> None:
    text = "call 1391<cut>2345678 now"
    edits = Edits.none(1).merged(np.array([0], np.int32), np.array([9], np.int32), np.array([14], np.int32), [None])
    assert scanned([text], edits).to_pylist()[1] == {"row": 0, "doc_id": 100, "start": 5, "end": 21, "kind": "phone"}


@pytest.mark.parametrize("placeholder", ["", "two words", "13912345678", "a@b.co", "a.b", "<电话>", "x" * 33])
def test_a_placeholder_is_one_plain_word(placeholder: str) -> None:
    with pytest.raises(ConfigError, match=r"stages\.pii\.phone"):
        decided(TEXTS, phone=placeholder)


def test_placeholders_are_no_personal_data_themselves() -> None:
    defaults = PiiDecision().model_dump()
    assert set(defaults) == set(KINDS) and set(COUNTED) == set(KINDS) - {"ip_local"}
    for placeholder in filter(None, defaults.values()):
        assert marked(f"{placeholder}{placeholder}@{placeholder} {placeholder}") == []
