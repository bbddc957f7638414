"""Compares `zkonnx quantize` with ONNX Runtime's own quantizer on the models of models/.

    python quantize_accuracy.py ZKONNX

Both are calibrated with the same samples of the training split, and scored on the test split.
`zkonnx` is the quantized model in ONNX Runtime, `integers` in `zkonnx run`. At most 0.5
points are lost, or one sample of a split that has less than 200.

Prints a table and ends with 1 if anything is out of bounds.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"
sys.path.insert(0, str(MODELS))

from zoo import data  # noqa: E402

CALIBRATION_SAMPLES = 200
NAMES = ["cancer_mlp", "digits_mlp", "digits_cnn", "digits_res", "two_io"]
POINTS = 0.5


def zkonnx(binary, *arguments):
    done = subprocess.run(
        [binary, "--json", "--quiet", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def accuracy(path, samples, outputs):
    """Share of right predictions of each output, one sample at a time, in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    right = dict.fromkeys(outputs, 0)
    names = [i.name for i in session.get_inputs()]
    count = len(samples[names[0]])
    for i in range(count):
        results = session.run(outputs, {n: samples[n][i : i + 1] for n in names})
        for output, result in zip(outputs, results):
            labels = samples["y" if "y" in samples else f"y_{output}"]
            right[output] += int(np.argmax(result) == labels[i])
    return {output: right[output] / count for output in outputs}


def calibration(name):
    """What ONNX Runtime's quantizer was calibrated with: the first samples of the training split."""
    if name == "cancer_mlp":
        return {"x": data.cancer().train_x[:CALIBRATION_SAMPLES]}
    flat = data.digits((64,)).train_x[:CALIBRATION_SAMPLES]
    if name == "two_io":
        return {"upper": flat[:, :32], "lower": flat[:, 32:]}
    return {"x": flat if name == "digits_mlp" else flat.reshape(-1, 1, 8, 8)}


def models(binary, folder):
    bad = 0
    print(f"{'model':12}{'variant':24}{'output':10}{'float':>9}{'ort':>9}{'zkonnx':>9}{'integers':>10}")
    for name in NAMES:
        known = json.loads((MODELS / name / "accuracy.json").read_text())
        samples = dict(np.load(MODELS / name / "samples.npz"))
        train = folder / f"{name}.npz"
        np.savez(train, **calibration(name))
        # One sample of a short split may be more than the points allowed.
        allowed = max(POINTS, 100 / len(next(iter(samples.values()))) + 1e-9)
        for variant, options in [
            ("qdq_u8s8_per_tensor", []),
            ("qdq_u8s8_per_channel", ["--per-channel"]),
            ("qdq_s8s8_per_tensor", ["--activations", "i8"]),
            ("qdq_u8u8_per_tensor", ["--weights", "u8"]),
            ("qdq_u8s8_per_tensor", ["--method", "percentile=99.99"]),
        ]:
            out = folder / f"{name}_{variant}.onnx"
            code, _, error = zkonnx(
                binary, "quantize", MODELS / name / "float.onnx",
                "--calibrate", train, "-o", out, *options,
            )  # fmt: skip
            if code:
                bad += 1
                print(f"{name:12}{variant:24}{error.strip()}")
                continue
            own = accuracy(out, samples, list(known["float"]))
            _, run, _ = zkonnx(binary, "run", out, "--input", MODELS / name / "samples.npz")
            integers = {a["output"]: a["right"] / a["samples"] for a in json.loads(run)["accuracy"]}
            if options[:1] == ["--method"]:
                variant = "percentile=99.99"
            for output, float_accuracy in known["float"].items():
                theirs = known["int8"].get(variant, known["int8"]["qdq_u8s8_per_tensor"])[output]
                ours = integers.get(output, float("nan"))
                shown = [float_accuracy, theirs, own[output], ours]
                fails = 100 * (theirs - min(own[output], ours)) > allowed
                bad += fails
                print(f"{name:12}{variant:24}{output:10}" + "".join(f"{v:9.4f}" for v in shown) + "  LOW" * fails)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", help="the zkonnx program")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bad = models(arguments.binary, pathlib.Path(folder))
    print(f"{bad} out of bounds")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
