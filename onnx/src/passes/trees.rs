//! Tree ensembles on ranks, for an import.
//!
//! A tree tells the values of a feature apart only by its thresholds, so the feature's rank among them is all that it needs.
//! The rank is found by standard operators in front of the ensemble, which are computed outside of the proof like a
//! quantization; what a classifier makes of the sums of its trees is said by standard operators behind it.

use crate::error::{ImportError, NodeError};
use crate::graph::constant::{Constant, Element};
use crate::graph::{Attribute, Draft, Graph, Made, Node, NodeView, ValueId};
use crate::passes::refresh;
use crate::proto::tensor::FLOAT;
use crate::trees::{Aggregate, Decision, First, Forest, PostTransform, is_forest};
use zkonnx_circuits::program::{DataType, MAX_NODES, elements};

/// Opset of the operators that are added.
const OPSET: i64 = 13;
/// ONNX's codes of element types.
const UINT8: i64 = 2;
const UINT16: i64 = 4;
const INT32: i64 = 6;
/// Most comparisons of a sample's features with cuts.
const MAX_COMPARISONS: usize = 1 << 22;

/// Gives the tree ensembles of a resolved graph ranks to read.
pub(crate) fn rank(graph: &mut Graph) -> Result<(), ImportError> {
    let mut changed = false;
    let mut i = 0;
    while i < graph.nodes.len() {
        if !is_forest(&graph.nodes[i]) || graph.nodes[i].fault.is_some() {
            i += 1;
            continue;
        }
        let node = graph.nodes[i].clone();
        match ranked(graph, &node) {
            Ok(made) => {
                let nodes = made.apply(graph);
                let count = nodes.len();
                if graph.nodes.len() + count > MAX_NODES {
                    let (what, max) = ("nodes", MAX_NODES);
                    return Err(ImportError::TooMany { what, max });
                }
                graph.nodes.splice(i..=i, nodes);
                i += count;
                changed = true;
            }
            Err(fault) => {
                graph.nodes[i].fault = Some(fault);
                i += 1;
            }
        }
    }
    if changed {
        refresh(graph, 0)?;
        graph.verify("rank");
    }
    Ok(())
}

/// What stands for an ensemble.
fn ranked(graph: &Graph, node: &Node) -> Result<Made, NodeError> {
    let view = NodeView::new(graph, node);
    let forest = Forest::read(&view)?;
    view.check_attributes()?;
    let unknown = NodeError::Input {
        input: 0,
        what: "x",
        reason: "its type or shape is not known",
    };
    let x = node.input(0).ok_or_else(|| unknown.clone())?;
    let ty = graph.ty(x).ok_or(unknown)?;
    let &[rows, features] = ty.shape.as_slice() else {
        return Err(NodeError::Input {
            input: 0,
            what: "x",
            reason: "it is not a matrix of rows of features",
        });
    };
    let name = node
        .made()
        .next()
        .map_or("trees", |value| graph.name(value));
    let mut p = Draft::of_opset(graph, name, OPSET);
    let x = match ty.element {
        Element::Float => x,
        Element::Int(DataType::I32 | DataType::I64) => {
            p.with("Cast", &[x], vec![Attribute::int("to", i64::from(FLOAT))])
        }
        _ => {
            return Err(NodeError::Input {
                input: 0,
                what: "x",
                reason: "it is none of float32, int32 and int64",
            });
        }
    };
    let cuts = forest.cuts(features)?;
    let ranks = ranks(&mut p, x, rows, &cuts)?;
    let sums = p.again(node, vec![Some(ranks)]);
    let results = match forest.classes.is_some() {
        true => {
            let (labels, scores) = classified(&mut p, &forest, rows, sums)?;
            vec![Some(labels), Some(scores)]
        }
        false => vec![Some(regressed(&mut p, &forest, sums))],
    };
    Ok(p.finish(&results, &node.outputs))
}

/// For each feature the number of its cuts below it. What is not a number ranks above all.
fn ranks(
    p: &mut Draft<'_>,
    x: ValueId,
    rows: usize,
    cuts: &[Vec<f32>],
) -> Result<ValueId, NodeError> {
    // One more than any feature has: all but what is not a number is at most infinity.
    let width = 1 + cuts.iter().map(Vec::len).max().unwrap_or(0);
    if elements(&[rows, cuts.len(), width]) > MAX_COMPARISONS {
        return Err(NodeError::Attribute {
            name: "nodes_values",
            reason: "there are too many thresholds for so many features",
        });
    }
    let padded = cuts.iter().flat_map(|cuts| {
        let rest = std::iter::repeat_n(f32::INFINITY, width - cuts.len());
        cuts.iter().copied().chain(rest)
    });
    let table = Constant::floats(vec![cuts.len(), width], padded.collect());
    let table = p.constant(table);
    let last = p.ints(&[-1]);
    let wide = p.op("Unsqueeze", &[x, last]);
    let not_above = p.op("LessOrEqual", &[wide, table]);
    let above = p.op("Not", &[not_above]);
    let counted = p.with("Cast", &[above], vec![Attribute::int("to", INT32)]);
    let keep = vec![Attribute::int("keepdims", 0)];
    let rank = p.with("ReduceSum", &[counted, last], keep);
    let to = if width <= 0xff { UINT8 } else { UINT16 };
    Ok(p.with("Cast", &[rank], vec![Attribute::int("to", to)]))
}

/// Scores of a regressor from the sums of its leaves.
fn regressed(p: &mut Draft<'_>, forest: &Forest, sums: ValueId) -> ValueId {
    let mut scores = sums;
    if forest.aggregate == Aggregate::Average {
        let count = p.scalar(forest.roots.len() as f32);
        scores = p.op("Div", &[scores, count]);
        if !forest.base.is_empty() {
            let base = p.floats(&[forest.base.len()], forest.base.clone());
            scores = p.op("Add", &[scores, base]);
        }
    }
    transformed(p, scores, forest.post)
}

fn transformed(p: &mut Draft<'_>, scores: ValueId, post: PostTransform) -> ValueId {
    match post {
        PostTransform::None => scores,
        PostTransform::Logistic => p.op("Sigmoid", &[scores]),
        PostTransform::Softmax => p.with("Softmax", &[scores], vec![Attribute::int("axis", 1)]),
    }
}

/// Labels and scores of a classifier from the sums of its leaves.
fn classified(
    p: &mut Draft<'_>,
    forest: &Forest,
    rows: usize,
    sums: ValueId,
) -> Result<(ValueId, ValueId), NodeError> {
    let decision = forest.decision()?;
    let classes = forest.classes.as_ref();
    let classes = classes
        .map(|classes| classes.labels.integers())
        .unwrap_or_default();
    let column = |p: &mut Draft<'_>, from: i64, to: i64| {
        let numbers = [from, to, 1].map(|v| p.ints(&[v]));
        p.op("Slice", &[sums, numbers[0], numbers[1], numbers[2]])
    };
    let along = |axis| vec![Attribute::int("axis", axis)];
    let (compared, classes, scores) = match decision {
        Decision::Largest => (sums, classes, transformed(p, sums, forest.post)),
        Decision::Second => {
            let (threshold, second) = (column(p, 0, 1), column(p, 2, 3));
            let compared = p.with("Concat", &[threshold, second], along(1));
            let both = column(p, 1, 3);
            (compared, vec![0, 1], transformed(p, both, forest.post))
        }
        Decision::Single { first, .. } => {
            let s = column(p, 1, 2);
            let logistic = forest.post == PostTransform::Logistic;
            let other = match first {
                First::Rest if !logistic => {
                    let one = p.scalar(1.0);
                    p.op("Sub", &[one, s])
                }
                First::Rest | First::Negative => p.op("Neg", &[s]),
                First::Zero => p.floats(&[rows, 1], vec![0.0; rows]),
            };
            let both = p.with("Concat", &[other, s], along(1));
            (sums, classes, transformed(p, both, forest.post))
        }
    };
    let mut attributes = along(1);
    attributes.push(Attribute::int("keepdims", 0));
    let best = p.with("ArgMax", &[compared], attributes);
    let numbered = (0..classes.len() as i64).eq(classes.iter().copied());
    let labels = match numbered {
        true => best,
        false => {
            let classes = p.ints(&classes);
            p.with("Gather", &[classes, best], along(0))
        }
    };
    Ok((labels, scores))
}
