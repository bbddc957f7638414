"""Layers in numpy that can be trained and written to a graph.

A layer has `params` (arrays, updated in place), `forward`, `backward` (which
leaves `grads` in the order of `params` and returns the gradient of its input)
and `emit`. Images are `[n, channels, height, width]`.
"""

import numpy as np

F32 = np.float32


class Layer:
    params = ()
    grads = ()


class Gemm(Layer):
    def __init__(self, rng, inputs, outputs):
        scale = np.sqrt(2 / inputs)
        self.weight = rng.normal(0, scale, (inputs, outputs)).astype(F32)
        self.bias = np.zeros(outputs, F32)
        self.params = (self.weight, self.bias)

    def forward(self, x):
        self._x = x
        return x @ self.weight + self.bias

    def backward(self, gradient):
        self.grads = (self._x.T @ gradient, gradient.sum(axis=0))
        return gradient @ self.weight.T

    def emit(self, graph, x):
        return graph.gemm(x, self.weight, self.bias)


class Conv(Layer):
    """Square kernel of odd size, stride 1, padded to keep the image size."""

    def __init__(self, rng, inputs, outputs, kernel=3):
        scale = np.sqrt(2 / (inputs * kernel * kernel))
        self.weight = rng.normal(0, scale, (outputs, inputs, kernel, kernel)).astype(F32)
        self.bias = np.zeros(outputs, F32)
        self.params = (self.weight, self.bias)
        self._kernel = kernel
        self._pad = kernel // 2

    def forward(self, x):
        p, k = self._pad, self._kernel
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        self._windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
        out = np.tensordot(self._windows, self.weight, axes=((1, 4, 5), (1, 2, 3)))
        return (out + self.bias).transpose(0, 3, 1, 2)

    def backward(self, gradient):
        n, _, height, width = gradient.shape
        p, k = self._pad, self._kernel
        weight_gradient = np.tensordot(gradient, self._windows, axes=((0, 2, 3), (0, 2, 3)))
        self.grads = (weight_gradient, gradient.sum(axis=(0, 2, 3)))
        spread = np.tensordot(gradient, self.weight, axes=((1,), (0,)))
        padded = np.zeros((n, self.weight.shape[1], height + 2 * p, width + 2 * p), F32)
        for i in range(k):
            for j in range(k):
                padded[:, :, i : i + height, j : j + width] += spread[..., i, j].transpose(
                    0, 3, 1, 2
                )
        return padded[:, :, p : p + height, p : p + width]

    def emit(self, graph, x):
        return graph.conv(x, self.weight, self.bias, pad=self._pad)


class Relu(Layer):
    def forward(self, x):
        self._positive = x > 0
        return np.where(self._positive, x, F32(0))

    def backward(self, gradient):
        return np.where(self._positive, gradient, F32(0))

    def emit(self, graph, x):
        return graph.relu(x)


def _blocks(x):
    n, channels, height, width = x.shape
    return x.reshape(n, channels, height // 2, 2, width // 2, 2)


class MaxPool(Layer):
    """2×2; a gradient is shared among the elements that tie."""

    def forward(self, x):
        blocks = _blocks(x)
        out = blocks.max(axis=(3, 5))
        winners = blocks == out[:, :, :, None, :, None]
        self._share = (winners / winners.sum(axis=(3, 5), keepdims=True)).astype(F32)
        return out

    def backward(self, gradient):
        spread = self._share * gradient[:, :, :, None, :, None]
        n, channels, rows, _, columns, _ = spread.shape
        return spread.reshape(n, channels, 2 * rows, 2 * columns)

    def emit(self, graph, x):
        return graph.max_pool(x)


class AveragePool(Layer):
    """2×2."""

    def forward(self, x):
        return _blocks(x).mean(axis=(3, 5))

    def backward(self, gradient):
        return np.repeat(np.repeat(gradient, 2, axis=2), 2, axis=3) / F32(4)

    def emit(self, graph, x):
        return graph.average_pool(x)


class GlobalAveragePool(Layer):
    def forward(self, x):
        self._shape = x.shape
        return x.mean(axis=(2, 3), keepdims=True)

    def backward(self, gradient):
        pixels = self._shape[2] * self._shape[3]
        return np.broadcast_to(gradient / F32(pixels), self._shape)

    def emit(self, graph, x):
        return graph.global_average_pool(x)


class Flatten(Layer):
    def forward(self, x):
        self._shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, gradient):
        return gradient.reshape(self._shape)

    def emit(self, graph, x):
        return graph.flatten(x)


class Sequential(Layer):
    def __init__(self, *layers):
        self.layers = layers
        self.params = tuple(p for layer in layers for p in layer.params)

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, gradient):
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        self.grads = tuple(g for layer in self.layers for g in layer.grads)
        return gradient

    def emit(self, graph, x):
        for layer in self.layers:
            x = layer.emit(graph, x)
        return x


class Residual(Layer):
    """`x + body(x)`; the body keeps the shape."""

    def __init__(self, body):
        self.body = body
        self.params = body.params

    def forward(self, x):
        return x + self.body.forward(x)

    def backward(self, gradient):
        through_body = self.body.backward(gradient)
        self.grads = self.body.grads
        return gradient + through_body

    def emit(self, graph, x):
        return graph.add(self.body.emit(graph, x), x)
