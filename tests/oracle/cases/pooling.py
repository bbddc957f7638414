"""MaxPool, AveragePool and GlobalAveragePool in their forms."""

from cases.builder import (
    F32,
    FORMS,
    NEWEST_OPSET,
    QDQ,
    Builder,
    integers,
    scale,
    zero_point,
)


def max_pool(name, form, types="u8", shape=(1, 3, 7, 6), opset=17, float_io=False, **attributes):
    builder = Builder(f"max_pool_{name}", "MaxPool", form, opset, float_io)
    values = integers(builder.rng, types, shape)
    x = builder.input(values, scale(builder.rng), zero_point(types, 37))
    builder.output(builder.keep("MaxPool", x, **attributes))
    return builder.build()


def average_pool(
    name, form, types="u8", shape=(1, 3, 7, 6), same_scale=False, opset=17, float_io=False,
    **attributes,
):  # fmt: skip
    """With `same_scale` ties are common, and the place of the zero point is visible."""
    builder = Builder(f"average_pool_{name}", "AveragePool", form, opset, float_io)
    x_scale = scale(builder.rng)
    x_zero = zero_point(types, 37)
    x = builder.input(integers(builder.rng, types, shape), x_scale, x_zero)
    y_scale = x_scale if same_scale else F32(x_scale * 0.71)
    y_zero = x_zero if same_scale else zero_point(types, 54)
    builder.output(builder.apply("AveragePool", [x], y_scale, y_zero, **attributes))
    return builder.build()


def global_average_pool(
    name, form, types="u8", shape=(1, 4, 5, 6), ratio=0.29, zeros=(120, 100), opset=17,
    float_io=False,
):  # fmt: skip
    """`ratio` is the output's scale over the input's."""
    builder = Builder(f"global_average_pool_{name}", "GlobalAveragePool", form, opset, float_io)
    x_scale = scale(builder.rng)
    values = integers(builder.rng, types, shape)
    x = builder.input(values, x_scale, zero_point(types, zeros[0]))
    y_scale, y_zero = F32(x_scale * F32(ratio)), zero_point(types, zeros[1])
    builder.output(builder.apply("GlobalAveragePool", [x], y_scale, y_zero))
    return builder.build()


def _max_pools(form):
    for types in ("u8", "s8"):
        yield max_pool(types, form, types, kernel_shape=[2, 2], strides=[2, 2])
        yield max_pool(f"pads_{types}", form, types, kernel_shape=[3, 3], strides=[2, 2],
                       pads=[1, 1, 1, 1])  # fmt: skip
    yield max_pool("overlapping", form, kernel_shape=[3, 2])
    yield max_pool("ceil", form, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
    yield max_pool("dilations", form, kernel_shape=[2, 2], dilations=[2, 3])
    for mode in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield max_pool(f"auto_pad_{mode.lower()}", form, kernel_shape=[2, 3], strides=[2, 2],
                       auto_pad=mode)  # fmt: skip
    yield max_pool("one_axis", form, shape=(1, 3, 11), kernel_shape=[3], strides=[2])
    for opset in (12, 22, NEWEST_OPSET):
        yield max_pool(f"opset_{opset}", form, kernel_shape=[2, 2], opset=opset)


def _average_pools(form):
    halves = {"kernel_shape": [2, 2], "strides": [2, 2]}
    for types in ("u8", "s8"):
        yield average_pool(types, form, types, **halves)
        yield average_pool(f"same_scale_{types}", form, types, same_scale=True, **halves)
    for included in (0, 1):
        yield average_pool(f"pads_include_{included}", form, kernel_shape=[3, 3], strides=[2, 2],
                           pads=[1, 1, 1, 1], count_include_pad=included)  # fmt: skip
        yield average_pool(f"pads_asymmetric_include_{included}", form, kernel_shape=[3, 3],
                           pads=[0, 1, 2, 1], count_include_pad=included)  # fmt: skip
    yield average_pool("ceil", form, kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
    yield average_pool("ceil_include", form, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
                       pads=[1, 0, 1, 0], count_include_pad=1)  # fmt: skip
    for mode in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        yield average_pool(f"auto_pad_{mode.lower()}", form, kernel_shape=[3, 2], strides=[2, 2],
                           auto_pad=mode)  # fmt: skip
    yield average_pool("one_axis", form, shape=(1, 3, 11), kernel_shape=[3], strides=[2])
    for opset in (10, 13, 19, NEWEST_OPSET):
        yield average_pool(f"opset_{opset}", form, opset=opset, **halves)


def _global_average_pools(form):
    for types in ("u8", "s8"):
        yield global_average_pool(types, form, types)
    yield global_average_pool("same_scale", form, ratio=1.0, zeros=(128, 128), shape=(1, 8, 2, 2))
    yield global_average_pool("one_pixel", form, shape=(1, 6, 1, 1), ratio=1.7)
    for opset in (13, 21):
        yield global_average_pool(f"opset_{opset}", form, opset=opset)


def cases():
    for form in FORMS:
        yield from _max_pools(form)
        yield from _average_pools(form)
        yield from _global_average_pools(form)
    yield max_pool("opset_10", QDQ, opset=10, kernel_shape=[2, 2])
    yield max_pool("float_io", QDQ, float_io=True, kernel_shape=[2, 2], strides=[2, 2])
    yield average_pool("float_io", QDQ, float_io=True, kernel_shape=[2, 2], strides=[2, 2])
    yield global_average_pool("float_io", QDQ, float_io=True)
