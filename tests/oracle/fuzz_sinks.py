"""Where constant subgraphs end: in something the program computes, so that a wrong constant shows."""

import numpy as np

import fuzz_values as v
from fuzz_build import F32, T, Unfit
from fuzz_constants import CASTS, disguise, expression

I64 = np.int64
SHAPES = ((1, 4), (1, 6), (1, 2, 3), (1, 2, 2, 3), (5,))
OPERATORS = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Add", "Mul", "Max", "Min", "Pow", "PRelu", "Mod")


def depth(b):
    return int(b.choose((1, 1, 2, 2, 3)))


def operand_shape(b, shape):
    """What broadcasts along one axis, or is one value, or all of them."""
    kind = b.rng.random()
    if kind < 0.4:
        return ()
    if kind < 0.7:
        axis = int(b.rng.integers(len(shape)))
        return tuple(d if i == axis else 1 for i, d in enumerate(shape))
    return tuple(shape)


def rectified(b, real, share=0.4):
    """A Relu or Clip between with the share's chance."""
    kind = 0 if b.chance(1 - share) else 0.6 + 0.4 * b.rng.random()
    if kind < 0.6:
        return real
    if kind < 0.8:
        return b.node("Relu", [real], F32, real.shape)
    if b.opset < 11:
        return b.node("Clip", [real], F32, real.shape, min=-1.0, max=2.5)
    low, high = sorted(float(x) for x in b.rng.uniform(-3, 6, 2))
    return b.node("Clip", [real, b.scalar(low), b.scalar(high)], F32, real.shape)


def addend(b):
    """An activation combined with a folded constant."""
    shape = b.choose(SHAPES)
    x, c = b.activation(shape), expression(b, F32, operand_shape(b, shape), depth(b))
    op = b.choose(OPERATORS)
    inputs = [x, c] if b.chance(0.7) or op == "PRelu" else [c, x]
    real = b.node(op, inputs, F32, shape, fmod=1 if op == "Mod" else None)
    b.quantize(rectified(b, real))


def quantized_constant(b):
    """QuantizeLinear of a folded constant: an output, and one of two inputs of a group."""
    shape, kind = b.choose(SHAPES), b.choose((np.int8, np.uint8))
    parameters = b.parameters(kind)
    c = expression(b, F32, shape, depth(b))
    q = b.node("QuantizeLinear", [c, *parameters], kind, shape)
    real = b.node("DequantizeLinear", [q, *parameters], F32, shape)
    x = b.activation(shape)
    op = b.choose(("Add", "Mul", "Sub", "Max", "Min"))
    b.quantize(b.node(op, [x, real], F32, shape))
    if b.chance(0.3):
        b.outputs.append(b.choose((q, real)))


def output(b):
    """A constant that is itself an output, beside something computed."""
    kind = b.choose(CASTS)
    b.outputs.append(expression(b, kind, b.choose(SHAPES + ((),)), depth(b)))
    x = b.activation(b.choose(SHAPES))
    b.quantize(rectified(b, x))


def limits(b):
    """Clip by folded limits."""
    if b.opset < 11:
        raise Unfit
    shape = b.choose(SHAPES)
    low, high = (expression(b, F32, (), depth(b)) if b.chance(0.7) else "" for _ in range(2))
    b.quantize(b.node("Clip", [b.activation(shape), low, high], F32, shape))


def quantized_scale(b):
    """A scale that is computed: positive whatever the numbers are."""
    shape = b.choose(SHAPES)
    base = b.choose((F32, F32, np.float64))
    numbers = [b.constant(np.abs(v.floats(b.rng, (), base, wild=0)).astype(base) + base(0.02)) for _ in range(2)]
    op = b.choose(("Mul", "Div", "Add", "Max", "Min"))
    s = b.node(op, numbers, base, ())
    if base != F32:
        s = b.node("Cast", [s], F32, (), to=1)
    if b.chance(0.3):
        s = b.node(b.choose(("Sqrt", "Abs", "Reciprocal")), [s], F32, ())
    kind = b.kind()
    x, zero = b.activation(shape), b.constant(v.zero(b.rng, kind))
    b.outputs.append(b.node("QuantizeLinear", [x, s, zero], kind, shape))


def zero_point(b):
    """A zero point that is computed."""
    shape, kind = b.choose(SHAPES), b.choose((np.int8, np.uint8))
    zero = expression(b, kind, (), depth(b))
    b.outputs.append(b.node("QuantizeLinear", [b.activation(shape), b.scalar(v.scale(b.rng)), zero], kind, shape))


def condition(b):
    """Where with a folded condition or folded values."""
    shape = b.choose(SHAPES)
    parts = [b.activation(shape), b.activation(shape) if b.chance(0.4) else None]
    parts[1] = parts[1] or expression(b, F32, operand_shape(b, shape), depth(b))
    if b.chance(0.5):
        parts.reverse()
    truth = expression(b, np.bool_, operand_shape(b, shape), depth(b))
    b.quantize(b.node("Where", [truth, *parts], F32, shape))


def compared(b):
    """A comparison of an activation with folded constants."""
    shape = b.choose(SHAPES)
    op = b.choose(("Less", "Greater", "Equal", "GreaterOrEqual", "LessOrEqual"))
    if b.opset < 12 and op.endswith("OrEqual") or b.opset < 11 and op == "Equal":
        raise Unfit
    inputs = [b.activation(shape), expression(b, F32, operand_shape(b, shape), depth(b))]
    if b.chance(0.3):
        inputs.reverse()
    b.outputs.append(b.node(op, inputs, np.bool_, shape))


def whole_numbers(b):
    """Integer inputs with folded integers: sums and comparisons."""
    shape, kind = b.choose(SHAPES), b.choose((I64, I64, np.int32))
    x = b.integer_input(kind, shape, -50, 50)
    c = expression(b, kind, operand_shape(b, shape) if b.chance(0.6) else (), depth(b))
    op = b.choose(("Add", "Sub", "Less", "Greater", "Equal"))
    inputs = [x, c] if b.chance(0.7) else [c, x]
    b.outputs.append(b.node(op, inputs, kind if op in ("Add", "Sub") else np.bool_, shape))


def embedding(b):
    """Folded floats picked at places that are computed."""
    rows, shape = int(b.rng.integers(2, 6)), (1, int(b.rng.integers(1, 4)))
    if b.chance(0.9):
        # Places that are known to exist.
        shape = (1, 3)
        places = b.node("ArgMax", [b.activation((1, 3, rows))], I64, shape, axis=2, keepdims=0)
    else:
        places = b.integer_input(I64, shape, -rows if b.chance(0.3) else 0, rows)
    table = expression(b, F32, (rows, *((2,) if b.chance(0.3) else ())), depth(b))
    real = b.node("Gather", [table, places], F32, (*shape, *table.shape[1:]), axis=0)
    b.quantize(rectified(b, real))


def moved(b):
    """Data movement by computed shapes, axes and places."""
    shape = b.choose(((1, 4), (1, 2, 3), (1, 2, 2, 3)))
    x = b.activation(shape)
    kind = b.choose(("Reshape", "Slice", "Gather", "Expand", "Tile", "Pad", "Transpose", "Concat"))
    axis = int(b.rng.integers(1, len(shape)))
    extent = shape[axis]

    def sized(n):
        return (*shape[:axis], n, *shape[axis + 1 :])

    if kind == "Reshape":
        wanted = [1, -1] if b.chance(0.3) else b.choose(([x.size], [1, x.size], [x.size, 1]))
        real = b.node("Reshape", [x, disguise(b, wanted, 2)], F32, tuple(abs(w) if w > 0 else x.size for w in wanted))
    elif kind == "Slice":
        start, step = int(b.rng.integers(-extent, extent)), int(b.choose((1, 1, 2, -1)))
        stop = int(b.rng.integers(-extent - 1, extent + 3))
        count = len(range(*slice(start, stop, step).indices(extent)))
        if not count:
            raise Unfit
        bounds = [disguise(b, [n], 2) for n in (start, stop, axis, step)]
        real = b.node("Slice", [x, *bounds], F32, sized(count))
    elif kind == "Gather":
        places = b.rng.integers(0, extent, int(b.rng.integers(1, 4)))
        real = b.node("Gather", [x, disguise(b, places, 2)], F32, sized(len(places)), axis=axis)
    elif kind == "Expand":
        real = b.node("Expand", [x, disguise(b, (2, *shape[1:]), 2)], F32, (2, *shape[1:]))
    elif kind == "Tile":
        repeats = [2 if i == axis else 1 for i in range(len(shape))]
        real = b.node("Tile", [x, disguise(b, repeats, 2)], F32, sized(2 * extent))
    elif kind == "Pad":
        if b.opset < 11:
            raise Unfit
        pads = [int(i == axis) for i in range(len(shape))] * 2
        mode = b.choose(("constant", "constant", "reflect", "edge"))
        if mode == "reflect" and extent < 2:
            raise Unfit
        border = [expression(b, F32, (), depth(b))] if mode == "constant" and b.chance(0.8) else []
        real = b.node("Pad", [x, disguise(b, pads, 2), *border], F32, sized(extent + 2), mode=mode)
    elif kind == "Transpose":
        perm = [int(p) for p in b.rng.permutation(len(shape))]
        real = b.node("Transpose", [x], F32, [shape[p] for p in perm], perm=perm)
    else:
        part = expression(b, F32, shape, depth(b))
        real = b.node("Concat", [x, part] if b.chance(0.5) else [part, x], F32, sized(2 * extent), axis=axis)
    real = T(real.name, F32, tuple(int(d) for d in real.shape))
    b.quantize(rectified(b, real))


def normalized(b):
    """BatchNormalization with folded statistics."""
    shape = b.choose(((1, 2, 3), (1, 2, 2, 3), (1, 4)))
    wild = b.chance(0.3)

    def statistic(positive=False):
        values = v.floats(b.rng, (shape[1],), F32, wild=0.3 if wild else 0)
        c = b.constant(np.abs(values) + F32(0.1) if positive and not wild else values)
        return c if b.chance(0.6) else b.node(b.choose(("Abs", "Identity", "Relu")), [c], F32, c.shape)

    inputs = [b.activation(shape), statistic(), statistic(), statistic(), statistic(True)]
    real = b.node("BatchNormalization", inputs, F32, shape, epsilon=float(b.choose((1e-5, 1e-3, 0.0))))
    b.quantize(rectified(b, real))


SINKS = [
    (addend, 5), (quantized_constant, 2), (output, 1.5), (limits, 1.5), (quantized_scale, 1), (zero_point, 0.7),
    (condition, 1.5), (compared, 1.5), (whole_numbers, 1), (embedding, 0.7), (moved, 2.5), (normalized, 0.7),
]  # fmt: skip
