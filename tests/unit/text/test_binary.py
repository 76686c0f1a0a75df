"""Binary columns as numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from text.binary import as_numbers


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("number", [np.uint32, np.uint64])
def test_values_of_a_sliced_and_chunked_column(kind: pa.DataType, number: type[np.generic]) -> None:
    """Offsets begin at 0 wherever the column lies in its buffers; empty values and chunks take no room."""
    values = [[9, 9], [1, 2, 3], [], [4]]
    array = pa.array([np.array(value, number).tobytes() for value in values], kind)
    for column in (pa.chunked_array([array.slice(1)]), pa.chunked_array([array[1:2], array[:0], array[2:]])):
        ptr, numbers = as_numbers(column, number)
        assert ptr.tolist() == [0, 3, 3, 4] and numbers.tolist() == [1, 2, 3, 4] and numbers.dtype == number


def test_a_column_without_values() -> None:
    """One offset, no number."""
    for column in (pa.chunked_array([], pa.binary()), pa.chunked_array([pa.array([b""], pa.binary())])):
        ptr, numbers = as_numbers(column, np.uint32)
        assert set(ptr.tolist()) == {0} and len(ptr) == len(column) + 1 and len(numbers) == 0
