"""Constant subgraphs: expressions of a wanted type and shape, of every operator that is folded at import.

`expression` draws one whose value nobody needs to know, `disguise` one of a known value (a shape, an index, a scale).
"""

import numpy as np
from onnx import helper

import fuzz_values as v
from fuzz_build import Unfit

F32, F64, I64 = np.float32, np.float64, np.int64
CASTS = (F32, F64, np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint32)
FLOAT_UNARY = {
    "Relu": {}, "Abs": {}, "Neg": {}, "Sign": {}, "Sqrt": {}, "Reciprocal": {}, "Floor": {}, "Ceil": {},
    "Round": {}, "Exp": {}, "Log": {}, "Sigmoid": {}, "Tanh": {}, "Erf": {}, "Softplus": {}, "Softsign": {},
    "LeakyRelu": {"alpha": 0.25}, "Elu": {"alpha": 0.5}, "HardSigmoid": {"alpha": 0.25, "beta": 0.5},
    "ThresholdedRelu": {"alpha": 0.5}, "Selu": {}, "Celu": {"alpha": 0.5}, "Sin": {}, "Cos": {}, "Atan": {},
}  # fmt: skip
# What ONNX Runtime computes in binary64, and opsets where these types are new.
DOUBLE_UNARY = ("Abs", "Neg", "Sign", "Sqrt", "Reciprocal", "Floor", "Ceil", "Relu", "Exp", "Log", "Sigmoid", "Tanh")
EXACT_UNARY = ("Relu", "Abs", "Neg", "Sign", "Sqrt", "Reciprocal", "Floor", "Ceil", "Round")
SINCE = {"Round": 11, "Celu": 12, "GreaterOrEqual": 12, "LessOrEqual": 12, "Range": 11, "Trilu": 14, "HardSwish": 14}


def _cast(b, dtype, shape, depth):
    source = F64 if dtype != F64 and b.chance(0.3) else b.choose([t for t in CASTS if t != dtype])
    to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return b.node("Cast", [expression(b, source, shape, depth - 1)], dtype, shape, to=to)


def _broadcast(b, shape):
    """A shape that broadcasts to `shape`."""
    kind = b.rng.random()
    if kind < 0.5:
        return tuple(shape)
    if kind < 0.8 or not shape:
        return ()
    return tuple(1 if b.chance(0.5) else d for d in shape)


def _operands(b, dtype, shape, depth):
    """Two operands that broadcast to the shape."""
    pair = [tuple(shape), _broadcast(b, shape)]
    order = [0, 1] if b.chance(0.5) else [1, 0]
    return [expression(b, dtype, pair[i], depth - 1) for i in order]


def _arithmetic(b, dtype, shape, depth):
    if dtype in v.FLOATS:
        op = b.choose(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mod", "Max", "Min"))
        if op in ("Max", "Min") and b.chance(0.2):
            inputs = [*_operands(b, dtype, shape, depth), b.leaf(dtype, shape)]
        else:
            inputs = _operands(b, dtype, shape, depth)
        return b.node(op, inputs, dtype, shape, fmod=1 if op == "Mod" else None)
    small = dtype in (np.int8, np.uint8, np.int16, np.uint16)
    if dtype == np.uint32 or (small and b.opset < 14):
        raise Unfit
    ops = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Mod", "Pow"]
    if dtype in (np.int16, np.uint16):
        raise Unfit
    op = b.choose(ops) if small or b.chance(0.7) else "Pow"
    if op in ("Max", "Min") and b.opset < 12 or op == "Pow" and (b.opset < 12 or small):
        raise Unfit
    if op in ("Div", "Mod"):
        divisor = b.constant(v.divisors(b.rng, _broadcast(b, shape), dtype))
        x = expression(b, dtype, shape, depth - 1)
        fmod = 1 if op == "Mod" and b.chance(0.3) else None
        return b.node(op, [x, divisor], dtype, shape, fmod=fmod)
    if op == "Pow":
        kinds = (I64, np.int32, F32, F64) if b.chance(0.5) else (dtype,)
        base = expression(b, dtype, shape, depth - 1)
        power = b.constant(b.rng.integers(-2, 6, _broadcast(b, shape)).astype(b.choose(kinds)))
        return b.node(op, [base, power], dtype, shape)
    return b.node(op, _operands(b, dtype, shape, depth), dtype, shape)


def _unary(b, dtype, shape, depth):
    if dtype in v.FLOATS:
        names = sorted(FLOAT_UNARY) if dtype == F32 else DOUBLE_UNARY
        op = b.choose(EXACT_UNARY) if b.chance(0.7) else b.choose(names)
        if b.opset < SINCE.get(op, 0):
            raise Unfit
        attributes = FLOAT_UNARY[op]
    else:
        op, attributes = b.choose(("Abs", "Neg", "Sign", "Relu")), {}
        if op == "Neg" and dtype in (np.uint8, np.uint16, np.uint32):
            raise Unfit
        if op == "Relu" and (b.opset < 14 or dtype not in (np.int8, np.int32)):
            raise Unfit
    return b.node(op, [expression(b, dtype, shape, depth - 1)], dtype, shape, **attributes)


def _clip(b, dtype, shape, depth):
    if b.opset < 11 or (b.opset < 12 and dtype != F32) or dtype in (np.int16, np.uint16):
        raise Unfit
    x = expression(b, dtype, shape, depth - 1)
    limits = v.values(b.rng, (2,), dtype)
    if dtype in v.FLOATS and b.chance(0.8):
        limits = v.floats(b.rng, (2,), dtype, wild=0)
    if b.chance(0.8):
        limits = np.sort(limits)
    low, high = b.constant(limits[0]), b.constant(limits[1])
    kind = b.rng.random()
    inputs = [x, low, high] if kind < 0.7 else [x, low] if kind < 0.85 else [x, "", high]
    return b.node("Clip", inputs, dtype, shape)


def _where(b, dtype, shape, depth):
    condition = expression(b, np.bool_, _broadcast(b, shape), depth - 1)
    return b.node("Where", [condition, *_operands(b, dtype, shape, depth)], dtype, shape)


def _compare(b, dtype, shape, depth):
    kind = b.choose((F32, F32, F64, np.int32, I64))
    op = b.choose(("Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"))
    if b.opset < SINCE.get(op, 0) or (op == "Equal" and b.opset < 11):
        raise Unfit
    return b.node(op, _operands(b, kind, shape, depth), np.bool_, shape)


def _logic(b, dtype, shape, depth):
    kind = b.rng.random()
    if kind < 0.3:
        return b.node("Not", [expression(b, np.bool_, shape, depth - 1)], np.bool_, shape)
    if kind < 0.7:
        op = b.choose(("And", "Or", "Xor"))
        return b.node(op, _operands(b, np.bool_, shape, depth), np.bool_, shape)
    op = b.choose(("IsNaN", "IsInf"))
    return b.node(op, [expression(b, F32, shape, depth - 1)], np.bool_, shape)


def _reduce(b, dtype, shape, depth):
    """A reduction of a larger shape."""
    if dtype not in (F32, F64, np.int32, I64):
        raise Unfit
    op = b.choose(("ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceSumSquare", "ReduceL1"))
    if op in ("ReduceL1", "ReduceSumSquare", "ReduceProd") and dtype == F64:
        raise Unfit
    axis = int(b.rng.integers(0, len(shape) + 1))
    larger = [*shape[:axis], int(b.rng.integers(1, 4)), *shape[axis:]]
    x = expression(b, dtype, larger, depth - 1)
    as_input = b.opset >= (13 if op == "ReduceSum" else 18)
    inputs = [x, b.ints([axis])] if as_input else [x]
    return b.node(op, inputs, dtype, shape, keepdims=0, axes=None if as_input else [axis])


def _moved(b, dtype, shape, depth):
    """The same elements, or some of more, in another order."""
    kind = b.choose(("reshape", "transpose", "concat", "slice", "gather", "expand", "tile", "unsqueeze", "pad", "trilu"))
    rank = len(shape)
    if kind == "reshape":
        flat = expression(b, dtype, (int(np.prod(shape, dtype=I64)),), depth - 1)
        return b.node("Reshape", [flat, disguise(b, shape, depth - 2)], dtype, shape)
    if kind == "unsqueeze":
        if b.opset < 13:
            raise Unfit
        x = b.node("Unsqueeze", [expression(b, dtype, shape, depth - 1), b.ints([0])], dtype, (1, *shape))
        return b.node("Squeeze", [x, b.ints([0])], dtype, shape)
    if rank == 0:
        raise Unfit
    axis = int(b.rng.integers(rank))
    if kind == "transpose":
        perm = [int(p) for p in b.rng.permutation(rank)]
        before = [0] * rank
        for i, p in enumerate(perm):
            before[p] = shape[i]
        return b.node("Transpose", [expression(b, dtype, before, depth - 1)], dtype, shape, perm=perm)
    if kind == "concat":
        if shape[axis] < 2:
            raise Unfit
        cut = int(b.rng.integers(1, shape[axis]))
        sizes = [cut, shape[axis] - cut]
        parts = [expression(b, dtype, (*shape[:axis], n, *shape[axis + 1 :]), depth - 1) for n in sizes]
        return b.node("Concat", parts, dtype, shape, axis=axis)
    if kind in ("slice", "gather"):
        more = shape[axis] + int(b.rng.integers(0, 3))
        x = expression(b, dtype, (*shape[:axis], more, *shape[axis + 1 :]), depth - 1)
        if kind == "gather":
            places = b.rng.integers(-more, more, shape[axis])
            return b.node("Gather", [x, disguise(b, places, depth - 1)], dtype, shape, axis=axis)
        start = int(b.rng.integers(0, more - shape[axis] + 1))
        bounds = [disguise(b, [n], depth - 2) for n in (start, start + shape[axis], axis)]
        return b.node("Slice", [x, *bounds], dtype, shape)
    if kind == "expand":
        return b.node("Expand", [expression(b, dtype, _broadcast(b, shape), depth - 1), disguise(b, shape, depth - 1)], dtype, shape)
    if kind == "tile":
        x = expression(b, dtype, (*shape[:axis], 1, *shape[axis + 1 :]), depth - 1)
        repeats = [shape[axis] if i == axis else 1 for i in range(rank)]
        return b.node("Tile", [x, disguise(b, repeats, depth - 1)], dtype, shape)
    if kind == "pad":
        if b.opset < 13 or shape[axis] < 2 or dtype == np.uint32:
            raise Unfit
        x = expression(b, dtype, (*shape[:axis], shape[axis] - 1, *shape[axis + 1 :]), depth - 1)
        pads = [int(i == axis) for i in range(rank)] + [0] * rank
        return b.node("Pad", [x, disguise(b, pads, depth - 2), b.leaf(dtype, ())], dtype, shape)
    if rank < 2 or b.opset < 14 or dtype not in (F32, F64, I64):
        raise Unfit
    return b.node("Trilu", [expression(b, dtype, shape, depth - 1)], dtype, shape, upper=int(b.rng.integers(2)))


def _filled(b, dtype, shape, depth):
    value = helper.make_tensor("v", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [1], v.values(b.rng, (1,), dtype))
    return b.node("ConstantOfShape", [disguise(b, shape, depth - 1)], dtype, shape, value=value)


def _range(b, dtype, shape, depth):
    if len(shape) != 1 or b.opset < 11 or dtype not in (F32, F64, I64, np.int32) or not shape[0]:
        raise Unfit
    start, delta = (float(x) for x in (b.rng.integers(-3, 4), b.choose((1, 2, -1, 3))))
    if dtype in v.FLOATS and b.chance(0.5):
        start, delta = start + 0.1, delta * 0.3
    numbers = (start, start + delta * (shape[0] - 0.5) if dtype in v.FLOATS else start + delta * shape[0], delta)
    return b.node("Range", [b.constant(np.asarray(n, dtype)) for n in numbers], dtype, shape)


def _quantized(b, dtype, shape, depth):
    """QuantizeLinear or DequantizeLinear of constants."""
    if dtype == F32:
        kind = b.choose((np.int8, np.uint8))
        return b.node("DequantizeLinear", [expression(b, kind, shape, depth - 1), *b.parameters(kind)], F32, shape)
    if dtype in (np.int8, np.uint8):
        return b.node("QuantizeLinear", [expression(b, F32, shape, depth - 1), *b.parameters(dtype)], dtype, shape)
    raise Unfit


def _product(b, dtype, shape, depth):
    if dtype not in v.FLOATS or len(shape) != 2:
        raise Unfit
    inner = int(b.rng.integers(1, 4))
    parts = [expression(b, dtype, s, depth - 1) for s in ((shape[0], inner), (inner, shape[1]))]
    if b.chance(0.5):
        return b.node("MatMul", parts, dtype, shape)
    return b.node("Gemm", [*parts, expression(b, dtype, (shape[1],), depth - 1)], dtype, shape)


def _scattered(b, dtype, shape, depth):
    if len(shape) != 1 or dtype not in (F32, I64) or b.opset < 11:
        raise Unfit
    x, update = expression(b, dtype, shape, depth - 1), b.leaf(dtype, (1,))
    return b.node("ScatterND", [x, b.ints([[int(b.rng.integers(shape[0]))]]), update], dtype, shape)


def _summed(b, dtype, shape, depth):
    if dtype != F32:
        raise Unfit
    return b.node("Sum", [*_operands(b, dtype, shape, depth), b.leaf(dtype, shape)], dtype, shape)


def _cancelled(b, dtype, shape, depth):
    """A large number less one next to it: what is left shows the last bits of the large one."""
    if dtype == I64:
        if b.chance(0.5) and b.opset >= 12:
            base = int(b.choose((3, 5, 7, 10, -3, -7)))
            power = int(b.rng.integers(2, int(62 / np.log2(abs(base))) + 1))
            exact = base**power
            large = b.node("Pow", [b.constant(np.asarray(base, I64)), b.constant(np.asarray(power, I64))], I64, ())
        else:
            exact = int(b.rng.integers(1 << 24, 1 << 52)) | 1
            large = b.node("Cast", [b.constant(np.asarray(float(exact)))], I64, (), to=7)
        near = exact + b.rng.integers(-6, 7, shape)
        return b.node("Sub", [large, b.constant(near.astype(I64))], I64, shape)
    if dtype != F64:
        raise Unfit
    bits = int(b.rng.integers(26, 50))
    small = b.rng.integers(-7, 8, shape).astype(F64)
    near = b.constant(1 + small * 2.0**-bits)
    difference = b.node("Sub", [near, b.constant(np.asarray(1.0))], F64, shape)
    return b.node("Mul", [difference, b.constant(np.asarray(2.0**bits))], F64, shape)


def _same(b, dtype, shape, depth):
    return b.node("Identity", [expression(b, dtype, shape, depth - 1)], dtype, shape)


RULES = [
    (_cast, 5), (_arithmetic, 6), (_unary, 5), (_clip, 2), (_where, 1), (_moved, 3), (_filled, 1), (_range, 1.5),
    (_quantized, 1.5), (_reduce, 0.7), (_product, 0.2), (_scattered, 0.1), (_summed, 0.1), (_same, 0.2), (_cancelled, 2),
]  # fmt: skip
BOOL_RULES = [(_cast, 4), (_compare, 4), (_logic, 1), (_where, 0.5), (_moved, 2), (_filled, 0.5)]


def expression(b, dtype, shape, depth):
    """A constant of the type and shape, `depth` operators deep at most."""
    shape = tuple(int(d) for d in shape)
    if depth <= 0 or b.chance(0.15):
        return b.leaf(dtype, shape)
    rules = BOOL_RULES if dtype == np.bool_ else RULES
    weights = np.array([w for _, w in rules])
    for _ in range(8):
        rule = rules[int(b.rng.choice(len(rules), p=weights / weights.sum()))][0]
        mark = len(b.nodes), len(b.constants)
        try:
            return rule(b, dtype, shape, depth)
        except Unfit:
            del b.nodes[mark[0] :], b.constants[mark[1] :]
    return b.leaf(dtype, shape)


def disguise(b, wanted, depth=1, dtype=I64):
    """A constant of known integers, made by operators."""
    wanted = np.asarray(wanted, dtype)
    if depth <= 0 or b.chance(0.6):
        return b.constant(wanted)
    kind, shape = int(b.rng.integers(8)), wanted.shape
    if kind == 0:
        other = b.rng.integers(-3, 4, shape).astype(dtype)
        return b.node("Add", [disguise(b, wanted - other, depth - 1, dtype), b.constant(other)], dtype, shape)
    if kind == 1:
        factor = int(b.rng.integers(1, 4))
        x = disguise(b, wanted * factor + (factor - 1 if (wanted >= 0).all() else 0), depth - 1, dtype)
        return b.node("Div", [x, b.constant(np.asarray(factor, dtype))], dtype, shape)
    if kind == 2:
        source = b.choose((F32, F64, np.int32, I64))
        values = wanted.astype(source)
        if source in v.FLOATS and b.chance(0.5):
            values = values + np.where(values >= 0, source(0.4), source(-0.4))
        return b.node("Cast", [b.constant(values)], dtype, shape, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    if kind == 3 and wanted.ndim == 1 and wanted.size > 1:
        parts = [disguise(b, wanted[:1], depth - 1, dtype), b.constant(wanted[1:])]
        return b.node("Concat", parts, dtype, shape, axis=0)
    if kind == 4 and wanted.ndim == 1 and (wanted >= 0).all() and wanted.size <= 4 and wanted.prod() <= 64 and dtype == I64:
        return b.node("Shape", [b.leaf(F32, wanted)], dtype, shape)
    if kind == 5 and wanted.ndim == 1 and wanted.size:
        more = np.concatenate([b.rng.integers(0, 9, 1), wanted]).astype(dtype)
        return b.node("Gather", [b.constant(more), b.ints(np.arange(1, len(more)))], dtype, shape, axis=0)
    if kind == 6 and b.opset >= 12 and dtype == I64:
        low = b.constant(wanted - b.rng.integers(0, 3, shape))
        return b.node("Max", [b.constant(wanted), low], dtype, shape)
    if kind == 7:
        condition = v.booleans(b.rng, shape)
        junk = b.rng.integers(0, 9, shape).astype(dtype)
        yes, no = np.where(condition, wanted, junk), np.where(condition, junk, wanted)
        return b.node("Where", [b.constant(condition), b.constant(yes), b.constant(no)], dtype, shape)
    return b.constant(wanted)


