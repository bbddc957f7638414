"""Tree ensembles of scikit-learn as graphs of Gather, comparisons, Where, ReduceSum and ArgMax.

Two forms: *selected* gathers the feature of each inner node, compares with the thresholds
and selects from the leaves up, level by level; *product* compares in the same way and finds
the leaf by matrix products, as compilers of trees to tensors do for shallow ones.
"""

import warnings

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn import datasets, ensemble, tree
from sklearn.preprocessing import StandardScaler

from nets import OPSET, Net, float_model

CALIBRATION = 64


class _Graph:
    """Nodes and constants under construction."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def floats(self, values):
        return self.constant(np.asarray(values, np.float32))

    def ints(self, values):
        return self.constant(np.asarray(values, np.int64))

    def add(self, op, *inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def model(self, features, output):
        self.nodes.append(helper.make_node("Identity", [output], ["y"]))
        return float_model(self.nodes, self.constants, {"x": [1, features]}, ["y"], OPSET)


def _leaf_values(fitted, node, scale):
    values = fitted.value[node].ravel()
    # A classifier's leaf holds shares of classes, a regressor's one number.
    return values / values.sum() if scale is None else values * scale


def _perfect(fitted, depth, scale):
    """Features, thresholds and leaf values of a tree that is filled up to the depth.

    A leaf above the depth becomes a comparison of which both sides are that leaf.
    """
    level, features, thresholds = [0], [], []
    for _ in range(depth):
        inner = [fitted.children_left[node] >= 0 for node in level]
        features.append([fitted.feature[n] if i else 0 for n, i in zip(level, inner)])
        thresholds.append([fitted.threshold[n] if i else 0.0 for n, i in zip(level, inner)])
        level = [
            child
            for n, i in zip(level, inner)
            for child in ((fitted.children_left[n], fitted.children_right[n]) if i else (n, n))
        ]
    return features, thresholds, np.array([_leaf_values(fitted, n, scale) for n in level])


def selected(trees, features, scale=None):
    """The sum of the trees' answers `[1, classes]`, by selection from the leaves up."""
    graph, depth = _Graph(), max(t.max_depth for t in trees)
    perfect = [_perfect(t, depth, scale) for t in trees]
    # [trees, leaves, classes], as the first choice between constants.
    leaves = np.array([p[2] for p in perfect])
    low, high = graph.floats(leaves[None, :, 0::2]), graph.floats(leaves[None, :, 1::2])
    for level in reversed(range(depth)):
        wide = len(perfect[0][0][level])
        index = graph.ints(np.array([p[0][level] for p in perfect]).ravel())
        threshold = graph.floats(np.array([p[1][level] for p in perfect]).reshape(1, -1))
        chosen = graph.add("Gather", "x", index, axis=1)
        left = graph.add("LessOrEqual", chosen, threshold)
        left = graph.add("Reshape", left, graph.ints([1, len(trees), wide, 1]))
        value = graph.add("Where", left, low, high)
        if level:
            low, high = (
                # Starts, ends, axes, steps.
                graph.add("Slice", value, *(graph.ints([v]) for v in (start, wide, 2, 2)))
                for start in (0, 1)
            )
    value = graph.add("Squeeze", value, graph.ints([2]))
    return graph, graph.add("ReduceSum", value, graph.ints([1]), keepdims=0)


def product(trees, features, scale=None):
    """The same by matrix products: which comparisons hold, which leaf's path that is, its value."""
    graph = _Graph()
    picks, thresholds, paths, needed, values = [], [], [], [], []
    inner_count = sum(int((t.children_left >= 0).sum()) for t in trees)
    for fitted in trees:
        place = {}
        for node in range(fitted.node_count):
            if fitted.children_left[node] >= 0:
                place[node] = len(picks)
                picks.append(fitted.feature[node])
                thresholds.append(fitted.threshold[node])
        stack = [(0, {})]
        while stack:
            node, path = stack.pop()
            if node in place:
                stack.append((fitted.children_left[node], {**path, place[node]: 1}))
                stack.append((fitted.children_right[node], {**path, place[node]: -1}))
            else:
                column = np.zeros(inner_count)
                for i, side in path.items():
                    column[i] = side
                paths.append(column)
                needed.append(sum(side > 0 for side in path.values()))
                values.append(_leaf_values(fitted, node, scale))
    chosen = graph.add("MatMul", "x", graph.floats(np.eye(features)[:, picks]))
    holds = graph.add("LessOrEqual", chosen, graph.floats(thresholds))
    holds = graph.add("Cast", holds, to=TensorProto.FLOAT)
    reached = graph.add("MatMul", holds, graph.floats(np.array(paths).T))
    reached = graph.add("Equal", reached, graph.floats(needed))
    reached = graph.add("Cast", reached, to=TensorProto.FLOAT)
    return graph, graph.add("MatMul", reached, graph.floats(np.array(values)))


def _data(load, scaled):
    """Samples that are few enough to learn from in no time; scaled ones have features of one magnitude."""
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (StandardScaler().fit_transform(x) if scaled else x)[order]
    return x.astype(np.float32), y[order]


def trees():
    """Nets of fitted trees; the samples are of the test split."""
    warnings.filterwarnings("ignore")
    iris, wine, cancer = (
        _data(load, scaled)
        for load, scaled in (
            (datasets.load_iris, False), (datasets.load_wine, True), (datasets.load_breast_cancer, True),
        )
    )  # fmt: skip
    forest = ensemble.RandomForestClassifier(5, max_depth=3, random_state=0)
    boosted = ensemble.GradientBoostingClassifier(n_estimators=6, max_depth=2, random_state=0)
    kinds = [
        ("Decision tree", tree.DecisionTreeClassifier(max_depth=4, random_state=0), iris, None),
        ("Decision tree wide", tree.DecisionTreeClassifier(max_depth=5, random_state=0), cancer, None),
        ("Random forest", forest, wine, None),
        ("Regression tree", tree.DecisionTreeRegressor(max_depth=4, random_state=0), cancer, 1.0),
        ("Boosted trees", boosted, cancer, 0.1),
    ]
    for name, learner, (x, y), scale in kinds:
        half = len(x) // 2
        learner.fit(x[:half], y[:half])
        members = learner.estimators_ if hasattr(learner, "estimators_") else [learner]
        fitted = [member.tree_ for member in np.ravel(members)]
        for form in (selected, product):
            graph, out = form(fitted, x.shape[1], scale)
            if scale is None:
                out = graph.add("ArgMax", out, axis=1, keepdims=0)
            elif learner is boosted:
                out = graph.add("Sigmoid", graph.add("Add", out, graph.floats([_prior(learner)])))
            model = graph.model(x.shape[1], out)
            samples = {"x": x[half : half + CALIBRATION, None]}
            yield Net(f"{name} {form.__name__}", "trees", model, samples)


def _prior(boosted):
    share = boosted.init_.class_prior_[1]
    return float(np.log(share / (1 - share)))
