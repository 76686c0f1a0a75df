"""Document ids: position, packed in 63 bits.

`doc_id` = snapshot (12 bits) · document shard (24) · row (27). Ids that come from position need no counter, no
coordination and no shuffle; they sort in corpus order, and the shard of an id is two shifts away. In JSON an id is a
string, because it passes 2^53.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tamis.errors import TamisError

Id = TypeVar("Id", int, npt.NDArray[np.int64])

SNAPSHOT_BITS, SHARD_BITS, ROW_BITS = 12, 24, 27
MAX_SNAPSHOT = (1 << SNAPSHOT_BITS) - 1
MAX_SHARD = (1 << SHARD_BITS) - 1
MAX_ROW = (1 << ROW_BITS) - 1


def first_id(snapshot: int, shard: int) -> int:
    """The id of row 0 of a document shard.

    Raises:
        TamisError: snapshot or shard does not fit its bits.
    """
    if not 0 <= snapshot <= MAX_SNAPSHOT:
        raise TamisError(f"snapshot {snapshot} is outside 0..{MAX_SNAPSHOT}")
    if not 0 <= shard <= MAX_SHARD:
        raise TamisError(f"document shard {shard} is outside 0..{MAX_SHARD}: raise ingest.target_shard_bytes")
    return (snapshot << (SHARD_BITS + ROW_BITS)) | (shard << ROW_BITS)


def snapshot_of(doc_id: Id) -> Id:
    """The snapshot that ingested a document, or each of an array of them."""
    return doc_id >> (SHARD_BITS + ROW_BITS)


def shard_of(doc_id: Id) -> Id:
    """The document shard number within its snapshot."""
    return (doc_id >> ROW_BITS) & MAX_SHARD


def row_of(doc_id: Id) -> Id:
    """The row within its document shard."""
    return doc_id & MAX_ROW
