"""Calling the `zkonnx` binary."""

import json
import subprocess

import numpy as np

TIMEOUT_SECONDS = 300


class Refused(Exception):
    """The binary said no; the text is what it said, without the path."""


def _call(command):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode == 3 or done.returncode < 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    if done.returncode != 0:
        raise Refused(" ".join(done.stderr.split())[-400:] or done.stdout.strip()[-400:])
    return json.loads(done.stdout)


def _save(inputs, folder):
    """Writes the samples `{name: [n, ...]}`, all with their leading axis."""
    path = folder / "inputs.npz"
    np.savez(path, **inputs)
    return path


def run(binary, model_path, inputs, folder):
    """All integer tensors `{name: [n, ...]}` of the samples `inputs`, and the outputs' names.

    Raises `Refused` with the reason if the model or the inputs are not supported.
    """
    out = folder / "tensors.npz"
    answer = _call(
        [binary, "run", model_path, "--input", _save(inputs, folder), "--dump-tensors", out,
         "--json", "--quiet"]
    )  # fmt: skip
    with np.load(out) as archive:
        tensors = dict(archive)
    for output in answer["results"][0]["outputs"]:
        samples = [_array(result["outputs"], output["name"]) for result in answer["results"]]
        tensors.setdefault(output["name"], np.stack(samples))
    return tensors, [output["name"] for output in answer["results"][0]["outputs"]]


def _array(outputs, name):
    found = next(output for output in outputs if output["name"] == name)
    return np.array(found["values"], np.int64).reshape(found["shape"])


def accepted_by_mock(binary, model_path, inputs, folder):
    """Whether the circuit accepts the first sample; otherwise raises `Refused`."""
    first = {name: values[:1] for name, values in inputs.items()}
    command = [binary, "mock", model_path, "--input", _save(first, folder), "--json", "--quiet"]
    return bool(_call(command)["satisfied"])
