"""What crosses between the driver and its tasks: a function by its name, and frozen dataclasses as JSON.

A task is a function of ours and the dataclass that it takes. Nothing is pickled, so that a task imports no code of ours
before that code lies in a real folder (`pipelines.spark.worker`); JSON can also be read by people, and hashed to name a
receipt. Both sides take the types from the function's annotations.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import pyarrow as pa
from pydantic import GetPydanticSchema, TypeAdapter
from pydantic_core import core_schema

Kind = TypeVar("Kind")


def _schema_of(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(text)))


def _text_of(schema: pa.Schema) -> str:
    return schema.serialize().to_pybytes().hex()


WireSchema = Annotated[
    pa.Schema,
    GetPydanticSchema(
        lambda _source, _handler: core_schema.no_info_plain_validator_function(
            _schema_of, serialization=core_schema.plain_serializer_function_ser_schema(_text_of)
        )
    ),
]
"""An Arrow schema as a field of what crosses."""


def name_of(function: Callable[..., Any]) -> str:
    """`module:function`, by which a task finds the function.

    Raises:
        TypeError: the function is a lambda, or defined in a class or another function.
    """
    if not function.__qualname__.isidentifier():
        raise TypeError(f"{function.__qualname__} of {function.__module__} has no name by which a task could find it")
    return f"{function.__module__}:{function.__qualname__}"


def function_of(name: str) -> Callable[..., Any]:
    """The function that `name_of` named."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def argument_type(function: Callable[..., Any], position: int = 0) -> type[Any]:
    """The annotated type of a function's argument."""
    name = list(inspect.signature(function).parameters)[position]
    return get_type_hints(function)[name]


def answer_type(function: Callable[..., Any]) -> type[Any]:
    """The type of what a function returns or, if it is a generator, yields."""
    hint = get_type_hints(function)["return"]
    return get_args(hint)[0] if inspect.isgeneratorfunction(function) else hint


def encode(value: Any) -> str:
    """A dataclass as JSON, its fields in the order of the class."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value).decode()


def decode(kind: type[Kind], text: str) -> Kind:
    """The dataclass that `encode` wrote.

    Raises:
        ValueError: the text is no such dataclass.
    """
    hashable: Any = kind
    return _adapter(hashable).validate_json(text)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
