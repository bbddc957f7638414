"""Quantization with ONNX Runtime's own tool, and evaluation of the result."""

import itertools
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process


@dataclass(frozen=True)
class Variant:
    """One way to quantize a model; `types` is activations then weights, as in `u8s8`."""

    form: str
    types: str
    granularity: str

    @property
    def stem(self):
        return f"{self.form}_{self.types}_{self.granularity}"


def _types(text):
    kinds = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}
    return kinds[text[:2]], kinds[text[2:]]


# Per-channel u8u8 differs in kind: QGemm then has a weight zero point per column.
VARIANTS = [
    Variant(form, types, granularity)
    for form, types, granularity in itertools.product(
        ("qdq", "qoperator"), ("u8s8", "u8u8", "s8s8"), ("per_tensor", "per_channel")
    )
]


class _Reader(CalibrationDataReader):
    def __init__(self, feeds):
        self._feeds = iter(feeds)

    def get_next(self):
        return next(self._feeds, None)


def one_by_one(feeds):
    """Splits `{name: [n, ...]}` into n feeds with a batch of one."""
    count = len(next(iter(feeds.values())))
    return [{name: x[i : i + 1] for name, x in feeds.items()} for i in range(count)]


def quantize(float_model, variant, calibration, target, optimize=True):
    """Writes `float_model` (a path) quantized as `variant` to the path `target`.

    `calibration` is `{input name: [n, ...]}`; ranges are minima and maxima.
    `optimize` lets ONNX Runtime rewrite the float graph first, as the tool advises.
    """
    activation_type, weight_type = _types(variant.types)
    # The tool recommends preprocessing and warns that it is missing even after it.
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(
            float_model, prepared, skip_symbolic_shape=True, skip_optimization=not optimize
        )
        quantize_static(
            prepared,
            target,
            _Reader(one_by_one(calibration)),
            quant_format=QuantFormat.QDQ if variant.form == "qdq" else QuantFormat.QOperator,
            activation_type=activation_type,
            weight_type=weight_type,
            per_channel=variant.granularity == "per_channel",
            calibrate_method=CalibrationMethod.MinMax,
        )


def session(model):
    """A session on one thread that runs every QDQ group as an integer kernel.

    `model` is a path or the bytes of a model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Without this, x86 builds leave s8s8 groups in float.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def predict(path, feeds):
    """All outputs for all samples, as `{output name: [n, ...]}`."""
    runtime = session(path)
    names = [output.name for output in runtime.get_outputs()]
    rows = [runtime.run(names, feed) for feed in one_by_one(feeds)]
    return {name: np.concatenate(column) for name, column in zip(names, zip(*rows))}
