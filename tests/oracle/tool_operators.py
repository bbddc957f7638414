"""Float networks around one operator each, for ONNX Runtime's quantizer.

The operator stands between two layers that the tool quantizes, as its input `h` and, where it
has two, `g`; its result is `m`. Operators that decide (ArgMax, TopK, comparisons) also end
a network.
"""

import numpy as np
import onnxruntime

from nets import Drawn, Net, matrix, net, weights

OPSET = 20
SAMPLES = 6
FUNCTIONS = [
    "Abs", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Mish", "Neg", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus",
    "Softsign", "Tanh", "ThresholdedRelu",
]  # fmt: skip
POOL = "kernel_shape = [2, 2], strides = [2, 2]"


def _rows():
    """Operators on `[1, 8]`: name, text, constants."""
    for op in FUNCTIONS:
        yield op, f"m = {op}(h)", {}
    for op in ["Sqrt", "Log", "Reciprocal"]:
        # Of what is positive.
        yield op, f"s = Sigmoid(h)\nm = {op}(s)", {}
    for op in ["Add", "Sub", "Mul", "Div", "PRelu", "Min", "Max"]:
        yield f"{op} by a constant", f"m = {op}(h, c)", {"c": 0.7}
    for op in ["Add", "Sub", "Mul", "Div", "PRelu"]:
        yield f"{op} by a vector", f"m = {op}(h, c)", {"c": np.linspace(0.3, 2, 8)}
    yield "Pow by a constant", "m = Pow(h, c)", {"c": 2.0}
    yield "Clip", "m = Clip(h, a, b)", {"a": 0.0, "b": 6.0}
    for op in ["Add", "Sub", "Mul", "Min", "Max"]:
        yield f"{op} of two", f"m = {op}(h, g)", {}
    yield "Concat", "s = Sigmoid(g)\nm = Concat <axis = 1> (h, s)", {}
    for op in ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"]:
        yield f"Where {op}", f"c = {op}(h, z)\nm = Where(c, h, z)", {"z": 0.0}
    yield "Where of two", "c = Less(h, g)\nm = Where(c, h, g)", {}
    yield "Cast", "c = Less(h, g)\nf = Cast <to = 1> (c)\nm = Mul(f, h)", {}
    yield "Gelu by Erf", "a = Div(h, r)\ne = Erf(a)\ns = Add(e, o)\np = Mul(h, s)\nm = Mul(p, k)", {"r": 1.4142135, "o": 1.0, "k": 0.5}  # fmt: skip
    yield "Swish by Sigmoid", "s = Sigmoid(h)\nm = Mul(h, s)", {}
    yield "MatMul of two", "a = Reshape(h, p)\nb = Reshape(g, q)\nm = MatMul(a, b)", {"p": [1, 2, 4], "q": [1, 4, 2]}
    yield "Slice", "m = Slice(h, a, b, i)", {"a": [1], "b": [7], "i": [1]}
    yield "Split", "a, b = Split <axis = 1, num_outputs = 2> (h)\nm = Add(a, b)", {}
    yield "Gather", "m = Gather <axis = 1> (h, i)", {"i": [7, 0, 3]}
    yield "Expand", "m = Expand(h, s)", {"s": [3, 8]}
    yield "Tile", "m = Tile(h, s)", {"s": [1, 2]}
    yield "Reshape by Shape", "s = Shape(h)\ni = Gather(s, zero)\nu = Unsqueeze(i, at)\nt = Concat <axis = 0> (u, rest)\nm = Reshape(h, t)", {"zero": 0, "at": [0], "rest": [2, -1]}  # fmt: skip
    yield "Squeeze", "u = Unsqueeze(h, a)\nm = Squeeze(u, b)", {"a": [2], "b": [0]}


def _images():
    """Operators on `[1, 4, 6, 6]`."""
    for op in ["MaxPool", "AveragePool"]:
        yield op, f"m = {op} <{POOL}> (h)", {}
        yield f"{op} pads", f"m = {op} <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (h)", {}
    for op in ["GlobalMaxPool", "GlobalAveragePool"]:
        yield op, f"m = {op}(h)", {}
    for op in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"]:
        yield op, f"m = {op}(h, a)", {"a": [2, 3]}
    for mode in ["constant", "edge", "reflect"]:
        yield f"Pad {mode}", f'm = Pad <mode = "{mode}"> (h, p)', {"p": [0, 0, 1, 2, 0, 0, 0, 1]}
    yield "Resize", 'm = Resize <mode = "nearest"> (h, , s)', {"s": np.array([1, 1, 2, 2.0])}
    yield "DepthToSpace", "m = DepthToSpace <blocksize = 2> (h)", {}
    yield "SpaceToDepth", "m = SpaceToDepth <blocksize = 2> (h)", {}
    yield "Transpose", "m = Transpose <perm = [0, 2, 3, 1]> (h)", {}
    yield "BatchNormalization", "m = BatchNormalization(h, n, o, p, v)", {"n": Drawn((4,), shift=1.0), "o": Drawn((4,)), "p": Drawn((4,)), "v": np.linspace(0.5, 2, 4)}  # fmt: skip
    yield "Softmax of channels", "m = Softmax <axis = 1> (h)", {}
    yield "Conv strides", "m = Conv <strides = [2, 2]> (h, v)", {"v": weights(3, 4, 3, 3)}
    yield "Conv depthwise", "m = Conv <group = 4> (h, v, n)", {"v": weights(4, 1, 3, 3), "n": weights(4)}
    yield "ConvTranspose", "m = ConvTranspose <strides = [2, 2]> (h, v, n)", {"v": Drawn((4, 2, 2, 2)), "n": weights(2)}


def _ends():
    """Operators that end a network of `[1, 8]`, with their outputs."""
    for op in ["ArgMax", "ArgMin"]:
        yield op, f"m = {op} <axis = 1> (h)", {}, ("m",)
    yield "TopK", "m, n = TopK(h, k)", {"k": [3]}, ("m", "n")
    for op in ["Less", "GreaterOrEqual"]:
        yield f"{op} of two", f"m = {op}(h, g)", {}, ("m",)
        yield f"{op} constant", f"m = {op}(h, c)", {"c": 0.1}, ("m",)
    yield "Softmax at the end", "m = Softmax(h)", {}, ("m",)


def _size(name, text, inputs, **constants):
    """Elements of `m`."""
    made = net(name, "tool", text, inputs, OPSET, outputs=("m",), **constants)
    session = onnxruntime.InferenceSession(made.model.SerializeToString())
    return session.run(["m"], {"x": made.samples["x"][0]})[0].size


def tool_operators():
    """Yields the float networks."""
    before = "h = Gemm <transB = 1> (x, w0, b0)\n"
    both = before + "g = Gemm <transB = 1> (x, y0, d0)\n"
    layer = {"w0": weights(8, 8), "b0": weights(8)}
    image = "h = Conv <pads = [1, 1, 1, 1]> (x, w0, b0)\n"
    filters = {"w0": weights(4, 3, 3, 3), "b0": weights(4)}

    def first(text, of_image):
        if of_image:
            return image + text, {"x": [1, 3, 6, 6]}, filters
        two = ", g" in text or "(g" in text
        return (both if two else before) + text, {"x": [1, 8]}, layer | ({"y0": weights(8, 8), "d0": weights(8)} if two else {})

    for of_image, family in ((False, _rows()), (True, _images())):
        for name, text, constants in family:
            text, inputs, own = first(text, of_image)
            size = _size(name, text, inputs, **own, **constants)
            text += "\nf0 = Flatten <axis = 0> (m)\ny = Gemm(f0, w1, b1)"
            last = {"w1": matrix(size, 5), "b1": weights(5)}
            yield _samples(net(name, "tool", text, inputs, OPSET, **own, **constants, **last))
    for name, text, constants, outputs in _ends():
        text, inputs, own = first(text, False)
        yield _samples(net(name, "tool", text, inputs, OPSET, outputs=outputs, **own, **constants))


def _samples(made: Net):
    made.samples = {name: values[:SAMPLES] for name, values in made.samples.items()}
    return made

