"""Which lines belong together: code blocks, and the lines of a paragraph in a hard-wrapped document.

Kernels over the flags and widths of `text.segment_lines`; the rules are those of `text.segment`.
"""

from __future__ import annotations

from tamis.kernels import kernel
from text.segment_lines import BLANK, CJK, CODE, CODE_INDENT, CODE_LIKE, CODE_START, FENCE, INDENTED, LIST, LOWER

MIN_WRAPPED_COLUMNS = 40
MAX_WRAPPED_COLUMNS = 90


@kernel
def mark_code(flags, n):  # type: ignore[no-untyped-def]
    """Marks the lines of closed fences and of indented code."""
    unclosed = 0
    k = 0
    while k < n:
        fence = flags[k] & FENCE
        last = k - 1
        if fence and not fence & unclosed:
            j = k + 1
            while j < n and not flags[j] & fence:
                j += 1
            if j < n:
                last = j
            else:
                unclosed |= fence
        elif not fence and flags[k] & CODE_INDENT and (k == 0 or flags[k - 1] & (BLANK | CODE)):
            last, is_code = _indented_run(flags, k, n)
            if not is_code:
                k = last + 1
                continue
        if last < k:
            k += 1
            continue
        flags[k] |= CODE_START
        while k <= last:
            flags[k] |= CODE
            k += 1


@kernel
def _indented_run(flags, k, n):  # type: ignore[no-untyped-def]
    """The last line of the run of indented lines from `k`, blank ones inside; and whether it is code."""
    last = k
    lines = like = 0
    while k < n and flags[k] & (CODE_INDENT | BLANK) and not flags[k] & FENCE:
        if not flags[k] & BLANK:
            lines += 1
            like += 1 if flags[k] & CODE_LIKE else 0
            last = k
        k += 1
    return last, 2 * like >= lines


@kernel
def join_lines(flags, columns, n, joins):  # type: ignore[no-untyped-def]
    """Sets `joins[k]` where line k continues the paragraph of line k - 1: nowhere unless hard-wrapped."""
    in_item = False
    prose = inner = widest = 0
    for k in range(n):
        is_prose = not flags[k] & (BLANK | CODE)
        joins[k] = is_prose and k > 0 and not flags[k - 1] & (BLANK | CODE) and not flags[k] & LIST
        if joins[k] and flags[k] & INDENTED and not in_item:
            joins[k] = flags[k - 1] & INDENTED and columns[k - 1] >= MIN_WRAPPED_COLUMNS
        if joins[k]:
            joins[k] = columns[k - 1] >= MIN_WRAPPED_COLUMNS or flags[k] & LOWER
        if not joins[k]:
            in_item = flags[k] & LIST
        prose += is_prose
        if joins[k]:
            inner += 1
            if columns[k - 1] <= MAX_WRAPPED_COLUMNS:
                widest = max(widest, columns[k - 1])
    outside = flowing = 0
    for k in range(n):
        if not joins[k]:
            continue
        width = columns[k - 1]
        outside += not MIN_WRAPPED_COLUMNS <= width <= MAX_WRAPPED_COLUMNS
        full = widest - 4 <= width <= MAX_WRAPPED_COLUMNS
        flowing += 1 if flags[k] & LOWER or (flags[k] & CJK and full) else 0
    wrapped = inner >= 3 and 3 * inner >= prose and prose - inner >= 2
    if not (wrapped and 4 * outside <= inner and 2 * flowing >= inner):
        joins[:n] = False
