#!/usr/bin/env python3
"""Writes the operator cases with ONNX Runtime's answers.

    gen_cases.py OUT [NAME_PART ...]

Each case is a folder of OUT with

- `model.onnx`;
- `input_<i>.npy` and `output_<j>.npy`, in the order of the graph's inputs and
  outputs, with their full shapes;
- `quantized_<j>.npy` if output j is a float: the integers that it dequantizes;
- `case.json`: what the case is, its tensors, and the operators that ONNX Runtime
  executed. `integer` is false if it computed an arithmetic operator in float, so
  that its answer is no integer kernel's.

Everything is deterministic; OUT is replaced.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx

import ort_session
from cases import FAMILIES


def _describe(names, arrays):
    return [
        {"name": name, "type": str(array.dtype), "shape": list(array.shape)}
        for name, array in zip(names, arrays)
    ]


def write_case(case, folder):
    """Runs `case` in ONNX Runtime and writes it; returns whether it ran in integers."""
    outputs = [output.name for output in case.model.graph.output]
    extended = ort_session.with_outputs(case.model, case.quantized)
    runtime = ort_session.session(extended)
    results = runtime.run(outputs + case.quantized, case.inputs)
    answers, quantized = results[: len(outputs)], results[len(outputs) :]
    executed = ort_session.executed_operators(case.model)
    # Only now are the shapes of the outputs known.
    for output, array in zip(case.model.graph.output, answers):
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, kind, array.shape))
    onnx.checker.check_model(case.model, full_check=True)

    folder.mkdir()
    onnx.save(case.model, folder / "model.onnx")
    for i, array in enumerate(case.inputs.values()):
        np.save(folder / f"input_{i}.npy", array)
    for j, (array, integers) in enumerate(zip(answers, quantized)):
        np.save(folder / f"output_{j}.npy", array)
        if array.dtype == np.float32:
            np.save(folder / f"quantized_{j}.npy", integers)
    in_integers = not ort_session.FLOAT_ARITHMETIC & set(executed)
    description = {
        "name": case.name,
        "operator": case.operator,
        "form": case.form,
        "opset": case.opset,
        "inputs": _describe(case.inputs, case.inputs.values()),
        "outputs": _describe(outputs, answers),
        "quantized": _describe(case.quantized, quantized),
        "integer": in_integers,
        "executed": executed,
        "note": case.note,
    }
    (folder / "case.json").write_text(json.dumps(description, indent=1) + "\n")
    return in_integers


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", nargs="*", metavar="NAME_PART", help="write these cases only")
    arguments = parser.parse_args()
    if arguments.out.exists():
        shutil.rmtree(arguments.out)
    arguments.out.mkdir(parents=True)
    names, in_float, refused, no_reference = set(), [], [], []
    for case in (case for family in FAMILIES for case in family()):
        if arguments.parts and not any(part in case.name for part in arguments.parts):
            continue
        if case.name in names:
            sys.exit(f"two cases are called {case.name}")
        names.add(case.name)
        try:
            if not write_case(case, arguments.out / case.name):
                in_float.append(case.name)
        except ort_session.NoReference:
            no_reference.append(case.name)
        except Exception as error:  # ONNX Runtime's errors have no common base.
            refused.append(f"{case.name}: {str(error).splitlines()[0]}")
    print(f"{len(names) - len(refused) - len(no_reference)} cases")
    if no_reference:
        print(f"left out, as their kernels saturate on this processor: {', '.join(no_reference)}")
    if in_float:
        print(f"computed in float by ONNX Runtime: {', '.join(in_float)}")
    for sentence in refused:
        print(f"refused: {sentence}", file=sys.stderr)
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
