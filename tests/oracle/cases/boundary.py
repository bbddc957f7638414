"""Requantization at its thresholds, and small nets of several operators.

A pointwise convolution of a constant zero has its bias as accumulator, so any int32
can be put before the requantization, one for each channel.
"""

import numpy as np

from cases.builder import F32, FORMS, Builder, Quantized, integers, zero_point

# Multipliers (x scale * w scale / y scale), given by their three scales.
MULTIPLIERS = {
    "generic": (0.0123, 0.0077, 0.0411),
    "power_of_two": (0.5, 0.25, 16.0),
    "three_eighths": (0.75, 0.5, 1.0),
    "tiny": (0.003, 0.0021, 7.3),
    "tinier": (0.0003, 0.00021, 97.3),
}


def _accumulators(factor, limits, zero):
    """The accumulators beside every threshold of the rule, and the ends of int32."""
    halves = np.arange(limits.min - int(zero) - 3, limits.max - int(zero) + 4) + 0.5
    around = np.rint(halves / np.float64(factor)).astype(np.int64)
    found = (around[:, None] + np.arange(-3, 4)).ravel()
    ends = [-(2**31), 2**31 - 1, 0, 1, -1, 2**24, 2**24 + 1, -(2**24) - 1, 2**30 + 64]
    found = np.unique(np.concatenate([found, ends]))
    return found[(found >= -(2**31)) & (found < 2**31)].astype(np.int32)


def thresholds(name, form, types, y_zero):
    """One channel for each accumulator, in a convolution and in a Gemm."""
    x_scale, w_scale, y_scale = (F32(s) for s in MULTIPLIERS[name])
    factor = F32(F32(x_scale * w_scale) / y_scale)
    zero = zero_point(types[:2], y_zero)
    sums = _accumulators(factor, np.iinfo(zero.dtype), zero)
    for operator in ("Conv", "Gemm"):
        builder = Builder(f"thresholds_{operator.lower()}_{name}_{types}", operator, form)
        x_zero = zero_point(types[:2], 128)
        shape = (1, 1, 1, 1) if operator == "Conv" else (1, 1)
        x = builder.input(np.full(shape, x_zero), x_scale, x_zero)
        w_shape = (len(sums), 1, 1, 1) if operator == "Conv" else (1, len(sums))
        w_kind = np.int8 if types[2:] == "s8" else np.uint8
        w = builder.weight(np.ones(w_shape, w_kind), w_scale, w_kind(0))
        builder.output(builder.apply(operator, [x, w], y_scale, zero, sums))
        yield builder.build()


def residual_net(form, types):
    """Conv, MaxPool, two convolutions with a skip, AveragePool, Flatten, Gemm."""
    builder = Builder(f"net_residual_{types}", "Net", form, float_io=form == "qdq")
    rng, kind = builder.rng, types[:2]

    def weights(*shape):
        zero = zero_point(types[2:], 128)
        return builder.weight(integers(rng, types[2:], shape), F32(0.004), zero)

    def bias(count):
        return rng.integers(-20_000, 20_000, count, dtype=np.int32)

    zero = zero_point(kind, 128)
    x = builder.input(integers(rng, kind, (1, 2, 8, 8)), F32(0.02), zero)
    y = builder.apply("Conv", [x, weights(4, 2, 3, 3)], 0.1, zero, bias(4), pads=[1] * 4)
    y = builder.keep("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    branch = builder.apply("Conv", [y, weights(4, 4, 3, 3)], 0.5, zero, bias(4), pads=[1] * 4)
    branch = builder.apply("Conv", [branch, weights(4, 4, 1, 1)], 1.1, zero, bias(4))
    y = builder.apply("Add", [branch, y], 1.2, zero)
    y = builder.apply("AveragePool", [y], 0.9, zero, kernel_shape=[2, 2], strides=[2, 2])
    y = builder.keep("Flatten", y)
    y = builder.apply("Gemm", [y, weights(16, 5)], 3.0, zero, bias(5))
    builder.output(y)
    return builder.build()


def shared_tensor(form):
    """One activation read twice, two outputs of different types of operator."""
    builder = Builder("net_two_outputs", "Net", form, float_io=form == "qdq")
    rng = builder.rng
    x = builder.input(integers(rng, "u8", (1, 10)), F32(0.03), np.uint8(20))
    for columns in (3, 7):
        w = builder.weight(integers(rng, "s8", (10, columns)), F32(0.005), np.int8(0))
        builder.output(builder.apply("MatMul", [x, w], 0.11, np.uint8(100)))
    return builder.build()


def unbiased_float(form):
    """A float bias that was never quantized, as some exporters leave it (QDQ)."""
    builder = Builder("net_float_bias", "Conv", form, note="the bias is a float initializer")
    rng = builder.rng
    x = builder.input(integers(rng, "u8", (1, 3, 5, 5)), F32(0.03), np.uint8(128))
    w = builder.weight(integers(rng, "s8", (4, 3, 3, 3)), F32(0.005), np.int8(0))
    bias = builder.initializer("bias", rng.normal(0, 1, 4).astype(F32))
    name = builder.node("Conv", [builder.dequantize(x), builder.dequantize(w), bias])
    zero = np.uint8(111)
    builder.output(Quantized(builder.quantize(name, F32(0.15), zero), F32(0.15), zero))
    return builder.build()


def cases():
    for form in FORMS:
        for name in MULTIPLIERS:
            yield from thresholds(name, form, "u8s8", 119)
        yield from thresholds("generic", form, "s8s8", 0)
        yield from thresholds("power_of_two", form, "u8u8", 255)
        for types in ("u8s8", "s8s8"):
            yield residual_net(form, types)
        yield shared_tensor(form)
    yield unbiased_float("qdq")
