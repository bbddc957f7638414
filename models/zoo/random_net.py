"""Networks with random weights whose activations are alive.

Weights are He-initialized and then fitted to a batch of probe samples, layer by
layer: a layer's result is scaled to a spread of one, and its bias centres each
channel near zero, so that a Relu passes about half. A network built so quantizes
like a trained one: hardly a channel is constant or saturated.
"""

import numpy as np

from .graph import Graph

F32 = np.float32
# Spread of the biases around the centre, in units of the layer's spread.
BIAS_SPREAD = 0.3


class RandomNet:
    """Builds a graph and evaluates it on the probe while it grows."""

    def __init__(self, name, opset, batch, probe, rng):
        self.graph = Graph(name, opset, batch)
        self._rng = rng
        self.head = self.graph.input("x", probe.shape[1:])
        self._values = {self.head: probe.astype(F32)}

    def _he(self, shape, fan_in):
        return self._rng.normal(0, np.sqrt(2 / fan_in), shape).astype(F32)

    def _fit(self, weight, result):
        """Scales `weight` in place and gives the bias for `result`, both by the probe."""
        axes = (0, *range(2, result.ndim))
        mean = result.mean(axis=axes)
        factor = F32(1 / max(result.std(axis=axes).mean(), 1e-6))
        weight *= factor
        noise = self._rng.normal(0, BIAS_SPREAD, mean.shape)
        return (noise - mean * factor).astype(F32), factor

    def _record(self, tensor, value):
        self._values[tensor] = value.astype(F32)
        self.head = tensor
        return tensor

    def dense(self, outputs, relu=True):
        x = self._values[self.head]
        weight = self._he((x.shape[1], outputs), x.shape[1])
        product = x @ weight
        bias, factor = self._fit(weight, product)
        self._record(self.graph.gemm(self.head, weight, bias), product * factor + bias)
        return self.relu() if relu else self.head

    def conv(self, outputs, kernel, stride=1, pad=0, group=1, relu=True, source=None):
        source = source or self.head
        x = self._values[source]
        per_group = x.shape[1] // group
        weight = self._he((outputs, per_group, kernel, kernel), per_group * kernel * kernel)
        product = _convolve(x, weight, stride, pad, group)
        bias, factor = self._fit(weight, product)
        tensor = self.graph.conv(source, weight, bias, pad, stride, group)
        self._record(tensor, product * factor + bias[:, None, None])
        return self.relu() if relu else self.head

    def relu(self):
        value = np.maximum(self._values[self.head], 0)
        return self._record(self.graph.relu(self.head), value)

    def add(self, a, b):
        return self._record(self.graph.add(a, b), self._values[a] + self._values[b])

    def max_pool(self):
        x = self._values[self.head]
        rows, columns = x.shape[2] // 2, x.shape[3] // 2
        blocks = x[:, :, : 2 * rows, : 2 * columns]
        blocks = blocks.reshape(*x.shape[:2], rows, 2, columns, 2)
        return self._record(self.graph.max_pool(self.head), blocks.max(axis=(3, 5)))

    def global_average_pool(self):
        value = self._values[self.head].mean(axis=(2, 3), keepdims=True)
        return self._record(self.graph.global_average_pool(self.head), value)

    def flatten(self):
        x = self._values[self.head]
        return self._record(self.graph.flatten(self.head), x.reshape(len(x), -1))


def _convolve(x, weight, stride, pad, group):
    outputs, per_group, kernel, _ = weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    parts = []
    for g in range(group):
        inputs = windows[:, g * per_group : (g + 1) * per_group]
        size = outputs // group
        kernels = weight[g * size : (g + 1) * size]
        part = np.tensordot(inputs, kernels, axes=((1, 4, 5), (1, 2, 3)))
        parts.append(part.transpose(0, 3, 1, 2))
    return np.concatenate(parts, axis=1)
