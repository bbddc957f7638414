#!/usr/bin/env python3
"""Pipelines of scikit-learn, as skl2onnx writes them, through `zkonnx quantize`, and how near they stay to the float model.

    sklearn_nets.py ZKONNX [--only TEXT] [--brief] [--keep DIR]

Each estimator is fitted behind each of some preparations, converted, quantized with samples of the training split
without any allowance, checked, and run on the test split. Of a classifier the labels are counted that differ from those
of ONNX Runtime on the float file and the points of accuracy that are lost; of every real output the root mean square of the error is taken
relative to the spread of the output. Prints a line for each pipeline and totals; exits 1 if one fails that `sklearn_refused.txt` does
not list, or one does not fail that it lists.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import pandas
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.base import is_classifier
from sklearn import datasets, discriminant_analysis, linear_model, naive_bayes, neighbors, neural_network, svm
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(4)

REFUSED = Path(__file__).parent / "sklearn_refused.txt"
TIMEOUT_SECONDS = 300
SEED = 7
OPSETS = {"": 17, "ai.onnx.ml": 3}
# Bounds of what is called near: points of accuracy, and the error of a linear score relative to its spread.
POINTS = 0.5
LINEAR_ERROR = 2.0**-16
TEST_SAMPLES = 60


@dataclass
class Task:
    """Rows with what is to be found of them, in a training and a test split."""

    name: str
    x: np.ndarray
    y: np.ndarray
    kinds: str = "float"
    names: tuple = ()

    def __post_init__(self):
        labels = self.y if self.y.dtype.kind in "iuU" else None
        self.split = train_test_split(self.x, self.y, test_size=0.34, random_state=SEED, stratify=labels)


def tasks():
    wine, cancer, sugar = datasets.load_wine(), datasets.load_breast_cancer(), datasets.load_diabetes(scaled=False)
    few = slice(0, 10)
    return {
        "wine": Task("wine", wine.data.astype(np.float32), wine.target.astype(np.int64)),
        "cancer": Task("cancer", cancer.data[:, few].astype(np.float32), cancer.target.astype(np.int64)),
        "words": Task("words", wine.data.astype(np.float32), np.array(["red", "rosé", "white"])[wine.target]),
        "sugar": Task("sugar", sugar.data.astype(np.float32), sugar.target.astype(np.float32)),
    }


def with_gaps(x):
    """The rows, of which some numbers are missing."""
    gaps = np.random.default_rng(SEED).random(x.shape) < 0.05
    return np.where(gaps, np.float32(np.nan), x)


def preparations(width):
    """`{name: (make, columns, gaps)}`: transformers, whether each column is an input, whether numbers are missing."""
    half = list(range(width // 2))
    rest = list(range(width // 2, width))
    two = lambda: [ColumnTransformer([("a", StandardScaler(), half), ("b", MinMaxScaler(), rest)])]  # noqa: E731
    impute = lambda: [SimpleImputer(), StandardScaler()]  # noqa: E731
    return {
        "plain": (lambda: [], False, False),
        "standard": (lambda: [StandardScaler()], False, False),
        "minmax": (lambda: [MinMaxScaler()], False, False),
        "robust": (lambda: [RobustScaler()], False, False),
        "maxabs": (lambda: [MaxAbsScaler()], False, False),
        "imputer": (impute, False, True),
        "columns": (two, False, False),
        "inputs": (two, True, False),
        "pca": (lambda: [StandardScaler(), PCA(5)], False, False),
        "normalizer": (lambda: [StandardScaler(), Normalizer()], False, False),
        "polynomial": (lambda: [StandardScaler(), PolynomialFeatures(2)], False, False),
        "binarizer": (lambda: [StandardScaler(), Binarizer()], False, False),
        "svd": (lambda: [StandardScaler(), TruncatedSVD(4)], False, False),
        "kbest": (lambda: [SelectKBest(f_classif, k=6), StandardScaler()], False, False),
    }


# Of an estimator: what makes it, its tasks, and the options of its conversion. `linear`: scores are sums of products.
CLASSIFIERS = {
    "LogisticRegression": (lambda: linear_model.LogisticRegression(max_iter=3000), "linear"),
    "SGDClassifier": (lambda: linear_model.SGDClassifier(random_state=SEED), "linear"),
    "SGDClassifier_log": (lambda: linear_model.SGDClassifier(loss="log_loss", random_state=SEED), "linear"),
    "Perceptron": (lambda: linear_model.Perceptron(random_state=SEED), "linear"),
    "RidgeClassifier": (lambda: linear_model.RidgeClassifier(), "linear"),
    "LinearSVC": (lambda: svm.LinearSVC(random_state=SEED), "linear"),
    "LDA": (lambda: discriminant_analysis.LinearDiscriminantAnalysis(), "linear"),
    "SVC_rbf": (lambda: svm.SVC(), ""),
    "SVC_linear": (lambda: svm.SVC(kernel="linear"), ""),
    "SVC_poly": (lambda: svm.SVC(kernel="poly", degree=3), ""),
    "SVC_sigmoid": (lambda: svm.SVC(kernel="sigmoid"), ""),
    "SVC_proba": (lambda: svm.SVC(probability=True, random_state=SEED), ""),
    "NuSVC": (lambda: svm.NuSVC(nu=0.3), ""),
    "MLPClassifier": (lambda: neural_network.MLPClassifier(hidden_layer_sizes=(16,), max_iter=600, random_state=SEED), ""),
    "MLPClassifier_tanh": (
        lambda: neural_network.MLPClassifier(hidden_layer_sizes=(12, 8), activation="tanh", max_iter=600, random_state=SEED),
        "",
    ),
    "KNeighborsClassifier": (lambda: neighbors.KNeighborsClassifier(3), ""),
    "GaussianNB": (lambda: naive_bayes.GaussianNB(), ""),
    "BernoulliNB": (lambda: naive_bayes.BernoulliNB(), ""),
    "QDA": (lambda: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1), ""),
}
REGRESSORS = {
    "LinearRegression": (lambda: linear_model.LinearRegression(), "linear"),
    "Ridge": (lambda: linear_model.Ridge(), "linear"),
    "Lasso": (lambda: linear_model.Lasso(), "linear"),
    "ElasticNet": (lambda: linear_model.ElasticNet(), "linear"),
    "SGDRegressor": (lambda: linear_model.SGDRegressor(random_state=SEED), "linear"),
    "BayesianRidge": (lambda: linear_model.BayesianRidge(), "linear"),
    "HuberRegressor": (lambda: linear_model.HuberRegressor(), "linear"),
    "LinearSVR": (lambda: svm.LinearSVR(random_state=SEED), "linear"),
    "SVR_rbf": (lambda: svm.SVR(C=100.0), ""),
    "SVR_linear": (lambda: svm.SVR(kernel="linear"), ""),
    "SVR_poly": (lambda: svm.SVR(kernel="poly", degree=2, C=10.0), ""),
    "MLPRegressor": (lambda: neural_network.MLPRegressor(hidden_layer_sizes=(16,), max_iter=1500, random_state=SEED), ""),
    "KNeighborsRegressor": (lambda: neighbors.KNeighborsRegressor(3), ""),
}
# Estimators that are meant for features of one size are not tried without any preparation.
SCALED = ("SGD", "SVR_poly", "MLP", "LinearSVR")
# Every estimator meets these, and one of them the rest.
ALWAYS = ("plain", "standard", "minmax", "robust", "imputer", "inputs", "pca")
ONE = {"LogisticRegression", "MLPClassifier", "Ridge", "SVC_rbf", "MLPRegressor"}


@dataclass
class Case:
    """A pipeline as a file, with samples of both splits by the names of its inputs."""

    name: str
    kind: str
    model: object
    train: dict
    test: dict
    labels: object


@dataclass
class Result:
    """What became of a case; `wrong` names what failed."""

    wrong: str | None = None
    lost: float | None = None
    flips: int | None = None
    error: float | None = None
    notes: list = field(default_factory=list)


class Failed(Exception):
    """A command said no."""


def _feeds(x, columns):
    """Samples of one row each, as the inputs take them."""
    if columns:
        return {f"f{i}": x[:, None, i : i + 1] for i in range(x.shape[1])}
    return {"x": x[:, None, :]}


def _converted(pipeline, inputs, maps):
    """The pipeline as a model; probabilities are maps if that is asked for, as they are by default."""
    last = pipeline.steps[-1][1]
    # This estimator has probabilities of no form, and the converter fails without an option of its own.
    plain = isinstance(last, svm.LinearSVC)
    options = {id(last): {"nocl": False} if plain else {"zipmap": maps}} if is_classifier(last) else None
    return convert_sklearn(pipeline, initial_types=inputs, target_opset=OPSETS, options=options)


def _case(name, kind, task, steps, maps, columns=False, gaps=False):
    """A fitted and converted pipeline."""
    x_train, x_test, y_train, y_test = task.split
    if gaps:
        x_train, x_test = with_gaps(x_train), with_gaps(x_test)
    x_test, y_test = x_test[:TEST_SAMPLES], y_test[:TEST_SAMPLES]
    pipeline = make_pipeline(*steps).fit(x_train, y_train)
    width = x_train.shape[1]
    if columns:
        inputs = [(f"f{i}", FloatTensorType([None, 1])) for i in range(width)]
    else:
        inputs = [("x", FloatTensorType([None, width]))]
    model = _converted(pipeline, inputs, maps)
    labels = y_test if y_test.dtype.kind in "iu" else None
    if y_test.dtype.kind == "U":
        labels = np.searchsorted(np.unique(y_train), y_test)
    return Case(name, kind, model, _feeds(x_train, columns), _feeds(x_test, columns), labels)


def _encoded(name, estimator, kind):
    """A pipeline whose first columns are categories, each an integer, beside floats of one other input."""
    rng = np.random.default_rng(SEED)
    whole = rng.integers(0, 4, (240, 2)).astype(np.int64)
    reals = (rng.normal(size=(240, 4)) * [1, 50, 3000, 0.1]).astype(np.float32)
    y = (whole[:, 0] * 0.7 - whole[:, 1] + reals[:, 0] + reals[:, 1] / 50 > 0).astype(np.int64)
    frame = pandas.DataFrame({**{f"c{i}": whole[:, i] for i in range(2)}, **{f"n{i}": reals[:, i] for i in range(4)}})
    steps = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), ["c0", "c1"]), ("n", StandardScaler(), [f"n{i}" for i in range(4)])]
    )
    pipeline = make_pipeline(steps, estimator()).fit(frame[:160], y[:160])
    inputs = [(f"c{i}", Int64TensorType([None, 1])) for i in range(2)]
    inputs += [(f"n{i}", FloatTensorType([None, 1])) for i in range(4)]
    model = _converted(pipeline, inputs, True)
    feed = lambda rows: {  # noqa: E731
        **{f"c{i}": whole[rows, None, i : i + 1] for i in range(2)},
        **{f"n{i}": reals[rows, None, i : i + 1] for i in range(4)},
    }
    return Case(f"{name}+onehot", kind, model, feed(slice(0, 160)), feed(slice(160, 220)), y[160:220])


def cases(only):
    """All cases whose name holds a text."""
    known = tasks()
    for estimators, names in ((CLASSIFIERS, ("wine", "cancer", "words")), (REGRESSORS, ("sugar",))):
        for estimator, (make, kind) in estimators.items():
            for task in names:
                few = task == "words" or (task == "cancer" and estimator not in ONE)
                for preparation, (before, columns, gaps) in preparations(known[task].x.shape[1]).items():
                    name = f"{estimator}+{preparation}@{task}"
                    if only not in name or (few and preparation != "standard"):
                        continue
                    if preparation not in ALWAYS and estimator not in ONE:
                        continue
                    if preparation == "plain" and estimator.startswith(SCALED):
                        continue
                    try:
                        # Maps, as the converter writes them by default, for half of them.
                        yield _case(name, kind, known[task], [*before(), make()], preparation == "standard", columns, gaps)
                    except Exception as error:  # The converter's errors have no common base.
                        print(f"{name}: not converted: {str(error).splitlines()[0][:100]}", file=sys.stderr)
    for estimator in ("LogisticRegression", "MLPClassifier", "LinearSVC"):
        if only in f"{estimator}+onehot":
            yield _encoded(estimator, *CLASSIFIERS[estimator])


def _call(binary, step, *arguments):
    command = [binary, "--json", "--quiet", step, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).split())
        raise Failed(f"{step}: {said.partition('.onnx: ')[2] or said}"[:300])
    return json.loads(done.stdout)


def _numbers(value, strings):
    """An output of ONNX Runtime as numbers; labels that are strings by their places, maps by their values."""
    if isinstance(value, list):
        return np.array([[row[key] for key in row] for row in value])
    if value.dtype.kind in "OU":
        return np.searchsorted(strings, value.astype(str))
    return value


def examined(binary, case, keep):
    """Takes a case through all steps."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(keep or folder)
        stem = case.name.replace("+", "_").replace("@", "_")
        source, target, train, test = (folder / f"{stem}{end}" for end in (".onnx", ".q.onnx", ".npz", ".test.npz"))
        source.write_bytes(case.model.SerializeToString())
        np.savez(train, **case.train)
        np.savez(test, **case.test)
        try:
            answer = _call(binary, "quantize", source, "--calibrate", train, "-o", target)
            result.notes = sorted({node["op"] for node in answer["not_proved"]})
            _call(binary, "check", target)
            ran = _call(binary, "run", target, "--input", test)["results"]
        except (Failed, subprocess.TimeoutExpired) as failure:
            result.wrong = str(failure)
            return result
        try:
            onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base.
            result.wrong = f"ONNX Runtime does not take the quantized file: {str(error)[:200]}"
            return result
    session = onnxruntime.InferenceSession(case.model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    strings = np.unique(["red", "rosé", "white"])
    wanted = {name: [] for name in names}
    for i in range(len(ran)):
        given = session.run(None, {name: rows[i] for name, rows in case.test.items()})
        for name, value in zip(names, given):
            wanted[name].append(_numbers(value, strings))
    for name in names:
        given = [next((o for o in [*r["outputs"], *r.get("float_outputs", [])] if o.get("name") == name), None) for r in ran]
        if any(value is None for value in given):
            result.wrong = f"output {name} is missing"
            return result
        want = np.stack(wanted[name]).reshape(len(ran), -1).astype(np.float64)
        whole = np.asarray(wanted[name][0]).dtype.kind in "iu"
        field_ = lambda o: o["values"] if whole or o.get("real") is None else o["real"]  # noqa: E731
        got = np.array([field_(value) for value in given], np.float64).reshape(len(ran), -1)
        if got.shape != want.shape:
            result.wrong = f"output {name} has the shape {got.shape}, not {want.shape}"
            return result
        if whole:
            result.flips = int((got != want).sum())
            if case.labels is not None:
                right = [float((side[:, 0] == case.labels).mean()) for side in (want, got)]
                result.lost = 100 * (right[0] - right[1])
        else:
            spread = float(np.ptp(want)) or 1.0
            error = float(np.sqrt(((got - want) ** 2).mean())) / spread
            result.error = max(result.error or 0.0, error)
    if result.lost is not None and result.lost > max(POINTS, 100 / len(ran)) + 1e-9:
        result.wrong = f"{result.lost:.1f} points of accuracy are lost"
    return result


def _refused():
    """`{case: reason}` of those that are known to be refused."""
    lines = REFUSED.read_text().splitlines() if REFUSED.exists() else []
    lines = [line for line in lines if line and line[0] != "#"]
    return {name.strip(): reason.strip() for name, _, reason in (line.partition("|") for line in lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("zkonnx")
    parser.add_argument("--only", default="", metavar="TEXT", help="only pipelines with this in their name")
    parser.add_argument("--keep", metavar="DIR", help="where to leave the files")
    parser.add_argument("--brief", action="store_true", help="totals and failures only")
    arguments = parser.parse_args()
    if arguments.keep:
        Path(arguments.keep).mkdir(parents=True, exist_ok=True)
    known, bad, good, total, flips, labels = _refused(), [], 0, 0, 0, 0
    errors = {"linear": [], "": []}
    show = (lambda *_, **__: None) if arguments.brief else print
    show(f"{'pipeline':44}{'lost':>7}{'flips':>7}{'error':>11}  outside the proof, or failure")
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        chosen = list(cases(arguments.only))
        for case, result in zip(chosen, workers.map(lambda c: examined(arguments.zkonnx, c, arguments.keep), chosen)):
            total += 1
            good += result.wrong is None
            number = lambda v, form: "-" if v is None else format(v, form)  # noqa: E731
            show(
                f"{case.name:44}{number(result.lost, '.2f'):>7}{number(result.flips, 'd'):>7}{number(result.error, '.2e'):>11}"
                f"  {result.wrong or ', '.join(result.notes)}",
                flush=True,
            )
            if result.wrong is None:
                if result.flips is not None:
                    flips, labels = flips + result.flips, labels + len(next(iter(case.test.values())))
                if result.error is not None:
                    errors[case.kind].append(result.error)
            if (result.wrong is not None) != (case.name in known):
                bad.append(f"{case.name}: {result.wrong or 'listed as refused, but nothing fails'}")
    print(f"pipelines: {good} of {total} quantized, checked and run; {flips} of {labels} labels differ")
    for kind, values in errors.items():
        if values:
            near = sum(value <= LINEAR_ERROR for value in values)
            print(f"{kind or 'other'}: error of scores, median {np.median(values):.2e}, largest {max(values):.2e}; "
                  f"{near} of {len(values)} within 2^-16")  # fmt: skip
    for line in bad:
        print(line, file=sys.stderr)
    sys.exit(1 if bad or not total else 0)


if __name__ == "__main__":
    main()
