"""What a text states: the numbers and the names in it, as a set of hashes, and whether two texts state the same.

Embeddings tell what a text is about, and say of two weather reports that they are the same: their cosine is 0.999. A
pair that means the same is only a copy if it also states the same facts, and these are found without a model:

- *numbers*: digits with their sign and decimals, less grouping and leading zeros; Chinese numerals as they stand, one
  of a single character only before a unit of time or measure;
- *names*: capitalised words that begin no sentence (or do, if the other text has them elsewhere), words in capitals or
  with digits, Latin words beside Han; in Han what stands in quotes, two characters before an ending of places or
  organisations, places that have no ending, and a surname with one or two characters where nothing is joined to them.

Both are found by their form, so some are none ("大城市"). That does no harm: a copy has the same ones. A text keeps at
most `MOST` facts, those of the least hash, and two texts are compared up to the hash that both were read to.

Rejected: a tagger of names (a model, and slower than the embedding); all tokens that are rare (synonyms are rare too).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.arrow import TextColumn
from text.chars import HAN, LETTER, NUMBER, SINGLE, UPPER, WORD, char_tables, class_of, decode
from text.hash import mix

U64 = np.uint64
Int64 = npt.NDArray[np.int64]
RULE = 1
"""Raised when the same text states other facts."""
MOST = 1024
"""Facts that are kept of a text."""
NUMBERS_SHARED, NAMES_SHARED = 0.9, 0.8
"""The least share of the numbers, and of the names, of the text with fewer that the other must have too."""

_QUOTED = 24
"""Characters of the longest quote that counts as a title."""
_PAIRS = {"《": "》", "“": "”", "「": "」", "『": "』"}
_ENDS_SENTENCE = ".!?。！？:：;；\n"
_NUMERALS = "〇零一二三四五六七八九十百千万亿两"
_UNITS = "年月日号时分秒岁元度级届期"
_PLACE_ENDINGS = "省市县区镇乡村路州"
_ENDINGS = "大学 学院 中学 小学 公司 银行 医院 集团 法院 大厦 机场 车站 酒店 基金 协会 委员 分局 支行 工厂 电厂"
_PLACES = (
    "北京 上海 天津 重庆 河北 山西 辽宁 吉林 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南 广东 海南 四川 "
    "贵州 云南 陕西 甘肃 青海 台湾 内蒙 广西 西藏 宁夏 新疆 香港 澳门 广州 深圳 杭州 南京 苏州 成都 武汉 "
    "西安 郑州 青岛 大连 沈阳 长春 哈尔 厦门 福州 济南 长沙 昆明 合肥 南昌 南宁 贵阳 太原 兰州 西宁 银川 "
    "拉萨 海口 三亚 无锡 宁波 温州 东莞 佛山 珠海 烟台 唐山 徐州 台北 高雄 中国 美国 英国 法国 德国 日本 "
    "韩国 朝鲜 印度 泰国 越南 俄罗 巴西 加拿 澳大 意大 荷兰 瑞士 瑞典 西班 伊朗 伊拉 埃及 南非 东京 伦敦 "
    "巴黎 纽约 首尔 柏林 罗马"
)
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
    "姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
    "尚岳聂常耿温康施文牛樊葛邢安齐易乔伍庞颜倪庄章鲁洪左穆焦柴申翟俞鲍欧柳殷蓝阎辛管祝关苗谷裴费纪舒屈项"
    "翁涂季詹路宁靳柏盛霍阮植单卜逯魏"
)
_BEFORE_PERSONS = "告人者辑官员长申某"
_BEHIND_PERSONS = "说称诉与和及向某的申因不在于"

_NAME, _NUMBER, _PERHAPS = U64(0), U64(1), U64(2)
"""Kinds of facts; `_PERHAPS` is a capitalised word that begins a sentence: a name if the other text has it as one."""
_NUMERAL, _UNIT, _PLACE, _SURNAME, _BEFORE, _BEHIND, _STOP, _OPEN, _FIRST = (1 << i for i in range(9))


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of n texts: text i has `hashes[ptr[i]:ptr[i + 1]]`, ascending; the last two bits are the kind."""

    ptr: Int64  # [n + 1]
    hashes: npt.NDArray[np.uint64]  # [ptr[-1]]


def find_facts(texts: TextColumn) -> Facts:
    """The facts of each text. Cost: some 100 MB a second."""
    tables = char_tables()
    longest = int(texts.lengths.max(initial=0))
    ptr, hashes = _facts_of_column(texts.offsets, texts.data, *tables, *_marks(), longest, MOST)
    return Facts(ptr, hashes)


def agree(facts: Facts, left: Int64, right: Int64) -> npt.NDArray[np.bool_]:
    """Whether two texts state the same, bool[m], for pairs of indices of texts.

    Of the text that has fewer numbers `NUMBERS_SHARED` must be in the other, and of that with fewer names
    `NAMES_SHARED`: so that a shorter copy agrees with the longer. Without any there is nothing to disagree in.
    """
    return rule(compare(facts, left, right))


def rule(counts: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Whether facts agree, bool[m], by what `compare` counted."""
    numbers = counts[:, 2] >= NUMBERS_SHARED * np.minimum(counts[:, 0], counts[:, 1])
    return numbers & ((counts[:, 4] >= NAMES_SHARED * counts[:, 3]) | (counts[:, 6] >= NAMES_SHARED * counts[:, 5]))


def compare(facts: Facts, left: Int64, right: Int64) -> npt.NDArray[np.int32]:
    """Counts of facts, int32[m, 7]: numbers of the left, of the right, and of both; names of the left, and how many of
    them the right has; of the right, and of them the left.
    """
    return _compare(facts.ptr, facts.hashes, left.astype(np.int64), right.astype(np.int64), MOST)


@cache
def _marks() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Marks of characters uint16[65536], the closing quotes of opening ones int32[65536], endings and places sorted."""
    marks = np.zeros(1 << 16, np.uint16)
    listed: list[Iterable[str]] = [_NUMERALS, _UNITS, _PLACE_ENDINGS, _SURNAMES, _BEFORE_PERSONS, _BEHIND_PERSONS]
    listed += [_ENDS_SENTENCE, _PAIRS, {word[0] for word in f"{_ENDINGS} {_PLACES}".split()}]
    for bit, chars in enumerate(listed):
        marks[[ord(c) for c in chars]] |= 1 << bit
    closing = np.zeros(1 << 16, np.int32)
    for opened, closed in _PAIRS.items():
        closing[ord(opened)] = ord(closed)
    pairs = [np.sort([ord(w[0]) << 16 | ord(w[1]) for w in words.split()]) for words in (_ENDINGS, _PLACES)]
    return marks, closing, pairs[0].astype(np.int64), pairs[1].astype(np.int64)


@kernel
def _facts_of_column(  # type: ignore[no-untyped-def]
    offsets, data, classes, fold_start, fold_data, marks, closing, endings, places, longest, most
):
    ptr = np.zeros(len(offsets), np.int64)
    out = np.empty(len(data) // 8 + 4 * longest + 64, np.uint64)
    chars = np.zeros(longest + 4, np.int32)
    folded = np.zeros(longest + 4, np.int32)
    kinds = np.zeros(longest + 4, np.uint16)
    mark = np.zeros(longest + 4, np.uint16)
    at = 0
    for d in range(len(offsets) - 1):
        n = 0
        i = offsets[d]
        while i < offsets[d + 1]:
            point, size = decode(data, i)
            i += size
            chars[n], folded[n] = point, point
            if point < len(fold_start) - 1 and fold_start[point + 1] - fold_start[point] == 1:
                folded[n] = fold_data[fold_start[point]]
            kinds[n] = class_of(classes, point)
            mark[n] = marks[point] if point < len(marks) else 0
            n += 1
        for k in range(n, n + 4):
            chars[k], folded[k], kinds[k], mark[k] = 0, 0, 0, 0
        if len(out) - at < 4 * n:
            grown = np.empty(2 * len(out) + 4 * n, np.uint64)
            grown[:at] = out[:at]
            out = grown
        found = _facts_of(chars, folded, kinds, mark, n, closing, endings, places, out[at:])
        at += _distinct(out[at : at + found], most)
        ptr[d + 1] = at
    return ptr, out[:at].copy()


@kernel
def _distinct(hashes, most):  # type: ignore[no-untyped-def]
    """Sorts hashes in place, each once and the least `most`; how many these are."""
    hashes.sort()
    n = 0
    for i in range(len(hashes)):
        if n == most:
            break
        if i == 0 or hashes[i] != hashes[i - 1]:
            hashes[n] = hashes[i]
            n += 1
    return n


@kernel
def _hash(folded, start, end, kind):  # type: ignore[no-untyped-def]
    h = U64(0x5AC7)
    for k in range(start, end):
        h = mix((h ^ U64(folded[k])) + U64(0x9E3779B97F4A7C15))
    return h & ~U64(3) | kind


@kernel
def _holds(sorted_pairs, a, b):  # type: ignore[no-untyped-def]
    pair = (np.int64(a) << 16) | np.int64(b)
    at = np.searchsorted(sorted_pairs, pair)
    return at < len(sorted_pairs) and sorted_pairs[at] == pair


@kernel
def _facts_of(chars, folded, kinds, mark, n, closing, endings, places, out):  # type: ignore[no-untyped-def]
    """Writes the hashes of the facts of one text; how many."""
    found = 0
    begins = True  # a sentence
    i = 0
    while i < n:
        kind = kinds[i]
        if mark[i] & _OPEN:
            end = i + 1
            while end < n and end - i <= _QUOTED and chars[end] != closing[chars[i]]:
                end += 1
            if end < n and end > i + 2 and chars[end] == closing[chars[i]]:
                out[found] = _hash(folded, i + 1, end, _NAME)
                found += 1
            i += 1
        elif kind & HAN:
            begins = False
            found = _han(chars, folded, kinds, mark, i, endings, places, out, found)
            i += 1
        elif kind & NUMBER:
            begins = False
            i, out[found] = _number(chars, folded, kinds, i)
            found += 1
            while i < n and kinds[i] & LETTER and not kinds[i] & SINGLE:  # the unit behind it: 30km
                i += 1
        elif kind & LETTER and not kind & SINGLE:
            start = i
            i, name, perhaps = _word(kinds, start)
            if name or perhaps:
                out[found] = _hash(folded, start, i, _PERHAPS if begins and not name else _NAME)
                found += 1
            begins = False
            if i < n and chars[i] == 46 and i - start <= 3 and kinds[start] & UPPER:
                i += 1  # Mr. and U.S. end no sentence
        else:
            if mark[i] & _STOP:
                begins = True
            i += 1
    return found


@kernel
def _number(chars, folded, kinds, i):  # type: ignore[no-untyped-def]
    """Where the number at `i` ends, and its hash: digits and decimals, no grouping, no leading zeros."""
    h = U64(0xD161)
    before = chars[i - 1] if i else 0
    if (before == 45 or before == 0x2212 or before == 0xFF0D) and (i < 2 or not kinds[i - 2] & WORD):
        h = U64(0xD162)
    led, decimals = False, False
    while True:
        if kinds[i] & NUMBER and not kinds[i] & HAN:
            led = led or folded[i] != 48
            if led:
                h = mix((h ^ U64(folded[i])) + U64(0x9E3779B97F4A7C15))
            i += 1
        elif (chars[i] == 46 or chars[i] == 0xFF0E) and kinds[i + 1] & NUMBER:
            led, decimals = True, True
            h = mix((h ^ U64(46)) + U64(0x9E3779B97F4A7C15))
            i += 1
        elif chars[i] == 44 and not decimals and _three_digits(kinds, i + 1):
            i += 1
        else:
            return i, h & ~U64(3) | _NUMBER


@kernel
def _three_digits(kinds, i):  # type: ignore[no-untyped-def]
    end = i
    while end < len(kinds) and end < i + 4 and kinds[end] & NUMBER and not kinds[end] & HAN:
        end += 1
    return end == i + 3


@kernel
def _word(kinds, i):  # type: ignore[no-untyped-def]
    """Where the word at `i` ends, whether it is a name, and whether it is one if it begins no sentence."""
    start, uppers, digits = i, 0, 0
    while kinds[i] & WORD and not kinds[i] & SINGLE:
        uppers += kinds[i] & UPPER != 0
        digits += kinds[i] & NUMBER != 0
        i += 1
    size = i - start
    beside = (start > 0 and kinds[start - 1] & HAN != 0) or kinds[i] & HAN != 0
    name = digits > 0 or (size > 1 and (uppers == size or beside))
    return i, name, size > 1 and kinds[start] & UPPER != 0


@kernel
def _han(chars, folded, kinds, mark, i, endings, places, out, found):  # type: ignore[no-untyped-def]
    """Adds what the Han character at `i` begins or ends; how many facts there are now."""
    numeral = mark[i] & _NUMERAL
    if numeral and not (i and mark[i - 1] & _NUMERAL):
        end = i + 1
        while mark[end] & _NUMERAL:
            end += 1
        if end > i + 1 or mark[end] & _UNIT:
            out[found] = _hash(folded, i, end, _NUMBER)
            found += 1
    if mark[i] & _PLACE and i > 1 and kinds[i - 1] & kinds[i - 2] & HAN:
        out[found] = _hash(folded, i - 2, i + 1, _NAME)
        found += 1
    if not kinds[i + 1] & HAN:
        return found
    first = mark[i] & _FIRST
    if first and _holds(places, chars[i], chars[i + 1]):
        out[found] = _hash(folded, i, i + 2, _NAME)
        found += 1
    if first and i > 1 and kinds[i - 1] & kinds[i - 2] & HAN and _holds(endings, chars[i], chars[i + 1]):
        out[found] = _hash(folded, i - 2, i + 2, _NAME)
        found += 1
    if mark[i] & _SURNAME and (i == 0 or not kinds[i - 1] & HAN or mark[i - 1] & _BEFORE):
        for size in (2, 3):
            free = not kinds[i + size] & HAN or mark[i + size] & _BEHIND
            if free and kinds[i + size - 1] & HAN:
                out[found] = _hash(folded, i, i + size, _NAME)
                return found + 1
    return found


@kernel
def _compare(ptr, hashes, left, right, most):  # type: ignore[no-untyped-def]
    out = np.zeros((len(left), 7), np.int32)
    for e in range(len(left)):
        a, b = hashes[ptr[left[e]] : ptr[left[e] + 1]], hashes[ptr[right[e]] : ptr[right[e] + 1]]
        bound = U64(0xFFFFFFFFFFFFFFFF)
        if len(a) == most:
            bound = min(bound, a[-1])
        if len(b) == most:
            bound = min(bound, b[-1])
        i, j = 0, 0
        while True:
            in_a, in_b = i < len(a) and a[i] <= bound, j < len(b) and b[j] <= bound
            if not in_a and not in_b:
                break
            key = (min(a[i], b[j]) if in_a and in_b else a[i] if in_a else b[j]) >> U64(2)
            name_a, name_b, number, any_a, any_b = False, False, False, False, False
            while i < len(a) and a[i] >> U64(2) == key:
                name_a, number, any_a = name_a or a[i] & U64(3) == _NAME, a[i] & U64(3) == _NUMBER, True
                i += 1
            while j < len(b) and b[j] >> U64(2) == key:
                name_b, number, any_b = name_b or b[j] & U64(3) == _NAME, b[j] & U64(3) == _NUMBER, True
                j += 1
            if number:
                out[e, 0] += any_a
                out[e, 1] += any_b
                out[e, 2] += any_a and any_b
            out[e, 3] += name_a
            out[e, 4] += name_a and any_b
            out[e, 5] += name_b
            out[e, 6] += name_b and any_a
    return out
