"""Chains of float operators between DequantizeLinear and QuantizeLinear, with the parameters that quantizers avoid."""

import numpy as np

import fuzz_values as v
from fuzz_build import F32, MICROSOFT, Unfit
from fuzz_constants import FLOAT_UNARY, SINCE, disguise, expression
from fuzz_sinks import SHAPES, operand_shape, rectified

I64 = np.int64
FUNCTIONS = {
    **FLOAT_UNARY, "HardSwish": {}, "Mish": {}, "Gelu": {}, "Sinh": {}, "Cosh": {}, "Asinh": {}, "Atanh": {}, "Tan": {},
    "Asin": {}, "Acos": {}, "Acosh": {}, "Shrink": {"bias": 0.25, "lambd": 0.5},
}  # fmt: skip
NEW = {**SINCE, "Mish": 18, "Gelu": 20}
IMAGES = ((1, 1, 4, 5), (1, 2, 3, 3), (1, 2, 4, 4), (1, 3, 5, 2))


def function(b, real):
    """One function more."""
    op = b.choose(("Relu", "Sqrt", "Neg", "Abs", "Sign", "Reciprocal", "Floor", "Round")) if b.chance(0.5) else b.choose(sorted(FUNCTIONS))
    if b.opset < NEW.get(op, 0):
        raise Unfit
    return b.node(op, [real], F32, real.shape, **FUNCTIONS[op])


def with_constant(b, real):
    op = b.choose(("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Mod", "PRelu"))
    c = b.constant(v.floats(b.rng, operand_shape(b, real.shape), F32))
    inputs = [real, c] if op == "PRelu" or b.chance(0.6) else [c, real]
    return b.node(op, inputs, F32, real.shape, fmod=1 if op == "Mod" else None)


def clipped(b, real):
    if b.opset < 11:
        return b.node("Clip", [real], F32, real.shape, min=float(b.rng.uniform(-4, 1)), max=float(b.rng.uniform(-1, 6)))
    ends = [b.scalar(x) if b.chance(0.75) else "" for x in v.floats(b.rng, (2,), F32, wild=0.15)]
    return b.node("Clip", [real, *ends], F32, real.shape)


def chain(b):
    """One to four functions of one tensor."""
    real = b.activation(b.choose(SHAPES))
    for _ in range(int(b.rng.integers(1, 5))):
        real = b.choose((function, function, with_constant, clipped))(b, real)
    if b.chance(0.1):
        b.outputs.append(real)
        return
    b.quantize(real)


def far_out(b):
    """A function where it is flat or steep, under a scale that shows it."""
    kind = b.kind(0)
    shape, steep = b.choose(SHAPES), F32(np.exp(b.rng.uniform(np.log(0.1), np.log(0.9))))
    parameters = b.parameters(kind, steep, None)
    real = b.node("DequantizeLinear", [b.integer_input(kind, shape), *parameters], F32, shape)
    op = b.choose(("Sigmoid", "Sigmoid", "Tanh", "Exp", "Erf", "Softplus", "Elu", "Selu", "Softsign", "HardSigmoid"))
    real = b.node(op, [real], F32, shape, **FLOAT_UNARY[op])
    if b.chance(0.3):
        real = b.node("Sub", [b.scalar(b.choose((0.0, 1.0))), real], F32, shape)
    b.quantize(real, scale=F32(10.0 ** b.rng.uniform(-12, 2)))


def pair(b):
    """Two activations of any types and scales, with Relu or Clip between."""
    shape = b.choose(SHAPES)
    x, y = b.activation(shape), b.activation(shape if b.chance(0.7) else operand_shape(b, shape))
    op = b.choose(("Add", "Mul", "Sub", "Max", "Min", "Add", "Mul")) if b.chance(0.97) else "Div"
    inputs = [x, y] if b.chance(0.6) else [y, x]
    usual = F32(np.exp(b.rng.uniform(np.log(0.02), np.log(0.5)))) if b.chance(0.7) else None
    real = rectified(b, b.node(op, inputs, F32, shape), 0.1 if op in ("Max", "Min") else 0.4)
    b.quantize(real, scale=usual)


def mixed(b):
    """Two activations of known, simple scales, whose sums and products fall on ties: of one type and of both."""
    shape, op = b.choose(SHAPES), b.choose(("Add", "Mul", "Sub"))
    simple = (0.1, 0.05, 0.02, 0.5, 0.25, 0.2, 0.04)
    reals = []
    for kind in (np.uint8, b.choose((np.int8, np.int8, np.uint8))):
        parameters = b.parameters(kind, F32(b.choose(simple)))
        reals.append(b.node("DequantizeLinear", [b.integer_input(kind, shape), *parameters], F32, shape))
    real = b.node(op, reals if b.chance(0.5) else reals[::-1], F32, shape)
    if b.chance(0.4):
        real = b.node("Relu", [real], F32, shape)
    b.quantize(real, scale=F32(b.choose(simple)))


def weights(b, shape, axis, kind):
    """Dequantized weights, per tensor or channel, or quantized from folded floats; with their scales."""
    per_channel = b.chance(0.3)
    count = (shape[axis],) if per_channel else ()
    scales = np.exp(b.rng.uniform(np.log(0.004), np.log(0.05), count)).astype(F32)
    zero = np.zeros(count, kind) if per_channel or b.chance(0.5) else np.asarray(v.zero(b.rng, kind))
    along = {"axis": axis} if per_channel and b.opset >= 13 else {}
    if per_channel and b.opset < 13:
        raise Unfit
    parameters = [b.constant(scales), b.constant(zero)]
    if b.chance(0.25):
        floats = expression(b, F32, shape, int(b.rng.integers(0, 3)))
        w = b.node("QuantizeLinear", [floats, *parameters], kind, shape, **along)
    else:
        w = b.constant(v.values(b.rng, shape, kind) if b.chance(0.3) else b.rng.integers(-40 if kind == np.int8 else 0, 40, shape).astype(kind))
    return b.node("DequantizeLinear", [w, *parameters], F32, shape, **along), scales


def bias(b, channels, product):
    """A bias of any form; `product` is the scale that kernels take it for."""
    form = b.choose(("none", "int32", "int32", "other", "int8", "float", "folded", "quantized"))
    if form == "none":
        return []
    if form in ("float", "folded"):
        if form == "folded":
            return [expression(b, F32, (channels,), 2)]
        return [b.constant(b.rng.uniform(-3, 3, channels).astype(F32))]
    if form == "int8":
        kind = b.choose((np.int8, np.uint8))
        q = b.constant(v.integers(b.rng, (channels,), kind))
        return [b.node("DequantizeLinear", [q, *b.usual(kind)], F32, (channels,))]
    if form == "quantized":
        kind, parameters = np.int8, b.usual(np.int8)
        q = b.node("QuantizeLinear", [b.constant(b.rng.uniform(-3, 3, channels).astype(F32)), *parameters], kind, (channels,))
        return [b.node("DequantizeLinear", [q, *parameters], F32, (channels,))]
    scale = np.asarray(product, F32)
    if form == "other":
        scale = np.asarray(scale * F32(b.rng.uniform(0.2, 4)), F32)
    along = {"axis": 0} if scale.ndim and b.opset >= 13 else {}
    q = b.constant(b.rng.integers(-2000, 2000, channels).astype(np.int32))
    zero = [b.constant(np.zeros(scale.shape, np.int32))] if b.chance(0.7) else []
    return [b.node("DequantizeLinear", [q, b.constant(scale), *zero], F32, (channels,), **along)]


def scaled_activation(b, shape, kind):
    """An activation of an integer input, and its scale."""
    scale = F32(np.exp(b.rng.uniform(np.log(0.01), np.log(0.1))))
    x = b.integer_input(kind, shape)
    real = b.node("DequantizeLinear", [x, *b.parameters(kind, scale)], F32, shape)
    b.activations.append(real)
    return real, scale


def layer(b):
    """Conv, ConvTranspose, Gemm or MatMul with weights and biases of all forms."""
    op = b.choose(("Conv", "ConvTranspose", "Gemm", "MatMul", "Gemm", "Conv"))
    kind = b.choose((np.uint8, np.int8))
    # There is no kernel for int8 by uint8.
    w_kind = np.int8 if kind == np.int8 or b.chance(0.6) else np.uint8
    if op in ("Gemm", "MatMul"):
        rows, inner, columns = int(b.rng.integers(1, 3)), int(b.rng.integers(1, 7)), int(b.rng.integers(1, 5))
        x, x_scale = scaled_activation(b, (rows, inner), kind)
        w, scales = weights(b, (inner, columns), 1, w_kind)
        shape, extra = (rows, columns), []
        attributes = {}
        if op == "Gemm":
            extra = bias(b, columns, x_scale * scales)
            if b.chance(0.1):
                attributes = {"alpha": 0.5} if b.chance(0.5) else {"beta": 0.5}
        real = b.node(op, [x, w, *extra], F32, shape, **attributes)
        if op == "MatMul" and b.chance(0.3):
            real = b.node("Add", [real, expression(b, F32, (columns,), 1)], F32, shape)
    else:
        channels, outs = int(b.rng.integers(1, 3)), int(b.rng.integers(1, 3))
        size, kernel = [int(b.rng.integers(2, 5)) for _ in range(2)], [int(b.rng.integers(1, 3)) for _ in range(2)]
        strides, pads = [int(b.rng.integers(1, 3)) for _ in range(2)], [int(b.rng.integers(0, k)) for k in kernel] * 2
        x, x_scale = scaled_activation(b, (1, channels, *size), kind)
        if op == "Conv":
            w, scales = weights(b, (outs, channels, *kernel), 0, w_kind)
            spatial = [(d + 2 * p - k) // s + 1 for d, p, k, s in zip(size, pads, kernel, strides)]
        else:
            w, scales = weights(b, (channels, outs, *kernel), 1, w_kind)
            spatial = [(d - 1) * s + k - 2 * p for d, p, k, s in zip(size, pads, kernel, strides)]
        if min(spatial) < 1:
            raise Unfit
        shape = (1, outs, *spatial)
        inputs = [x, w, *bias(b, outs, x_scale * scales)]
        real = b.node(op, inputs, F32, shape, kernel_shape=kernel, strides=strides, pads=pads)
    if b.chance(0.15):
        real = function(b, real)
    b.quantize(rectified(b, real), scale=F32(np.exp(b.rng.uniform(np.log(0.01), np.log(0.5)))))


def pool(b):
    op = b.choose(("MaxPool", "AveragePool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"))
    x = b.activation(b.choose(IMAGES))
    if op.startswith("Global"):
        real = b.node(op, [x], F32, (*x.shape[:2], 1, 1))
    else:
        kernel = [int(b.rng.integers(1, 3)) for _ in range(2)]
        strides, pads = [int(b.rng.integers(1, 3)) for _ in range(2)], [int(b.rng.integers(0, k)) for k in kernel] * 2
        ceil = int(b.chance(0.4))
        shape = []
        for d, k, s, p in zip(x.shape[2:], kernel, strides, pads):
            span = d + 2 * p - k
            shape.append((-(-span // s) if ceil else span // s) + 1)
            # The last window has to start inside.
            if ceil and (shape[-1] - 1) * s >= d + p:
                shape[-1] -= 1
        include = int(b.chance(0.4)) if op == "AveragePool" else None
        attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": ceil}
        real = b.node(op, [x], F32, (*x.shape[:2], *shape), count_include_pad=include, **attributes)
    b.quantize(rectified(b, real))


def reduction(b):
    x = b.activation(b.choose(((1, 2, 3), (1, 2, 2, 3), (1, 5))))
    op = b.choose(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"))
    axis, keep = int(b.rng.integers(1, x.rank)), int(b.rng.integers(2))
    shape = (*x.shape[:axis], *([1] * keep), *x.shape[axis + 1 :])
    as_input = b.opset >= (13 if op == "ReduceSum" else 18)
    inputs = [x, disguise(b, [axis], 1)] if as_input else [x]
    b.quantize(rectified(b, b.node(op, inputs, F32, shape, keepdims=keep, axes=None if as_input else [axis])))


def resized(b):
    """Resize to the nearest, with all its modes."""
    x = b.activation(b.choose(IMAGES))
    if b.opset == 10:
        factors = [1.0, 1.0, *(float(b.choose((0.5, 2.0, 1.0, 0.4, 0.75, 1.5))) for _ in range(2))]
        shape = [int(np.floor(F32(d) * F32(f))) for d, f in zip(x.shape, factors)]
        if min(shape) < 1:
            raise Unfit
        real = b.node("Resize", [x, b.constant(np.array(factors, F32))], F32, shape, mode="nearest")
    else:
        modes = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
        nearest = b.choose(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
        attributes = {"mode": "nearest", "nearest_mode": nearest, "coordinate_transformation_mode": b.choose(modes)}
        sizes = [*x.shape[:2], *(int(b.rng.integers(1, 9)) for _ in range(2))]
        empty = "" if b.opset >= 13 else b.constant(np.zeros(0, F32))
        if b.chance(0.5):
            scales = empty if b.opset >= 13 else b.constant(np.zeros(0, F32))
            real = b.node("Resize", [x, empty, scales, disguise(b, sizes, 1)], F32, sizes, **attributes)
        else:
            factors = [1.0, 1.0, *(float(b.choose((0.5, 2.0, 0.7, 1.3, 3.0))) for _ in range(2))]
            sizes = [int(np.floor(F32(d) * F32(f))) for d, f in zip(x.shape, factors)]
            if min(sizes) < 1:
                raise Unfit
            real = b.node("Resize", [x, empty, b.constant(np.array(factors, F32))], F32, sizes, **attributes)
    b.quantize(real)


def softmax(b):
    x = b.activation(b.choose(((1, 4), (1, 2, 3), (1, 6))))
    op = b.choose(("Softmax", "LogSoftmax"))
    real = b.node(op, [x], F32, x.shape, axis=x.rank - 1)
    if b.chance(0.5):
        b.outputs.append(real)
    else:
        kind = b.choose((np.uint8, np.int8))
        b.quantize(real, kind, F32(1 / 256) if op == "Softmax" else F32(0.05), np.iinfo(kind).min if op == "Softmax" else np.iinfo(kind).max)


def joined(b):
    """Concat of different scales and types, and Split."""
    shape = b.choose(((1, 4), (1, 2, 3)))
    parts = [b.activation(shape, b.kind() if b.chance(0.5) else None) for _ in range(int(b.rng.integers(2, 4)))]
    real = b.node("Concat", parts, F32, (*shape[:-1], shape[-1] * len(parts)), axis=len(shape) - 1)
    b.quantize(rectified(b, real, 0.1))


def ranked(b):
    """Places of extremes, and comparisons of two activations."""
    shape = b.choose(((1, 4), (1, 2, 3), (1, 6)))
    x, op = b.activation(shape), b.choose(("ArgMax", "ArgMin", "TopK", "Less", "Greater", "Equal"))
    if op in ("ArgMax", "ArgMin"):
        last = int(b.rng.integers(2)) if b.opset >= 12 else None
        real = rectified(b, x)
        b.outputs.append(b.node(op, [real], I64, shape[:-1], axis=len(shape) - 1, keepdims=0, select_last_index=last))
    elif op == "TopK":
        k = int(b.rng.integers(1, shape[-1] + 1))
        made = [(F32, (*shape[:-1], k)), (I64, (*shape[:-1], k))]
        values, places = b.several("TopK", [x, disguise(b, [k], 1)], made, axis=len(shape) - 1)
        b.outputs.append(places)
        b.quantize(values)
    else:
        if op == "Equal" and b.opset < 11:
            raise Unfit
        truth = b.node(op, [x, b.activation(shape)], np.bool_, shape)
        if b.chance(0.4):
            b.quantize(b.node("Where", [truth, x, b.activation(shape)], F32, shape))
        else:
            b.outputs.append(truth)


def requantized(b):
    """From one quantization to another, perhaps with movement between, or a clamp of the integers."""
    x = b.activation(b.choose(SHAPES), usual=0.3)
    q = b.quantize(x)
    if b.opset >= 14 and q.dtype == np.int8 and b.chance(0.3):
        b.outputs.append(b.node("Relu", [q], q.dtype, q.shape))
    elif b.opset >= 12 and q.dtype in (np.int8, np.uint8) and b.chance(0.3):
        low, high = np.sort(v.integers(b.rng, (2,), q.dtype))
        b.outputs.append(b.node("Clip", [q, b.constant(low), b.constant(high)], q.dtype, q.shape))


def cast_integers(b):
    """Integers and booleans as reals."""
    shape, kind = b.choose(SHAPES), b.choose((np.bool_, np.int8, np.uint8, I64, np.int32))
    x = b.integer_input(kind, shape) if kind in (np.bool_, np.int8, np.uint8) else b.integer_input(kind, shape, -300, 300)
    real = b.node("Cast", [x], F32, shape, to=1)
    if kind not in (I64, np.int32) and b.chance(0.6):
        real = with_constant(b, real)
    b.quantize(real)


def qlinear(b):
    """ONNX Runtime's own operators, with the types that they take."""
    shape, op = b.choose(SHAPES), b.choose(("QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearAveragePool"))
    kind = b.choose((np.uint8, np.int8))
    shape = b.choose(IMAGES) if op == "QLinearAveragePool" else shape
    x = [b.integer_input(kind, shape), *b.usual(kind)]
    y = b.parameters(kind)
    if op in ("QLinearAdd", "QLinearMul"):
        other = [b.integer_input(kind, shape), *b.usual(kind)]
        made = b.node(op, [*x, *other, *y], kind, shape, MICROSOFT)
    elif op == "QLinearAveragePool":
        out = (*shape[:2], shape[2] - 1, shape[3] - 1)
        made = b.node(op, [*x, *y], kind, out, MICROSOFT, kernel_shape=[2, 2])
    else:
        made = b.node(op, [*x, *y], kind, shape, MICROSOFT, alpha=0.25 if op == "QLinearLeakyRelu" else None)
    b.outputs.append(made)


def passed(b):
    """Inputs that are outputs, an output twice, and an output under two names."""
    kind = b.choose((np.int8, np.uint8, I64, np.int32, np.bool_))
    x = b.integer_input(kind, b.choose(SHAPES))
    b.outputs.append(b.node("Identity", [x], kind, x.shape))
    q = b.quantize(rectified(b, b.activation(b.choose(SHAPES))))
    if b.chance(0.5):
        b.outputs.append(b.node("Identity", [q], q.dtype, q.shape))


def tail(b):
    """Float arithmetic after the last quantization."""
    real = b.activation(b.choose(SHAPES))
    for _ in range(int(b.rng.integers(1, 4))):
        real = b.choose((function, with_constant, with_constant, clipped))(b, real)
    b.outputs.append(real)
    b.quantize(b.choose(b.activations))


GROUPS = [
    (chain, 5), (far_out, 1), (pair, 3), (mixed, 2), (layer, 4), (pool, 1.2), (reduction, 0.8), (resized, 1.5), (softmax, 0.4), (joined, 1),
    (ranked, 1), (requantized, 1), (cast_integers, 0.8), (qlinear, 0.6), (passed, 0.5), (tail, 0.8),
]  # fmt: skip
