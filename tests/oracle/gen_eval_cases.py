#!/usr/bin/env python3
"""Writes what ONNX Runtime computes for single nodes on constants, for the tests of the evaluator.

usage: gen_eval_cases.py [FILE]        default: onnx/src/tests/eval.json

Every case is a node with its attributes and inputs, and ONNX Runtime's results (CPU provider, one thread, all
optimizations), or that it refuses the node. `undefined` cases are those whose value C++ leaves open, such as a float
outside the integer that it is cast to: ONNX Runtime answers something, the evaluator has to refuse. Floats are written
as their bits. `ulps` is the largest distance that is allowed, in units of the last place, of functions that no text
defines to the last bit; `near` is one relative to the largest result, of sums whose order no text fixes.
"""
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(4)
F, D = np.float32, np.float64
INTS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
TYPES = [F, D, *INTS, np.bool_]
nan, inf = np.nan, np.inf
rng = np.random.default_rng(11)
cases = []


def array(values, dtype=F):
    return np.array(values, dtype)


def run(op, inputs, opset, outputs, domain, attributes):
    names = [f"i{k}" if a is not None else "" for k, a in enumerate(inputs)]
    results = [f"o{k}" for k in range(outputs)]
    node = helper.make_node(op, names, results, domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_empty_tensor_value_info(r) for r in results],
        [numpy_helper.from_array(a, n) for a, n in zip(inputs, names) if a is not None],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": np.zeros(1, F)})
    except Exception:
        return None


def tensor(a):
    if a is None:
        return None
    a = np.asarray(a)
    if a.dtype.kind == "f":
        bits = a.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[a.dtype.itemsize])
        # One pattern for what is not a number.
        bits = np.where(np.isnan(a), {2: 0x7E00, 4: 0x7FC00000, 8: 0x7FF8 << 48}[a.dtype.itemsize], bits)
        values = [int(v) for v in bits.ravel()]
    else:
        values = [int(v) for v in a.ravel()]
    return {"type": str(a.dtype), "shape": list(a.shape), "data": values}


def attribute(value):
    if isinstance(value, float):
        return {"float": int(np.float32(value).view(np.uint32))}
    if isinstance(value, np.ndarray):
        return {"tensor": tensor(value)}
    return value


def case(op, *inputs, opset=21, outputs=1, domain="", ulps=0, near=0.0, undefined=False, **attributes):
    inputs = [None if a is None else np.asarray(a) for a in inputs]
    given = {k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in attributes.items()}
    found = None if undefined else run(op, inputs, opset, outputs, domain, given)
    one = {"op": op, "opset": opset, "inputs": [tensor(a) for a in inputs]}
    if domain:
        one["domain"] = domain
    if attributes:
        one["attributes"] = {k: attribute(v) for k, v in attributes.items()}
    if undefined:
        one["undefined"] = True
    elif found is None:
        one["refused"] = True
    else:
        one["results"] = [tensor(a) for a in found]
        if ulps:
            one["ulps"] = ulps
        if near:
            one["near"] = near
    cases.append(one)
    return found


# Sine and its kin of huge angles.
ANGLES = [1048577.0, 4294967296.0, -3.4e38, 1e20]
SPECIAL = [nan, inf, -inf, 0.0, -0.0, 1e-40, -1e-40, 0.5, -0.5, 1.5, 2.5, -1.5, 1.0, -1.0, 3.7, -3.7, 1e30, -1e30, 8388609.0, 17.5, -17.9, -18.0, -30.0, 88.0, -88.0]
EXACT = "Abs Neg Sign Relu LeakyRelu HardSigmoid HardSwish ThresholdedRelu Shrink Softsign Sqrt Reciprocal Floor Ceil Round Sigmoid Tanh".split()
# Largest distances seen on 4,000 numbers in [-12, 12] are below these.
ULPS = dict(Exp=1, Log=1, Erf=1, Softplus=3, Sin=1, Cos=1, Tan=1, Atan=2, Sinh=2, Cosh=1, Asinh=1, Acosh=1, Asin=2, Acos=2, Atanh=1)
NEAR = dict(Elu=1e-7, Selu=3e-7, Celu=1e-7, Mish=3e-7, Gelu=3e-7, Swish=3e-7)


def unary():
    values = np.concatenate([array(SPECIAL), (rng.standard_normal(20) * 4).astype(F)])
    for op in EXACT:
        for opset in (13, 21):
            case(op, values, opset=opset)
    finite = values[np.abs(values) < 80]
    for op, ulps in ULPS.items():
        inputs = np.abs(finite) + 1 if op == "Acosh" else finite / 20 if op in ("Asin", "Acos", "Atanh") else finite
        case(op, inputs, ulps=ulps)
        case(op, array([nan, inf, -inf, 0.0]), ulps=ulps)
    for op in ("Sin", "Cos", "Tan"):
        case(op, array(ANGLES), near=1e-6)
    for op in (*EXACT, *ULPS, *NEAR):
        case(op, array([inf, -inf]), opset=24)
    for op, near in NEAR.items():
        case(op, finite, near=near, opset=24)
    case("Gelu", finite, near=3e-7, approximate="tanh")
    case("Gelu", finite, near=3e-7, domain="com.microsoft")
    case("QuickGelu", finite, near=3e-7, domain="com.microsoft", alpha=1.5)
    case("FastGelu", finite, near=3e-7, domain="com.microsoft")
    case("FastGelu", finite[:6].reshape(2, 3), array([0.5, -1.0, 2.0]), near=3e-7, domain="com.microsoft")
    case("LeakyRelu", values, alpha=-0.5)
    case("Elu", finite, near=1e-7, alpha=0.7)
    case("Selu", finite, near=3e-7, alpha=0.7, gamma=2.0)
    case("Celu", finite, near=2e-7, alpha=0.7)
    case("HardSigmoid", values, alpha=0.0, beta=0.25)
    case("HardSigmoid", values, alpha=0.3, beta=0.6)
    case("ThresholdedRelu", values, alpha=2.5)
    case("Shrink", values, bias=0.3, lambd=1.5)
    case("Shrink", array([-5, -1, 0, 1, 5], np.int32), bias=1.5, lambd=1.5)
    case("Shrink", array([0, 250], np.uint8), bias=-10.0, lambd=1.5, undefined=True)
    for op, dtype in (("Abs", np.int8), ("Neg", np.int8), ("Neg", np.int64), ("Sign", np.int32), ("Sign", np.uint64), ("Relu", np.int8), ("Relu", np.int32), ("Abs", np.uint64)):
        info = np.iinfo(dtype)
        case(op, array([info.min, info.max, 0, 1, 7], dtype))
    for op in ("IsNaN", "IsInf"):
        case(op, values)
    case("IsInf", values, detect_negative=0)


def support():
    """Which element types ONNX Runtime has a kernel for."""
    one = "Abs Neg Sign Relu Sqrt Reciprocal Floor Ceil Round Exp Log Sigmoid Tanh Erf Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Softplus Softsign LeakyRelu Elu Selu Celu HardSigmoid HardSwish ThresholdedRelu Shrink Mish Gelu Not BitwiseNot Softmax LogSoftmax Hardmax Identity ArgMax ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare GlobalAveragePool GlobalMaxPool MaxPool AveragePool Trilu".split()
    two = "Add Sub Mul Div Mod Pow PRelu Min Max Mean Sum Less Greater Equal LessOrEqual GreaterOrEqual And Or Xor BitwiseAnd BitwiseOr BitwiseXor MatMul Gemm".split()
    for op in one + two:
        for dtype in TYPES:
            x = np.ones((1, 1, 2, 2), dtype)
            attributes = {}
            if op in ("MaxPool", "AveragePool"):
                attributes["kernel_shape"] = [2, 2]
            if op in ("Gemm", "PRelu", "Trilu"):
                x = x[0, 0]
            if op == "Mod" and dtype in (F, D):
                attributes["fmod"] = 1
            ulps = 1 << 20 if dtype is D else 4
            case(op, *([x] if op in one else [x, x]), ulps=ulps if np.dtype(dtype).kind == "f" else 0, **attributes)


def arithmetic():
    a = array([nan, inf, -inf, 0.0, -0.0, 1e-40, 3.5, -3.5, 1e38, 7.0])
    for op in "Add Sub Mul Div PRelu".split():
        case(op, np.repeat(a, 10), np.tile(a, 10))
    case("Mod", np.repeat(a, 10), np.tile(a, 10), fmod=1)
    # Which of a positive and a negative zero is the larger one differs by the processor's vectors: left out.
    b = a[a != 0]
    for op in ("Max", "Min"):
        case(op, np.repeat(b, len(b)), np.tile(b, len(b)))
        case(op, b, array([2.0]), array(nan))
        case(op, b.astype(D), array(2.0, D))
        case(op, array([1, 2], np.int64), array([[2], [-1]], np.int64), array([0, 5], np.int64))
    case("Add", array([1.0], D), array([1e-17], D))
    case("Sub", array([16777217.0], D), array([16777216.0], D))
    case("Mean", array([1.0, 3.0]), array([2.0]), array([2.0]))
    case("Sum", array([1e8]), array([1.0]), array([-1e8]))
    case("Sum", array([1.0, 3.0], D), array([[2.0], [5.0]], D))
    for dtype in INTS:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        x, y = array([low, high, low, high, 7, 3], dtype), array([1, 1, 2, 2, 3, 5], dtype)
        for op in ("Add", "Sub", "Mul"):
            case(op, x, y)
        u = array([7, -7, 7, -7, 0, 6], np.int64).astype(dtype)
        v = array([3, 3, -3, -3, 3, 2], np.int64).astype(dtype)
        case("Div", u, v)
        for fmod in (0, 1):
            case("Mod", u, v, fmod=fmod, undefined=dtype is np.uint64 and fmod == 1)
        case("Div", u, array([0], dtype), undefined=True)
        case("Mod", u, array([0], dtype), undefined=True)
    for dtype in (np.int32, np.int64):
        case("Div", array([np.iinfo(dtype).min], dtype), array([-1], dtype), undefined=True)
    case("Div", array([-128], np.int8), array([-1], np.int8))
    case("Mod", array([1.5]), array([1.0]))
    case("Add", array([1], np.int32), array([1], np.int64))
    case("Add", array([[1], [2]]), array([10, 20, 30]))
    case("Add", array([1, 2]), array([1, 2, 3]))


def power():
    x = np.concatenate([array([nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, -2.0, 0.5]), (rng.standard_normal(8) * 3).astype(F)])
    for e in (2.0, 3.0, 0.0, 1.0):
        case("Pow", x, array([e]))
        case("Pow", x, array([e], D))
        case("Pow", x.astype(D), array([e], D))
    case("Pow", x, array([3], np.int64))
    for e in (0.5, -1.0, 4.0, -0.5, 2.5, 65.0, 1e10, inf, -inf, nan, -3.0):
        case("Pow", x, array([e]), ulps=1)
        case("Pow", x, np.full_like(x, e), ulps=1)
    case("Pow", array([2.0]), array([3.0]))
    case("Pow", array([1.1]), array([3.0]))
    case("Pow", array([[1.1, 1.2], [1.3, 1.4]]), array([[3.0], [2.0]]), ulps=1)
    for dtype in (np.int32, np.int64):
        case("Pow", array([2, 3, -2, 5], dtype), array([2], dtype))
        case("Pow", array([2, 3, -2, 100000], dtype), array([3], dtype))
        case("Pow", array([2, 3, -2, 5, 10, 1, -1], dtype), array([5, 0, 3, 2, 1, -7, -7], dtype))
        case("Pow", array([2, 2], dtype), array([-1, -3], dtype))
        case("Pow", array([2, 3, 10], dtype), array([0.5, 2.5, 1.5], F))
        case("Pow", array([0, 2], dtype), array([-1, 1], dtype), undefined=True)
    case("Pow", array([3], np.int64), array([39], np.int64))
    case("Pow", array([3], np.int64), array([41], np.int64), undefined=True)
    case("Pow", array([2, 3], np.int32), array([31, 1], np.int32), undefined=True)
    case("Pow", array([2, -2], np.int64), array([0.5, 0.5], F), undefined=True)
    case("Pow", array([2], np.int8), array([2], np.int8))


def casts():
    code = {np.dtype(t): helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in TYPES + [np.float16]}
    reals = [0.0, -0.0, 0.5, -0.5, 0.9, 1.0, 1.5, 127.0, 128.0, 255.0, 256.0, -1.0, -128.0, -129.0, 32768.0, 65536.0, 2147483520.0, 2147483648.0, 4294967296.0, -2147483648.0, 9.2e18, 9.3e18, 1.8e19, 1.9e19, 1e30, inf, -inf, nan, 1e-40]
    for source in (F, D):
        for dtype, to in code.items():
            if dtype.kind in "fb":
                case("Cast", array(reals, source), to=to)
                continue
            low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
            for v in reals:
                fits = np.isfinite(v) and low <= int(v) <= high
                case("Cast", array([v], source), to=to, undefined=not fits)
    case("Cast", array([16777217.0, 9007199254740993.0, 0.1], D), to=TensorProto.FLOAT)
    case("Cast", array([65519.0, 65520.0, 1e-8, 3e-8, 2.98023223876953125e-08, 1.00048828125, 1.0004883]), to=TensorProto.FLOAT16)
    case("Cast", array([1.00048828125 + 1e-12], D), to=TensorProto.FLOAT16)
    case("Cast", array([0.1, 65504, nan, inf, 6e-8], np.float16), to=TensorProto.FLOAT)
    case("Cast", array([1.5, 0.1], np.float16), to=TensorProto.DOUBLE)
    case("Cast", array([1.5, -0.5], np.float16), to=TensorProto.BOOL)
    for dtype in INTS + [np.bool_]:
        low, high = (0, 1) if dtype is np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        for to in code.values():
            case("Cast", array([low, high, 0, 1], dtype), to=to)
    case("Cast", array([16777217, 16777219, 9007199254740993, -9007199254740993], np.int64), to=TensorProto.FLOAT)
    case("Cast", array([2**63 + 1025, 2**64 - 1], np.uint64), to=TensorProto.FLOAT)
    case("CastLike", array([0.5, 0.0]), array([True]))


def clips():
    x = array([nan, inf, -inf, -0.0, 0.0, 0.3, 5.0, -5.0])
    for low, high in ((-1.0, 1.0), (0.0, 1.0), (nan, 1.0), (-1.0, nan), (2.0, 1.0)):
        case("Clip", x, array(low), array(high))
    case("Clip", x, None, array(2.0))
    case("Clip", x, array(-2.0))
    case("Clip", x)
    case("Clip", x, opset=10, min=0.0, max=6.0)
    case("Clip", x.astype(D), array(-1.0, D), array(1.0, D))
    case("Clip", array([-5, 0, 9], np.int8), array(-2, np.int8), array(3, np.int8))
    case("Clip", array([5, 0, 9], np.uint64), array(2, np.uint64))


def logic():
    x = array([nan, inf, -inf, -0.0, 0.0, 1.0])
    for op in "Less LessOrEqual Greater GreaterOrEqual Equal".split():
        case(op, np.repeat(x, 6), np.tile(x, 6))
        case(op, array([2**53, 2**53 + 1], np.int64), array([2**53 + 1, 2**53], np.int64))
        case(op, array([2**64 - 1, 0], np.uint64), array([1], np.uint64))
    t = array([True, True, False, False], np.bool_)
    u = array([True, False, True, False], np.bool_)
    for op in ("And", "Or", "Xor"):
        case(op, t, u)
    case("Not", t)
    case("Where", t, array([nan, 1, 2, 3]), array([[4], [nan]]))
    case("Where", t, array([1, 2, 3, 4], np.uint64), array(9, np.uint64))
    case("Where", t, array([1, 2, 3, 4], np.int64), array(9.0))
    for dtype in (np.int8, np.uint32, np.uint64):
        a, b = array([1, 2, 3, 127], dtype), array([3, 5, 127, 64], dtype)
        for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
            case(op, a, b)
        case("BitwiseNot", a)


def movement():
    x = np.arange(24, dtype=F).reshape(2, 3, 4)
    i = lambda *v: array(v, np.int64)
    case("Reshape", x, i(4, -1))
    case("Reshape", x, i(0, 0, 2, -1))
    case("Reshape", x, i(5, -1))
    case("Flatten", x, axis=2)
    case("Flatten", x, axis=-1)
    case("Flatten", x, axis=0)
    case("Squeeze", x[:, :1], i(1))
    case("Squeeze", x[:, :1])
    case("Squeeze", x[:1, :1], opset=11, axes=[0, 1])
    case("Squeeze", x, i(0))
    case("Unsqueeze", x, i(0, -1))
    case("Unsqueeze", x, opset=11, axes=[1])
    case("Transpose", x, perm=[2, 0, 1])
    case("Transpose", x.astype(np.float16))
    case("Concat", x, x[:, :1], axis=1)
    case("Concat", x, x[:1], axis=-3)
    case("Concat", x, x[:, :1], axis=0)
    case("Split", x, i(1, 3), outputs=2, axis=2)
    case("Split", x, outputs=2, opset=13, axis=2)
    case("Split", x, outputs=3, axis=2, num_outputs=3)
    case("Split", x, outputs=2, opset=11, axis=1, split=[2, 1])
    for starts, ends, axes, steps in (([1], [3], [2], [1]), ([-1], [-5], [2], [-1]), ([-100], [100], [0], [2]), ([3], [0], [2], [-2]), ([2], [1], [1], [1]), ([0, 1], [2, 2], [1, 0], [1, 1]), ([9], [-9], [1], [-1])):
        case("Slice", x, array(starts, np.int64), array(ends, np.int64), array(axes, np.int64), array(steps, np.int64))
    case("Slice", x, opset=9, starts=[0, 1], ends=[1, 2])
    case("Expand", x[:, :1], i(2, 3, 4))
    case("Expand", x[0], i(2, 1, 1))
    case("Tile", x, i(1, 2, 2))
    case("Pad", x, i(0, 1, 2, 0, 0, 1), array(7.0))
    case("Pad", x, i(0, -1, 2, 0, 0, -1))
    for mode in ("reflect", "edge", "wrap"):
        case("Pad", x, i(0, 1, 2, 1, 0, 1), mode=mode)
    case("Pad", x, i(1, 2), array(-1.0), i(-1))
    case("Pad", x, opset=10, pads=[0, 0, 1, 0, 0, 1], value=3.0)
    case("Pad", x.astype(np.int32), i(0, 0, 1, 0, 0, 1), array(5, np.int32))
    y = np.arange(32, dtype=F).reshape(1, 8, 2, 2)
    case("DepthToSpace", y, blocksize=2)
    case("DepthToSpace", y, blocksize=2, mode="CRD")
    case("SpaceToDepth", y, blocksize=2)
    case("Shape", x)
    case("Shape", x, start=1, end=-1)
    case("Size", x)
    case("Identity", x)
    case("Dropout", x, outputs=2)
    case("ConstantOfShape", i(2, 3))
    case("ConstantOfShape", i(2), value=array([7], np.uint8))
    case("Range", array(0.0), array(1.0), array(0.1))
    case("Range", array(0.0, D), array(1.0, D), array(0.1, D))
    case("Range", i(5)[0], i(0)[0], i(-2)[0])
    case("Range", i(0)[0], i(5)[0], i(2)[0])
    case("Range", i(5)[0], i(0)[0], i(2)[0])


def indices():
    x = np.arange(24, dtype=F).reshape(2, 3, 4)
    i = lambda v: array(v, np.int64)
    case("Gather", x, i([[0, -1], [2, 1]]), axis=1)
    case("Gather", x, i(1))
    case("Gather", x, array([3], np.int32), axis=-1)
    case("Gather", x, i([3]), axis=1)
    case("GatherElements", x, i(rng.integers(-4, 4, (2, 3, 2))), axis=2)
    case("GatherElements", x, i(rng.integers(0, 2, (1, 3, 4))), axis=0)
    case("GatherND", x, i([[0, 1], [1, -1]]))
    case("GatherND", x, i([[1], [0]]), batch_dims=1)
    case("GatherND", x, i([[[0, 1, 2]]]))
    case("ScatterElements", x, i([[[0, 3]], [[1, 1]]])[:, :, :1], x[:, :1, :1] + 100, axis=2)
    case("ScatterElements", array([1, 2, 3, 4.0]), i([1, 1]), array([10.0, 20.0]), reduction="add")
    case("ScatterND", x, i([[0, 1], [1, 2]]), x[0, :2] + 100)
    case("ScatterND", x, i([[1]]), x[:1] + 100)
    case("ScatterND", array([1, 2, 3.0]), i([[0], [0]]), array([5.0, 7.0]), reduction="add")
    case("Trilu", x)
    case("Trilu", x, i(1), upper=0)
    case("Trilu", x.astype(np.int64), i(-1))
    case("OneHot", i([0, 2, -1, 5]), i(3), array([0.5, 9.0]))
    case("OneHot", i([[0, 2], [-1, 1]]), i(3), array([0, 1], np.int64), axis=0)
    case("OneHot", i([[0, 2], [-1, 1]]), i(3), array([0.0, 1.0]), axis=1)


def reductions():
    x = rng.integers(-9, 9, (2, 3, 4)).astype(F)
    names = "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare".split()
    for op in names:
        y = np.abs(x) + 1 if op == "ReduceLogSum" else x
        ulps = 2 if "Log" in op or op == "ReduceL2" else 0
        for axes in ([0], [1], [-1], [0, 2], [0, 1, 2]):
            case(op, y, array(axes, np.int64), ulps=ulps, keepdims=int(len(axes) == 1))
        case(op, y, ulps=ulps)
        case(op, y, opset=11, ulps=ulps, axes=[1], keepdims=0)
        case(op, y, array([], np.int64), ulps=ulps, noop_with_empty_axes=1)
        if op in ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp"):
            y = np.abs(y)
        case(op, y.astype(np.int32)[:1, :, :2], array([1], np.int64))
        case(op, y.astype(np.int64)[:1, :, :2], array([1], np.int64))
    for dtype in (np.int32, np.int64):
        case("ReduceMean", array([7, -2, 0], dtype))
        case("ReduceMean", array([-7, -2, 2], dtype))
    case("ReduceSum", array([2**31 - 1, 1], np.int32))
    case("ReduceSum", array([-(2**31), -1], np.int32))
    case("ReduceProd", array([65536, 65536], np.int32))
    case("ReduceSum", array([2**62 + 1, 2, 3], np.int64), undefined=True)
    case("ReduceProd", array([3] * 39, np.int64), undefined=True)
    for op in ("ReduceMax", "ReduceMin"):
        for v in ([nan, 1, 2], [1, nan, 2], [1, 2, nan], [nan, nan, 1], [inf, nan, -inf]):
            case(op, array(v))
        case(op, array([[nan, 1], [2, nan], [0, 3]]), array([0], np.int64))
        case(op, array([[nan, 1], [2, nan], [0, 3]]), array([1], np.int64))
        case(op, array([True, False], np.bool_))
        case(op, array([200, 3, 7], np.uint8))
    big = (rng.standard_normal((3, 400)) * 5).astype(F)
    case("ReduceSum", big, array([1], np.int64), near=2e-6)
    case("ReduceMean", big, array([1], np.int64), near=2e-6)


def orders():
    x = rng.integers(-5, 5, (3, 4)).astype(F)
    for opset in (11, 21):
        case("Softmax", x, ulps=8, opset=opset)
        case("LogSoftmax", x, ulps=8, opset=opset)
        case("Hardmax", x, opset=opset)
    case("Softmax", x.reshape(3, 2, 2), ulps=8, axis=1)
    case("Softmax", x.reshape(3, 2, 2), opset=11, ulps=8, axis=0)
    case("Softmax", array([[inf, 1], [-inf, -inf], [nan, 1], [-inf, 0]]), ulps=2)
    case("LogSoftmax", array([[inf, 1], [-inf, -inf], [nan, 1], [-inf, 0]]), ulps=2)
    case("Softmax", x.astype(D), ulps=1 << 10)
    for op in ("ArgMax", "ArgMin"):
        for last in (0, 1):
            case(op, x, axis=1, select_last_index=last)
        case(op, x, axis=0, keepdims=0)
        case(op, x.astype(np.int32), axis=0)
        case(op, array([1, nan, 2]), undefined=True)
    for largest in (0, 1):
        case("TopK", x, array([2], np.int64), outputs=2, largest=largest)
        case("TopK", x, array([3], np.int64), outputs=2, largest=largest, axis=0)
        case("TopK", x.astype(np.int64), array([2], np.int64), outputs=2, largest=largest)
    case("TopK", array([1, nan, 2]), array([2], np.int64), outputs=2, undefined=True)
    for exclusive in (0, 1):
        for reverse in (0, 1):
            case("CumSum", x, array(1, np.int64), exclusive=exclusive, reverse=reverse)
    case("CumSum", array([2**31 - 1, 1], np.int32), array(0, np.int32))
    case("CumSum", array([1e8, 1, -1e8]), array(0, np.int64))


def products():
    r = lambda *s: rng.integers(-9, 9, s).astype(F)
    for a, b in (((3, 4), (4, 2)), ((4,), (4, 2)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 2)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), (3, 2))):
        case("MatMul", r(*a), r(*b))
    case("MatMul", r(3, 4).astype(D), r(4, 2).astype(D))
    case("MatMul", array([[2**31 - 1, 2]], np.int32), array([[2], [3]], np.int32))
    case("MatMul", array([[2**64 - 1, 2]], np.uint64), array([[2**63], [3]], np.uint64))
    a, b = rng.standard_normal((4, 60)).astype(F), rng.standard_normal((60, 4)).astype(F)
    case("MatMul", a, b, near=1e-6)
    case("Gemm", r(3, 4), r(4, 2), r(2))
    case("Gemm", r(4, 3), r(2, 4), r(3, 1), transA=1, transB=1, alpha=0.5, beta=2.0)
    case("Gemm", r(3, 4), r(4, 2))
    case("Gemm", r(3, 4), r(4, 2), r(1))
    case("Gemm", r(3, 4), r(4, 2), r(3, 2), beta=0.0)
    case("Gemm", r(3, 4), r(4, 2), array([nan, inf]), beta=0.0)


def windows():
    for _ in range(45):
        rank = int(rng.integers(1, 4))
        n = [int(v) for v in rng.integers(3, 7, rank)]
        k = [int(v) for v in rng.integers(1, 4, rank)]
        s = [int(v) for v in rng.integers(1, 4, rank)]
        pads = [int(rng.integers(0, k[i % rank])) for i in range(2 * rank)]
        opset = int(rng.choice([10, 11, 19, 22]))
        at = dict(kernel_shape=k, strides=s)
        if rng.random() < 0.3:
            at["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        else:
            at["pads"] = pads
        pool = dict(at, ceil_mode=int(rng.integers(0, 2)))
        if "auto_pad" in pool:
            pool["ceil_mode"] = 0
        if rng.random() < 0.4 and "auto_pad" not in at:
            pool["dilations"] = [int(v) for v in rng.integers(1, 3, rank)]
        x = rng.integers(-20, 20, [1, 2] + n).astype(F)
        fits = all(n[i] + pads[i] + pads[i + rank] > (k[i] - 1) * pool.get("dilations", [1] * rank)[i] for i in range(rank))
        if fits:
            case("MaxPool", x, opset=max(opset, 10), **pool)
            average = dict(pool)
            if opset < 19:
                average.pop("dilations", None)
            # Powers of two keep the division exact, so that only the count matters.
            found = run("AveragePool", [x], opset, 1, "", dict(average, count_include_pad=1))
            # A window without an element has no average.
            if found is not None:
                case("AveragePool", x, opset=opset, ulps=4, count_include_pad=int(rng.integers(0, 2)), **average)
        at.pop("kernel_shape")
        groups = int(rng.choice([1, 2]))
        w = rng.integers(-4, 4, [4, 2 // groups] + k).astype(F)
        b = array(rng.integers(-9, 9, 4)) if rng.random() < 0.5 else None
        conv = dict(at, group=groups)
        if "auto_pad" not in at and rng.random() < 0.4:
            conv["dilations"] = [int(v) for v in rng.integers(1, 3, rank)]
        if fits:
            case("Conv", x, w, *([b] if b is not None else []), opset=21, **conv)
        w = rng.integers(-4, 4, [2, 2] + k).astype(F)
        turned = dict(at, group=groups)
        if rng.random() < 0.4 and "auto_pad" not in at:
            turned["output_padding"] = [int(rng.integers(0, v)) for v in s]
        if rank < 3 or rng.random() < 0.3:
            case("ConvTranspose", x, w, *([array(rng.integers(-9, 9, 2 * groups))] if b is not None else []), opset=21, **turned)
    case("MaxPool", array([[[1, 2, 2, 0]]]), outputs=2, kernel_shape=[2])
    case("MaxPool", array([[[1, nan, 2]]]), kernel_shape=[2], undefined=True)
    case("GlobalAveragePool", array([[[1, 2, 6]]]))
    case("GlobalMaxPool", array([[[1, 2, 6]]]))


def resizes():
    transforms = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric"]
    for _ in range(80):
        opset = int(rng.choice([11, 13, 18, 19]))
        mode = str(rng.choice(["nearest", "nearest", "linear", "cubic"]))
        n = [int(v) for v in rng.integers(1 if mode == "nearest" else 2, 6, 2)]
        x = rng.standard_normal([1, 1] + n).astype(F)
        t = str(rng.choice(transforms if opset >= 19 else transforms[:4]))
        at = dict(mode=mode, coordinate_transformation_mode=t)
        if mode == "nearest":
            at["nearest_mode"] = str(rng.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
        if mode == "cubic" and rng.random() < 0.5:
            at.update(cubic_coeff_a=-0.5, exclude_outside=int(rng.integers(0, 2)))
        near = 0.0 if mode == "nearest" else 1e-6
        if rng.random() < 0.5:
            scales = [1.0, 1.0] + [float(v) for v in rng.choice([0.5, 0.6, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0], 2)]
            if any(int(e * s) == 0 for e, s in zip(n, scales[2:])):
                continue
            case("Resize", x, array([]), array(scales), opset=opset, near=near, **at)
        else:
            sizes = [1, 1] + [int(v) for v in rng.integers(1, 9, 2)]
            if opset >= 18 and rng.random() < 0.3:
                at["keep_aspect_ratio_policy"] = str(rng.choice(["not_larger", "not_smaller"]))
                at["axes"] = [2, 3]
                sizes = sizes[2:]
            none = array([]) if opset == 11 else None
            case("Resize", x, none, none, array(sizes, np.int64), opset=opset, near=near, **at)
    for _ in range(10):
        n = [int(v) for v in rng.integers(2, 6, 2)]
        x = rng.standard_normal([1, 1] + n).astype(F)
        case("Resize", x, array([1.0, 1.0] + [float(v) for v in rng.choice([0.5, 0.6, 2.0, 2.5], 2)]), opset=10)
    # Places next to a half.
    line = np.arange(20, dtype=F).reshape(1, 1, 1, 20)
    for n, size in ((20, 6), (7, 3), (5, 13), (20, 7), (13, 4), (11, 9), (20, 12), (17, 10)):
        for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
            for t in transforms:
                at = dict(mode="nearest", nearest_mode=nearest, coordinate_transformation_mode=t)
                case("Resize", line[..., :n], None, None, array([1, 1, 1, size], np.int64), opset=19, **at)
    x = rng.standard_normal((1, 1, 4, 4)).astype(F)
    roi = array([0, 0, 0.2, 0.1, 1, 1, 0.9, 1.3])
    at = dict(coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=9.0)
    case("Resize", x, roi, None, array([1, 1, 3, 5], np.int64), mode="nearest", **at)
    case("Resize", x, roi, None, array([1, 1, 3, 5], np.int64), mode="linear", near=1e-6, **at)


def norms():
    x = rng.standard_normal((3, 4, 5)).astype(F)
    s, b, m = (rng.standard_normal(4).astype(F) for _ in range(3))
    v = (rng.standard_normal(4) ** 2 + 0.1).astype(F)
    case("BatchNormalization", x, s, b, m, v)
    case("BatchNormalization", x, s, b, m, v, opset=9, epsilon=1e-3, momentum=0.8)
    case("BatchNormalization", x, s, b, m, array([1, 0, -1, 2]))
    case("InstanceNormalization", x, s, b, near=1e-6)
    w = rng.standard_normal(5).astype(F)
    case("LayerNormalization", x, w, near=1e-6)
    case("LayerNormalization", x, w, w, near=1e-6, epsilon=1e-3)
    case("LayerNormalization", x, rng.standard_normal((4, 5)).astype(F), near=1e-6, axis=1)


def quantization():
    x = array([nan, inf, -inf, 1e30, 2.5, 3.5, -0.5, 0.5, 2147483648.0, -3e9, 1e-40])
    for dtype in (np.uint8, np.int8, np.uint16, np.int16):
        for zero in (0, 10):
            case("QuantizeLinear", x, array(1.0), array(zero, dtype))
            case("QuantizeLinear", x, array(0.3), array(zero, dtype))
            case("DequantizeLinear", array([0, 1, 100, 127], dtype), array(0.1), array(zero, dtype))
    case("QuantizeLinear", x, array(2.0))
    case("QuantizeLinear", x, array(2.0), output_dtype=TensorProto.INT16)
    y = rng.standard_normal((2, 3)).astype(F) * 50
    case("QuantizeLinear", y, array([0.5, 1.0, 2.0]), array([1, 2, 3], np.uint8))
    case("QuantizeLinear", y, array([0.5, 1.0]), array([1, 2], np.int8), axis=0)
    case("DequantizeLinear", array([[1, 2, 3], [4, 5, 6]], np.int8), array([0.5, 1.0]), array([1, 2], np.int8), axis=0)
    case("DequantizeLinear", array([2**31 - 1, 16777217, -5], np.int32), array(0.1))
    case("QuantizeLinear", array([1.0], D), array(2.0))


def opsets():
    x = array([-1.0, 2.0])
    for op, first in (("Gelu", 20), ("Mish", 18), ("HardSwish", 14), ("Celu", 12), ("Round", 11), ("Swish", 24)):
        case(op, x, opset=first - 1, near=1e-6)
        case(op, x, opset=first, near=1e-6)
    for op in ("LessOrEqual", "GreaterOrEqual"):
        case(op, x, x, opset=11)
        case(op, x, x, opset=12)
    case("Trilu", x.reshape(1, 2), opset=13)
    case("CumSum", x, array(0, np.int64), opset=10)
    case("BitwiseAnd", array([1], np.int32), array([1], np.int32), opset=17)
    case("GatherND", x, array([[0]], np.int64), opset=10)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../../onnx/src/tests/eval.json")
    for part in (unary, support, arithmetic, power, casts, clips, logic, movement, indices, reductions, orders, products, windows, resizes, norms, quantization, opsets):
        part()
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(len(cases), "cases,", sum("refused" in c for c in cases), "refused,", sum("undefined" in c for c in cases), "undefined")


if __name__ == "__main__":
    main()
