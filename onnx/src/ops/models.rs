//! Linear models and support vectors of `ai.onnx.ml` as matrix products.

use crate::error::NodeError;
use crate::graph::{Attribute, ValueId};
use crate::operator::Operator;
use crate::proto::tensor::FLOAT;
use crate::rewrite::{Rewrite, attribute};

/// The operators of this file.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator::learning("LinearClassifier").expressed(classifier),
    Operator::learning("LinearRegressor").expressed(regressor),
    Operator::learning("SVMClassifier").expressed(vector_classifier),
    Operator::learning("SVMRegressor").expressed(vector_regressor),
];

/// Most classes that vote.
const MAX_CLASSES: usize = 64;
/// Most elements of the differences between rows and support vectors.
const MAX_DIFFERENCES: usize = 1 << 20;

/// Scores through a function of them. The only score of a model stays as it is.
fn transformed(r: &mut Rewrite<'_>, scores: ValueId, count: usize) -> Result<ValueId, NodeError> {
    Ok(match r.node.text("post_transform", "NONE")? {
        "NONE" => scores,
        "LOGISTIC" | "SOFTMAX" if count == 1 => scores,
        "LOGISTIC" => r.p.op("Sigmoid", &[scores]),
        "SOFTMAX" => {
            r.p.with("Softmax", &[scores], vec![Attribute::int("axis", 1)])
        }
        _ => {
            let reason = "only NONE, LOGISTIC and SOFTMAX are supported";
            return Err(attribute("post_transform", reason));
        }
    })
}

/// The rows of the input, and how many there are and of how many features.
fn rows(r: &mut Rewrite<'_>) -> Result<(ValueId, usize, usize), NodeError> {
    let x = r.float(0)?;
    match r.shape(0)?.as_slice() {
        &[rows, features] if features > 0 => Ok((x, rows, features)),
        _ => Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it is not a matrix of rows of features",
        }),
    }
}

/// A sum of products for each of some targets, and how many these are.
fn products(r: &mut Rewrite<'_>, targets: Option<usize>) -> Result<(ValueId, usize), NodeError> {
    let (x, _, features) = rows(r)?;
    let coefficients = r.node.maybe_floats("coefficients")?.unwrap_or_default();
    let count = coefficients.len() / features;
    let fits = count > 0 && count * features == coefficients.len();
    if !fits || targets.is_some_and(|targets| targets != count) {
        return Err(attribute(
            "coefficients",
            "it is not one for each target and feature",
        ));
    }
    // Features in rows, as a matrix product has them.
    let turned = (0..count * features).map(|i| coefficients[i % count * features + i / count]);
    let weights = r.p.floats(&[features, count], turned.collect());
    let intercepts = r.node.maybe_floats("intercepts")?.unwrap_or_default();
    let product = match intercepts.len() {
        0 => r.p.op("MatMul", &[x, weights]),
        n if n == count => {
            let bias = r.p.floats(&[n], intercepts.to_vec());
            r.p.op("Gemm", &[x, weights, bias])
        }
        _ => return Err(attribute("intercepts", "it is not one for each target")),
    };
    Ok((product, count))
}

pub(crate) fn regressor(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    let targets = usize::try_from(r.node.int("targets", 1)?).unwrap_or(0);
    let (scores, count) = products(r, Some(targets))?;
    Ok(vec![transformed(r, scores, count)?])
}

/// Labels and scores. With one score for two classes, the second class is that of scores above zero.
pub(crate) fn classifier(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    r.node.int("multi_class", 0)?;
    let labels = labels(r)?;
    let (sums, count) = products(r, None)?;
    let (compared, scores) = match (count, labels.len()) {
        (1, 2) => {
            let zero = {
                let (_, rows, _) = rows(r)?;
                r.p.floats(&[rows, 1], vec![0.0; rows])
            };
            let along = || vec![Attribute::int("axis", 1)];
            let compared = r.p.with("Concat", &[zero, sums], along());
            let first = match r.node.text("post_transform", "NONE")? {
                "LOGISTIC" => r.p.op("Neg", &[sums]),
                "NONE" => {
                    let one = r.p.scalar(1.0);
                    r.p.op("Sub", &[one, sums])
                }
                _ => {
                    let reason = "only NONE and LOGISTIC are supported of one score";
                    return Err(attribute("post_transform", reason));
                }
            };
            let both = r.p.with("Concat", &[first, sums], along());
            (compared, transformed(r, both, 2)?)
        }
        (count, labels) if count == labels && count > 1 => (sums, transformed(r, sums, count)?),
        _ => {
            return Err(attribute(
                "classlabels_ints",
                "it is not one for each score",
            ));
        }
    };
    let attributes = vec![Attribute::int("axis", 1), Attribute::int("keepdims", 0)];
    let best = r.p.with("ArgMax", &[compared], attributes);
    let label = named(r, best, &labels);
    Ok(vec![label, scores])
}

/// `Σ coefficient · K(x, support vector) + rho`.
pub(crate) fn vector_regressor(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    if r.node.flag("one_class", false)? {
        return Err(attribute(
            "one_class",
            "the sign of a score is not supported",
        ));
    }
    let rho = match r.node.maybe_floats("rho")?.unwrap_or_default() {
        &[rho] => rho,
        _ => return Err(attribute("rho", "it is not one number")),
    };
    let count = usize::try_from(r.node.int("n_supports", 0)?).unwrap_or(0);
    let coefficients = r.node.maybe_floats("coefficients")?.unwrap_or_default();
    let add = r.p.floats(&[1], vec![rho]);
    if count == 0 {
        let (x, _, features) = rows(r)?;
        r.node.maybe_floats("kernel_params")?;
        r.node.maybe_floats("support_vectors")?;
        let linear = r.node.text("kernel_type", "LINEAR")? == "LINEAR";
        if !linear || coefficients.len() != features {
            return Err(attribute("coefficients", "it is not one for each feature"));
        }
        let weights = r.p.floats(&[features, 1], coefficients.to_vec());
        let y = r.p.op("Gemm", &[x, weights, add]);
        return Ok(vec![transformed(r, y, 1)?]);
    }
    if coefficients.len() != count {
        let reason = "it is not one for each support vector";
        return Err(attribute("coefficients", reason));
    }
    let y = decided(r, count, coefficients, add)?;
    Ok(vec![transformed(r, y, 1)?])
}

/// Labels, and what decides between each two classes, which vote for one of them.
pub(crate) fn vector_classifier(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    if r.node
        .maybe_floats("prob_a")?
        .is_some_and(|a| !a.is_empty())
    {
        let reason = "probabilities are found by iteration; export the classifier without them";
        return Err(attribute("prob_a", reason));
    }
    r.node.maybe_floats("prob_b")?;
    if r.node.text("post_transform", "NONE")? != "NONE" {
        return Err(attribute("post_transform", "only NONE is supported"));
    }
    let labels = labels(r)?;
    let per_class = r.node.maybe_ints("vectors_per_class")?.unwrap_or_default();
    let counts = per_class.iter().map(|n| usize::try_from(*n).ok());
    let counts = counts.collect::<Option<Vec<usize>>>().unwrap_or_default();
    let classes = counts.len();
    let total = counts.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
    let total = total.filter(|total| *total > 0 && *total <= MAX_DIFFERENCES);
    let (Some(total), true) = (total, (2..=MAX_CLASSES).contains(&classes)) else {
        return Err(attribute(
            "vectors_per_class",
            "it is not a number for each of some classes",
        ));
    };
    let coefficients = r.node.maybe_floats("coefficients")?.unwrap_or_default();
    let rho = r.node.maybe_floats("rho")?.unwrap_or_default().to_vec();
    let pairs: Vec<(usize, usize)> = (0..classes)
        .flat_map(|i| (i + 1..classes).map(move |j| (i, j)))
        .collect();
    let fits =
        (classes - 1).checked_mul(total) == Some(coefficients.len()) && rho.len() == pairs.len();
    if !fits || labels.len() != classes {
        return Err(attribute(
            "coefficients",
            "they do not fit the classes and support vectors",
        ));
    }
    // The vectors of a class decide by the coefficients against each other one.
    let owner: Vec<usize> = (0..classes)
        .flat_map(|c| std::iter::repeat_n(c, counts[c]))
        .collect();
    let mut weights = vec![0f32; total * pairs.len()];
    for (vector, owner) in owner.into_iter().enumerate() {
        for (pair, &(i, j)) in pairs.iter().enumerate() {
            let row = match owner {
                _ if owner == i => j - 1,
                _ if owner == j => i,
                _ => continue,
            };
            weights[vector * pairs.len() + pair] = coefficients[row * total + vector];
        }
    }
    let add = r.p.floats(&[pairs.len()], rho);
    let decisions = decided(r, total, &weights, add)?;
    let along = || vec![Attribute::int("axis", 1)];
    let mut best = vec![Attribute::int("keepdims", 0), Attribute::int("axis", 1)];
    let (place, scores) = if classes == 2 {
        // The first class where the decision is above zero.
        let (_, rows, _) = rows(r)?;
        let zero = r.p.floats(&[rows, 1], vec![0.0; rows]);
        let compared = r.p.with("Concat", &[decisions, zero], along());
        best.push(Attribute::int("select_last_index", 1));
        let other = r.p.op("Neg", &[decisions]);
        let scores = r.p.with("Concat", &[other, decisions], along());
        (r.p.with("ArgMax", &[compared], best), scores)
    } else {
        let zero = r.p.scalar(0.0);
        let first = r.p.op("Greater", &[decisions, zero]);
        let first = r.cast(first, i64::from(FLOAT));
        let mut voters = vec![0f32; pairs.len() * classes];
        let mut start = vec![0f32; classes];
        for (pair, &(i, j)) in pairs.iter().enumerate() {
            voters[pair * classes + i] = 1.0;
            voters[pair * classes + j] = -1.0;
            start[j] += 1.0;
        }
        let voters = r.p.floats(&[pairs.len(), classes], voters);
        let start = r.p.floats(&[classes], start);
        let votes = r.p.op("Gemm", &[first, voters, start]);
        (r.p.with("ArgMax", &[votes], best), decisions)
    };
    Ok(vec![named(r, place, &labels), scores])
}

/// `K(x, support vector) · weights + add`, with as many columns as `weights` has for each of `count` vectors. Of a linear
/// kernel it is one product.
fn decided(
    r: &mut Rewrite<'_>,
    count: usize,
    weights: &[f32],
    add: ValueId,
) -> Result<ValueId, NodeError> {
    let columns = weights.len() / count;
    if r.node.text("kernel_type", "LINEAR")? != "LINEAR" {
        let kernel = kernel(r, count)?;
        let weights = r.p.floats(&[count, columns], weights.to_vec());
        return Ok(r.p.op("Gemm", &[kernel, weights, add]));
    }
    r.node.maybe_floats("kernel_params")?;
    let (x, _, features) = rows(r)?;
    let vectors = vectors(r, count, features)?;
    let joined = (0..features * columns).map(|i| {
        let (feature, column) = (i / columns, i % columns);
        let term = |v: usize| {
            f64::from(vectors[v * features + feature]) * f64::from(weights[v * columns + column])
        };
        (0..count).map(term).sum::<f64>() as f32
    });
    let joined = r.p.floats(&[features, columns], joined.collect());
    Ok(r.p.op("Gemm", &[x, joined, add]))
}

/// The support vectors, as many as there are said to be.
fn vectors(r: &Rewrite<'_>, count: usize, features: usize) -> Result<Vec<f32>, NodeError> {
    let vectors = r.node.maybe_floats("support_vectors")?.unwrap_or_default();
    match count.checked_mul(features) == Some(vectors.len()) {
        true => Ok(vectors.to_vec()),
        false => Err(attribute("support_vectors", "they do not fit the features")),
    }
}

/// `K(x, support vector)` for each row and vector.
fn kernel(r: &mut Rewrite<'_>, count: usize) -> Result<ValueId, NodeError> {
    let params = r.node.maybe_floats("kernel_params")?.unwrap_or_default();
    let kind = r.node.text("kernel_type", "LINEAR")?;
    let (x, rows, features) = rows(r)?;
    let vectors = vectors(r, count, features)?;
    if rows.saturating_mul(vectors.len()) > MAX_DIFFERENCES {
        return Err(attribute("support_vectors", "they are too many"));
    }
    let param = |i: usize| params.get(i).copied().unwrap_or(0.0);
    let (gamma, constant, degree) = (param(0), param(1), param(2));
    if kind == "RBF" {
        let axis = r.p.ints(&[1]);
        let wide = r.p.op("Unsqueeze", &[x, axis]);
        let vectors = r.p.floats(&[count, features], vectors.to_vec());
        let apart = r.p.op("Sub", &[wide, vectors]);
        let square = r.p.op("Mul", &[apart, apart]);
        let axis = r.p.ints(&[2]);
        let keep = vec![Attribute::int("keepdims", 0)];
        let distance = r.p.with("ReduceSum", &[square, axis], keep);
        let gamma = r.p.scalar(-gamma);
        let exponent = r.p.op("Mul", &[distance, gamma]);
        return Ok(r.p.op("Exp", &[exponent]));
    }
    let turned = (0..count * features).map(|i| gamma * vectors[i % count * features + i / count]);
    let vectors = r.p.floats(&[features, count], turned.collect());
    let constant = r.p.floats(&[count], vec![constant; count]);
    let product = r.p.op("Gemm", &[x, vectors, constant]);
    match kind {
        "SIGMOID" => Ok(r.p.op("Tanh", &[product])),
        "POLY" => {
            let degree = r.p.scalar(degree);
            Ok(r.p.op("Pow", &[product, degree]))
        }
        _ => Err(attribute("kernel_type", "it is none of the known ones")),
    }
}

/// The labels of a classifier; places stand for strings.
fn labels(r: &Rewrite<'_>) -> Result<Vec<i64>, NodeError> {
    let integers = r.node.maybe_ints("classlabels_ints")?.unwrap_or_default();
    let texts = r
        .node
        .maybe_texts("classlabels_strings")?
        .unwrap_or_default();
    match (integers, texts) {
        (integers, []) => Ok(integers.to_vec()),
        ([], texts) => Ok((0..texts.len() as i64).collect()),
        _ => Err(attribute(
            "classlabels_ints",
            "there are labels of two kinds",
        )),
    }
}

/// The labels at some places.
fn named(r: &mut Rewrite<'_>, place: ValueId, labels: &[i64]) -> ValueId {
    if (0..labels.len() as i64).eq(labels.iter().copied()) {
        return place;
    }
    let labels = r.p.ints(labels);
    r.p.with("Gather", &[labels, place], vec![Attribute::int("axis", 0)])
}
