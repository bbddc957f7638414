"""One operator more for a graph: every function here appends one to a `Net`.

Each takes the net and a tensor of its pool, draws its attributes, constants, scales and
zero points, and returns whether the operator fits the tensor. `OPERATORS` has them all.
"""

import numpy as np

from net import F32, MICROSOFT, Quantized

# Functions of one tensor, with attributes that are drawn.
FUNCTIONS = {
    "Abs": {}, "Ceil": {}, "Cos": {}, "Elu": {"alpha": (0.3, 1.5)}, "Erf": {}, "Exp": {}, "Floor": {},
    "HardSigmoid": {"alpha": (0.1, 0.4), "beta": (0.3, 0.6)}, "HardSwish": {},
    "LeakyRelu": {"alpha": (0.01, 0.4)}, "Mish": {}, "Neg": {}, "Relu": {}, "Round": {}, "Selu": {},
    "Shrink": {"bias": (0.0, 0.5), "lambd": (0.3, 1.0)}, "Sigmoid": {}, "Sign": {}, "Sin": {},
    "Softplus": {}, "Softsign": {}, "Tanh": {}, "ThresholdedRelu": {"alpha": (0.2, 1.0)},
    "Celu": {"alpha": (0.5, 1.5)}, "Gelu": {}, "Asinh": {}, "Atan": {}, "Cosh": {}, "Sinh": {},
    "Tan": {},
}  # fmt: skip
COMPARISONS = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")


def function(net, x):
    op = net.choose(sorted(FUNCTIONS))
    attributes = {key: float(net.rng.uniform(*range_)) for key, range_ in FUNCTIONS[op].items()}
    real = net.node(op, [net.real(x)], **attributes)
    net.quantize(real, x.shape, op, [x], net.scale())
    return True


def chain(net, x):
    """Two functions before one QuantizeLinear, as quantizers leave them."""
    first, second = (net.choose(("Sigmoid", "Tanh", "Abs", "Neg", "Softsign")) for _ in range(2))
    real = net.node(second, [net.node(first, [net.real(x)])])
    net.quantize(real, x.shape, "chain", [x], net.scale(0.003, 0.01))
    return True


def clip(net, x):
    low, high = sorted(net.rng.uniform(-3, 3, 2))
    real = net.node("Clip", [net.real(x), net.constant(F32(low)), net.constant(F32(high))])
    net.quantize(real, x.shape, "Clip", [x], net.scale())
    return True


def with_constant(net, x):
    op = net.choose(("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"))
    shape = ()
    if len(x.shape) > 2:
        along_channels = (x.shape[1],) + (1,) * (len(x.shape) - 2)
        shape = net.choose((shape, along_channels, tuple(x.shape[1:])))
    values = net.rng.uniform(0.2, 1.5, shape) * net.rng.choice([-1, 1], shape)
    real = net.node(op, [net.real(x), net.constant(F32(values))])
    net.quantize(real, x.shape, f"{op} constant", [x], net.scale())
    return True


def _weights(net, shape, channels, axis, per_channel):
    """Integer weights with their scales, and the scales as a vector or one value."""
    kind = net.choose((np.uint8, np.int8)) if net.kind == np.uint8 else np.int8
    count = (channels,) if per_channel else ()
    scales = np.exp(net.rng.uniform(np.log(0.002), np.log(0.02), count)).astype(F32)
    # ONNX Runtime's kernels take several scales with zero points of zero only.
    zero = np.zeros(count, kind) if per_channel else net.zero(kind)
    integers = net.integers(shape, kind)
    return net.constant(integers, "w"), net.constant(scales), net.constant(zero), scales


def _bias(net, channels):
    return net.rng.integers(-2000, 2000, channels).astype(np.int32)


def _rectify(net, real):
    kind = net.rng.integers(3)
    if kind == 0:
        return net.node("Relu", [real])
    if kind == 1:
        return net.node("Clip", [real, net.constant(F32(0)), net.constant(F32(6))])
    return real


def _weighted_real(net, op, x, weights, axis, channels, **attributes):
    """The float form of a weighted operator: everything dequantized."""
    w, ws, wz, scales = weights
    more = {"axis": axis} if scales.ndim else {}
    inputs = [net.real(x), net.node("DequantizeLinear", [w, ws, wz], **more)]
    if op != "MatMul" and net.rng.random() < 0.7:
        bias = net.constant(_bias(net, channels))
        scale = np.asarray(F32(x.scale) * scales, F32)
        zero = net.constant(np.zeros(scale.shape, np.int32))
        more = {"axis": 0} if scale.ndim else {}
        inputs.append(net.node("DequantizeLinear", [bias, net.constant(scale), zero], **more))
    return net.node(op, inputs, **attributes)


def _output_scale(net, x, weights, taps):
    """So that the accumulators fill the output's range, more or less."""
    return F32(x.scale * weights[3].mean() * np.sqrt(taps) * net.rng.uniform(20, 90))


def convolution(net, x):
    if len(x.shape) not in (3, 4):
        return False
    channels, spatial = x.shape[1], x.shape[2:]
    group = channels if net.rng.random() < 0.3 else 1
    outputs = group * int(net.rng.integers(1, 3))
    kernel = [int(net.rng.integers(1, min(3, d) + 1)) for d in spatial]
    pads = [int(net.rng.integers(0, k)) for k in kernel] * 2
    strides = [int(net.rng.integers(1, 3)) for _ in kernel]
    per_channel = bool(net.rng.random() < 0.5)
    weights = _weights(net, [outputs, channels // group, *kernel], outputs, 0, per_channel)
    shape = [1, outputs] + [
        (d + 2 * p - k) // s + 1 for d, p, k, s in zip(spatial, pads, kernel, strides)
    ]
    scale = _output_scale(net, x, weights, int(np.prod(kernel)) * channels // group)
    attributes = {"kernel_shape": kernel, "pads": pads, "strides": strides, "group": group}
    if net.rng.random() < 0.5:
        y = Quantized("", shape, scale, net.zero())
        inputs = [*net.operands(x), *weights[:3], *net.parameters(y)]
        inputs.append(net.constant(_bias(net, outputs)))
        name = net.node("QLinearConv", inputs, **attributes)
        net.done(name, shape, "QLinearConv", [x], scale, y.zero)
    else:
        real = _weighted_real(net, "Conv", x, weights, 0, outputs, **attributes)
        net.quantize(_rectify(net, real), shape, "Conv", [x], scale)
    return True


def transposed(net, x):
    if len(x.shape) != 4 or max(x.shape) > 5:
        return False
    outputs, kernel = int(net.rng.integers(1, 3)), [2, 3]
    weights = _weights(net, [x.shape[1], outputs, *kernel], outputs, 1, False)
    strides = [int(net.rng.integers(1, 3)) for _ in kernel]
    shape = [1, outputs] + [(d - 1) * s + k for d, s, k in zip(x.shape[2:], strides, kernel)]
    real = _weighted_real(net, "ConvTranspose", x, weights, 1, outputs, strides=strides)
    scale = _output_scale(net, x, weights, 3 * x.shape[1])
    net.quantize(real, shape, "ConvTranspose", [x], scale)
    return True


def dense(net, x):
    if len(x.shape) != 2:
        return False
    outputs = int(net.rng.integers(1, 9))
    op = net.choose(("Gemm", "MatMul", "QLinearMatMul", "QGemm"))
    per_channel = bool(net.rng.random() < 0.4) and op != "QLinearMatMul"
    weights = _weights(net, [x.shape[1], outputs], outputs, 1, per_channel)
    shape, scale = [1, outputs], _output_scale(net, x, weights, x.shape[1])
    y = Quantized("", shape, scale, net.zero())
    if op == "QLinearMatMul":
        name = net.node(op, [*net.operands(x), *weights[:3], *net.parameters(y)])
    elif op == "QGemm":
        inputs = [*net.operands(x), *weights[:3], net.constant(_bias(net, outputs))]
        name = net.node(op, [*inputs, *net.parameters(y)], domain=MICROSOFT)
    else:
        real = _weighted_real(net, op, x, weights, 1, outputs)
        net.quantize(_rectify(net, real), shape, op, [x], scale)
        return True
    net.done(name, shape, op, [x], scale, y.zero)
    return True


def pair(net, x):
    """Two activations; the other one is of the pool, or a new input."""
    others = [t for t in net.pool if t.shape == x.shape and t is not x]
    b = net.choose(others) if others else net.input(x.shape)
    op = net.choose(("Add", "Mul", "Sub", "Max", "Min", "QLinearAdd", "QLinearMul"))
    scale = net.scale(0.02, 0.1)
    if op.startswith("QLinear"):
        y = Quantized("", x.shape, scale, net.zero())
        inputs = [*net.operands(x), *net.operands(b), *net.parameters(y)]
        name = net.node(op, inputs, domain=MICROSOFT)
        net.done(name, x.shape, op, [x, b], scale, y.zero)
    else:
        real = net.node(op, [net.real(x), net.real(b)])
        net.quantize(real, x.shape, op, [x, b], scale)
    return True


def product(net, x):
    if len(x.shape) != 3:
        return False
    inner, columns = x.shape[-1], int(net.rng.integers(1, 4))
    b = net.input([1, inner, columns])
    real = net.node("MatMul", [net.real(x), net.real(b)])
    shape = [*x.shape[:-1], columns]
    scale = F32(x.scale * b.scale * np.sqrt(inner) * net.rng.uniform(30, 90))
    net.quantize(real, shape, "MatMul of two", [x, b], scale)
    return True


def pool(net, x):
    if len(x.shape) != 4 or min(x.shape[2:]) < 2:
        return False
    op = net.choose(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"))
    if op.startswith("Global"):
        shape, attributes = [*x.shape[:2], 1, 1], {}
    else:
        strides = [int(net.rng.integers(1, 3)) for _ in range(2)]
        attributes = {"kernel_shape": [2, 2], "strides": strides}
        shape = [*x.shape[:2], *((d - 2) // s + 1 for d, s in zip(x.shape[2:], strides))]
    if op == "MaxPool" and net.rng.random() < 0.5:
        name = net.node(op, [x.name], **attributes)
        net.done(name, shape, op, [x], x.scale, x.zero)
        return True
    keeps = "Max" in op
    real = net.node(op, [net.real(x)], **attributes)
    scale = x.scale if keeps else F32(x.scale * net.rng.uniform(0.4, 1.1))
    net.quantize(real, shape, op, [x], scale, x.zero if keeps else None)
    return True


def reduction(net, x):
    if len(x.shape) < 3:
        return False
    op = net.choose(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"))
    axis, keep = int(net.rng.integers(1, len(x.shape))), int(net.rng.integers(2))
    shape = list(x.shape)
    shape[axis : axis + 1] = [1] * keep
    axes = net.constant(np.array([axis], np.int64))
    real = net.node(op, [net.real(x), axes], keepdims=keep)
    net.quantize(real, shape, op, [x], F32(x.scale * net.rng.uniform(0.4, 2)))
    return True


def ranking(net, x):
    """Places of extremes; a coarse scale before them makes ties, where only a rule decides."""
    coarse = F32(x.scale * net.rng.uniform(10, 60))
    tied = net.quantize(net.real(x), x.shape, "requantization", [x], coarse, 128 * (net.kind == np.uint8))
    if net.rng.random() < 0.3:
        tied = x
    axis = int(net.rng.integers(1, len(x.shape)))
    op = net.choose(("ArgMax", "ArgMin", "TopK"))
    if op != "TopK":
        flags = {"keepdims": int(net.rng.integers(2)), "select_last_index": int(net.rng.integers(2))}
        net.boolean(net.node(op, [net.real(tied)], axis=axis, **flags), op, [tied])
        return True
    k = int(net.rng.integers(1, min(x.shape[axis], 4) + 1))
    inputs = [net.real(tied), net.constant(np.array([k], np.int64))]
    real, places = net.node(op, inputs, outputs=2, axis=axis, largest=int(net.rng.integers(2)))
    net.boolean(places, "TopK indices", [tied])
    shape = [*x.shape[:axis], k, *x.shape[axis + 1 :]]
    net.quantize(real, shape, "TopK values", [tied], tied.scale, tied.zero)
    return True


def running(net, x):
    axis = int(net.rng.integers(1, len(x.shape)))
    flags = {"exclusive": int(net.rng.integers(2)), "reverse": int(net.rng.integers(2))}
    real = net.node("CumSum", [net.real(x), net.constant(np.array(axis, np.int64))], **flags)
    net.quantize(real, x.shape, "CumSum", [x], F32(x.scale * net.rng.uniform(0.4, 3)))
    return True


def places(net, x):
    """Places as rows of truths, of the largest of few different values."""
    coarse = F32(x.scale * net.rng.uniform(10, 60))
    tied = net.quantize(net.real(x), x.shape, "requantization", [x], coarse, 128 * (net.kind == np.uint8))
    axis = int(net.rng.integers(1, len(x.shape)))
    if net.rng.random() < 0.5:
        real = net.node("Hardmax", [net.real(tied)], axis=axis)
        net.quantize(real, x.shape, "Hardmax", [tied], net.scale())
        return True
    place = net.node("ArgMax", [net.real(tied)], axis=axis, keepdims=0)
    depth = int(net.rng.integers(1, x.shape[axis] + 2))
    new = int(net.rng.integers(1, len(x.shape)))
    values = F32([0, 1])
    real = net.node("OneHot", [place, net.constant(np.array(depth, np.int64)), net.constant(values)], axis=new)
    shape = [*x.shape[:axis], *x.shape[axis + 1 :]]
    net.quantize(real, [*shape[:new], depth, *shape[new:]], "OneHot", [tied], net.scale())
    return True


def concat(net, x):
    others = [t for t in net.pool if t.shape[2:] == x.shape[2:] and t is not x]
    b = net.choose(others) if others else net.input(x.shape)
    if len(b.shape) != len(x.shape):
        return False
    shape, scale = [1, x.shape[1] + b.shape[1], *x.shape[2:]], net.scale()
    if net.rng.random() < 0.5:
        y = Quantized("", shape, scale, net.zero())
        inputs = [*net.parameters(y), *net.operands(x), *net.operands(b)]
        name = net.node("QLinearConcat", inputs, domain=MICROSOFT, axis=1)
        net.done(name, shape, "QLinearConcat", [x, b], scale, y.zero)
    else:
        real = net.node("Concat", [net.real(x), net.real(b)], axis=1)
        net.quantize(real, shape, "Concat", [x, b], scale)
    return True


def _moves(net, x):
    """`(operator, further inputs, attributes, shape)` of each data movement that fits."""

    def numbers(*values):
        return net.constant(np.array(values, np.int64))

    rank, last = len(x.shape), x.shape[-1]
    perm = [0, *(1 + net.rng.permutation(rank - 1))]
    yield "Transpose", [], {"perm": [int(p) for p in perm]}, [x.shape[p] for p in perm]
    yield "Reshape", [numbers(1, -1)], {}, [1, int(np.prod(x.shape))]
    yield "Flatten", [], {}, [1, int(np.prod(x.shape))]
    yield "Unsqueeze", [numbers(1)], {}, [1, 1, *x.shape[1:]]
    ends = [numbers(0), numbers(max(1, last - 1)), numbers(-1)]
    yield "Slice", ends, {}, [*x.shape[:-1], max(1, last - 1)]
    picked = net.rng.integers(0, last, 3)
    yield "Gather", [numbers(*picked)], {"axis": rank - 1}, [*x.shape[:-1], 3]
    yield "Tile", [numbers(*[1] * (rank - 1), 2)], {}, [*x.shape[:-1], 2 * last]
    pads = [0] * (2 * rank)
    pads[rank - 1], pads[-1] = 1, 1
    mode = net.choose(("edge", "reflect" if last > 1 else "edge", "constant"))
    yield "Pad", [numbers(*pads)], {"mode": mode}, [*x.shape[:-1], last + 2]


def movement(net, x):
    if len(x.shape) > 4:
        return False
    op, more, attributes, shape = net.choose(list(_moves(net, x)))
    if net.rng.random() < 0.5:
        name = net.node(op, [x.name, *more], **attributes)
        net.done(name, shape, op, [x], x.scale, x.zero)
    else:
        real = net.node(op, [net.real(x), *more], **attributes)
        net.quantize(real, shape, op, [x], x.scale, x.zero)
    return True


def resize(net, x):
    if len(x.shape) != 4 or max(x.shape) > 4:
        return False
    factors = [net.choose((1.0, 2.0, 1.5, 0.6)) for _ in range(2)]
    shape = [*x.shape[:2], *(int(np.floor(F32(d) * F32(f))) for d, f in zip(x.shape[2:], factors))]
    if min(shape) < 1:
        return False
    scales = net.constant(np.array([1, 1, *factors], F32))
    mode = net.choose(("half_pixel", "asymmetric", "align_corners"))
    name = net.node(
        "Resize", [x.name, "", scales], coordinate_transformation_mode=mode,
        nearest_mode=net.choose(("floor", "round_prefer_floor")),
    )  # fmt: skip
    net.done(name, shape, "Resize", [x], x.scale, x.zero)
    return True


def choice(net, x):
    """A comparison with a constant, and Where by it."""
    others = [t for t in net.pool if t.shape == x.shape and t is not x]
    b = net.choose(others) if others else net.input(x.shape)
    op = net.choose(COMPARISONS)
    limit = F32(net.rng.uniform(-1, 1))
    if op == "Equal":
        # A value that occurs, as the float arithmetic of DequantizeLinear has it.
        limit = F32(int(net.integers(())) - int(x.zero)) * x.scale
    condition = net.boolean(net.node(op, [net.real(x), net.constant(limit)]), op, [x])
    real = net.node("Where", [condition, net.real(x), net.real(b)])
    net.quantize(real, x.shape, "Where", [x, b], net.scale())
    return True


def qlinear_function(net, x):
    op = net.choose(("QLinearSigmoid", "QLinearLeakyRelu"))
    attributes = {} if op == "QLinearSigmoid" else {"alpha": float(net.rng.uniform(0.01, 0.5))}
    y = Quantized("", x.shape, net.scale(), net.zero())
    inputs = [*net.operands(x), *net.parameters(y)]
    name = net.node(op, inputs, domain=MICROSOFT, **attributes)
    net.done(name, x.shape, op, [x], y.scale, y.zero)
    return True


def softmax(net, x):
    """Softmax in both forms, with the zero point of quantizers: the kernel for int8 does not saturate.

    Of a single element the kernel makes an infinity.
    """
    axes = [axis for axis in range(-1, len(x.shape)) if x.shape[axis] > 1]
    if not axes or x.scale > 2:
        return False
    axis = net.choose(axes)
    if net.rng.random() < 0.2:
        real = net.node("LogSoftmax", [net.real(x)], axis=axis)
        scale, zero = net.scale(0.02, 0.06), np.iinfo(net.kind).max
        net.quantize(real, x.shape, "LogSoftmax", [x], scale, zero)
        return True
    scale, zero = net.choose((1 / 256, 1 / 255, 1 / 200)), np.iinfo(net.kind).min
    # The kernel counts in 254 or 200 levels, of which four or sixteen equal elements get a tie each.
    label = "Softmax" if scale == 1 / 256 else "Softmax, odd levels"
    if net.rng.random() < 0.6:
        real = net.node("Softmax", [net.real(x)], axis=axis)
        net.quantize(real, x.shape, label, [x], scale, zero)
        return True
    y = Quantized("", x.shape, F32(scale), net.kind(zero))
    inputs = [*net.operands(x), *net.parameters(y)]
    opset = int(net.choose((11, 13)))
    name = net.node("QLinearSoftmax", inputs, domain=MICROSOFT, axis=axis, opset=opset)
    net.done(name, x.shape, label, [x], y.scale, y.zero)
    return True


def qlinear_pool(net, x):
    if len(x.shape) != 4 or min(x.shape[2:]) < 2:
        return False
    op = net.choose(("QLinearAveragePool", "QLinearGlobalAveragePool"))
    shape = [*x.shape[:2], 1, 1]
    attributes = {"channels_last": 0}
    if op == "QLinearAveragePool":
        shape = [*x.shape[:2], *(d - 1 for d in x.shape[2:])]
        attributes = {"kernel_shape": [2, 2]}
    y = Quantized("", shape, F32(x.scale * net.rng.uniform(0.4, 1.1)), net.zero())
    inputs = [*net.operands(x), *net.parameters(y)]
    name = net.node(op, inputs, domain=MICROSOFT, **attributes)
    net.done(name, shape, op, [x], y.scale, y.zero)
    return True


def qlinear_choice(net, x):
    others = [t for t in net.pool if t.shape == x.shape and t is not x]
    b = net.choose(others) if others else net.input(x.shape)
    op = net.choose(COMPARISONS)
    # Numbers of two scales are equal by chance only, and that is refused.
    other = net.input(x.shape, x.scale, x.zero) if op == "Equal" else b
    compared = net.node(op, [net.real(x), net.real(other)])
    condition = net.boolean(compared, f"{op} of two", [x, other])
    y = Quantized("", x.shape, net.scale(), net.zero())
    inputs = [condition, *net.operands(x), *net.operands(b), *net.parameters(y)]
    name = net.node("QLinearWhere", inputs, domain=MICROSOFT)
    net.done(name, x.shape, "QLinearWhere", [x, b, other], y.scale, y.zero)
    return True


def logic(net, x):
    """Functions of booleans, cast to a number and quantized."""
    limits = [net.constant(F32(v)) for v in net.rng.uniform(-1, 1, 2)]
    a = net.node("Less", [net.real(x), limits[0]])
    b = net.node("Not", [net.node("Greater", [net.real(x), limits[1]])])
    op = net.choose(("And", "Or", "Xor"))
    result = net.boolean(net.node(op, [a, b]), op, [x])
    number = net.node("Cast", [result], to=1)
    real = net.node("Mul", [number, net.constant(F32(net.rng.uniform(0.5, 2)))])
    net.quantize(real, x.shape, "Cast", [x], net.scale())
    return True


def gated(net, x):
    """The product of a tensor and a function of it, as Swish is exported."""
    real = net.node("Mul", [net.real(x), net.node("Sigmoid", [net.real(x)])])
    net.quantize(real, x.shape, "x * Sigmoid", [x], net.scale())
    return True


def of_positive(net, x):
    """Functions that are real for positive numbers only, on a constant more than the magnitude."""
    op = net.choose(("Sqrt", "Log", "Reciprocal", "Pow"))
    real = net.node("Abs", [net.real(x)])
    real = net.node("Add", [real, net.constant(F32(net.rng.uniform(0.05, 0.5)))])
    more = [net.constant(F32(net.choose((2.0, 3.0, 0.5, -1.0))))] if op == "Pow" else []
    net.quantize(net.node(op, [real, *more]), x.shape, op, [x], net.scale())
    return True


def within_domain(net, x):
    """Functions that are real on an interval only, on what a Clip leaves."""
    op = net.choose(("Acos", "Asin", "Atanh", "Acosh"))
    low, high = {"Acosh": (1.0, 5.0), "Atanh": (-0.95, 0.95)}.get(op, (-1.0, 1.0))
    real = net.node("Clip", [net.real(x), net.constant(F32(low)), net.constant(F32(high))])
    net.quantize(net.node(op, [real]), x.shape, op, [x], net.scale())
    return True


def remainder(net, x):
    divisor = net.constant(F32(net.rng.uniform(0.3, 2) * net.choose((1, -1))))
    real = net.node("Mod", [net.real(x), divisor], fmod=1)
    net.quantize(real, x.shape, "Mod", [x], net.scale())
    return True


def swish(net, x):
    net.opset = max(net.opset, 24)
    real = net.node("Swish", [net.real(x)], alpha=float(net.rng.uniform(0.5, 2)))
    net.quantize(real, x.shape, "Swish", [x], net.scale())
    return True


def microsoft_function(net, x):
    """A function of ONNX Runtime's own domain, between that domain's forms of the QDQ operators."""
    op, attributes = net.choose((("QuickGelu", {"alpha": float(net.rng.uniform(1, 2))}), ("Gelu", {}), ("FastGelu", {})))
    y = Quantized("", x.shape, net.scale(), net.zero())
    real = net.node("DequantizeLinear", net.operands(x), domain=MICROSOFT)
    real = net.node(op, [real], domain=MICROSOFT, **attributes)
    name = net.node("QuantizeLinear", [real, *net.parameters(y)], domain=MICROSOFT)
    net.done(name, x.shape, f"{op} of com.microsoft", [x], y.scale, y.zero)
    return True


def accumulators(net, x):
    """Integer kernels that leave their accumulators, which are scaled and quantized behind them."""
    kind = net.choose((np.uint8, np.int8)) if net.kind == np.uint8 else np.int8
    if len(x.shape) == 2:
        op, attributes, shape = "MatMulInteger", {}, [1, int(net.rng.integers(1, 6))]
        weights = net.integers([x.shape[1], shape[1]], kind)
    elif len(x.shape) == 4:
        op, attributes = "ConvInteger", {"kernel_shape": [2, 2], "pads": [0, 1, 1, 0]}
        weights = net.integers([2, x.shape[1], 2, 2], kind)
        shape = [1, 2, *x.shape[2:]]
    else:
        return False
    zero = net.zero(kind)
    inputs = [x.name, net.constant(weights, "w"), net.constant(x.zero), net.constant(zero)]
    sums = net.boolean(net.node(op, inputs, **attributes), op, [x])
    factor = F32(x.scale * net.rng.uniform(0.002, 0.01))
    real = net.node("Mul", [net.node("Cast", [sums], to=1), net.constant(factor)])
    scale = F32(factor * np.sqrt(weights.size) * net.rng.uniform(20, 90))
    net.quantize(real, shape, f"{op} scaled", [x], scale)
    return True


def computed(net, x):
    """Shapes and indices that are computed from the shape of the tensor, all constants in the end."""
    rank, last = len(x.shape), x.shape[-1]

    def numbers(*values):
        return net.constant(np.array(values, np.int64))

    shape = net.node("Shape", [x.name])
    kind = net.choose(("reshape", "gather", "expand", "fill", "constant", "drop"))
    if kind == "reshape":
        batch = net.node("Gather", [shape, numbers(0)])
        name = net.node("Reshape", [x.name, net.node("Concat", [batch, numbers(-1)], axis=0)])
        result, operator = [1, int(np.prod(x.shape))], "Reshape"
    elif kind == "gather":
        end = net.node("Squeeze", [net.node("Gather", [shape, numbers(-1)])])
        step = net.constant(np.int64(2))
        places = net.node("Range", [net.constant(np.int64(0)), end, step])
        name = net.node("Gather", [x.name, places], axis=rank - 1)
        result, operator = [*x.shape[:-1], (last + 1) // 2], "Gather"
    elif kind == "expand":
        # Expand by a new axis of two, folded into the last again.
        wide = net.node("Expand", [net.node("Unsqueeze", [x.name, numbers(1)]), numbers(1, 2, *[1] * (rank - 1))])
        name = net.node("Reshape", [wide, numbers(1, 2 * x.shape[1], *x.shape[2:])])
        result, operator = [1, 2 * x.shape[1], *x.shape[2:]], "Expand"
    elif kind == "fill":
        count = net.node("Cast", [net.node("Size", [x.name])], to=1)
        zeros = net.node("ConstantOfShape", [shape])
        real = net.node("Add", [net.real(x), net.node("Add", [zeros, net.node("Div", [net.constant(F32(2)), count])])])
        net.quantize(real, x.shape, "Add of a computed constant", [x], net.scale())
        return True
    elif kind == "constant":
        value = net.node("Constant", [], value_float=float(net.rng.uniform(0.3, 1.5)))
        net.quantize(net.node("Mul", [net.real(x), value]), x.shape, "Mul constant", [x], net.scale())
        return True
    else:
        # What exporters leave behind: nothing happens in either.
        same = net.node("Dropout", [net.node("Identity", [net.real(x)])])
        wide = net.node("Squeeze", [net.node("Unsqueeze", [same, numbers(1)]), numbers(1)])
        net.quantize(wide, x.shape, "Identity", [x], x.scale, x.zero)
        return True
    net.done(name, result, operator, [x], x.scale, x.zero)
    return True


def normalization(net, x):
    if len(x.shape) < 3:
        return False

    def draw(low, high):
        return net.constant(F32(net.rng.uniform(low, high, x.shape[1])))

    statistics = [draw(0.3, 1.5), draw(-0.5, 0.5), draw(-1, 1), draw(0.2, 2)]
    real = net.node("BatchNormalization", [net.real(x), *statistics])
    net.quantize(real, x.shape, "BatchNormalization", [x], net.scale())
    return True


def split(net, x):
    last = x.shape[-1]
    if last < 2:
        return False
    sizes = [1, last - 1]
    inputs = [x.name, net.constant(np.array(sizes, np.int64))]
    names = net.node("Split", inputs, outputs=2, axis=len(x.shape) - 1)
    for name, size in zip(names, sizes):
        net.done(name, [*x.shape[:-1], size], "Split", [x], x.scale, x.zero)
    return True


def blocks(net, x):
    if len(x.shape) != 4:
        return False
    n, c, h, w = x.shape
    if c % 4 == 0:
        mode = net.choose(("DCR", "CRD"))
        name = net.node("DepthToSpace", [x.name], blocksize=2, mode=mode)
        net.done(name, [n, c // 4, 2 * h, 2 * w], "DepthToSpace", [x], x.scale, x.zero)
    elif h % 2 == 0 and w % 2 == 0:
        # ONNX Runtime has it for floats only.
        real = net.node("SpaceToDepth", [net.real(x)], blocksize=2)
        shape = [n, 4 * c, h // 2, w // 2]
        net.quantize(real, shape, "SpaceToDepth", [x], x.scale, x.zero)
    else:
        return False
    return True


def several(net, x):
    b, scale = net.input(x.shape), net.scale(0.02, 0.1)
    real = net.node("Sum", [net.real(x), net.real(b)])
    net.quantize(real, x.shape, "Sum", [x, b], scale)
    return True


def magnitude(net, x):
    """Norms; a power of two as scale keeps their squares whole."""
    if len(x.shape) < 3:
        return False
    op = net.choose(("ReduceL1", "ReduceL2", "ReduceSumSquare"))
    shape = [*x.shape[:-1], 1]
    real = net.node(op, [net.real(x), net.constant(np.array([-1], np.int64))], keepdims=1)
    scale = x.scale * (16 if op == "ReduceSumSquare" else 4) * F32(net.rng.uniform(0.9, 1.1))
    net.quantize(real, shape, op, [x], scale)
    return True


def einsum(net, x):
    if len(x.shape) != 2:
        return False
    columns = int(net.rng.integers(1, 5))
    b = net.input([x.shape[1], columns])
    real = net.node("Einsum", [net.real(x), net.real(b)], equation="ab,bc->ac")
    scale = F32(x.scale * b.scale * np.sqrt(x.shape[1]) * net.rng.uniform(30, 90))
    net.quantize(real, [x.shape[0], columns], "Einsum", [x, b], scale)
    return True


def scaled_product(net, x):
    if len(x.shape) != 2:
        return False
    columns = int(net.rng.integers(1, 5))
    kind = net.choose((np.uint8, np.int8)) if net.kind == np.uint8 else np.int8
    weights = net.constant(net.integers([x.shape[1], columns], kind), "w")
    factor = F32(net.rng.uniform(0.002, 0.01))
    inputs = [x.name, weights, net.constant(x.scale), net.constant(factor), net.constant(x.zero), net.constant(kind(0))]
    real = net.node("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
    scale = F32(x.scale * factor * np.sqrt(x.shape[1]) * net.rng.uniform(30, 90))
    net.quantize(real, [x.shape[0], columns], "MatMulIntegerToFloat", [x], scale)
    return True


# By themselves only: random graphs are drawn from the others.
ALONE = (several, magnitude, einsum, scaled_product)
OPERATORS = (
    function, function, chain, clip, with_constant, convolution, convolution, transposed, dense,
    dense, pair, pair, product, pool, pool, reduction, ranking, concat, movement, movement, resize, choice,
    qlinear_function, qlinear_pool, qlinear_choice, logic, gated, of_positive, normalization, split,
    blocks, softmax, within_domain, remainder, swish, microsoft_function, accumulators, computed,
    running, places,
)  # fmt: skip
