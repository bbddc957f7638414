"""Sliding windows with strides, pads, dilations and ceil_mode, for any number of axes."""

import itertools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Geometry:
    """Window attributes of Conv and the pools, completed and with pads resolved.

    `begin` and `end` are the pads before and after each spatial axis.
    """

    kernel: tuple
    strides: tuple
    dilations: tuple
    begin: tuple
    end: tuple
    ceil: bool

    @classmethod
    def resolve(cls, attributes, spatial, kernel):
        axes = len(spatial)
        strides = tuple(attributes.get("strides", [1] * axes))
        dilations = tuple(attributes.get("dilations", [1] * axes))
        auto_pad = attributes.get("auto_pad", b"NOTSET").decode()
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            totals = [
                max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
                for size, s, k, d in zip(spatial, strides, kernel, dilations)
            ]
            small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
            begin, end = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
        elif auto_pad == "VALID":
            begin, end = [0] * axes, [0] * axes
        else:
            pads = attributes.get("pads", [0] * 2 * axes)
            begin, end = pads[:axes], pads[axes:]
        ceil = bool(attributes.get("ceil_mode", 0))
        return cls(tuple(kernel), strides, dilations, tuple(begin), tuple(end), ceil)

    def output(self, spatial):
        """Number of windows along each axis."""
        counts = []
        for axis, size in enumerate(spatial):
            reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            slack = size + self.begin[axis] + self.end[axis] - reach
            stride = self.strides[axis]
            count = (-(-slack // stride) if self.ceil else slack // stride) + 1
            if self.ceil and (count - 1) * stride >= size + self.begin[axis]:
                # A window that would start in the padding after the data is dropped.
                count -= 1
            counts.append(count)
        return tuple(counts)


def taps(x, geometry, fill):
    """The windows of `x`, `[n, channels, ...]`, one tap of the kernel at a time.

    Yields `(tap, values)` with `values` of shape `[n, channels, *output]`, in the
    order in which the kernels visit the taps: last axis fastest. Positions outside
    `x` hold `fill`.
    """
    spatial = x.shape[2:]
    output = geometry.output(spatial)
    widths = [(0, 0), (0, 0)]
    for axis, size in enumerate(spatial):
        last = (output[axis] - 1) * geometry.strides[axis]
        last += (geometry.kernel[axis] - 1) * geometry.dilations[axis]
        after = max(geometry.end[axis], last + 1 - size - geometry.begin[axis])
        widths.append((geometry.begin[axis], after))
    padded = np.pad(x, widths, constant_values=fill)
    for tap in itertools.product(*(range(k) for k in geometry.kernel)):
        index = [slice(None), slice(None)]
        for axis, position in enumerate(tap):
            start = position * geometry.dilations[axis]
            stride = geometry.strides[axis]
            index.append(slice(start, start + (output[axis] - 1) * stride + 1, stride))
        yield tap, padded[tuple(index)]
