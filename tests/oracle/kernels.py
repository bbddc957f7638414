"""The integer kernels: what each quantized operator computes, on numpy arrays.

`scale` arguments are float32, scalars or one per output channel; zero points carry
the type of their tensor. Accumulators are exact integers. Where ONNX Runtime sums
in float32 (QLinearAveragePool) the order of the sum is part of the formula.
"""

import numpy as np

from arithmetic import (
    F32,
    F64,
    dequantize,
    fused_multiply_add,
    multiplier,
    requantize,
    saturate,
    wrap_int32,
)
from windows import Geometry, taps


def _per_channel(values, rank):
    """Shapes one value for each channel so that it broadcasts over `[n, channels, ...]`."""
    values = np.asarray(values)
    return values.reshape(-1, *[1] * (rank - 2)) if values.size > 1 else values.reshape(())


def _product(a, b):
    """Matrix product of integers through float64.

    It is exact: every partial sum is an integer below 2^53 for any size in use.
    """
    return np.matmul(a.astype(F64), b.astype(F64))


def conv_integer(x, w, x_zero, w_zero, attributes):
    """ConvInteger: the exact sum of (x - x zero) * (w - w zero), as int32."""
    group = attributes.get("group", 1)
    difference = x.astype(np.int64) - int(x_zero)
    w_zero = np.asarray(w_zero, np.int64)
    weights = w.astype(np.int64) - (
        w_zero.reshape(-1, *[1] * (w.ndim - 1)) if w_zero.size > 1 else w_zero.reshape(())
    )
    geometry = Geometry.resolve(attributes, x.shape[2:], w.shape[2:])
    out_channels, per_group = w.shape[:2]
    total = 0
    # A padded position counts as x zero, that is 0 once the zero point is taken off.
    for tap, values in taps(difference, geometry, 0):
        n, _, *output = values.shape
        grouped = values.reshape(n, group, per_group, -1)
        kernel = weights[(..., *tap)].reshape(group, out_channels // group, per_group)
        total = total + _product(kernel, grouped).reshape(n, out_channels, *output)
    return wrap_int32(total)


def qlinear_conv(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias, attributes):
    accumulator = conv_integer(x, w, x_zero, w_zero, attributes).astype(np.int64)
    if bias is not None:
        accumulator = accumulator + _per_channel(bias, x.ndim).astype(np.int64)
    factor = multiplier(x_scale, w_scale, y_scale)
    return requantize(wrap_int32(accumulator), _per_channel(factor, x.ndim), y_zero)


def matmul_integer(a, b, a_zero, b_zero):
    """MatMulInteger; `a_zero` may be one per row, `b_zero` one per column."""
    a_zero, b_zero = np.asarray(a_zero, np.int64), np.asarray(b_zero, np.int64)
    if a_zero.ndim == 1 and a_zero.size > 1:
        a_zero = a_zero[:, None]
    left = a.astype(np.int64) - (a_zero if a_zero.size > 1 else a_zero.reshape(()))
    right = b.astype(np.int64) - (b_zero if b_zero.size > 1 else b_zero.reshape(()))
    return wrap_int32(_product(left, right))


def qlinear_matmul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    factor = multiplier(a_scale, b_scale, y_scale)
    factor = factor.reshape(()) if factor.size == 1 else factor
    return requantize(matmul_integer(a, b, a_zero, b_zero), factor, y_zero)


def qgemm(a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero, attributes):
    """com.microsoft QGemm; the factor is ((alpha * a) * b) / y."""
    if attributes.get("transA", 0):
        a = a.T
    if attributes.get("transB", 0):
        b = b.T
    accumulator = matmul_integer(a, b, a_zero, b_zero).astype(np.int64)
    if c is not None:
        accumulator = accumulator + c.astype(np.int64)
    scaled = (F32(attributes.get("alpha", 1.0)) * a_scale).astype(F32)
    factor = multiplier(scaled, b_scale, y_scale)
    factor = factor.reshape(()) if factor.size == 1 else factor
    return requantize(wrap_int32(accumulator), factor, y_zero)


def qlinear_add(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    """com.microsoft QLinearAdd: two fused multiply-adds; the zero point is inside."""
    ratio_a, ratio_b = F32(a_scale / y_scale), F32(b_scale / y_scale)
    from_b = F32(ratio_b * F32(int(b_zero)))
    constant = F32(F32(int(y_zero)) - fused_multiply_add(F32(int(a_zero)), ratio_a, from_b))
    inner = fused_multiply_add(b.astype(F32), ratio_b, constant)
    return saturate(np.rint(fused_multiply_add(a.astype(F32), ratio_a, inner)), y_zero.dtype)


def average_pool_kernel(x, attributes):
    """`(geometry, count)` with the number of elements averaged in each window."""
    spatial = x.shape[2:]
    kernel = attributes["kernel_shape"]
    geometry = Geometry.resolve(attributes, spatial, kernel)
    if attributes.get("count_include_pad", 0):
        return geometry, F32(np.prod(kernel))
    ones = np.ones((1, 1, *spatial), np.int64)
    return geometry, sum(values for _, values in taps(ones, geometry, 0)).astype(F32)


def qlinear_average_pool(x, x_scale, x_zero, y_scale, y_zero, attributes):
    """com.microsoft QLinearAveragePool: float32 sum in tap order; the zero point is inside."""
    geometry, count = average_pool_kernel(x, attributes)
    total = F32(0)
    # A padded position adds 0.0, which changes no float32 sum.
    for _, values in taps(dequantize(x, x_scale, x_zero), geometry, 0):
        total = (total + values).astype(F32)
    mean = (total / count).astype(F32)
    shifted = ((mean / y_scale).astype(F32) + F32(int(y_zero))).astype(F32)
    return saturate(np.rint(shifted), y_zero.dtype)


def qlinear_global_average_pool(x, x_scale, x_zero, y_scale, y_zero):
    """com.microsoft QLinearGlobalAveragePool: an integer sum and one factor."""
    axes = tuple(range(2, x.ndim))
    total = (x.astype(np.int64) - int(x_zero)).sum(axis=axes, keepdims=True)
    pixels = F32(np.prod(x.shape[2:]))
    factor = F32(x_scale / F32(y_scale * pixels))
    return requantize(total, factor, y_zero)


def max_pool(x, attributes):
    """MaxPool of integers or floats; padding never wins."""
    geometry = Geometry.resolve(attributes, x.shape[2:], attributes["kernel_shape"])
    lowest = -np.inf if x.dtype == F32 else np.iinfo(x.dtype).min
    best = None
    for _, values in taps(x, geometry, lowest):
        best = values if best is None else np.maximum(best, values)
    return best


def batch_normalization(x, scale, bias, mean, variance, attributes):
    """x * factor + shift in float32, with the factors as ONNX Runtime forms them."""
    epsilon = F32(attributes.get("epsilon", 1e-5))
    inverse = (F32(1) / np.sqrt((variance + epsilon).astype(F32))).astype(F32)
    factor = (inverse * scale).astype(F32)
    shift = (bias - (mean * factor).astype(F32)).astype(F32)
    product = (x * _per_channel(factor, x.ndim)).astype(F32)
    return (product + _per_channel(shift, x.ndim)).astype(F32)
