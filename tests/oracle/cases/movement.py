"""Operators that only move data: they cost nothing and must not change a value."""

import numpy as np

from cases.builder import (
    FORMS,
    NEWEST_OPSET,
    QDQ,
    Builder,
    integers,
    scale,
    zero_point,
)


def move(name, operator, form, shape, extra=(), types="u8", opset=17, float_io=False,
         as_constant=False, **attributes):  # fmt: skip
    """`extra` are int64 inputs after the data, as initializers or as Constant nodes."""
    builder = Builder(f"{operator.lower()}_{name}", operator, form, opset, float_io)
    values = integers(builder.rng, types, shape)
    x = builder.input(values, scale(builder.rng), zero_point(types, 51))
    store = builder.constant if as_constant else builder.initializer
    extra = [store("extra", np.array(values, np.int64)) for values in extra]
    builder.output(builder.keep(operator, x, extra, **attributes))
    return builder.build()


def chain(form, types="s8"):
    """Several movements in a row."""
    builder = Builder(f"chain_{types}", "Transpose", form)
    x = builder.input(integers(builder.rng, types, (1, 2, 3, 4)), 0.02, zero_point(types, 99))
    y = builder.keep("Transpose", x, perm=[0, 2, 3, 1])
    y = builder.keep("Reshape", y, [builder.initializer("shape", np.array([1, 12, 2]))])
    y = builder.keep("Unsqueeze", y, [builder.initializer("axes", np.array([1]))])
    y = builder.keep("Flatten", y, axis=1)
    builder.output(y)
    return builder.build()


def cases():
    for form in FORMS:
        for axis in (0, 1, 2, -1):
            name = f"axis_{axis}".replace("-", "minus_")
            yield move(name, "Flatten", form, (1, 2, 3, 4), axis=axis)
        yield move("inferred", "Reshape", form, (1, 2, 3, 4), [[1, -1]])
        yield move("copied", "Reshape", form, (1, 2, 3, 4), [[0, 0, -1]])
        yield move("constant_node", "Reshape", form, (1, 6, 4), [[1, 4, 6]], as_constant=True)
        yield move("opset_13", "Reshape", form, (1, 6, 4), [[2, 12]], types="s8", opset=13)
        yield move(f"opset_{NEWEST_OPSET}", "Reshape", form, (1, 6, 4), [[24]], opset=NEWEST_OPSET)
        yield move("to_last", "Transpose", form, (1, 3, 4, 2), perm=[0, 2, 3, 1])
        yield move("reversed", "Transpose", form, (1, 3, 4), types="s8")
        yield move("axes", "Squeeze", form, (1, 3, 1, 4), [[2]])
        yield move("all", "Squeeze", form, (1, 3, 1, 4))
        yield move("negative", "Squeeze", form, (1, 3, 1, 1), [[-1, -2]])
        yield move("opset_11", "Squeeze", form, (1, 3, 1, 4), opset=11, axes=[2])
        yield move("axes", "Unsqueeze", form, (1, 5), [[1, 3]])
        yield move("opset_11", "Unsqueeze", form, (1, 5), opset=11, axes=[2])
        yield move("plain", "Identity", form, (1, 7), types="s8")
        yield chain(form)
    yield move("inference", "Dropout", QDQ, (1, 9))
    yield move("opset_10", "Dropout", QDQ, (1, 9), opset=10, ratio=0.3)
    yield move("float_io", "Flatten", QDQ, (1, 2, 3, 4), float_io=True)
