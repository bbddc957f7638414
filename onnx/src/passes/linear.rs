//! Linear models and support vectors of `ai.onnx.ml` as matrix products.

use super::learning::{Rewrite, attribute};
use crate::error::NodeError;
use crate::graph::{Attribute, ValueId};

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

pub(super) fn regressor(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    let targets = usize::try_from(r.node.int("targets", 1)?).unwrap_or(0);
    let (scores, count) = products(r, Some(targets))?;
    Ok(vec![transformed(r, scores, count)?])
}

/// Labels and scores. With one score for two classes, the second class is that of scores above zero.
pub(super) fn classifier(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
    r.node.int("multi_class", 0)?;
    let integers = r.node.maybe_ints("classlabels_ints")?.unwrap_or_default();
    let texts = r
        .node
        .maybe_texts("classlabels_strings")?
        .unwrap_or_default();
    let labels: Vec<i64> = match (integers, texts) {
        (integers, []) => integers.to_vec(),
        // Their places stand for strings.
        ([], texts) => (0..texts.len() as i64).collect(),
        _ => {
            return Err(attribute(
                "classlabels_ints",
                "there are labels of two kinds",
            ));
        }
    };
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
    let label = match (0..labels.len() as i64).eq(labels.iter().copied()) {
        true => best,
        false => {
            let labels = r.p.ints(&labels);
            r.p.with("Gather", &[labels, best], vec![Attribute::int("axis", 0)])
        }
    };
    Ok(vec![label, scores])
}

/// `Σ coefficient · K(x, support vector) + rho`.
pub(super) fn support_vectors(r: &mut Rewrite<'_>) -> Result<Vec<ValueId>, NodeError> {
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
    let params = r.node.maybe_floats("kernel_params")?.unwrap_or_default();
    let kind = r.node.text("kernel_type", "LINEAR")?;
    let count = usize::try_from(r.node.int("n_supports", 0)?).unwrap_or(0);
    let vectors = r.node.maybe_floats("support_vectors")?.unwrap_or_default();
    let coefficients = r.node.maybe_floats("coefficients")?.unwrap_or_default();
    let (x, rows, features) = rows(r)?;
    let add = r.p.floats(&[1], vec![rho]);
    if count == 0 {
        if kind != "LINEAR" || coefficients.len() != features {
            return Err(attribute("coefficients", "it is not one for each feature"));
        }
        let weights = r.p.floats(&[features, 1], coefficients.to_vec());
        let y = r.p.op("Gemm", &[x, weights, add]);
        return Ok(vec![transformed(r, y, 1)?]);
    }
    let fits = count.checked_mul(features) == Some(vectors.len()) && coefficients.len() == count;
    if !fits || rows.saturating_mul(vectors.len()) > MAX_DIFFERENCES {
        return Err(attribute(
            "support_vectors",
            "they do not fit the features, or are too many",
        ));
    }
    let weights = r.p.floats(&[count, 1], coefficients.to_vec());
    let param = |i: usize, missing: f32| params.get(i).copied().unwrap_or(missing);
    let (gamma, constant, degree) = (param(0, 0.0), param(1, 0.0), param(2, 0.0));
    let kernel = match kind {
        "RBF" => {
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
            r.p.op("Exp", &[exponent])
        }
        "LINEAR" | "POLY" | "SIGMOID" => {
            let factor = if kind == "LINEAR" { 1.0 } else { gamma };
            let turned =
                (0..count * features).map(|i| factor * vectors[i % count * features + i / count]);
            let vectors = r.p.floats(&[features, count], turned.collect());
            let product = match kind {
                "LINEAR" => r.p.op("MatMul", &[x, vectors]),
                _ => {
                    let constant = r.p.floats(&[count], vec![constant; count]);
                    r.p.op("Gemm", &[x, vectors, constant])
                }
            };
            match kind {
                "LINEAR" => product,
                "SIGMOID" => r.p.op("Tanh", &[product]),
                _ => {
                    let degree = r.p.scalar(degree);
                    r.p.op("Pow", &[product, degree])
                }
            }
        }
        _ => return Err(attribute("kernel_type", "it is none of the known ones")),
    };
    let y = r.p.op("Gemm", &[kernel, weights, add]);
    Ok(vec![transformed(r, y, 1)?])
}
