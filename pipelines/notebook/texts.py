"""Texts as people have them, as the column that kernels take, and results in the order of the texts.

A list or another sequence of `str`, a pyarrow array, a polars or pandas series. None (null, NaN in pandas) is no text:
it is a null in every result, and no copy of anything. A lone surrogate, which no UTF-8 can hold, becomes U+FFFD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.errors import ConfigError
from text.arrow import TextColumn

if TYPE_CHECKING:
    import pandas
    import polars

    Texts: TypeAlias = Sequence[str | None] | pa.Array | pa.ChunkedArray | polars.Series | pandas.Series
    """A list of str, a pyarrow array of strings, a polars or pandas series."""


class Column:
    """Texts as a column, and which of them are texts: `known`, bool[n]."""

    def __init__(self, texts: Texts) -> None:
        array = _as_arrow(texts)
        self.known: npt.NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
        self.text = TextColumn.from_arrow(array)

    def __len__(self) -> int:
        return len(self.text)

    def array(self, values: Any, kind: pa.DataType | None = None) -> pa.Array:
        """Values, one a text (numpy or Arrow), as an array with a null where there is no text."""
        found = values if isinstance(values, pa.Array) else pa.array(values)
        found = found if kind is None else found.cast(kind)
        return found if self.known.all() else pc.if_else(pa.array(self.known), found, pa.scalar(None, found.type))

    def table(self, columns: Mapping[str, Any]) -> pa.Table:
        """The same for several columns by name."""
        return pa.table({name: self.array(values) for name, values in columns.items()})


def _as_arrow(texts: Any) -> pa.Array:
    """The texts as one large_string array of valid UTF-8.

    Raises:
        ConfigError: they are something else.
    """
    if isinstance(texts, str | bytes | Mapping):
        raise ConfigError(
            f"texts: found a {type(texts).__name__}; expected a list of str, or an array or series of them"
        )
    if hasattr(texts, "to_arrow"):  # polars
        texts = texts.to_arrow()
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if not isinstance(texts, pa.Array):
        texts = _from_objects(texts)
    if isinstance(texts, pa.ChunkedArray):  # of more than 2 GiB
        texts = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in texts.chunks])
    kind = texts.type.value_type if pa.types.is_dictionary(texts.type) else texts.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind in (pa.string_view(), pa.null())):
        raise ConfigError(f"texts: found an array of {texts.type}; expected one of strings")
    found = texts.cast(pa.large_string())
    try:
        found.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ConfigError(f"texts: found {error}; expected valid UTF-8") from error
    return found


def _from_objects(texts: Any) -> pa.Array:
    """Python objects, numpy's or pandas', as an array of strings."""
    values = texts.tolist() if hasattr(texts, "tolist") else texts
    try:
        values = list(values)
    except TypeError:
        raise ConfigError(f"texts: found a {type(texts).__name__}; expected a list of str") from None
    try:
        return pa.array(values, pa.large_string(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        at, value = next((i, v) for i, v in enumerate(values) if not (v is None or v != v or isinstance(v, str)))
        raise ConfigError(f"texts[{at}]: found a {type(value).__name__}; expected a str or None") from None
    except UnicodeEncodeError:
        whole = [
            v.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(v, str) else v for v in values
        ]
        return pa.array(whole, pa.large_string(), from_pandas=True)
