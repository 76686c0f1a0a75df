"""SentencePiece's model file: what merging vocabularies needs of it, without the protobuf library.

The file is one protobuf message. Its pieces are a repeated field, which can be extended by appending entries to the
message; an embedded message that occurs twice is merged, and later values win. So an extended model is the old file
with bytes appended. No byte of the old file changes, so the ids of its pieces cannot change either. Any protobuf
reader understands it. Rejected: a dependency on the package `protobuf`, which SentencePiece's own
`sentencepiece_model_pb2` needs, just to read three fields and write two.

Source: protobuf, "Encoding", sections "Message Structure" and "Last One Wins"; sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECES, TRAINER = 1, 2  # fields of the model
PIECE_TEXT, PIECE_SCORE, PIECE_KIND = 1, 2, 3  # fields of a piece
MODEL_TYPE, VOCAB_SIZE = 3, 4  # fields of the trainer's settings
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # kinds of pieces
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Piece:
    """An entry of the vocabulary."""

    text: str  # with "▁" for a space
    score: float  # in a BPE minus the piece's rank: the higher, the earlier it is merged
    kind: int = NORMAL  # NORMAL, CONTROL, BYTE, …


def read_pieces(model: bytes) -> list[Piece]:
    """All pieces, in the order of their ids.

    Raises:
        ValueError: the bytes are not a model.
    """
    pieces = [_piece(value) for number, value in _fields(model) if number == PIECES and isinstance(value, bytes)]
    if not pieces:
        raise ValueError("no pieces")
    return pieces


def model_type(model: bytes) -> str:
    """ "bpe", "unigram", "word" or "char".

    Raises:
        ValueError: the bytes are not a model.
    """
    kind = 1  # the default of the format
    for number, value in _fields(model):
        if number == TRAINER and isinstance(value, bytes):
            for inner, setting in _fields(value):
                if inner == MODEL_TYPE and isinstance(setting, int):
                    kind = setting
    return MODEL_TYPES.get(kind, f"type {kind}")


def piece_bytes(model: bytes) -> list[int]:
    """UTF-8 bytes of the text that each piece stands for, in the order of their ids; control pieces stand for none.

    An unknown piece counts as one byte, the least possible, as its text is lost. For a model that normalises text,
    these are bytes of the normalised text.

    Raises:
        ValueError: the bytes are not a model.
    """
    sizes = {CONTROL: 0, UNKNOWN: 1, BYTE: 1}
    return [sizes.get(piece.kind, len(piece.text.replace("▁", " ").encode())) for piece in read_pieces(model)]


def with_pieces(model: bytes, pieces: Iterable[Piece]) -> bytes:
    """The model with further pieces appended to its own, and the new vocabulary size in its settings.

    Raises:
        ValueError: the bytes are not a model.
    """
    added = list(pieces)
    entries = b"".join(_field(PIECES, _encoded(piece)) for piece in added)
    total = len(read_pieces(model)) + len(added)
    return model + entries + _field(TRAINER, _tag(VOCAB_SIZE, _VARINT) + _varint(total))


def _encoded(piece: Piece) -> bytes:
    score = _tag(PIECE_SCORE, _FIXED32) + struct.pack("<f", piece.score)
    return _field(PIECE_TEXT, piece.text.encode("utf-8")) + score + _tag(PIECE_KIND, _VARINT) + _varint(piece.kind)


def _piece(message: bytes) -> Piece:
    text, score, kind = "", 0.0, NORMAL
    for number, value in _fields(message):
        if number == PIECE_TEXT and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == PIECE_SCORE and isinstance(value, bytes):
            score = struct.unpack("<f", value)[0]
        elif number == PIECE_KIND and isinstance(value, int):
            kind = value
    return Piece(text, score, kind)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field: a varint as an int, anything else as its bytes."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _read_varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(message):
            raise ValueError(f"a field of {size} bytes at byte {at} of {len(message)}")
        yield number, message[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        if at >= len(data):
            raise ValueError("the message ends inside a number")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _field(number: int, content: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(content)) + content
