"""Relu, Clip, BatchNormalization, and quantization itself."""

import numpy as np
from onnx import TensorProto

from cases.builder import (
    F32,
    NEWEST_OPSET,
    QDQ,
    QOPERATOR,
    Builder,
    Quantized,
    integers,
    zero_point,
)

X_SCALE = F32(0.0371)


def _all_values(types):
    limits = np.iinfo(np.uint8 if types == "u8" else np.int8)
    return np.arange(limits.min, limits.max + 1).astype(limits.dtype).reshape(1, 256)


def relu(name, types="u8", x_zero=101, y_zero=0, ratio=0.5, opset=17, float_io=False):
    """`ratio` is the output's scale over the input's; all 256 inputs are tried."""
    builder = Builder(f"relu_{name}", "Relu", QDQ, opset, float_io)
    x = builder.input(_all_values(types), X_SCALE, zero_point(types, x_zero))
    y_zero = zero_point(types, y_zero)
    builder.output(builder.keep("Relu", x, scale=X_SCALE * F32(ratio), zero=y_zero))
    return builder.build()


def clip(name, types="u8", low=0.0, high=6.0, y_zero=10, opset=17):
    """`low` or `high` may be `None`. Until opset 10 the limits are attributes."""
    builder = Builder(f"clip_{name}", "Clip", QDQ, opset)
    x = builder.input(_all_values(types), F32(0.083), zero_point(types, 90))
    extra, attributes = [], {}
    if opset < 11:
        attributes = {"min": low, "max": high}
    else:
        extra = [
            "" if limit is None else builder.initializer("limit", F32(limit))
            for limit in (low, high)
        ]
        while extra and not extra[-1]:
            extra.pop()
    zero = zero_point(types, y_zero)
    builder.output(builder.keep("Clip", x, extra, scale=F32(0.041), zero=zero, **attributes))
    return builder.build()


def clip_integers(types):
    """Clip on integers, as a quantizer leaves it in the QOperator form."""
    builder = Builder(f"clip_integers_{types}", "Clip", QOPERATOR, 13)
    values = _all_values(types)
    x = builder.input(values, 1, 0)
    limits = [builder.initializer("limit", values[0, i]) for i in (60, 199)]
    builder.output(Quantized(builder.node("Clip", [x.name, *limits]), F32(1), x.zero))
    return builder.build()


def batch_normalization(name, types="u8", shape=(1, 5, 4, 3), opset=15, **attributes):
    builder = Builder(f"batch_normalization_{name}", "BatchNormalization", QDQ, opset)
    rng, channels = builder.rng, shape[1]
    x = builder.input(integers(rng, types, shape), X_SCALE, zero_point(types, 117))
    parameters = [
        rng.normal(1, 0.5, channels),
        rng.normal(0, 1, channels),
        rng.normal(0, 1, channels),
        rng.uniform(0.2, 3, channels),
    ]
    extra = [builder.initializer("bn", p.astype(F32)) for p in parameters]
    zero = zero_point(types, 130)
    builder.output(
        builder.keep("BatchNormalization", x, extra, scale=F32(0.053), zero=zero, **attributes)
    )
    return builder.build()


def requantize(name, types, y_types, ratio, x_zero=128, y_zero=128, opset=17):
    """DequantizeLinear straight into QuantizeLinear with other parameters."""
    builder = Builder(f"requantize_{name}", "QuantizeLinear", QDQ, opset)
    x = builder.input(_all_values(types), X_SCALE, zero_point(types, x_zero))
    y_scale, zero = F32(X_SCALE * F32(ratio)), zero_point(y_types, y_zero)
    name = builder.quantize(builder.dequantize(x), y_scale, zero)
    builder.output(Quantized(name, y_scale, zero))
    return builder.build()


def quantize(name, types, y_scale, y_zero, opset=17, with_zero=True):
    """Floats at and beside every threshold, far outside, and the infinities."""
    builder = Builder(f"quantize_{name}", "QuantizeLinear", QDQ, opset)
    thresholds = (np.arange(-300, 300) + 0.5).astype(F32) * F32(y_scale)
    beside = [np.nextafter(thresholds, F32(toward)) for toward in (-np.inf, np.inf)]
    extremes = np.array([0.0, -0.0, 1e30, -1e30, 1e-40, np.inf, -np.inf], F32)
    values = np.concatenate([thresholds.astype(F32), *beside, extremes]).astype(F32)
    x = builder.float_input(values.reshape(1, -1))
    zero = zero_point(types, y_zero)
    inputs = [x, builder.initializer("scale", F32(y_scale))]
    inputs += [builder.initializer("zero", zero)] if with_zero else []
    y = builder.node("QuantizeLinear", inputs)
    kind = TensorProto.UINT8 if types == "u8" else TensorProto.INT8
    builder.output_name(y, kind)
    return builder.build()


def cases():
    yield relu("u8")
    yield relu("same_scale", x_zero=101, y_zero=101, ratio=1.0)
    yield relu("s8", "s8")
    yield relu("other_zero", "s8", y_zero=33, ratio=0.83)
    yield relu("float_io", float_io=True)
    for opset in (10, 13, 14, NEWEST_OPSET):
        yield relu(f"opset_{opset}", opset=opset)
    yield clip("six")
    yield clip("signed", "s8", low=-1.3, high=2.75, y_zero=100)
    yield clip("low_only", high=None)
    yield clip("high_only", low=None, high=3.1)
    yield clip("none", low=None, high=None)
    yield clip("opset_10", opset=10)
    yield clip("opset_12", opset=12)
    yield clip(f"opset_{NEWEST_OPSET}", opset=NEWEST_OPSET)
    for types in ("u8", "s8"):
        yield clip_integers(types)
        yield batch_normalization(types, types)
    yield batch_normalization("epsilon", epsilon=0.01, opset=14)
    yield batch_normalization("opset_11", opset=11)
    yield batch_normalization("vector", shape=(1, 40))
    yield batch_normalization("opset_21", opset=21)
    yield requantize("finer", "u8", "u8", 0.37)
    yield requantize("coarser_tie", "u8", "u8", 2.0, x_zero=127, y_zero=3)
    yield requantize("to_signed", "u8", "s8", 1.0)
    yield requantize("to_unsigned", "s8", "u8", 1.13, opset=21)
    yield requantize("same", "s8", "s8", 1.0)
    for opset in (10, 13, 19, 21, 23, 25):
        yield quantize(f"opset_{opset}", "u8", 0.0173, 131, opset)
    yield quantize("s8", "s8", 0.3, 117)
    yield quantize("power_of_two", "u8", 0.0625, 0)
    yield quantize("no_zero_point", "u8", 0.01, 0, with_zero=False)
