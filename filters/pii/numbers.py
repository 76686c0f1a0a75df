"""Numbers that name a person: telephone, resident identity number, bank card, IBAN.

Each function looks into a *window*: the codes (`filters.pii.characters`) of the characters around a run of digits,
with `BEFORE` of them before it, so that `window[BEFORE]` is the run's first digit. It returns the index behind the
match, or -1.

What is demanded, beside the form: of an identity number the check digit, a province and a date that exists; of a card
an issuer's prefix with its lengths and the Luhn digit; of an IBAN its country's length and the check digits modulo 97.
A telephone number has no check digit: only forms that hardly mean anything else count.

A number may not touch a Latin letter, a digit or an underscore, nor be a part of a decimal number.

Source: GB 11643-1999 with ISO 7064 MOD 11-2 and the provinces of GB/T 2260; ISO/IEC 7812-1 with its Luhn digit; ISO
13616-1 with the lengths of the SWIFT IBAN registry; ITU-T E.164; the NANP's rules for area code and exchange.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from filters.pii.characters import CLOSE, DOT, HYPHEN, OPEN, PLUS, SPACE, is_digit, is_letter, is_name
from tamis.kernels import kernel

BEFORE = 4
WINDOW = 80
"""Characters of a window; no match and what stands around it is longer than 64."""

PROVINCES = (
    *range(11, 16),
    *range(21, 24),
    *range(31, 38),
    *range(41, 47),
    *range(50, 55),
    *range(61, 66),
    71,
    *range(81, 84),
)
FIRST_YEAR, LAST_YEAR = 1900, 2039
"""Years of a birth date; fixed, so that the result does not depend on the day of the run."""
_IBANS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 "
    "EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 "
    "KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 "
    "PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 "
    "UA29 VA22 VG24 XK20 YE30"
)
IBAN_LENGTHS = {word[:2]: int(word[2:]) for word in _IBANS.split()}
"""Country → characters of an IBAN."""


def _patterns(*forms: str) -> npt.NDArray[np.uint8]:
    """Forms as rows of codes, behind the last a 0. See `_match` for their letters."""
    table = np.zeros((len(forms), 24), np.uint8)
    for row, form in zip(table, forms, strict=True):
        row[: len(form)] = list(form.encode())
    return table


_CHINA = tuple(
    prefix + body
    for prefix in ("", "+86s", "0086s", "86s", "(+86)s", "(86)s", "(0086)s")
    for body in ("1Mdsddddsdddd", "1MddSdddSdddd")
)
_AMERICA = ("1s(Ndd)oNdd-dddd", "(Ndd)oNdd-dddd", "1-Ndd-Ndd-dddd", "Ndd-Ndd-dddd", "1.Ndd.Ndd.dddd", "Ndd.Ndd.dddd")
_PHONES = _patterns(*_CHINA, "+1pNddpNddpdddd", "+1p(Ndd)pNddpdddd", *_AMERICA)
_AMERICAN = len(_PHONES) - len(_AMERICA)
"""From this form on, without + or mobile prefix, none may stand in a longer chain of digits and hyphens."""
_CARDS = _patterns(
    "ddddSddddSddddSddddSddd",
    "ddddSddddSddddSddddSdd",
    "ddddSddddSddddSddddSd",
    "ddddSddddSddddSdddd",
    "ddddddSddddddddddddd",
    "ddddddSdddddddddddd",
    "ddddddSddddddddddd",
    "ddddddSdddddddddd",
    "ddddSddddddSddddd",
    "ddddSddddddSdddd",
    "ddddSddddSddddSddd",
    "ddddSddddSddddSdd",
    "ddddSddddSddddSd",
)
_RESIDENT = _patterns("ddddddsddddddddsdddX")
_OLD_RESIDENT = _patterns("ddddddddddddddd")
_PROVINCE = np.zeros(100, np.bool_)
_PROVINCE[list(PROVINCES)] = True
_MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_IBAN = np.zeros(26 * 26, np.int64)
for _country, _length in IBAN_LENGTHS.items():
    _IBAN[(ord(_country[0]) - 65) * 26 + ord(_country[1]) - 65] = _length


@kernel
def _match(window, i, form):  # type: ignore[no-untyped-def]
    """Whether the characters from `i` on have a form; the index behind them, or -1.

    d digit · M 3 to 9 · N 2 to 9 · X digit, X or x · s a space or hyphen, or nothing · S one of the two, the same each
    time · p space, hyphen or full stop, or nothing · o a space or nothing · anything else is itself.
    """
    joint = 0
    for k in range(len(form)):
        p, c = form[k], window[i]
        if p == 0:
            break
        if p == 100 or p == 77 or p == 78:  # d, M, N
            if not is_digit(c) or (p == 77 and c < 51) or (p == 78 and c < 50):
                return -1
        elif p == 88:  # X
            if not is_digit(c) and c != 88 and c != 120:
                return -1
        elif p == 115 or p == 112 or p == 111:  # s, p, o
            if not (c == SPACE or (p != 111 and c == HYPHEN) or (p == 112 and c == DOT)):
                continue
        elif p == 83:  # S
            if (c != SPACE and c != HYPHEN) or (joint != 0 and c != joint):
                return -1
            joint = c
        elif p != c:
            return -1
        i += 1
    return i


@kernel
def begins(window, i):  # type: ignore[no-untyped-def]
    """Whether a number may begin at `i`: not inside a word, nor behind a decimal point."""
    return not is_name(window[i - 1]) and not (window[i - 1] == DOT and is_digit(window[i - 2]))


@kernel
def _ends(window, i):  # type: ignore[no-untyped-def]
    """Whether a number may end before `i`."""
    return not is_name(window[i]) and not (window[i] == DOT and is_digit(window[i + 1]))


@kernel
def phone(window, i):  # type: ignore[no-untyped-def]
    """A telephone number that begins at `i`.

    In this order: a Chinese mobile number, bare or with 86; +1 with its ten digits; + and 8 to 15 digits; an American
    number of the forms (415) 555-2671, 415-555-2671 and 415.555.2671, with or without a 1 before it.
    """
    if is_name(window[i - 1]) or window[i - 1] == PLUS or (window[i - 1] == DOT and is_digit(window[i - 2])):
        return -1
    for k in range(_AMERICAN):
        end = _match(window, i, _PHONES[k])
        if end >= 0 and _ends(window, end):
            return end
    if window[i] == PLUS or (window[i] == OPEN and window[i + 1] == PLUS):
        return _international(window, i)
    if window[i - 1] == HYPHEN or window[i - 1] == DOT:
        return -1
    for k in range(_AMERICAN, len(_PHONES)):
        end = _match(window, i, _PHONES[k])
        if end >= 0 and _ends(window, end) and not (window[end] == HYPHEN and is_digit(window[end + 1])):
            return end
    return -1


@kernel
def _international(window, i):  # type: ignore[no-untyped-def]
    """`+` and 8 to 15 digits in groups, or `(+44) …`; the longest match."""
    bracket = window[i] == OPEN
    i += 2 if bracket else 1
    if not 49 <= window[i] <= 57:
        return -1
    digits, best = 0, -1
    while i < WINDOW - 4:
        while is_digit(window[i]) and digits <= 15:
            digits += 1
            i += 1
        if digits > 15:
            break
        if digits >= 8 and not is_name(window[i]) and not bracket:
            best = i
        c = window[i]
        if bracket:
            if c != CLOSE or digits > 3:
                return -1
            bracket = False
        if c == SPACE and window[i + 1] == OPEN:
            i += 2
        elif c == CLOSE:
            i += 2 if window[i + 1] == SPACE or window[i + 1] == HYPHEN else 1
        elif c in (SPACE, HYPHEN, DOT, OPEN):
            i += 1
        else:
            break
        if not is_digit(window[i]):
            break
    return best


@kernel
def resident(window, digits, old):  # type: ignore[no-untyped-def]
    """A resident identity number of 18 places, or of 15 where `old` forms are wanted, at the run of digits."""
    if not begins(window, BEFORE):
        return -1
    end = _match(window, BEFORE, _RESIDENT[0])
    if end >= 0 and _ends(window, end) and _gather(window, BEFORE, end, digits) == 18:
        year = digits[6] * 1000 + digits[7] * 100 + digits[8] * 10 + digits[9]
        total = 0
        for k in range(17):
            total += digits[k] * _WEIGHTS[k]
        check = (12 - total % 11) % 11
        if check == digits[17] and _is_person(digits, year, 10):
            return end
    if old:
        end = _match(window, BEFORE, _OLD_RESIDENT[0])
        if end >= 0 and _ends(window, end):
            _gather(window, BEFORE, end, digits)
            return end if _is_person(digits, 1900 + digits[6] * 10 + digits[7], 8) else -1
    return -1


@kernel
def _is_person(digits, year, at):  # type: ignore[no-untyped-def]
    """Whether the province exists, and the date: month and day stand at `at`."""
    month, day = digits[at] * 10 + digits[at + 1], digits[at + 2] * 10 + digits[at + 3]
    if not FIRST_YEAR <= year <= LAST_YEAR or not 1 <= month <= 12 or not 1 <= day <= _MONTH_DAYS[month]:
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2 and day == 29 and not leap:
        return False
    return _PROVINCE[digits[0] * 10 + digits[1]]


@kernel
def bank_card(window, run, digits):  # type: ignore[no-untyped-def]
    """A card number at the run of `run` digits: in one piece, or in the usual groups with one kind of separator."""
    if not begins(window, BEFORE):
        return -1
    if run >= 13:
        if (
            run <= 19
            and _ends(window, BEFORE + run)
            and _is_card(digits, _gather(window, BEFORE, BEFORE + run, digits))
        ):
            return BEFORE + run
        return -1
    for k in range(len(_CARDS)):
        end = _match(window, BEFORE, _CARDS[k])
        if end >= 0 and _ends(window, end) and _is_card(digits, _gather(window, BEFORE, end, digits)):
            return end
    return -1


@kernel
def _gather(window, start, end, digits):  # type: ignore[no-untyped-def]
    """Writes the digits of a span into `digits`, 10 for an X; how many there are."""
    n = 0
    for i in range(start, end):
        if is_digit(window[i]):
            digits[n] = window[i] - 48
            n += 1
        elif is_letter(window[i]):
            digits[n] = 10
            n += 1
    return n


@kernel
def _is_card(digits, n):  # type: ignore[no-untyped-def]
    two = digits[0] * 10 + digits[1]
    four = two * 100 + digits[2] * 10 + digits[3]
    if digits[0] == 4:  # Visa
        known = n == 13 or n == 16 or n == 19
    elif 51 <= two <= 55 or 2221 <= four <= 2720:  # Mastercard
        known = n == 16
    elif two == 34 or two == 37:  # American Express
        known = n == 15
    elif 3528 <= four <= 3589 or two == 60 or two == 62 or two == 65 or 6440 <= four <= 6499:
        known = n >= 16  # JCB, UnionPay, Discover, RuPay
    elif two == 36 or two == 38 or 3000 <= four <= 3059:  # Diners Club
        known = n == 14
    else:
        known = False
    if not known:
        return False
    total = 0
    for k in range(n):
        d = digits[n - 1 - k]
        if k % 2 == 1:
            d = d * 2 - 9 if d > 4 else d * 2
        total += d
    return total % 10 == 0


@kernel
def iban(window):  # type: ignore[no-untyped-def]
    """An IBAN whose check digits are the run of digits, capital letters only, in one piece or in groups of four."""
    first, second = window[BEFORE - 2], window[BEFORE - 1]
    if not 65 <= first <= 90 or not 65 <= second <= 90 or is_name(window[BEFORE - 3]):
        return -1
    length = _IBAN[(first - 65) * 26 + second - 65]
    if length == 0:
        return -1
    i = BEFORE - 2
    joint = window[i + 4] if window[i + 4] == SPACE or window[i + 4] == HYPHEN else 0
    remainder, head = 0, 0
    for k in range(length):
        if joint != 0 and k > 0 and k % 4 == 0:
            if window[i] != joint:
                return -1
            i += 1
        c = window[i]
        if is_digit(c):
            value = c - 48
        elif 65 <= c <= 90 and k != 2 and k != 3:
            value = c - 55
        else:
            return -1
        if k < 4:  # the country and the check digits count last
            head = head * (10 if value < 10 else 100) + value
        else:
            remainder = (remainder * (10 if value < 10 else 100) + value) % 97
        i += 1
    if (remainder * 1000000 + head) % 97 != 1 or is_name(window[i]):
        return -1
    return i
