"""Forms of quantized groups: which kernel ONNX Runtime runs for each, and whether the label is true.

    group_forms.py ZKONNX [COUNT] [--seed N] [--only OPERATOR] [--verbose]

Draws COUNT forms (operators, types of activation, weights and result, biases, clamps and functions, zero points,
opsets, QDQ and QOperator, scales of two kinds that make many ties, and results in steps so small that the roundings of
float sums show; families of forms by their names: Residual, Several, Stacked, Negative, Short, Masked), asks ONNX Runtime live, runs the binary, and reads ONNX Runtime's optimized graph. A form fails if

- a group that `check` calls exact differs in any element;
- another differs by more than the distance that `check` gives it;
- `check` names an integer kernel where ONNX Runtime computes in float, or the other way round.

`resize` as COUNT compares Resize in all modes for all pairs of extents up to 64, or up to the number after `--seed`.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

import executor
import ort_session

F32 = np.float32
TYPES = {"u8": np.uint8, "i8": np.int8, "i32": np.int32, "u16": np.uint16, "i16": np.int16}
MICROSOFT = "com.microsoft"
INTEGER_PREFIXES = ("QLinear", "QGemm", "Nhwc")
# Rules that are not exact although ONNX Runtime runs an integer kernel, or the other way round.
OWN_RULES = ("Softmax", "exact sum")


class Builder:
    """A model of one group."""

    def __init__(self, opset):
        self.opset = opset
        self.nodes, self.constants, self.inputs, self.feeds = [], [], [], {}
        self.count = 0

    def name(self, stem):
        self.count += 1
        return f"{stem}{self.count}"

    def constant(self, array):
        name = self.name("c")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def short(self, array, signed):
        """A constant of 4 bits."""
        name = self.name("c")
        kind = onnx.TensorProto.INT4 if signed else onnx.TensorProto.UINT4
        array = np.asarray(array)
        self.constants.append(helper.make_tensor(name, kind, array.shape, array.ravel().tolist()))
        return name

    def node(self, op, inputs, domain="", **attributes):
        name = self.name(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [name], name, domain=domain, **attributes))
        return name

    def input(self, array):
        """An input that holds `array`, whose first axis counts samples."""
        name = self.name("x")
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, kind, array.shape[1:]))
        self.feeds[name] = array
        return name

    def dequantize(self, name, scale, zero, kind, **attributes):
        scale = self.constant(np.asarray(scale, F32))
        zero = self.constant(np.asarray(zero, TYPES[kind]))
        return self.node("DequantizeLinear", [name, scale, zero], **attributes)

    def quantize(self, name, scale, zero, kind):
        inputs = [name, self.constant(F32(scale)), self.constant(TYPES[kind](zero))]
        return self.node("QuantizeLinear", inputs)

    def model(self, outputs):
        outputs = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "group", self.inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain == MICROSOFT for node in self.nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        short = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}
        version = 10 if any(c.data_type in short for c in self.constants) else 8
        return helper.make_model(graph, opset_imports=opsets, ir_version=version)


# Scales whose results have steps near the roundings of sums.
TINY = {"tiny5": (0.02, 0.01, 1e-5), "tiny6": (0.02, 0.01, 1e-6), "tiny7": (0.02, 0.01, 1e-7)}


@dataclass(frozen=True)
class Form:
    """What is drawn. `large` builds see more elements than `check` could plan a circuit for."""

    operator: str
    x: str
    w: str
    y: str
    bias: str
    after: str
    zero: str
    opset: int
    ties: str
    extra: str
    seed: int

    def scales(self):
        return {"two": (2**-5, 2**-6, 2**-4), "ten": (0.02, 0.01, 0.04), **TINY}[self.ties]

    @property
    def is_tiny(self):
        """Whether the steps of the result are near the roundings of its sums, which cancel."""
        return self.ties in TINY

    def build(self, large):
        rng = np.random.default_rng(self.seed)
        builder = Builder(self.opset)
        result = BUILDERS[self.operator](self, builder, rng, large)
        return builder.model(result), builder.feeds


def values(rng, kind, shape):
    info = np.iinfo(TYPES[kind])
    return rng.integers(info.min, info.max + 1, shape).astype(TYPES[kind])


def cancelling(rng, kind, shape, axis):
    """Values of which neighbours along an axis are nearly as far above the zero point as below it."""
    info, zero = np.iinfo(TYPES[kind]), middle(kind)
    lines = [1 if i == axis else n for i, n in enumerate(shape)]
    far = rng.integers(0, min(info.max - zero, zero - info.min), lines)
    signs = np.where(np.arange(shape[axis]) % 2, 1, -1)
    if shape[axis] % 2:
        signs[-1] = 0
    signs = signs.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return (zero + far * signs + rng.integers(-1, 2, shape)).astype(TYPES[kind])


def everything(kind):
    info = np.iinfo(TYPES[kind])
    return np.arange(info.min, info.max + 1).astype(TYPES[kind])


def middle(kind):
    return 120 if kind.startswith("u") else -3


def zero_of(form):
    """The zero point of the result: the lowest value, or another."""
    lowest = int(np.iinfo(TYPES[form.y]).min)
    if form.zero == "lowest":
        return lowest
    return lowest + (32000 if form.y.endswith("16") else 30)


def close(form, builder, name, scale):
    """What follows the operator, and the quantization."""
    kept = [name] if form.extra == "output" else []
    for step in filter(None, form.after.split("+")):
        if step.startswith("clip"):
            lo, hi = {"clip": (0, 3), "clipwide": (-1000, 1000)}[step]
            if form.opset < 11:
                name = builder.node("Clip", [name], min=float(lo), max=float(hi))
            else:
                name = builder.node(
                    "Clip", [name, builder.constant(F32(lo)), builder.constant(F32(hi))]
                )
        elif step == "reshape":
            name = builder.node("Reshape", [name, builder.constant(np.array([-1], np.int64))])
        else:
            name = builder.node(step.capitalize(), [name])
    made = builder.quantize(name, scale, zero_of(form), form.y)
    if form.extra == "twice":
        kept.append(builder.quantize(name, 2 * scale, zero_of(form), form.y))
    return [made, *kept]


def bias_of(form, builder, rng, n, rows, product):
    units = rng.integers(-400, 400, n)
    if form.bias == "none":
        return None
    if form.bias == "i32":
        return builder.dequantize(builder.constant(units.astype(np.int32)), product, 0, "i32")
    if form.bias == "i32other":
        return builder.dequantize(builder.constant(units.astype(np.int32)), 7e-4, 0, "i32")
    if form.bias == "i32near":
        near = F32(product * 1.004)
        return builder.dequantize(builder.constant(units.astype(np.int32)), near, 0, "i32")
    if form.bias == "i8":
        return builder.dequantize(builder.constant((units // 4).astype(np.int8)), 2**-9, 0, "i8")
    floats = (units * 2.0**-10).astype(F32)
    if form.bias == "float":
        return builder.constant(floats)
    if form.bias == "matrix" and form.operator in ("Gemm", "MatMul"):
        # Two rows again and again, so that few rows have the same reals as many.
        pair = (rng.integers(-400, 400, (2, n)) * 2.0**-10).astype(F32)
        return builder.constant(np.tile(pair, (rows // 2, 1)))
    quantized = builder.quantize(builder.constant(floats), 2**-8, 3, "i8")
    return builder.dequantize(quantized, 2**-8, 3, "i8")


def linear(form, builder, rng, large):
    sx, sw, sy = form.scales()
    product = F32(F32(sx) * F32(sw))
    rows = 32 if large else 2
    spatial = 12 if large else 4
    matrix = form.operator in ("Gemm", "MatMul")
    x_shape = (2, rows, 9) if matrix else (2, 1, 2, spatial, spatial)
    w_shape = {"Conv": (3, 2, 2, 2), "ConvTranspose": (2, 3, 2, 2)}.get(form.operator, (9, 3))
    weights = rng.integers(-60, 60, w_shape)
    x_values = values(rng, form.x, x_shape)
    if form.is_tiny:
        # Every sum of a row is a small difference of large products.
        axis = 0 if matrix else 1 - w_shape.index(3)
        weights = np.abs(weights) // 2 * 2
        weights = np.take(weights, np.zeros(w_shape[axis], int), axis)
        inner = [slice(None)] * len(w_shape)
        inner[axis] = slice(1, None, 2)
        weights[tuple(inner)] += rng.integers(-1, 2, weights[tuple(inner)].shape)
        x_values = cancelling(rng, form.x, x_shape, 2)
    w_zero = 0
    if form.w == "u8":
        weights, w_zero = weights + 70, 70
    x = builder.dequantize(builder.input(x_values), sx, middle(form.x), form.x)
    w = builder.constant(weights.astype(TYPES[form.w]))
    channel = {"Conv": 0}.get(form.operator, 1)
    if form.extra == "channels":
        scales = [sw, sw, sw * 1.5]
        w = builder.dequantize(w, scales, [w_zero] * 3, form.w, axis=channel)
    else:
        w = builder.dequantize(w, sw, w_zero, form.w)
    bias = bias_of(form, builder, rng, 3, rows, product)
    if form.operator == "MatMul":
        name = builder.node("MatMul", [x, w])
        name = name if bias is None else builder.node("Add", [name, bias])
    else:
        attributes = {}
        if form.extra in ("alpha", "beta") and form.operator == "Gemm":
            attributes = {form.extra: 0.5}
        name = builder.node(form.operator, [x, w, *([] if bias is None else [bias])], **attributes)
    return close(form, builder, name, sy)


def pair(form, builder, rng, large):
    sx, sw, sy = form.scales()
    a, b = everything(form.x), everything(form.w)
    if not large:
        a, b = a[::40], b[::40]
    a = builder.dequantize(builder.input(a.reshape(1, -1, 1)), sx, middle(form.x), form.x)
    b = builder.dequantize(builder.input(b.reshape(1, 1, -1)), sw * 3, middle(form.w), form.w)
    return close(form, builder, builder.node(form.operator, [a, b]), sy)


def pool(form, builder, rng, large):
    sx, _, sy = form.scales()
    extent = 13 if large else 5
    shape = (2, 1, 2, extent, extent)
    x = cancelling(rng, form.x, shape, 4) if form.is_tiny else values(rng, form.x, shape)
    x = builder.dequantize(builder.input(x), sx, middle(form.x), form.x)
    attributes = {}
    if form.operator == "AveragePool":
        attributes = {"kernel_shape": [3, 2], "strides": [2, 2]}
        if form.bias in ("i32", "i32other"):
            attributes["pads"] = [1, 1, 1, 0]
            attributes["count_include_pad"] = int(form.bias == "i32")
        if form.bias in ("float", "i32"):
            attributes["ceil_mode"] = 1
    scale = sx if form.extra == "channels" else sy
    return close(form, builder, builder.node(form.operator, [x], **attributes), scale)


def reduction(form, builder, rng, large):
    sx, _, sy = form.scales()
    shape = (2, 64 if large else 2, 37)
    x = cancelling(rng, form.x, shape, 2) if form.is_tiny else values(rng, form.x, shape)
    x = builder.dequantize(builder.input(x), sx, middle(form.x), form.x)
    axis = builder.constant(np.array(1 if form.operator == "CumSum" else [1], np.int64))
    if form.operator == "CumSum":
        flags = {"reverse": int(form.extra == "alpha"), "exclusive": int(form.extra == "beta")}
        name = builder.node("CumSum", [x, axis], **flags)
    elif form.opset < (18 if form.operator == "ReduceMean" else 13):
        name = builder.node(form.operator, [x], axes=[1])
    else:
        name = builder.node(form.operator, [x, axis])
    return close(form, builder, name, sy)


def function(form, builder, rng, large):
    sx, _, _ = form.scales()
    x = everything(form.x) if large else everything(form.x)[::32]
    x = builder.dequantize(builder.input(x.reshape(1, 1, -1)), 4 * sx, middle(form.x), form.x)
    scale = {"i32": 2**-8, "i8": 2**-12, "float": 1e-3}.get(form.bias, 0.01)
    attributes = {"axis": -1} if form.operator == "Softmax" else {}
    if form.operator == "Softmax":
        # Lines of eight; a scale of all levels, and others.
        x = builder.node("Reshape", [x, builder.constant(np.array([-1, 8], np.int64))])
        scale = {"i32": 2**-8, "float": 1 / 255, "i8": 2**-6}.get(form.bias, 1 / 200)
    return close(form, builder, builder.node(form.operator, [x], **attributes), scale)


def residual(form, builder, rng, large):
    """What a linear operator makes, and other reals, added before any of them is quantized."""
    sx, sw, sy = form.scales()
    rows, spatial = (32, 9) if large else (2, 3)
    operator = ("Conv", "Gemm", "MatMul")[form.seed % 3]
    convolution = operator == "Conv"
    x_shape = (2, 1, 3, spatial, spatial) if convolution else (2, rows, 6)
    x = builder.dequantize(builder.input(values(rng, form.x, x_shape)), sx, middle(form.x), form.x)

    def product(scale):
        w_shape = (3, 3, 1, 1) if convolution else (6, 3)
        weights, zero = rng.integers(-60, 60, w_shape), 0
        if form.w == "u8":
            weights, zero = weights + 70, 70
        channel = 0 if convolution else 1
        scales = [scale, scale * 1.3, scale * 0.7] if form.extra == "channels" else scale
        zeros = [zero] * 3 if form.extra == "channels" else zero
        axis = {"axis": channel} if form.extra == "channels" else {}
        w = builder.constant(weights.astype(TYPES[form.w]))
        inputs = [x, builder.dequantize(w, scales, zeros, form.w, **axis)]
        if operator != "MatMul" and form.bias in ("float", "i32"):
            inputs.append(bias_of(form, builder, rng, 3, rows, F32(F32(sx) * F32(sw))))
        return builder.node(operator, inputs)

    y_shape = (2, 1, 3, spatial, spatial) if convolution else (2, rows, 3)
    other = builder.dequantize(builder.input(values(rng, form.y, y_shape)), sw * 3, middle(form.y), form.y)
    name = product(sw)
    match form.bias:
        case "i8":
            name = builder.node("Add", [name, product(sw * 1.7)])
        case "i32other":
            name = builder.node("Sub", [other, name])
        case "i32near":
            name = builder.node("Sum", [other, name, product(sw / 3)])
        case "qdq":
            name = builder.node("Add", [builder.node("Relu", [other]), name])
        case "none" if convolution:
            # What an exporter leaves that cannot fold it into quantized weights.
            numbers = [builder.constant(rng.uniform(0.3, 2, 3).astype(F32)) for _ in range(4)]
            name = builder.node("Add", [builder.node("BatchNormalization", [name, *numbers]), other])
        case "none":
            name = builder.node("Mul", [name, builder.constant(F32(-0.37))])
            name = builder.node("Sub", [other, name])
        case "matrix":
            shape = (1, 3, 1, 1) if convolution else (1, 3)
            other = builder.dequantize(builder.constant(values(rng, form.w, shape)), 0.05, 3, form.w)
            name = builder.node("Add", [name, other])
            more = builder.input(values(rng, form.x, y_shape))
            name = builder.node("Add", [builder.dequantize(more, sx, 5, form.x), name])
        case _:
            name = builder.node("Add", [name, other])
    return close(form, builder, name, 4 * sy)


def negative(form, builder, rng, large):
    """A Gemm whose product is subtracted, in both forms; and a ConvTranspose of groups with scales for each channel."""
    sx, sw, sy = form.scales()
    rows = 64 if large else 2
    x = builder.input(values(rng, form.x, (2, rows, 6)))
    weights = builder.constant(values(rng, form.w, (6, 3)))
    zeros = [7] * 3
    scales = [sw, sw * 1.3, sw * 0.7] if form.extra == "channels" else [sw] * 3
    if form.extra == "alpha":
        channels = builder.input(values(rng, form.x, (2, 1, 4, rows, 3)))
        channels = builder.dequantize(channels, sx, middle(form.x), form.x)
        kernel = builder.constant(values(rng, form.w, (4, 3, 2, 2)))
        kernel = builder.dequantize(kernel, [sw, sw * 1.3, sw * 0.7], zeros, form.w, axis=1)
        name = builder.node("ConvTranspose", [channels, kernel], group=2, strides=[2, 1])
        return close(form, builder, name, 4 * sy)
    alpha = (-1.0, -0.5, -1.7)[form.seed % 3]
    units = builder.constant(rng.integers(-4000, 4000, 3).astype(np.int32))
    if form.bias in ("i32", "i32other", "none"):
        inputs = [x, builder.constant(F32(sx)), builder.constant(TYPES[form.x](middle(form.x)))]
        inputs += [weights, builder.constant(np.array(scales, F32))]
        inputs += [builder.constant(np.array(zeros, TYPES[form.w])), "" if form.bias == "none" else units]
        inputs += [builder.constant(F32(4 * sy)), builder.constant(TYPES[form.y](zero_of(form)))]
        return [builder.node("QGemm", inputs, MICROSOFT, alpha=alpha)]
    x = builder.dequantize(x, sx, middle(form.x), form.x)
    inputs = [x, builder.dequantize(weights, scales, zeros, form.w, axis=1)]
    if form.bias in ("float", "i8"):
        inputs.append(builder.constant(rng.normal(size=3).astype(F32)))
    beta = {"beta": -0.3} if form.extra == "beta" else {}
    return close(form, builder, builder.node("Gemm", inputs, alpha=alpha, **beta), 4 * sy)


def short(form, builder, rng, large):
    """Weights of 4 bits: one scale, scales of channels, and scales of blocks."""
    builder.opset = 21
    sx, _, sy = form.scales()
    signed = form.w == "i8"
    low, high = (-8, 8) if signed else (0, 16)
    rows, k = (64, 32) if large else (2, 8)
    x = builder.dequantize(builder.input(values(rng, form.x, (2, rows, k))), sx, middle(form.x), form.x)
    transposed = form.seed % 2 and form.seed % 3
    axis = int(bool(transposed))
    block = {"i32": 4, "i8": 8, "float": 3, "qdq": 16}.get(form.bias)
    shape = [3, k] if transposed else [k, 3]
    if block:
        scales = list(shape)
        scales[axis] = -(-k // block)
        attributes = {"axis": axis, "block_size": block}
    elif form.extra == "channels":
        scales, attributes = [3], {"axis": 1 - axis}
    else:
        scales, attributes = [], {}
    inputs = [
        builder.short(rng.integers(low, high, shape), signed),
        builder.constant(rng.uniform(0.05, 0.2, scales).astype(F32)),
        builder.short(rng.integers(low, high, scales), signed),
    ]
    weights = builder.node("DequantizeLinear", inputs, **attributes)
    if form.seed % 3:
        name = builder.node("Gemm", [x, weights], transB=axis)
    else:
        name = builder.node("MatMul", [x, weights])
    return close(form, builder, name, 20 * sy)


def masked(form, builder, rng, large):
    """A Softmax of scores that are scaled, and masked by a constant."""
    sx, _, _ = form.scales()
    shape = (20 if large else 2, 2, 5, 5)
    x = builder.dequantize(builder.input(values(rng, form.x, shape)), 2 * sx, middle(form.x), form.x)
    name, mask = x, np.triu(np.ones((5, 5), bool), 1)
    if form.seed % 2:
        name = builder.node("Mul", [name, builder.constant(F32(0.35))])
    number = {"i32": -np.inf, "i8": -1e4, "float": np.finfo(F32).min}.get(form.bias, -1e9)
    if form.seed % 3:
        constant = builder.constant(np.where(mask, number, 0).astype(F32))
        name = builder.node("Add", [name, constant])
    else:
        name = builder.node("Where", [builder.constant(mask), builder.constant(F32(number)), name])
    softmax = builder.node("Softmax", [name], axis=-1)
    return [builder.quantize(softmax, 2**-8, int(np.iinfo(TYPES[form.y]).min), form.y)]


# Shapes of both operands of a MatMul, and whether the constant stands on the left.
STACKS = (
    ((4, 5), (1, 5, 3), False), ((4, 5), (2, 5, 3), False), ((2, 1, 4, 5), (3, 5, 2), False),
    ((4, 5), (5,), False), ((2, 4, 5), (5,), False), ((5,), (5, 3), False), ((5,), (2, 5, 3), False),
    ((5,), (5,), False), ((5, 4), (3, 5), True), ((2, 5, 4), (3, 5), True), ((2, 5, 4), (2, 3, 5), True),
    ((5, 4), (2, 3, 5), True), ((5, 4), (5,), True), ((5,), (3, 5), True), ((5,), (2, 3, 5), True),
    ((5,), (5,), True),
)  # fmt: skip


def stacked(form, builder, rng, large):
    """Products with constants that are no single matrix on the right."""
    sx, sw, sy = form.scales()
    x_shape, w_shape, left = STACKS[form.seed % len(STACKS)]
    x = builder.input(values(rng, form.x, (20 if large else 2, *x_shape)))
    weights = builder.constant(values(rng, form.w, w_shape))
    axis = len(w_shape) - (2 if left else 1)
    channels = form.extra == "channels" and len(w_shape) > 1
    scales = np.linspace(sw, 2 * sw, w_shape[axis]) if channels else sw
    zeros = np.full(np.shape(scales), 7)
    if form.bias == "i32" and not channels:
        zero = lambda kind, value: builder.constant(TYPES[kind](value))
        operands = [
            [x, builder.constant(F32(sx)), zero(form.x, middle(form.x))],
            [weights, builder.constant(F32(sw)), zero(form.w, 7)],
        ]
        a, b = operands[::-1] if left else operands
        result = [builder.constant(F32(4 * sy)), zero(form.y, zero_of(form))]
        return [builder.node("QLinearMatMul", a + b + result)]
    x = builder.dequantize(x, sx, middle(form.x), form.x)
    weights = builder.dequantize(weights, scales, zeros, form.w, **({"axis": axis} if channels else {}))
    name = builder.node("MatMul", [weights, x] if left else [x, weights])
    if form.bias == "float":
        name = builder.node("Add", [name, builder.constant(F32(0.3))])
    return close(form, builder, name, 4 * sy)


def several(form, builder, rng, large):
    """Several dequantized tensors added up before any sum is quantized."""
    sx, sw, sy = form.scales()
    shape = (2, 400 if large else 4, 7)
    scales = [sx, sw * 3, sw] if form.extra == "channels" else [sx, sw * 3.3, sw * 0.9]
    kinds = (form.x, form.w, form.y if form.y.endswith("8") else "u8")
    a, b, c = (
        builder.dequantize(builder.input(values(rng, k, shape)), s, middle(k), k)
        for k, s in zip(kinds, scales)
    )
    match form.bias:
        case "none" | "float":
            name = builder.node("Sum", [a, b, c])
        case "i8":
            name = builder.node("Sum", [a, b])
        case "i32":
            name = builder.node("Sub", [c, builder.node("Add", [a, b])])
        case "i32other":
            name = builder.node("Add", [builder.node("Sub", [a, b]), c])
        case "i32near":
            name = builder.node("Add", [builder.node("Relu", [a]), b])
        case "qdq":
            name = builder.node("Sum", [a, builder.constant(F32(0.3)), b, c])
        case _:
            d = builder.dequantize(builder.input(values(rng, "u8", shape)), sx, 7, "u8")
            name = builder.node("Sum", [a, b, c, d])
    return close(form, builder, name, sy)


LINEAR = ("Gemm", "MatMul", "Conv", "ConvTranspose")
PAIRS = ("Add", "Mul", "Sub")
POOLS = ("AveragePool", "GlobalAveragePool")
REDUCTIONS = ("ReduceMean", "ReduceSum", "CumSum")
SUMS = LINEAR + POOLS + REDUCTIONS
FUNCTIONS = ("Sigmoid", "LeakyRelu", "Tanh", "Exp", "HardSigmoid", "Softsign", "Elu", "Erf")
BUILDERS = {
    **dict.fromkeys(LINEAR, linear),
    **dict.fromkeys(PAIRS, pair),
    **dict.fromkeys(POOLS, pool),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(FUNCTIONS, function),
    "Softmax": function,
    "Residual": residual,
    "Several": several,
    "Stacked": stacked,
    "Negative": negative,
    "Short": short,
    "Masked": masked,
}
# Softmax has a rule of its own that is nowhere called exact; it is drawn by its name, and so are families of forms.
BY_NAME = ("Softmax", "Residual", "Several", "Stacked", "Negative", "Short", "Masked")
DRAWN = tuple(operator for operator in BUILDERS if operator not in BY_NAME)
BIASES = ("none", "i32", "i32other", "i32near", "i8", "float", "qdq", "matrix")
AFTERS = ("", "relu", "clip", "clipwide", "relu+reshape", "flatten", "sigmoid", "relu+relu")


def forms(count, seed, only=None):
    """`count` forms, drawn with equal weight for each operator."""
    rng = np.random.default_rng(seed)
    operators = [only] if only else DRAWN

    def choose(options):
        return options[int(rng.integers(len(options)))]

    for index in range(count):
        operator = operators[index % len(operators)]
        x, w, y = choose("u8 i8".split()), choose("u8 i8".split()), choose("u8 i8".split())
        # Half of the forms are near those that have kernels.
        usual = rng.random() < 0.5
        if usual:
            w, y = choose([w, x]), x
        after = choose(AFTERS[:4] if usual else AFTERS)
        extra = choose(("", "", "", "output", "twice", "channels", "alpha", "beta"))
        if operator in LINEAR[2:] + POOLS + REDUCTIONS + FUNCTIONS and "flatten" in after:
            after = ""
        if operator in ("Residual", "Several", "Stacked", "Negative", "Short") and "flatten" in after:
            after = ""
        if operator in FUNCTIONS and "sigmoid" in after:
            after = ""
        if operator == "Mul" and after == "sigmoid":
            after = "relu"
        scales, opset = choose(("two", "ten")), choose((11, 13, 17, 19, 21))
        if operator in SUMS and rng.random() < 0.4:
            scales = choose(tuple(TINY))
            if rng.random() < 0.8:
                y, opset = choose(("u16", "i16")), 21
        yield Form(
            operator, x, w, y, choose(BIASES), after, choose(("lowest", "other")),
            opset, scales,
            "" if usual else extra,
            seed * 10007 + index,
        )  # fmt: skip


def operators_before(graph, output):
    """Types of the nodes that a tensor of a graph is computed by."""
    makers = {name: node for node in graph.node for name in node.output}
    found, waiting, seen = set(), [output], set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.output[0] in seen:
            continue
        seen.add(node.output[0])
        found.add(node.op_type)
        waiting.extend(node.input)
    return found


def runs_on_integers(model, output):
    """Whether ONNX Runtime computes the tensor by integer kernels alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        ort_session.session(model, path)
        found = operators_before(onnx.load(path).graph, output)
    return "DequantizeLinear" not in found and "QuantizeLinear" not in found and any(
        op.startswith(INTEGER_PREFIXES) for op in found
    )


def labels(binary, path):
    """The rows of `check --json` by node."""
    done = subprocess.run(
        [str(binary), "check", str(path), "--json", "--quiet"], capture_output=True, text=True
    )
    answer = json.loads(done.stdout)
    if done.returncode:
        reasons = [problem["reason"] for problem in answer.get("problems", [])]
        raise executor.Refused(" ".join(reasons) or done.stderr.strip()[-300:])
    return {node["node"]: node for node in answer["nodes"]}


@dataclass
class Judged:
    elements: int = 0
    differing: int = 0
    largest: int = 0
    exact: int = 0


def judge(binary, form):
    """Compares a form; the sentence says what is wrong with it. Only quantized outputs count."""
    small, _ = form.build(large=False)
    large, feeds = form.build(large=True)
    makers = {node.output[0]: node.op_type for node in large.graph.node}
    names = [o.name for o in large.graph.output if makers[o.name] in ("QuantizeLinear", "QLinearMatMul", "QGemm")]
    session = ort_session.session(large)
    samples = len(next(iter(feeds.values())))
    outputs = [session.run(names, {k: v[i] for k, v in feeds.items()}) for i in range(samples)]
    judged, wrong = Judged(), []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        onnx.save(small, scratch / "small.onnx")
        onnx.save(large, scratch / "model.onnx")
        label = labels(binary, scratch / "small.onnx")
        computed, _ = executor.run(binary, scratch / "model.onnx", feeds, scratch)
    for place, name in enumerate(names):
        row = label[name]
        want = np.stack([sample[place] for sample in outputs]).astype(int)
        difference = np.abs(want - computed[name].astype(int).reshape(want.shape))
        differing, largest = int((difference != 0).sum()), int(difference.max(initial=0))
        exact = row["status"] == "exact"
        judged.elements += difference.size
        judged.differing += differing
        judged.largest = max(judged.largest, largest)
        judged.exact += exact
        if exact and differing:
            wrong.append(f"is called exact ({row['detail']}), and {differing} differ")
        elif not exact and largest > (row["distance"] or 0):
            wrong.append(f"differs by {largest}, {differing} of {difference.size}: {row['detail']}")
        kernel = runs_on_integers(small, name)
        named = row["rule"] == "integer kernel"
        if named != kernel and row["rule"] not in OWN_RULES and form.operator not in FUNCTIONS:
            ran = "an integer kernel" if kernel else "floats"
            wrong.append(f"is closed by the rule '{row['rule']}', and ONNX Runtime runs {ran}")
    return judged, wrong


def sweep(binary, drawn, verbose):
    rows, failures, refused = {}, [], {}
    for form in drawn:
        row = rows.setdefault(form.operator, Judged())
        try:
            judged, wrong = judge(binary, form)
        except executor.Refused as reason:
            refused[str(reason)] = refused.get(str(reason), 0) + 1
            if verbose:
                print(f"{form}: {reason}")
            continue
        except ort_session.NoReference as reason:
            refused[str(reason)] = refused.get(str(reason), 0) + 1
            continue
        except Exception as error:  # ONNX Runtime's errors have no common base.
            if "onnxruntime" not in type(error).__module__:
                raise
            refused["ONNX Runtime does not load it"] = refused.get("ONNX Runtime does not load it", 0) + 1
            continue
        row.elements += judged.elements
        row.differing += judged.differing
        row.largest = max(row.largest, judged.largest)
        row.exact += judged.exact
        failures += [f"{form} {reason}" for reason in wrong]
        if verbose and wrong:
            print(f"{form} {wrong}", flush=True)
    for operator, row in rows.items():
        print(
            f"{operator:18} {row.elements:9} elements, {row.differing} differ by up to {row.largest}, "
            f"{row.exact} groups called exact"
        )
    for reason, count in sorted(refused.items()):
        print(f"  {count} refused: {reason[:160]}")
    print(f"group forms: {len(failures)} failures")
    for failure in failures:
        print(failure, file=sys.stderr)
    return not failures


TRANSFORMS = {
    "half_pixel": 13, "pytorch_half_pixel": 13, "half_pixel_symmetric": 19,
    "tf_half_pixel_for_nn": 11, "asymmetric": 13, "align_corners": 13, None: 10,
}  # fmt: skip
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def resize_model(extent, sizes, transform, nearest, by_scales):
    """One model that resizes an axis to each of the sizes."""
    builder = Builder(TRANSFORMS[transform])
    x = builder.input(np.arange(extent, dtype=np.uint8).reshape(1, 1, 1, extent))
    x = builder.dequantize(x, 1.0, 0, "u8")
    outputs = []
    for size in sizes:
        scales = builder.constant(np.array([1, 1, size / extent], F32))
        modes = {"mode": "nearest"}
        if transform is not None:
            modes |= {"coordinate_transformation_mode": transform, "nearest_mode": nearest}
        empty = builder.constant(np.zeros(0, F32))
        if transform is None:
            inputs = [x, scales]
        elif by_scales:
            inputs = [x, empty, scales]
        else:
            inputs = [x, empty, empty, builder.constant(np.array([1, 1, size], np.int64))]
        outputs.append(builder.quantize(builder.node("Resize", inputs, **modes), 1.0, 0, "u8"))
    return builder.model(outputs), builder.feeds


def resizes(binary, largest, extents=None):
    """All modes, all sizes up to `largest`."""
    differing = count = 0
    modes = [(t, n) for t in TRANSFORMS if t for n in NEAREST] + [(None, "")]
    sizes = list(range(1, largest + 1))
    for (transform, nearest), extent, by_scales in itertools.product(
        modes, extents or sizes, (False, True)
    ):
        if transform is None and not by_scales:
            continue
        # Given as a scale, a size may round down to nothing.
        whole = [s for s in sizes if not by_scales or int(F32(s / extent) * F32(extent)) > 0]
        model, feeds = resize_model(extent, whole, transform, nearest, by_scales)
        names = [output.name for output in model.graph.output]
        want = ort_session.session(model).run(names, {k: v[0] for k, v in feeds.items()})
        with tempfile.TemporaryDirectory() as scratch:
            scratch = Path(scratch)
            onnx.save(model, scratch / "model.onnx")
            got, _ = executor.run(binary, scratch / "model.onnx", feeds, scratch)
        for name, size, expected in zip(names, whole, want):
            count += 1
            if not np.array_equal(got[name][0], expected):
                differing += 1
                print(f"{transform} {nearest} {extent} to {size}: {expected.ravel()} {got[name].ravel()}",
                      file=sys.stderr)
    print(f"Resize: {count} pairs of extents and modes, {differing} differ")
    return not differing


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("zkonnx")
    parser.add_argument("count", nargs="?", default="200")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=tuple(BUILDERS))
    parser.add_argument("--extents", type=int, nargs="*")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if arguments.count == "resize":
        good = resizes(arguments.zkonnx, 64, arguments.extents)
    else:
        drawn = forms(int(arguments.count), arguments.seed, arguments.only)
        good = sweep(arguments.zkonnx, drawn, arguments.verbose)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
