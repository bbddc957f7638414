"""Random tree ensembles: the leaves, labels and scores of the binary against ONNX Runtime's.

    tree_forms.py ZKONNX [COUNT] [--seed N] [--verbose]

Draws COUNT ensembles (regressors, classifiers of two and of more classes, the three operators, all modes of branches,
missing values on both sides, thresholds that are zeros of two signs, infinite or subnormal, repeated features,
averages, base values, functions of scores, labels of all kinds), asks ONNX Runtime live on samples that lie on and
around the thresholds, and runs the binary. A form fails if

- a score is further from ONNX Runtime's than its own float sum allows;
- a label differs where the sums are not that near to each other;
- the binary refuses it, and the reason is none of those that are written down.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

F32 = np.float32
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
SPECIAL = (0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf, 3.4e38, 1.0)
# Reasons for which a form is refused, in SEMANTICS.md.
WRITTEN_DOWN = ("a missing value passes is not proved", "has no score for some samples", "or not always")


def threshold(rng):
    return float(F32(rng.choice(SPECIAL) if rng.random() < 0.15 else rng.normal()))


def tree(rng, number, features, targets, lists, depth, modes, missing, dense):
    """Adds the nodes of a tree."""
    count = 0

    def node(level):
        nonlocal count
        own, count = count, count + 1
        place = len(lists["nodes_treeids"])
        leaf = level == 0 or rng.random() < 0.1
        for name, value in (
            ("treeids", number),
            ("nodeids", own),
            ("featureids", 0 if leaf else int(rng.integers(features))),
            ("modes", "LEAF" if leaf else str(rng.choice(modes))),
            ("values", 0.0 if leaf else threshold(rng)),
            ("truenodeids", 0),
            ("falsenodeids", 0),
            ("missing_value_tracks_true", int(missing and rng.random() < 0.5)),
        ):
            lists[f"nodes_{name}"].append(value)
        if leaf:
            named = range(targets) if dense else [number % targets]
            for target in named:
                for name, value in (("treeids", number), ("nodeids", own), ("ids", target)):
                    lists[f"leaf_{name}"].append(value)
                scale = rng.choice((1.0, 0.01, 30.0))
                lists["leaf_weights"].append(float(F32(rng.normal() * scale)))
        else:
            lists["nodes_truenodeids"][place] = node(level - 1)
            lists["nodes_falsenodeids"][place] = node(level - 1)
        return own

    node(depth)


def form(rng):
    """A model, the names of its outputs, and whether it classifies."""
    features = int(rng.integers(1, 6))
    classifier = rng.random() < 0.5
    targets = int(rng.integers(2, 5)) if classifier else int(rng.integers(1, 4))
    trees = int(rng.integers(1, 12))
    modes = MODES[:1] if rng.random() < 0.5 else MODES
    missing, dense = rng.random() < 0.3, rng.random() < 0.5 or classifier and targets > 2
    lists = {f"nodes_{name}": [] for name in (
        "treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
        "missing_value_tracks_true")}  # fmt: skip
    lists |= {f"leaf_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    named = 1 if classifier and targets == 2 and not dense else targets
    for number in range(trees):
        tree(rng, number, features, named, lists, int(rng.integers(0, 6)), modes, missing, dense)
    attributes = {name: values for name, values in lists.items() if name.startswith("nodes_")}
    stem = "class" if classifier else "target"
    for name in ("treeids", "nodeids", "ids", "weights"):
        attributes[f"{stem}_{name}"] = lists[f"leaf_{name}"]
    if classifier and targets == 2 and not dense:
        which = int(rng.integers(2))
        attributes["class_ids"] = [which] * len(attributes["class_ids"])
        if rng.random() < 0.5:
            attributes["class_weights"] = [abs(w) for w in attributes["class_weights"]]
        if which == 0 and rng.random() < 0.5:
            attributes["base_values"] = [float(F32(rng.normal()))]
    elif not (classifier and targets == 2) and rng.random() < 0.5:
        attributes["base_values"] = [float(F32(v)) for v in rng.normal(size=targets)]
    attributes["post_transform"] = str(rng.choice(("NONE", "LOGISTIC", "SOFTMAX")))
    if classifier:
        if targets == 2 and attributes["post_transform"] == "SOFTMAX":
            attributes["post_transform"] = "NONE"
        attributes["classlabels_int64s"] = [int(v) for v in rng.permutation(20)[:targets]]
        if rng.random() < 0.5:
            attributes["classlabels_int64s"] = list(range(targets))
        op, outputs = "TreeEnsembleClassifier", ["label", "scores"]
    else:
        attributes["n_targets"] = targets
        attributes["aggregate_function"] = str(rng.choice(("SUM", "AVERAGE")))
        op, outputs = "TreeEnsembleRegressor", ["scores"]
    node = helper.make_node(op, ["x"], outputs, "trees", domain="ai.onnx.ml", **attributes)
    rows = 1
    infos = {"label": (TensorProto.INT64, [rows]), "scores": (TensorProto.FLOAT, [rows, targets])}
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, features])],
        [helper.make_tensor_value_info(name, *infos[name]) for name in outputs],
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 3)]
    if rng.random() < 0.7:
        opsets.append(helper.make_opsetid("", int(rng.integers(9, 20))))
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 9
    return model, attributes, features, classifier


def samples(rng, attributes, features, count=40):
    """Rows on, below and above the thresholds, some of them missing."""
    cuts = [F32(v) for v, mode in zip(attributes["nodes_values"], attributes["nodes_modes"]) if mode != "LEAF"]
    cuts = np.array(cuts or [0.0], F32)
    rows = rng.normal(size=(count, 1, features)).astype(F32)
    picked = rng.choice(cuts, size=rows.shape)
    shift = rng.integers(0, 4, size=rows.shape)
    with np.errstate(all="ignore"):
        moved = np.where(shift == 0, picked, np.where(
            shift == 1, np.nextafter(picked, F32(np.inf)), np.nextafter(picked, F32(-np.inf))))  # fmt: skip
    rows = np.where(shift < 3, moved, rows).astype(F32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


def output(result, name):
    """An output of one sample, proved or not, in reals."""
    for one in result["outputs"]:
        if one["name"] == name:
            return np.array(one.get("real") or one["values"], np.float64)
    for one in result.get("float_outputs", []):
        if one["name"] == name:
            return np.array(one["values"], np.float64)
    raise KeyError(name)


def judge(binary, rng, folder):
    """`None` if all is right, else what is wrong; `False` if it is refused for a reason that is written down."""
    model, attributes, features, classifier = form(rng)
    path, data = folder / "trees.onnx", folder / "x.npz"
    path.write_bytes(model.SerializeToString())
    rows = samples(rng, attributes, features)
    np.savez(data, x=rows)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    done = subprocess.run(
        [binary, "--json", "--quiet", "run", path, "--input", data], capture_output=True, text=True, check=False
    )
    if done.returncode:
        text = " ".join(done.stderr.split())
        return False if any(reason in text for reason in WRITTEN_DOWN) else text[-300:]
    results = json.loads(done.stdout)["results"]
    weights = attributes["class_weights" if classifier else "target_weights"]
    # Each tree adds one of its leaves, in binary32, in any order.
    trees = 1 + len(set(attributes["nodes_treeids"]))
    most = trees * (max(map(abs, weights), default=0.0) + 1 + max(map(abs, attributes.get("base_values", [0.0]))))
    near = 2**-22 * most * trees
    for sample, result in zip(rows, results):
        expected = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": sample})))
        scores = output(result, "scores").reshape(expected["scores"].shape)
        # A logistic function or a softmax of scores is no steeper than they are.
        apart = np.abs(scores - expected["scores"]).max()
        if not apart <= near + 1e-6:
            return f"scores {scores} and {expected['scores']} of {sample}"
        if classifier and int(output(result, "label")[0]) != int(expected["label"][0]):
            ordered = np.sort(scores.ravel())
            gap = ordered[-1] - ordered[-2]
            sums = scores.ravel()[-1]
            single = len(scores.ravel()) == 2
            tie = gap <= 2 * near or single and min(abs(sums), abs(sums - 0.5), abs(sums - 1 / (1 + np.exp(-0.5)))) <= 2 * near
            if not tie:
                return f"label {output(result, 'label')} and {expected['label']} of {sample}, scores {scores}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("zkonnx")
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    refused, wrong = 0, 0
    with tempfile.TemporaryDirectory() as name:
        for number in range(arguments.count):
            rng = np.random.default_rng([arguments.seed, number])
            verdict = judge(arguments.zkonnx, rng, Path(name))
            refused += verdict is False
            if verdict:
                wrong += 1
                print(f"form {number}: {verdict}", file=sys.stderr)
                if arguments.verbose:
                    print(onnx.printer.to_text(onnx.load(Path(name) / "trees.onnx")), file=sys.stderr)
    print(f"tree ensembles: {arguments.count - refused - wrong} equal, {refused} refused, {wrong} wrong")
    sys.exit(1 if wrong or not arguments.count else 0)


if __name__ == "__main__":
    main()
