"""The scale rules of ONNX Runtime's integer kernels, step by step in float32.

Every function takes and returns numpy arrays. `kind` is the numpy type of a
quantized tensor, int8 or uint8. All roundings are half to even.
"""

import numpy as np

F32 = np.float32
F64 = np.float64


def saturate(values, kind):
    """Clamps to the range of `kind`; NaN becomes its lowest value."""
    limits = np.iinfo(kind)
    values = np.where(np.isnan(values), limits.min, values)
    return np.clip(values, limits.min, limits.max).astype(kind)


def quantize(x, scale, zero_point):
    """QuantizeLinear: round(x / scale) + zero point, by a true division."""
    with np.errstate(over="ignore"):
        rounded = np.rint((x / scale).astype(F32))
    return saturate(rounded.astype(F64) + np.asarray(zero_point, F64), zero_point.dtype)


def dequantize(q, scale, zero_point):
    """DequantizeLinear: (q - zero point) * scale, the difference exact in int32."""
    difference = q.astype(np.int32) - np.asarray(zero_point, np.int32)
    return (difference.astype(F32) * scale).astype(F32)


def multiplier(x_scale, w_scale, y_scale):
    """The factor between an accumulator and an output: (x * w) / y."""
    return ((x_scale * w_scale).astype(F32) / y_scale).astype(F32)


def requantize(accumulator, factor, zero_point):
    """round(f32(acc) * factor) + zero point: the zero point is added to the integer."""
    product = (accumulator.astype(F32) * factor).astype(F32)
    rounded = np.rint(product).astype(F64)
    return saturate(rounded + F64(zero_point), zero_point.dtype)


def fused_multiply_add(a, b, c):
    """a * b + c with one rounding.

    The product of two float32 is exact in float64. The sum is rounded twice, which
    differs from one rounding only at a tie of the 53-bit sum; the comparison with
    ONNX Runtime would show it.
    """
    return (np.asarray(a, F64) * F64(b) + np.asarray(c, F64)).astype(F32)


def wrap_int32(values):
    """Two's complement addition as the kernels do it."""
    return values.astype(np.int64).astype(np.int32)
