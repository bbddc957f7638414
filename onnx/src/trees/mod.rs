//! Tree ensembles: what the attributes of `TreeEnsembleRegressor`, `TreeEnsembleClassifier` and `TreeEnsemble` say.
//!
//! Every form becomes one [`Forest`], which knows nothing of how it is written: the evaluator walks it with floats, and an
//! import asks it for the thresholds that each feature meets.

mod ranks;
mod read;
mod read_five;
mod scores;

use crate::error::NodeError;
use crate::graph::LEARNING;

pub(crate) use scores::{Classes, Decision, First, PostTransform};

/// How a branch compares the feature `x` with its threshold `t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Other,
}

impl Mode {
    fn holds(self, x: f32, t: f32) -> bool {
        match self {
            Self::AtMost => x <= t,
            Self::Below => x < t,
            Self::AtLeast => x >= t,
            Self::Above => x > t,
            Self::Equal => x == t,
            Self::Other => x != t,
        }
    }
}

/// A question about a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) feature: usize,
    pub(crate) mode: Mode,
    pub(crate) threshold: f32,
    /// Whether a value that is not a number is answered by yes, whatever the mode.
    pub(crate) missing: bool,
}

impl Question {
    pub(crate) fn holds(&self, x: f32) -> bool {
        self.mode.holds(x, self.threshold) || (self.missing && x.is_nan())
    }
}

/// A node of a tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A question, and the nodes behind its answers.
    Branch {
        question: Question,
        yes: usize,
        no: usize,
    },
    /// What is added to some targets, by growing target.
    Leaf(Vec<(usize, f32)>),
}

/// How the values of the leaves become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// An ensemble of trees.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    /// The largest feature that is asked for, plus one.
    pub(crate) features: usize,
    /// Targets, or classes.
    pub(crate) targets: usize,
    /// What is added to each target; empty for nothing.
    pub(crate) base: Vec<f32>,
    /// Nodes of all trees; those behind a branch are in no order, but each is behind one branch only.
    pub(crate) nodes: Vec<Node>,
    /// The first node of each tree.
    pub(crate) roots: Vec<usize>,
    pub(crate) aggregate: Aggregate,
    pub(crate) post: PostTransform,
    /// The classes of a classifier.
    pub(crate) classes: Option<Classes>,
}

/// Whether a node is a tree ensemble.
pub(crate) fn is_forest(node: &crate::graph::Node) -> bool {
    let names = [
        "TreeEnsemble",
        "TreeEnsembleClassifier",
        "TreeEnsembleRegressor",
    ];
    node.domain == LEARNING && names.contains(&node.op.as_str())
}

pub(crate) fn attribute(name: &'static str, reason: &'static str) -> NodeError {
    NodeError::Attribute { name, reason }
}

impl Forest {
    /// The leaf of a tree that a row of features ends at. The row has as many as are asked for.
    fn leaf(&self, root: usize, row: &[f32]) -> &[(usize, f32)] {
        let mut at = root;
        loop {
            match &self.nodes[at] {
                Node::Leaf(values) => return values,
                Node::Branch { question, yes, no } => {
                    at = match question.holds(row[question.feature]) {
                        true => *yes,
                        false => *no,
                    };
                }
            }
        }
    }

    /// The aggregated leaves of each target, in binary64, and whether any leaf named it.
    pub(crate) fn sums(&self, row: &[f32]) -> Vec<Option<f64>> {
        let mut sums: Vec<Option<f64>> = vec![None; self.targets];
        for root in &self.roots {
            for &(target, value) in self.leaf(*root, row) {
                let value = f64::from(value);
                let sum = &mut sums[target];
                *sum = Some(match (*sum, self.aggregate) {
                    (None, _) => value,
                    (Some(sum), Aggregate::Sum | Aggregate::Average) => sum + value,
                    (Some(sum), Aggregate::Min) => sum.min(value),
                    (Some(sum), Aggregate::Max) => sum.max(value),
                });
            }
        }
        if self.aggregate == Aggregate::Average {
            let count = self.roots.len() as f64;
            sums.iter_mut().flatten().for_each(|sum| *sum /= count);
        }
        sums
    }
}
