"""A small builder of float ONNX graphs, which also counts multiply-accumulates."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The first IR version whose readers know every opset used here.
IR_VERSION = 8


class Graph:
    """Collects nodes and initializers; tensors are named after their node.

    Shapes are tracked without the batch axis, so that a layer knows its fan-in.
    `macs` counts multiply-accumulates of Conv, Gemm and MatMul for one sample.
    """

    def __init__(self, name, opset, batch):
        self.name = name
        self.opset = opset
        self.batch = batch
        self.macs = 0
        self._nodes = []
        self._initializers = []
        self._inputs = []
        self._outputs = []
        self._shapes = {}
        self._counts = {}

    def shape(self, tensor):
        """Shape of `tensor` without its batch axis."""
        return self._shapes[tensor]

    def input(self, name, shape):
        self._inputs.append(self._value_info(name, shape))
        self._shapes[name] = tuple(shape)
        return name

    def output(self, tensor, name):
        """Gives `tensor`'s producer the public name `name` and makes it an output."""
        for node in self._nodes:
            node.output[:] = [name if t == tensor else t for t in node.output]
            node.input[:] = [name if t == tensor else t for t in node.input]
        self._shapes[name] = self._shapes.pop(tensor)
        self._outputs.append(self._value_info(name, self._shapes[name]))
        return name

    def _value_info(self, name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [self.batch, *shape])

    def _node(self, op_type, inputs, shape, parameters=None, **attributes):
        index = self._counts[op_type] = self._counts.get(op_type, 0) + 1
        name = f"{op_type.lower()}{index}"
        inputs = list(inputs)
        for suffix, array in (parameters or {}).items():
            array = np.ascontiguousarray(array)
            self._initializers.append(numpy_helper.from_array(array, f"{name}_{suffix}"))
            inputs.append(f"{name}_{suffix}")
        output = f"{name}_out"
        self._nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        self._shapes[output] = tuple(shape)
        return output

    def conv(self, x, weight, bias, pad=0, stride=1, group=1):
        """`weight` is `[out, in / group, k, k]`."""
        channels, height, width = self.shape(x)
        out, per_group, kernel, _ = weight.shape
        assert channels == per_group * group
        rows = (height + 2 * pad - kernel) // stride + 1
        columns = (width + 2 * pad - kernel) // stride + 1
        self.macs += out * per_group * kernel * kernel * rows * columns
        return self._node(
            "Conv",
            [x],
            (out, rows, columns),
            {"w": weight, "b": bias},
            kernel_shape=[kernel, kernel],
            pads=[pad] * 4,
            strides=[stride, stride],
            group=group,
        )

    def gemm(self, x, weight, bias):
        """`weight` is `[in, out]`, stored transposed as exporters write it."""
        self.macs += weight.size
        parameters = {"w": weight.T, "b": bias}
        return self._node("Gemm", [x], (weight.shape[1],), parameters, transB=1)

    def matmul(self, x, weight):
        self.macs += weight.size
        return self._node("MatMul", [x], (weight.shape[1],), {"w": weight})

    def add(self, a, b):
        return self._node("Add", [a, b], self.shape(a))

    def relu(self, x):
        return self._node("Relu", [x], self.shape(x))

    def max_pool(self, x, size=2):
        return self._pool("MaxPool", x, size)

    def average_pool(self, x, size=2):
        return self._pool("AveragePool", x, size)

    def _pool(self, op_type, x, size):
        channels, height, width = self.shape(x)
        shape = (channels, height // size, width // size)
        return self._node(op_type, [x], shape, kernel_shape=[size, size], strides=[size, size])

    def global_average_pool(self, x):
        return self._node("GlobalAveragePool", [x], (self.shape(x)[0], 1, 1))

    def flatten(self, x):
        return self._node("Flatten", [x], (int(np.prod(self.shape(x))),))

    def build(self):
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, self._initializers
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=IR_VERSION if self.opset < 21 else 10,
            producer_name="zkonnx-models",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
