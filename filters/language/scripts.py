"""Scripts: which one each letter is of, which languages are written in it, and what a text is mostly written in.

lid.176 sees n-grams and knows nothing of scripts: unsegmented Chinese of ten characters is one word to it, of which it
knows few n-grams or none, and it answers English. A letter's script is certain and costs a table look-up, so it comes
first:

1. Letters are counted by script, in bytes of UTF-8: a Han character says about as much as three Latin letters.
2. Text in Han characters is Japanese when a tenth of them or more is kana; fewer kana are counted as Han, as の and ー
   stand in Chinese names.
3. A script decides when most letters are of it (`filters.language.rules.MOST`). Then the answer is a language that is
   written in it: the only one (Hangul, Thai, Greek, kana …), or the likeliest of them by the model.
4. Han characters are Chinese unless the model is sure of Cantonese or Wu (`SURE`), or of Japanese where each character
   is one that Japanese has (JIS X 0208 as cp932: not 这, 们, 说). Without the second condition 3 % of Chinese headlines
   would be called Japanese.

Languages that are not listed, of another model, may be written in any script; letters of scripts that are not listed
(Mongolian, Yi …) decide nothing. Source of the ranges: Unicode's Scripts.txt, the letters (category L) of planes 0 to
3;
deviation: ー and its half-width form, which Unicode gives to no script, are kana.

Cost: 1 byte a code point; counting the letters of a text takes 1 to 2 ns a byte.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from tamis.kernels import kernel
from text.bits import HIGH_BITS, LOW_BITS, U64, count_bits, load8
from text.chars import LETTER, TABLE_SIZE, char_tables, decode

RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "latin": (
        (0x0041, 0x00AA),
        (0x00BA, 0x02B8),
        (0x02E0, 0x02E4),
        (0x1D00, 0x1D25),
        (0x1D2C, 0x1D5C),
        (0x1D62, 0x1D65),
        (0x1D6B, 0x1D77),
        (0x1D79, 0x1DBE),
        (0x1E00, 0x1EFF),
        (0x2071, 0x207F),
        (0x2090, 0x209F),
        (0x212A, 0x212B),
        (0x2132, 0x2132),
        (0x214E, 0x2184),
        (0x2C60, 0x2C7F),
        (0xA722, 0xA787),
        (0xA78B, 0xA7FF),
        (0xAB30, 0xAB64),
        (0xAB66, 0xAB6D),
        (0xFB00, 0xFB06),
        (0xFF21, 0xFF5A),
        (0x10780, 0x107BF),
        (0x1DF00, 0x1DFF2),
        (0x1DFF5, 0x1DFFF),
    ),
    "han": (
        (0x3005, 0x3005),
        (0x303B, 0x303B),
        (0x3400, 0x9FFF),
        (0xF900, 0xFAD9),
        (0x16FE3, 0x16FF3),
        (0x20000, 0x323FF),
    ),
    "kana": ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D), (0x1AFF0, 0x1B168)),
    "hangul": ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97C), (0xAC00, 0xD7FB), (0xFFA0, 0xFFDC)),
    "cyrillic": (
        (0x0400, 0x052F),
        (0x1C80, 0x1C8A),
        (0x1D2B, 0x1D2B),
        (0x1D78, 0x1D78),
        (0xA640, 0xA69D),
        (0x1E030, 0x1E06D),
    ),
    "arabic": (
        (0x0620, 0x063F),
        (0x0641, 0x06FF),
        (0x0750, 0x077F),
        (0x0870, 0x08C9),
        (0xFB50, 0xFEFC),
        (0x10EC2, 0x10EEE),
        (0x1EE00, 0x1EEBB),
    ),
    "devanagari": ((0x0904, 0x097F), (0xA8F2, 0xA8FE), (0x11B0A, 0x11B0A)),
    "bengali": ((0x0980, 0x09FC), (0x11DF1, 0x11DF1)),
    "hebrew": ((0x05D0, 0x05F2), (0xFB1D, 0xFB4F)),
    "greek": (
        (0x0370, 0x0373),
        (0x0376, 0x03E1),
        (0x03F0, 0x03FF),
        (0x1D26, 0x1D2A),
        (0x1D5D, 0x1D61),
        (0x1D66, 0x1D6A),
        (0x1DBF, 0x1DBF),
        (0x1F00, 0x1FFC),
        (0x2126, 0x2126),
        (0xAB65, 0xAB65),
        (0x1DFF3, 0x1DFF4),
    ),
    "armenian": ((0x0531, 0x058C), (0xFB13, 0xFB17)),
    "georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2D)),
    "thai": ((0x0E01, 0x0E46),),
    "lao": ((0x0E81, 0x0EDF),),
    "khmer": ((0x1780, 0x17DC),),
    "myanmar": ((0x1000, 0x108E), (0xA9E0, 0xA9FE), (0xAA60, 0xAA7F)),
    "tibetan": ((0x0F00, 0x0F8C),),
    "gurmukhi": ((0x0A05, 0x0A74),),
    "gujarati": ((0x0A85, 0x0AF9),),
    "oriya": ((0x0B05, 0x0B71),),
    "tamil": ((0x0B83, 0x0BD0),),
    "telugu": ((0x0C05, 0x0C61),),
    "kannada": ((0x0C80, 0x0CF2),),
    "malayalam": ((0x0D04, 0x0D7F),),
    "sinhala": ((0x0D85, 0x0DC6),),
    "thaana": ((0x0780, 0x07B1),),
    "ethiopic": ((0x1200, 0x138F), (0x2D80, 0x2DDE), (0xAB01, 0xAB2E), (0x1E7E0, 0x1E7FE)),
}
"""Code points of each script, in the order of their numbers, which begin at 1; only letters among them count."""

LANGUAGES = {
    "latin": (
        "af als an ast az bar bcl br bs ca cbk ceb co cs cy da de diq dsb eml en eo es et eu fi fr frr fy ga gd gl gn "
        "gom gv hif hr hsb ht hu ia id ie ilo io is it jbo jv kk ku kw la lb li lmo lt lv mg min ms mt mwl nah nap nds "
        "nl nn no oc pam pfl pl pms pt qu rm ro sc scn sco sh sk sl so sq sr su sv sw tk tl tr tt ug uz vec vep vi vls "
        "vo wa war yo"
    ),
    "han": "zh ja yue wuu",
    "kana": "ja",
    "hangul": "ko",
    "cyrillic": "av az ba be bg bxr ce cv kk krc kv ky lez mhr mk mn mrj myv os ru rue sah sh sr tg tt tyv uk uz xal",
    "arabic": "ar arz azb ckb fa kk ku lrc mzn pnb ps sd ug ur",
    "devanagari": "bh dty gom hi hif mai mr ne new sa",
    "bengali": "as bn bpy",
    "hebrew": "he yi",
    "greek": "el",
    "armenian": "hy",
    "georgian": "ka xmf",
    "thai": "th",
    "lao": "lo",
    "khmer": "km",
    "myanmar": "my",
    "tibetan": "bo",
    "gurmukhi": "pa",
    "gujarati": "gu",
    "oriya": "or",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "sinhala": "si",
    "thaana": "dv",
    "ethiopic": "am",
}
"""lid.176's languages by the scripts that they are written in today; some are in several."""

NAMES = tuple(RANGES)
LATIN, HAN, KANA = (NAMES.index(name) + 1 for name in ("latin", "han", "kana"))
OTHER = len(NAMES) + 1
"""Letters of any other script."""
HANZI = OTHER + 1
"""Han characters that Japanese does not have, counted apart."""
N_COUNTS = HANZI + 1
"""Entries of an array of letters by script."""
KANA_PART = 10
"""Text is Japanese when one in so many of its kana and Han characters is kana."""


@cache
def script_table() -> npt.NDArray[np.uint8]:
    """The script of each code point, uint8[TABLE_SIZE]; 0 for what is no letter."""
    found = np.full(TABLE_SIZE, OTHER, np.uint8)
    for number, name in enumerate(NAMES, 1):
        for low, high in RANGES[name]:
            found[low : high + 1] = number
    for low, high in RANGES["han"]:
        for point in range(low, high + 1):
            if not chr(point).encode("cp932", "ignore"):
                found[point] = HANZI
    found[(char_tables().classes & LETTER) == 0] = 0
    return found


def languages_by_script(labels: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Which of a model's languages are written in each script, bool[OTHER + 1, n_labels].

    Rows 0 and `OTHER` are all of them, and so is the row of a script in which the model knows no language.
    """
    known = set(" ".join(LANGUAGES.values()).split())
    written = np.ones((OTHER + 1, len(labels)), np.bool_)
    for number, name in enumerate(NAMES, 1):
        here = LANGUAGES[name].split()
        row = np.array([label in here or label not in known for label in labels], np.bool_)
        written[number] = row if row.any() else True
    return written


@kernel
def read_line(text, start, end, scripts, letters):  # type: ignore[no-untyped-def]
    """Counts the letters of a line by script.

    A line ends before `\\n`, `\\r`, U+0085, U+2028 or U+2029, or at `end`.

    Args:
        text: uint8[...], valid UTF-8.
        start: where the line begins.
        end: where reading stops at the latest, between two characters.
        scripts: see `script_table`.
        letters: int64[N_COUNTS], bytes of letters by script, to which the line's are added.

    Returns:
        stop, behind, total: where the line ends, where the next one begins, bytes of its letters.
    """
    latin = others = 0
    i = start
    behind = end
    while i < end:
        if i + 8 <= end:
            eight = load8(text, i)
            if (eight | (eight - LOW_BITS * U64(14))) & HIGH_BITS == U64(0):  # ASCII, and no break
                lower = eight | (LOW_BITS * U64(32))
                reach_a, pass_z = lower + LOW_BITS * U64(128 - 97), lower + LOW_BITS * U64(128 - 123)
                latin += count_bits(reach_a & ~pass_z & HIGH_BITS)
                i += 8
                continue
        b = text[i]
        if b < 0x80:
            if 97 <= (b | 32) <= 122:
                latin += 1
            elif b == 10 or b == 13:
                behind = i + 1
                break
            i += 1
        else:
            point, size = decode(text, i)
            if point == 0x85 or point == 0x2028 or point == 0x2029:
                behind = i + size
                break
            if point < len(scripts):
                script = scripts[point]
                letters[script] += size
                others += size if script else 0
            i += size
    letters[0] = 0
    letters[LATIN] += latin
    return i, behind, latin + others


@kernel
def line_end(data, i, end):  # type: ignore[no-untyped-def]
    """Where the line at byte `i` ends, behind its break; `end` where there is none."""
    while i < end:
        b = data[i]
        if b == 10:
            return i + 1
        if b == 13:
            return i + 2 if i + 1 < end and data[i + 1] == 10 else i + 1
        if b == 0xC2 and i + 1 < end and data[i + 1] == 0x85:
            return i + 2
        if b == 0xE2 and i + 2 < end and data[i + 1] == 0x80 and (data[i + 2] == 0xA8 or data[i + 2] == 0xA9):
            return i + 3
        i += 1
    return end


@kernel
def main_script(letters):  # type: ignore[no-untyped-def]
    """The script that most bytes of letters are of, and its share of all; 0 where there is no letter.

    Kana and Han characters are one script: `KANA` where kana are a `KANA_PART`-th of both, else `HAN`.
    """
    east_asian = letters[HAN] + letters[HANZI] + letters[KANA]
    best, most, total = 0, 0, letters[HANZI]
    for script in range(1, HANZI):
        count = letters[script]
        total += count
        if script == HAN or script == KANA:  # noqa: SIM109 - numba compares numbers faster
            count = east_asian if (script == KANA) == (KANA_PART * letters[KANA] >= east_asian) else 0
        if count > most:
            best, most = script, count
    return best, (most / total if total > 0 else 0.0)
