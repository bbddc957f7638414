"""MatMul, Gemm and Add in their forms, and MatMulInteger."""

import numpy as np
from onnx import TensorProto

from cases.builder import (
    F32,
    FORMS,
    NEWEST_OPSET,
    QDQ,
    QOPERATOR,
    Builder,
    integers,
    scale,
    spread_scale,
    zero_point,
)

TYPES = ("u8s8", "u8u8", "s8s8")


def _weight(builder, types, shape, columns, axis, as_constant=False):
    """A weight with one scale, or one for each of `columns` along `axis`."""
    rng = builder.rng
    offset = 128 if types == "s8" else 118
    if columns is None:
        scales, zeros = scale(rng, 0.002, 0.01), zero_point(types, offset)
        axis = None
    else:
        scales = np.array([scale(rng, 0.002, 0.01) for _ in range(columns)], F32)
        zeros = np.full(columns, zero_point(types, offset))
    return builder.weight(integers(rng, types, shape), scales, zeros, axis, as_constant)


def matmul(
    name, form, types="u8s8", a_shape=(3, 12), b_shape=(12, 5), per_column=False,
    constant=True, opset=17, float_io=False, as_constant=False,
):  # fmt: skip
    """MatMul by a constant, or of two activations if `constant` is false."""
    builder = Builder(f"matmul_{name}", "MatMul", form, opset, float_io)
    rng = builder.rng
    a_scale = scale(rng)
    a = builder.input(integers(rng, types[:2], a_shape), a_scale, zero_point(types[:2], 131))
    if constant:
        columns = b_shape[-1] if per_column else None
        b = _weight(builder, types[2:], b_shape, columns, len(b_shape) - 1, as_constant)
    else:
        b = builder.input(integers(rng, types[2:], b_shape), scale(rng), zero_point(types[2:], 120))
    y_scale = spread_scale(a_scale, b.scale, a_shape[-1])
    builder.output(builder.apply("MatMul", [a, b], y_scale, zero_point(types[:2], 103)))
    return builder.build()


def gemm(
    name, form, types="u8s8", rows=1, inner=16, columns=6, per_column=False, bias_shape=None,
    opset=17, float_io=False, **attributes,
):  # fmt: skip
    builder = Builder(f"gemm_{name}", "Gemm", form, opset, float_io)
    rng = builder.rng
    a_shape = (inner, rows) if attributes.get("transA") else (rows, inner)
    transposed = attributes.get("transB", 0)
    b_shape = (columns, inner) if transposed else (inner, columns)
    a_scale = scale(rng)
    a = builder.input(integers(rng, types[:2], a_shape), a_scale, zero_point(types[:2], 125))
    b = _weight(
        builder, types[2:], b_shape, columns if per_column else None, 0 if transposed else 1
    )
    bias = None
    if bias_shape is not None:
        bias = rng.integers(-50_000, 50_000, bias_shape, dtype=np.int32)
    y_scale = spread_scale(a_scale, b.scale, inner)
    y = builder.apply("Gemm", [a, b], y_scale, zero_point(types[:2], 90), bias, **attributes)
    builder.output(y)
    return builder.build()


def matmul_integer(name, types="u8s8", zeros="both", a_shape=(3, 9), b_shape=(9, 4), opset=10):
    builder = Builder(f"matmul_integer_{name}", "MatMulInteger", QOPERATOR, opset)
    rng = builder.rng
    a = builder.input(integers(rng, types[:2], a_shape), 1, 0)
    inputs = [a.name, builder.initializer("w", integers(rng, types[2:], b_shape))]
    if zeros != "none":
        inputs.append(builder.initializer("zero", zero_point(types[:2], 119)))
    if zeros == "both":
        inputs.append(builder.initializer("zero", zero_point(types[2:], 130)))
    if zeros == "columns":
        per_column = integers(rng, types[2:], (b_shape[-1],))
        inputs.append(builder.initializer("zero", per_column))
    builder.output_name(builder.node("MatMulInteger", inputs), TensorProto.INT32)
    return builder.build()


def add(
    name, form, types="u8", a_shape=(1, 4, 5, 5), b_shape=None, scales=(0.021, 0.013, 0.029),
    zeros=(128, 119, 121), constant=False, opset=17, float_io=False,
):  # fmt: skip
    """`scales` and `zeros` are those of a, b and the sum."""
    builder = Builder(f"add_{name}", "Add", form, opset, float_io)
    rng = builder.rng
    a_zero, b_zero, y_zero = (zero_point(types, offset) for offset in zeros)
    a = builder.input(integers(rng, types, a_shape), scales[0], a_zero)
    b_values = integers(rng, types, b_shape or a_shape)
    b = (builder.weight if constant else builder.input)(b_values, F32(scales[1]), b_zero)
    builder.output(builder.apply("Add", [a, b], scales[2], y_zero))
    return builder.build()


def add_to_itself(form):
    builder = Builder("add_to_itself", "Add", form)
    a = builder.input(integers(builder.rng, "u8", (1, 40)), 0.017, np.uint8(60))
    builder.output(builder.apply("Add", [a, a], 0.03, np.uint8(99)))
    return builder.build()


def add_all_pairs(form, types, scales, zeros, name):
    """All 65,536 pairs of two 8-bit values."""
    builder = Builder(f"add_all_pairs_{name}_{types}", "Add", form)
    limits = np.iinfo(np.uint8 if types == "u8" else np.int8)
    every = np.arange(limits.min, limits.max + 1).astype(limits.dtype)
    first, second = np.meshgrid(every, every, indexing="ij")
    a_zero, b_zero, y_zero = (zero_point(types, offset) for offset in zeros)
    a = builder.input(first.reshape(1, -1), scales[0], a_zero)
    b = builder.input(second.reshape(1, -1), scales[1], b_zero)
    builder.output(builder.apply("Add", [a, b], scales[2], y_zero))
    return builder.build()


def _matmuls(form):
    for types in TYPES:
        yield matmul(types, form, types)
    yield matmul("per_column_u8s8", form, per_column=True)
    yield matmul("per_column_s8s8", form, "s8s8", per_column=True)
    yield matmul("stacked", form, a_shape=(2, 3, 12))
    yield matmul("long", form, a_shape=(1, 700), b_shape=(700, 4))
    yield matmul("two_activations", form, "u8u8", constant=False)
    yield matmul("constant_node", form, as_constant=True)
    for opset in (10, 13, 21, NEWEST_OPSET):
        yield matmul(f"opset_{opset}", form, opset=opset)


def _gemms(form):
    for types in TYPES:
        yield gemm(types, form, types, bias_shape=(6,), transB=1)
        yield gemm(f"per_column_{types}", form, types, bias_shape=(6,), transB=1, per_column=True)
    yield gemm("not_transposed", form, bias_shape=(6,))
    yield gemm("not_transposed_per_column", form, bias_shape=(6,), per_column=True)
    yield gemm("no_bias", form, transB=1)
    yield gemm("rows", form, rows=4, bias_shape=(6,), transB=1)
    yield gemm("transposed_input", form, rows=3, transA=1, bias_shape=(6,))
    for opset in (11, 15, 21, NEWEST_OPSET):
        yield gemm(f"opset_{opset}", form, bias_shape=(6,), transB=1, opset=opset)


def _adds(form):
    for types in ("u8", "s8"):
        yield add(types, form, types)
    yield add("broadcast", form, b_shape=(1, 4, 1, 1))
    yield add("constant", form, a_shape=(1, 12), b_shape=(12,), constant=True)
    yield add_to_itself(form)
    yield add_all_pairs(form, "u8", (0.021, 0.013, 0.029), (128, 119, 121), "generic")
    yield add_all_pairs(form, "u8", (0.5, 0.25, 1.0), (0, 3, 250), "powers_of_two")
    yield add_all_pairs(form, "s8", (0.03, 0.03, 0.06), (128, 128, 128), "halves")
    yield add_all_pairs(form, "u8", (0.3, 0.001, 0.0009), (7, 200, 1), "far_apart")


def cases():
    for form in FORMS:
        yield from _matmuls(form)
        yield from _gemms(form)
        yield from _adds(form)
    yield matmul("float_io", QDQ, float_io=True)
    yield gemm("float_io", QDQ, bias_shape=(6,), transB=1, float_io=True)
    yield add("float_io", QDQ, float_io=True)
    yield gemm("alpha", QOPERATOR, alpha=0.37, transB=1)
    yield gemm("bias_matrix", QOPERATOR, rows=3, bias_shape=(3, 6))
    yield gemm("bias_row", QOPERATOR, rows=3, bias_shape=(1, 6))
    for types in TYPES:
        yield matmul_integer(types, types)
    yield matmul_integer("no_zeros", zeros="none")
    yield matmul_integer("zero_per_column", zeros="columns")
    yield matmul_integer("stacked", a_shape=(2, 3, 9))
    yield matmul_integer("opset_21", opset=21)
