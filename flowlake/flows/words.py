"""Bytes by the word, for compiled loops: eight of them as one number, sixty-four of them looked at at once.

Nothing here looks whether the bytes are there: behind the place there must be as many as are read.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BYTE, _WORD, _BYTES = ir.IntType(8), ir.IntType(64), 64
_BLOCK = ir.VectorType(_BYTE, _BYTES)


def _load(context: Any, builder: Any, signature: Any, arguments: Any, kind: Any) -> Any:
    """What is read from an array of bytes at a place, wherever it lies."""
    content = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
    place = builder.bitcast(builder.gep(content.data, [arguments[1]]), kind.as_pointer())
    return builder.load(place, align=1)


def _splat(builder: Any, byte: Any) -> Any:
    block = builder.insert_element(ir.Constant(_BLOCK, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(block, block, ir.Constant(ir.VectorType(ir.IntType(32), _BYTES), [0] * _BYTES))


@intrinsic
def word(typing, content, place):  # type: ignore[no-untyped-def]
    """Eight bytes, the first one lowest."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _load(context, builder, signature, arguments, _WORD)

    return types.uint64(content, types.int64), build


@intrinsic
def put_word(typing, content, place, bits):  # type: ignore[no-untyped-def]
    """Writes eight bytes, the lowest one first."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        held = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        place = builder.bitcast(builder.gep(held.data, [arguments[1]]), _WORD.as_pointer())
        builder.store(arguments[2], place, align=1)
        return context.get_dummy_value()

    return types.void(content, types.int64, types.uint64), build


@intrinsic
def equal(typing, content, place, byte):  # type: ignore[no-untyped-def]
    """Which of sixty-four bytes are the byte: one bit each, the first one lowest."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        block = _load(context, builder, signature, arguments, _BLOCK)
        return builder.bitcast(builder.icmp_unsigned("==", block, _splat(builder, arguments[2])), _WORD)

    return types.uint64(content, types.int64, types.uint8), build


@intrinsic
def below(typing, content, place, byte):  # type: ignore[no-untyped-def]
    """Which of sixty-four bytes are less than the byte."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        block = _load(context, builder, signature, arguments, _BLOCK)
        return builder.bitcast(builder.icmp_unsigned("<", block, _splat(builder, arguments[2])), _WORD)

    return types.uint64(content, types.int64, types.uint8), build


@intrinsic
def no_plain(typing, content, place):  # type: ignore[no-untyped-def]
    """Which of sixty-four bytes are no plain ASCII characters: controls, the space, and all from 128 on."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        block = _load(context, builder, signature, arguments, _BLOCK)
        return builder.bitcast(builder.icmp_signed("<", block, _splat(builder, ir.Constant(_BYTE, 33))), _WORD)

    return types.uint64(content, types.int64), build


@intrinsic
def ones(typing, bits):  # type: ignore[no-untyped-def]
    """How many bits are set."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), build


@intrinsic
def lowest(typing, bits):  # type: ignore[no-untyped-def]
    """The place of the lowest bit that is set; 64 where none is."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), build
