"""Why one copy stayed and another went, in a word and a number, for `explain`: the difference that weighed most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup.resolve import Members, Resolved
from filters.damage.grade import COSTS, PARTS

ELECTIONS = pa.schema(
    {
        "row": pa.int32(),
        "doc_id": pa.int64(),
        "other": pa.int64(),
        "merit": pa.float32(),
        "other_merit": pa.float32(),
        "because": pa.string(),
        "amount": pa.float32(),
    }
)
"""About each new document that lost, beside its survivor, and each that took others, beside the best of them.

Merits are in tokens. `because` names what weighed most of what spoke for the one that stayed: one of
`filters.damage.grade.PARTS`, `quality`, `bytes`, `priority`, `first` (the lower id), `published` (by an earlier
snapshot), or the setting `keep`. `amount` is how large the difference was: tokens of text or strange matter, a number
of marks, quality, or bytes.
"""
_UNITS = np.concatenate([[100, 300], COSTS, [1]]).astype(np.float64)


@dataclass(frozen=True)
class Reasons:
    """What an election went by: the members, their merits' parts (int32[n, len(PARTS)]), and the setting `keep`."""

    members: Members
    parts: npt.NDArray[np.int32]
    keep: str

    def elections(self, found: Resolved) -> dict[str, npt.NDArray[Any]]:
        """The columns of `ELECTIONS`, but `row`, of all new documents that lost or took others."""
        members = self.members
        worth = members.merit + found.by_quality
        lost = np.flatnonzero(found.survivor != np.arange(len(worth)))
        order = lost[np.lexsort((members.doc_id[lost], -worth[lost], found.survivor[lost]))]
        takers, first = np.unique(found.survivor[order], return_index=True)
        one, other = np.concatenate([lost, takers]), np.concatenate([found.survivor[lost], order[first]])
        new = ~members.final[one]
        one, other = one[new], other[new]
        won = found.survivor[one] == one
        because, amount = self._differences(np.where(won, one, other), np.where(won, other, one), found.by_quality)
        return {
            "doc_id": members.doc_id[one],
            "other": members.doc_id[other],
            "merit": (worth[one] / 100).astype(np.float32),
            "other_merit": (worth[other] / 100).astype(np.float32),
            "because": because,
            "amount": amount,
        }

    def _differences(
        self, winner: npt.NDArray[np.int64], loser: npt.NDArray[np.int64], by_quality: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        """What weighed most between winners and losers, and how large it was."""
        members = self.members
        parts = np.concatenate([self.parts, by_quality[:, None]], axis=1).astype(np.int64)
        gains = parts[winner] - parts[loser]
        most = gains.argmax(axis=1) if len(gains) else np.zeros(0, np.int64)
        because = np.array([*PARTS, "quality"], dtype=object)[most]
        amount = gains[np.arange(len(most)), most] / _UNITS[most]
        quality = most == len(PARTS)
        amount[quality] = (members.quality[winner] - members.quality[loser])[quality]
        equal = gains.sum(axis=1) == 0
        shorter = equal & (members.length[winner] < members.length[loser])
        because[equal], amount[equal] = "first", 0
        if members.priority is not None:
            because[equal & (members.priority[winner] < members.priority[loser])] = "priority"
        because[shorter], amount[shorter] = "bytes", (members.length[loser] - members.length[winner])[shorter]
        if members.foremost is not None:
            ahead = members.foremost[winner] > members.foremost[loser]
            because[ahead], amount[ahead] = self.keep, (members.foremost[winner] - members.foremost[loser])[ahead]
        because[members.final[winner]], amount[members.final[winner]] = "published", 0
        return because, np.abs(amount).astype(np.float32)
