"""Small float models of the kinds that people bring to a prover, with samples.

One-operator nets, normalizations as exporters write them (one node, folded, decomposed),
perceptrons, convolutional nets of one and two dimensions, attention and gates; those of
`trees.py` are tree ensembles. Nodes are in ONNX's text form, one to a line.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

OPSET = 17
SAMPLES = 24
ROW, WIDE, IMAGE, LINE = [1, 8], [1, 3, 4], [1, 2, 6, 6], [1, 2, 12]


@dataclass
class Net:
    """A float model, and samples `{input: [n, ...]}` to calibrate with and to compare on."""

    name: str
    kind: str
    model: onnx.ModelProto
    samples: dict = field(default_factory=dict)


def net(name, kind, text, inputs=None, opset=OPSET, low=-3.0, outputs=("y",), **constants):
    """A net from `x` (or from `inputs`, by name) to `outputs`; samples are uniform from `low` to 3."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    inputs = inputs if isinstance(inputs, dict) else {"x": inputs or ROW}
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    values = [numpy_helper.from_array(_array(value, rng), key) for key, value in constants.items()]
    model = float_model([parser.parse_node(line) for line in lines], values, inputs, outputs, opset)
    samples = {k: rng.uniform(low, 3, (SAMPLES, *s)).astype(np.float32) for k, s in inputs.items()}
    return Net(name, kind, model, samples)


def float_model(nodes, constants, inputs, outputs, opset):
    """The model of these nodes, with the types of its outputs inferred."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "net",
        [info(key, TensorProto.FLOAT, shape) for key, shape in inputs.items()],
        [onnx.ValueInfoProto(name=key) for key in outputs],
        constants,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    del model.graph.output[:]
    model.graph.output.extend(inferred.graph.output)
    return model


@dataclass
class Drawn:
    """A constant of normal numbers of this shape, scaled for `taps` products in a sum."""

    shape: tuple
    taps: int = 4
    shift: float = 0.0


def weights(*shape):
    return Drawn(shape, int(np.prod(shape[1:])) or 1)


def matrix(rows, columns):
    return Drawn((rows, columns), rows)


def _array(value, rng):
    if isinstance(value, Drawn):
        drawn = rng.normal(0, 1 / np.sqrt(value.taps), value.shape) + value.shift
        return drawn.astype(np.float32)
    array = np.asarray(value)
    # An array of int32 is meant as such, as lengths of sequences are.
    if array.dtype == np.int32:
        return array
    return array.astype(np.int64 if array.dtype.kind in "iu" else array.dtype if array.dtype.kind == "b" else np.float32)


def activations():
    plain = [
        "Abs", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu", "Neg",
        "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh",
        "ThresholdedRelu", "Softmax", "LogSoftmax", "Hardmax", "Atan", "Sinh", "Cosh", "Asinh",
    ]  # fmt: skip
    for op in plain:
        yield net(op, "activation", f"y = {op}(x)")
    for op in ["Sqrt", "Reciprocal", "Log"]:
        yield net(op, "activation", f"y = {op}(x)", low=0.5)
    for op in ["Asin", "Acos", "Atanh", "Tan"]:
        yield net(op, "activation", f"s = Sin(x)\nh = Mul(s, c)\ny = {op}(h)", c=0.9)
    yield net("Acosh", "activation", "y = Acosh(x)", low=1.1)
    yield net("Mish", "activation", "y = Mish(x)", opset=18)
    yield net("Gelu", "activation", "y = Gelu(x)", opset=20)
    yield net("Swish", "activation", "s = Sigmoid(x)\ny = Mul(x, s)")
    yield net(
        "Gelu by Erf", "activation",
        "a = Div(x, r)\ne = Erf(a)\ns = Add(e, one)\np = Mul(x, s)\ny = Mul(p, h)",
        r=1.4142135, one=1.0, h=0.5,
    )  # fmt: skip
    yield net(
        "Gelu by Tanh", "activation",
        "q = Pow(x, three)\na = Mul(q, c)\ns = Add(x, a)\nb = Mul(s, r)\nt = Tanh(b)\nu = Add(t, one)\n"
        "p = Mul(x, u)\ny = Mul(p, h)",
        three=3.0, c=0.044715, r=0.7978846, one=1.0, h=0.5,
    )  # fmt: skip
    yield net("Mish by Softplus", "activation", "s = Softplus(x)\nt = Tanh(s)\ny = Mul(x, t)")
    yield net("PRelu", "activation", "y = PRelu(x, c)", WIDE, c=Drawn((3, 1)))
    yield net("Clip", "activation", "y = Clip(x, a, b)", a=-1.0, b=1.5)
    yield net("Clip old", "activation", "y = Clip <min = 0.0, max = 2.0> (x)", opset=10)


def arithmetic():
    for op in ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"]:
        low = 0.5 if op == "Pow" else -3.0
        yield net(f"{op} constant", "arithmetic", f"y = {op}(x, c)", low=low, c=2.0)
    yield net("Pow of a constant", "arithmetic", "y = Pow(c, x)", c=2.0)
    yield net("Div of a constant", "arithmetic", "y = Div(c, x)", low=0.5, c=1.0)
    yield net("Mod constant", "arithmetic", "y = Mod <fmod = 1> (x, c)", c=2.0)
    yield net("Sub matrix", "arithmetic", "y = Sub(x, c)", WIDE, c=Drawn((3, 4)))
    yield net("Mul matrix", "arithmetic", "y = Mul(x, c)", WIDE, c=Drawn((3, 4)))
    yield net("Sub of a larger constant", "arithmetic", "y = Sub(c, x)", c=Drawn((3, 8)))
    yield net("Mul by a larger constant", "arithmetic", "y = Mul(x, c)", WIDE, c=Drawn((2, 3, 4)))
    yield net(
        "Gemm with a computed addend", "arithmetic", "y = Gemm <beta = 0.5, alpha = -1.0> (x, w, z)",
        {"x": ROW, "z": [1, 4]}, w=matrix(8, 4),
    )  # fmt: skip
    two = {"x": ROW, "z": ROW}
    for op in ["Add", "Sub", "Mul", "Div", "Min", "Max"]:
        low = 0.5 if op == "Div" else -3.0
        yield net(f"{op} of two", "arithmetic", f"y = {op}(x, z)", two, low=low)
    yield net("Sum of three", "arithmetic", "a = Relu(x)\ny = Sum(x, z, a)", two)
    yield net("Mean of two", "arithmetic", "y = Mean(x, z)", two)
    yield net("Rsqrt", "arithmetic", "s = Sqrt(x)\ny = Div(c, s)", low=0.5, c=1.0)
    yield net("Polynomial", "arithmetic", "s = Mul(x, x)\nc = Mul(s, x)\na = Add(s, c)\ny = Add(a, x)")


def poolings():
    pool = "kernel_shape = [2, 2], strides = [2, 2]"
    for op in ["MaxPool", "AveragePool"]:
        yield net(op, "pooling", f"y = {op} <{pool}> (x)", IMAGE)
        yield net(f"{op} pads", "pooling", f"y = {op} <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)", IMAGE)
        yield net(f"{op} 1-D", "pooling", f"y = {op} <kernel_shape = [3], strides = [3]> (x)", LINE)
    edge = "kernel_shape = [5], strides = [4], ceil_mode = 1, count_include_pad = 1"
    yield net("AveragePool beyond the edge", "pooling", f"y = AveragePool <{edge}> (x)", LINE)
    yield net("AveragePool beyond the padding", "pooling", f"y = AveragePool <{edge}, pads = [2, 1]> (x)", LINE, opset=19)
    for op in ["GlobalMaxPool", "GlobalAveragePool"]:
        yield net(op, "pooling", f"y = {op}(x)", IMAGE)
    yield net("LpPool", "pooling", f"y = LpPool <p = 2, {pool}> (x)", IMAGE)
    yield net("GlobalLpPool", "pooling", "y = GlobalLpPool <p = 2> (x)", IMAGE)


def normalizations():
    of = lambda n: {"g": Drawn((n,), shift=1.0), "h": Drawn((n,)), "m": Drawn((n,)), "v": np.linspace(0.5, 2, n)}  # noqa: E731
    normal = "y = BatchNormalization(c, g, h, m, v)"
    yield net("BatchNormalization", "normalization", "y = BatchNormalization(x, g, h, m, v)", IMAGE, **of(2))
    convolution = "c = Conv <pads = [1, 1, 1, 1]> (x, w)\n"
    yield net("Conv BatchNormalization", "normalization", convolution + normal, IMAGE, w=weights(3, 2, 3, 3), **of(3))
    yield net("Gemm BatchNormalization", "normalization", "c = Gemm(x, w, b)\n" + normal, w=matrix(8, 3), b=weights(3), **of(3))  # fmt: skip
    yield net(
        "BatchNormalization decomposed", "normalization", "a = Sub(x, m)\nb = Mul(a, g)\ny = Add(b, h)", IMAGE,
        m=Drawn((2, 1, 1)), g=Drawn((2, 1, 1), shift=1.0), h=Drawn((2, 1, 1)),
    )  # fmt: skip
    last = {"g": Drawn((8,), shift=1.0), "h": Drawn((8,))}
    tokens = [1, 3, 8]
    yield net("LayerNormalization", "normalization", "y = LayerNormalization <axis = -1> (x, g, h)", tokens, **last)
    mean = "m = ReduceMean <axes = [-1]> (x)\nd = Sub(x, m)\n"
    yield net(
        "LayerNormalization decomposed", "normalization",
        mean + "q = Pow(d, two)\nv = ReduceMean <axes = [-1]> (q)\ne = Add(v, eps)\ns = Sqrt(e)\nn = Div(d, s)\n"
        "p = Mul(n, g)\ny = Add(p, h)", tokens, two=2.0, eps=1e-5, **last,
    )  # fmt: skip
    yield net("InstanceNormalization", "normalization", "y = InstanceNormalization(x, g, h)", IMAGE, g=Drawn((2,), shift=1.0), h=Drawn((2,)))  # fmt: skip
    yield net("GroupNormalization", "normalization", "y = GroupNormalization <num_groups = 2> (x, g, h)", [1, 4, 3, 3], opset=21, g=Drawn((4,), shift=1.0), h=Drawn((4,)))  # fmt: skip
    yield net("RMS normalization", "normalization", "q = Mul(x, x)\nv = ReduceMean <axes = [-1]> (q)\ne = Add(v, eps)\ns = Sqrt(e)\nn = Div(x, s)\ny = Mul(n, g)", tokens, eps=1e-5, g=last["g"])  # fmt: skip
    yield net("LpNormalization", "normalization", "y = LpNormalization <axis = 1, p = 2> (x)")
    yield net("LRN", "normalization", "y = LRN <size = 3> (x)", [1, 4, 3, 3])
    yield net("Variance", "normalization", mean + "q = Mul(d, d)\ny = ReduceMean <axes = [-1]> (q)", tokens)
    yield net("Standardized", "normalization", "a = Sub(x, m)\ny = Div(a, s)", m=Drawn((8,)), s=np.linspace(0.5, 3, 8))


def movements():
    line = [1, 4]
    yield net("Slice", "slicing", "y = Slice(x, a, b, c)", line, a=[1], b=[3], c=[1])
    yield net("Slice backwards", "slicing", "y = Slice(x, a, b, c, d)", WIDE, a=[-1], b=[-99], c=[2], d=[-1])
    yield net("Gather", "slicing", "y = Gather <axis = 1> (x, a)", line, a=[2, 0])
    yield net("GatherElements", "slicing", "y = GatherElements <axis = 1> (x, a)", line, a=[[2, 0, 0]])
    yield net("GatherND", "slicing", "y = GatherND(x, a)", WIDE, a=[[0, 1], [0, 2]])
    yield net("Split", "slicing", "a, b = Split <axis = 1> (x)\ny = Add(a, b)", line)
    yield net("Split in parts", "slicing", "y, z = Split <axis = 1> (x, s)", s=[3, 5], outputs=("y", "z"))
    yield net("Pad", "slicing", "y = Pad(x, a)", IMAGE, a=[0, 0, 1, 1, 0, 0, 1, 1])
    yield net("Pad reflect", "slicing", 'y = Pad <mode = "reflect"> (x, a)', IMAGE, a=[0, 0, 1, 1, 0, 0, 1, 1])
    yield net("Expand", "slicing", "y = Expand(x, a)", line, a=[3, 4])
    yield net("Tile", "slicing", "y = Tile(x, a)", line, a=[1, 2])
    yield net("Transpose", "slicing", "y = Transpose <perm = [0, 2, 1]> (x)", WIDE)
    yield net("Reshape", "slicing", "y = Reshape(x, a)", a=[2, -1])
    yield net("Reshape by Shape", "slicing", "s = Shape(x)\nn = Gather(s, zero)\nu = Unsqueeze(n, at)\nt = Concat <axis = 0> (u, rest)\ny = Reshape(x, t)", WIDE, zero=0, at=[0], rest=[-1])  # fmt: skip
    yield net("Flatten", "slicing", "y = Flatten(x)", IMAGE)
    yield net("Squeeze", "slicing", "u = Unsqueeze(x, a)\ny = Squeeze(u, b)", a=[2], b=[0])
    yield net("Identity", "slicing", "y = Identity(x)")
    yield net("DepthToSpace", "slicing", "y = DepthToSpace <blocksize = 2> (x)", [1, 4, 3, 3])
    yield net("SpaceToDepth", "slicing", "y = SpaceToDepth <blocksize = 2> (x)", IMAGE)
    yield net("Upsample", "slicing", 'y = Resize <mode = "nearest"> (x, , s)', IMAGE, s=np.array([1, 1, 2, 2.0]))
    yield net("Downsample", "slicing", "y = Slice(x, a, b, c, d)", IMAGE, a=[0, 0], b=[6, 6], c=[2, 3], d=[2, 2])
    yield net("Concat", "slicing", "a = Sigmoid(x)\ny = Concat <axis = 1> (x, a, z)", {"x": line, "z": line})
    yield net("Trilu", "slicing", "y = Trilu <upper = 0> (x)", [1, 4, 4])
    yield net("Triu by Where", "slicing", "y = Where(c, x, z)", [1, 4, 4], c=np.triu(np.ones((4, 4), bool)), z=0.0)
    yield net("ScatterElements", "slicing", "y = ScatterElements <axis = 1> (x, a, u)", line, a=[[3, 1]], u=np.array([[0.5, -0.5]]))  # fmt: skip
    yield net("ReverseSequence", "slicing", "y = ReverseSequence <batch_axis = 0, time_axis = 1> (x, n)", n=[5])


def reductions():
    axis = "<axes = [1], keepdims = 0>"
    shape = [1, 6, 3]
    for op in ["Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp", "LogSum", "Prod"]:
        low = 0.4 if op in ("LogSum", "Prod") else -3.0
        yield net(f"Reduce{op}", "reduction", f"y = Reduce{op} {axis} (x)", shape, low=low)
    yield net("ReduceSum", "reduction", "y = ReduceSum(x, a)", shape, a=[1, 2])
    yield net("ReduceSum all", "reduction", "y = ReduceSum <keepdims = 0> (x)", shape)
    yield net("ReduceMean images", "reduction", "y = ReduceMean(x, a)", IMAGE, opset=18, a=[2, 3])
    yield net("CumSum", "reduction", "y = CumSum(x, a)", a=1)
    yield net("ArgMax", "reduction", "y = ArgMax <axis = 1> (x)")
    yield net("ArgMin", "reduction", "y = ArgMin <axis = 1, keepdims = 0> (x)")
    yield net("TopK", "reduction", "y, i = TopK(x, k)", k=[3], outputs=("y", "i"))
    yield net("Logits ArgMax", "reduction", "l = Gemm(x, w)\ny = ArgMax <axis = 1> (l)", w=matrix(8, 5))


def comparisons():
    two = {"x": ROW, "z": ROW}
    for op in ["Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
        yield net(f"{op} constant", "comparison", f"y = {op}(x, c)", c=0.5)
        yield net(f"{op} of two", "comparison", f"y = {op}(x, z)", two)
    yield net("Less vector", "comparison", "y = Less(x, c)", c=Drawn((8,)))
    yield net("Equal rounded", "comparison", "r = Round(x)\ny = Equal(r, c)", c=1.0)
    yield net("Where constant", "comparison", "m = Less(x, c)\ny = Where(m, x, c)", c=0.5)
    yield net("Where of two", "comparison", "m = Greater(x, z)\ny = Where(m, x, z)", two)
    yield net("Where constants", "comparison", "m = Greater(x, c)\ny = Where(m, a, b)", c=0.5, a=1.0, b=-1.0)
    yield net("And Or Not", "comparison", "a = Less(x, c)\nb = Greater(z, c)\nd = And(a, b)\nn = Not(d)\ny = Or(n, b)", two, c=0.5)  # fmt: skip
    yield net("Xor", "comparison", "a = Less(x, c)\nb = Greater(z, c)\ny = Xor(a, b)", two, c=0.5)
    yield net("Cast of a comparison", "comparison", "m = Less(x, c)\nf = Cast <to = 1> (m)\ny = Mul(f, x)", c=0.5)
    yield net("Count", "comparison", "m = Less(x, c)\nf = Cast <to = 1> (m)\ny = ReduceSum(f, a)", c=0.5, a=[1])


def perceptrons():
    yield net("Gemm", "perceptron", "y = Gemm <transB = 1, alpha = 0.5> (x, w, b)", w=weights(3, 8), b=weights(3))
    yield net("MatMul", "perceptron", "y = MatMul(x, w)", WIDE, w=matrix(4, 3))
    yield net("MatMul Add Relu", "perceptron", "m = MatMul(x, w)\ns = Add(m, b)\ny = Relu(s)", [1, 2, 4], w=matrix(4, 3), b=weights(3))  # fmt: skip
    yield net("Add MatMul", "perceptron", "m = MatMul(x, w)\ny = Add(b, m)", w=matrix(8, 3), b=weights(3))
    layers = {"w": weights(6, 8), "b": weights(6), "u": weights(3, 6), "c": weights(3)}
    for op in ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Softplus"]:
        text = f"h = Gemm <transB = 1> (x, w, b)\na = {op}(h)\ny = Gemm <transB = 1> (a, u, c)"
        yield net(f"Perceptron {op}", "perceptron", text, **layers)
    soft = "h = Gemm <transB = 1> (x, w, b)\na = Relu(h)\nl = Gemm <transB = 1> (a, u, c)\n"
    yield net("Perceptron Softmax", "perceptron", soft + "y = Softmax <axis = 1> (l)", **layers)
    yield net("Perceptron LogSoftmax", "perceptron", soft + "y = LogSoftmax <axis = 1> (l)", **layers)
    yield net("Perceptron ArgMax", "perceptron", soft + "y = ArgMax <axis = 1> (l)", **layers)
    yield net("Logistic regression", "perceptron", "l = Gemm(x, w, b)\ny = Sigmoid(l)", w=matrix(8, 1), b=weights(1))
    yield net("Linear classifier", "perceptron", "a = Sub(x, m)\nb = Div(a, s)\nl = MatMul(b, w)\nt = Add(l, c)\ny = ArgMax <axis = 1> (t)", m=Drawn((8,)), s=np.linspace(0.5, 3, 8), w=matrix(8, 3), c=weights(3))  # fmt: skip
    yield net("Autoencoder", "perceptron", "h = Gemm <transB = 1> (x, w, b)\na = Relu(h)\nd = Gemm <transB = 1> (a, u, c)\ne = Sub(d, x)\nq = Mul(e, e)\ny = ReduceMean(q, r)", w=weights(3, 8), b=weights(3), u=weights(8, 3), c=weights(8), r=[1], opset=18)  # fmt: skip
    yield net("Residual perceptron", "perceptron", "h = Gemm(x, w, b)\na = Relu(h)\ny = Add(x, a)", w=matrix(8, 8), b=weights(8))  # fmt: skip
    yield net("Highway gate", "perceptron", "h = Gemm(x, w, b)\ng = Sigmoid(h)\nn = Sub(one, g)\nt = Tanh(x)\np = Mul(g, t)\nq = Mul(n, x)\ny = Add(p, q)", w=matrix(8, 8), b=weights(8), one=1.0)  # fmt: skip


def convolutions():
    pads = "pads = [1, 1, 1, 1]"
    yield net("Conv", "convolution", "y = Conv(x, w, b)", IMAGE, w=weights(3, 2, 3, 3), b=weights(3))
    yield net("Conv strides", "convolution", f"y = Conv <strides = [2, 2], {pads}> (x, w)", IMAGE, w=weights(3, 2, 3, 3))
    yield net("Conv depthwise", "convolution", f"y = Conv <group = 2, {pads}> (x, w)", IMAGE, w=weights(2, 1, 3, 3))
    yield net("Conv 1-D", "convolution", "y = Conv(x, w, b)", LINE, w=weights(3, 2, 3), b=weights(3))
    yield net("ConvTranspose", "convolution", "y = ConvTranspose <strides = [2, 2]> (x, w)", [1, 2, 3, 3], w=Drawn((2, 3, 2, 2)))  # fmt: skip
    yield net("ConvTranspose 1-D", "convolution", "y = ConvTranspose <strides = [2]> (x, w)", LINE, w=Drawn((2, 3, 2)))
    two = "a = Conv <%s> (x, w, b)\nr = Relu(a)\np = MaxPool <kernel_shape = [%s], strides = [%s]> (r)\nc = Conv(p, v)\ns = Relu(c)\nf = Flatten(s)\ny = Gemm <transB = 1> (f, u, d)"  # noqa: E501
    yield net("CNN 2-D", "convolution", two % (pads, "2, 2", "2, 2"), IMAGE, w=weights(4, 2, 3, 3), b=weights(4), v=weights(4, 4, 2, 2), u=weights(3, 16), d=weights(3))  # fmt: skip
    yield net("CNN 1-D", "convolution", two % ("pads = [1, 1]", "2", "2"), LINE, w=weights(4, 2, 3), b=weights(4), v=weights(4, 4, 3), u=weights(3, 16), d=weights(3))  # fmt: skip
    yield net("CNN averages", "convolution", f"a = Conv <{pads}> (x, w, b)\nr = Relu(a)\np = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (r)\ng = GlobalAveragePool(p)\nf = Flatten(g)\nl = Gemm(f, u)\ny = Softmax(l)", IMAGE, w=weights(4, 2, 3, 3), b=weights(4), u=matrix(4, 3))  # fmt: skip
    yield net("Residual block", "convolution", f"a = Conv <{pads}> (x, w, b)\nr = Relu(a)\nc = Conv <{pads}> (r, v)\ns = Add(c, x)\ny = Relu(s)", IMAGE, w=weights(2, 2, 3, 3), b=weights(2), v=weights(2, 2, 3, 3))  # fmt: skip
    yield net("Squeeze and excite", "convolution", "g = GlobalAveragePool(x)\nc = Conv(g, w, b)\nr = Relu(c)\nd = Conv(r, v)\ns = Sigmoid(d)\ny = Mul(x, s)", IMAGE, w=weights(2, 2, 1, 1), b=weights(2), v=weights(2, 2, 1, 1))  # fmt: skip
    yield net("Generator", "convolution", "a = Gemm(x, w)\nr = Reshape(a, s)\nc = ConvTranspose <strides = [2, 2]> (r, v)\nl = LeakyRelu(c)\nd = ConvTranspose <strides = [2, 2]> (l, u)\ny = Tanh(d)", w=matrix(8, 16), s=[1, 4, 2, 2], v=Drawn((4, 2, 2, 2)), u=Drawn((2, 1, 2, 2)))  # fmt: skip


def sequences():
    tokens = [1, 4, 6]
    heads = {key: matrix(6, 6) for key in ("q", "k", "v")}
    yield net(
        "Self-attention", "sequence",
        "a = MatMul(x, q)\nb = MatMul(x, k)\nc = MatMul(x, v)\nt = Transpose <perm = [0, 2, 1]> (b)\n"
        "s = MatMul(a, t)\nr = Div(s, d)\np = Softmax <axis = -1> (r)\ny = MatMul(p, c)", tokens, d=2.449, **heads,
    )  # fmt: skip
    yield net("Seasonal linear", "sequence", "m = AveragePool <kernel_shape = [3], pads = [1, 1], count_include_pad = 1> (x)\nr = Sub(x, m)\na = MatMul(m, u)\nb = MatMul(r, w)\ny = Add(a, b)", LINE, u=matrix(12, 4), w=matrix(12, 4))  # fmt: skip
    for equation, shapes in [
        ("bij,jk->bik", ([1, 4, 6], (6, 5))), ("bij,kj->kbi", ([1, 4, 6], (5, 6))), ("bij->jb", ([1, 4, 6],)),
        ("bij,bik->bjk", ([1, 4, 6], [1, 4, 3])), ("bhid,bhjd->bhij", ([1, 2, 3, 4], [1, 2, 5, 4])),
        ("bij,bj->i", ([1, 4, 6], [1, 6])), ("i,j->ij", ([5], [4])),
    ]:  # fmt: skip
        names = [name for name, _ in zip(("x", "w"), shapes)]
        inputs = {name: list(shape) for name, shape in zip(names, shapes) if isinstance(shape, list)}
        drawn = {name: Drawn(shape) for name, shape in zip(names, shapes) if isinstance(shape, tuple)}
        call = f'y = Einsum <equation = "{equation}"> ({", ".join(names)})'
        yield net(f"Einsum {equation}", "sequence", call, inputs, **drawn)
    for op, gates in [("RNN", 1), ("GRU", 3), ("LSTM", 4)]:
        shapes = {"w": Drawn((1, 3 * gates, 4)), "r": Drawn((1, 3 * gates, 3)), "b": Drawn((1, 6 * gates))}
        extra = ", linear_before_reset = 1" if op == "GRU" else ""
        yield net(op, "sequence", f"y, h = {op} <hidden_size = 3{extra}> (x, w, r, b)", [5, 1, 4], outputs=("y", "h"), **shapes)
        both = {"w": Drawn((2, 3 * gates, 4)), "r": Drawn((2, 3 * gates, 3)), "b": Drawn((2, 6 * gates))}
        # ONNX Runtime's RNN has no default for a second direction.
        named = ', activations = ["Tanh", "Tanh"]' if op == "RNN" else ""
        call = f'y, h = {op} <hidden_size = 3, direction = "bidirectional"{extra}{named}>'
        yield net(f"{op} in both directions", "sequence", f"{call} (x, w, r, b)", [5, 1, 4], outputs=("y", "h"), **both)
        yield net(
            f"{op}, both, constant state", "sequence", f"{call} (x, w, r, b, n, s)", [5, 1, 4],
            outputs=("y", "h"), n=np.array([5], np.int32), s=Drawn((2, 1, 3)), **both,
        )  # fmt: skip
        yield net(
            f"{op}, computed state", "sequence", f"y, h = {op} <hidden_size = 3> (x, w, r, b, , s)",
            {"x": [5, 1, 4], "s": [1, 1, 3]}, outputs=("y", "h"), low=-1.0, **shapes,
        )  # fmt: skip
        functions = {"RNN": ["Relu"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Softsign"]}[op]
        spelled = ", ".join(f'"{name}"' for name in functions)
        yield net(
            f"{op} backwards, named functions", "sequence",
            f'y, h = {op} <hidden_size = 3, direction = "reverse", activations = [{spelled}]> (x, w, r)',
            [5, 1, 4], outputs=("y", "h"), w=Drawn((1, 3 * gates, 4)), r=Drawn((1, 3 * gates, 3)),
        )  # fmt: skip


def nets():
    """All nets but the trees."""
    for family in (
        activations, arithmetic, poolings, normalizations, movements, reductions, comparisons, perceptrons,
        convolutions, sequences,
    ):  # fmt: skip
        yield from family()
