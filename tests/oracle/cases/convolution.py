"""QLinearConv, Conv in a QDQ group and ConvInteger.

Dilations together with SAME padding are absent: ONNX Runtime refuses them.
"""

import numpy as np
from onnx import TensorProto

from cases.builder import (
    F32,
    FORMS,
    NEWEST_OPSET,
    QDQ,
    QOPERATOR,
    Builder,
    integers,
    scale,
    spread_scale,
    zero_point,
)

TYPES = ("u8s8", "u8u8", "s8s8")


def conv(
    name,
    form,
    types="u8s8",
    x_shape=(1, 3, 7, 6),
    outputs=4,
    kernel=(3, 3),
    per_channel=False,
    with_bias=True,
    x_zero=97,
    w_zero=None,
    y_zero=110,
    opset=17,
    float_io=False,
    clamps=(),
    note="",
    **attributes,
):
    """One convolution. Zero points count from the lowest value of their type; a signed
    weight's zero point is 0 unless `w_zero` says otherwise."""
    builder = Builder(f"conv_{name}", "Conv", form, opset, float_io, note)
    rng, x_type, w_type = builder.rng, types[:2], types[2:]
    group = attributes.get("group", 1)
    w_shape = (outputs, x_shape[1] // group, *kernel)
    if w_zero is None:
        w_zero = 128 if w_type == "s8" else 121
    x_scale = scale(rng)
    count = outputs if per_channel else 1
    w_scales = np.array([scale(rng, 0.002, 0.01) for _ in range(count)], F32)
    w_zeros = np.full(count, zero_point(w_type, w_zero))
    if not per_channel:
        w_scales, w_zeros = w_scales[0], w_zeros[0]
    terms = int(np.prod(w_shape[1:]))
    x = builder.input(integers(rng, x_type, x_shape), x_scale, zero_point(x_type, x_zero))
    w = builder.weight(
        integers(rng, w_type, w_shape), w_scales, w_zeros, axis=0 if per_channel else None
    )
    bias = rng.integers(-60_000, 60_000, outputs, dtype=np.int32) if with_bias else None
    y = builder.apply(
        "Conv",
        [x, w],
        spread_scale(x_scale, w_scales, terms),
        zero_point(x_type, y_zero),
        bias,
        clamps=[(op, [builder.initializer("limit", F32(v)) for v in vs]) for op, vs in clamps],
        **attributes,
    )
    builder.output(y)
    return builder.build()


def conv_integer(name, types="u8s8", zeros="both", opset=10, **attributes):
    """ConvInteger; `zeros` says which of the two optional zero points are given."""
    builder = Builder(f"conv_integer_{name}", "ConvInteger", QOPERATOR, opset)
    rng, group = builder.rng, attributes.get("group", 1)
    x = builder.input(integers(rng, types[:2], (1, 4, 6, 5)), 1, 0)
    w = builder.initializer("w", integers(rng, types[2:], (4, 4 // group, 3, 3)))
    inputs = [x.name, w]
    if zeros in ("both", "x"):
        inputs.append(builder.initializer("zero", zero_point(types[:2], 113)))
    if zeros == "both":
        inputs.append(builder.initializer("zero", zero_point(types[2:], 125)))
    builder.output_name(builder.node("ConvInteger", inputs, **attributes), TensorProto.INT32)
    return builder.build()


def _geometry(form):
    """Strides, pads, dilations, groups and ranks."""
    yield conv("strides", form, strides=[2, 1], pads=[1, 0, 2, 1])
    yield conv("stride_beyond_kernel", form, kernel=(2, 2), strides=[3, 3])
    yield conv("pads_wide", form, pads=[3, 3, 3, 3], x_zero=200)
    for mode in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield conv(f"auto_pad_{mode.lower()}", form, strides=[2, 2], auto_pad=mode)
        yield conv(f"auto_pad_{mode.lower()}_even", form, kernel=(2, 4), auto_pad=mode)
    yield conv("dilations", form, dilations=[2, 1], pads=[2, 1, 2, 1])
    yield conv("group", form, x_shape=(1, 6, 5, 5), outputs=4, group=2, pads=[1] * 4)
    for per_channel in (False, True):
        tag = "_per_channel" if per_channel else ""
        yield conv(
            f"depthwise{tag}", form, x_shape=(1, 5, 6, 6), outputs=5, group=5, pads=[1] * 4,
            per_channel=per_channel,
        )  # fmt: skip
    yield conv("depthwise_twofold", form, x_shape=(1, 3, 6, 6), outputs=6, group=3, strides=[2, 2])
    yield conv("pointwise", form, x_shape=(1, 8, 4, 4), outputs=6, kernel=(1, 1))
    yield conv("whole_image", form, x_shape=(1, 2, 5, 4), kernel=(5, 4))
    yield conv("one_axis", form, x_shape=(1, 3, 11), kernel=(4,), strides=[2], pads=[1, 2])
    yield conv("three_axes", form, x_shape=(1, 2, 4, 5, 3), outputs=3, kernel=(2, 3, 2))


def cases():
    for form in FORMS:
        for types in TYPES:
            yield conv(f"plain_{types}", form, types, pads=[1] * 4)
            yield conv(f"per_channel_{types}", form, types, per_channel=True, pads=[1] * 4)
        yield from _geometry(form)
        yield conv("no_bias", form, with_bias=False)
        for x_zero, y_zero in ((0, 255), (255, 0)):
            yield conv(f"zero_points_{x_zero}_{y_zero}", form, x_zero=x_zero, y_zero=y_zero,
                       pads=[1] * 4)  # fmt: skip
        for w_zero in (0, 255):
            yield conv(f"weight_zero_point_{w_zero}", form, "u8u8", w_zero=w_zero)
        yield conv("weight_zero_point_signed", form, "s8s8", w_zero=90)
        for opset in (10, 11, 13, 15, 19, 21, 22, 23, 24, 25, NEWEST_OPSET):
            yield conv(f"opset_{opset}", form, opset=opset, pads=[1] * 4)
    for types in ("u8s8", "s8s8"):
        yield conv(f"relu_{types}", QDQ, types, y_zero=0, clamps=[("Relu", [])])
        yield conv(f"clip_{types}", QDQ, types, y_zero=0, clamps=[("Clip", [0.0, 6.0])])
        yield conv(f"relu_inside_{types}", QDQ, types, y_zero=77, clamps=[("Relu", [])],
                   note="the zero point is not the lowest value, so Relu clamps")  # fmt: skip
    yield conv("float_io", QDQ, float_io=True, pads=[1] * 4)
    yield conv("float_io_per_channel", QDQ, "s8s8", per_channel=True, float_io=True)
    for types in TYPES:
        yield conv_integer(types, types, pads=[1] * 4)
    yield conv_integer("no_zeros", zeros="none")
    yield conv_integer("input_zero", zeros="x", strides=[2, 2], pads=[1] * 4)
    yield conv_integer("group", group=2, dilations=[2, 1], opset=17)
