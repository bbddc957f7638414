//! What classifiers and regressors make of the sums of their trees, as ONNX Runtime does.
//!
//! A classifier of two classes is one of three, by the classes that its leaves name. With one class named, the sum is that
//! of the second class, whichever it is, and is compared with a half if no leaf is worth less than nothing, else with zero.
//! With both named, the label is the number 1 or 0, whatever the labels are, as the sum of the second is above zero or not.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::trees::{Aggregate, Forest, Node, attribute};

/// What scores are put through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PostTransform {
    None,
    Logistic,
    Softmax,
}

impl PostTransform {
    pub(crate) fn read(node: &NodeView<'_>) -> Result<Self, NodeError> {
        match node.text("post_transform", "NONE")? {
            "NONE" => Ok(Self::None),
            "LOGISTIC" => Ok(Self::Logistic),
            "SOFTMAX" => Ok(Self::Softmax),
            _ => Err(unsupported()),
        }
    }

    pub(crate) fn of_number(number: i64) -> Result<Self, NodeError> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::Softmax),
            2 => Ok(Self::Logistic),
            _ => Err(unsupported()),
        }
    }
}

fn unsupported() -> NodeError {
    attribute(
        "post_transform",
        "only NONE, LOGISTIC and SOFTMAX are supported",
    )
}

/// The labels of classes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Labels {
    Integers(Vec<i64>),
    /// Strings, for which their places stand.
    Texts(Vec<Vec<u8>>),
}

impl Labels {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Integers(labels) => labels.len(),
            Self::Texts(labels) => labels.len(),
        }
    }

    /// The integers that the labels are, or that stand for them.
    pub(crate) fn integers(&self) -> Vec<i64> {
        match self {
            Self::Integers(labels) => labels.clone(),
            Self::Texts(labels) => (0..labels.len() as i64).collect(),
        }
    }
}

/// The classes of a classifier.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    pub(crate) labels: Labels,
}

impl Classes {
    pub(crate) fn read(node: &NodeView<'_>) -> Result<Self, NodeError> {
        let labels = labels(node)?;
        Ok(Self { labels })
    }
}

/// How a classifier decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decision {
    /// The class of the largest sum, the first of equal ones.
    Largest,
    /// The second class if the sum of class `of` is above a threshold; its score is the sum, that of the first is
    /// `Complement`.
    Single {
        of: usize,
        threshold: f32,
        first: First,
    },
    /// 1 if the sum of the second class is above zero, else 0.
    Second,
}

/// The score of the first of two classes, of which only one has a sum `s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// `1 − s`, or `−s` before a logistic function.
    Rest,
    /// `−s`.
    Negative,
    /// 0.
    Zero,
}

impl Forest {
    /// How the classifier that this is decides.
    ///
    /// # Errors
    ///
    /// Forms in which ONNX Runtime's answer depends on which leaves a sample meets, or on what it does not set.
    pub(crate) fn decision(&self) -> Result<Decision, NodeError> {
        let leaves = || {
            self.nodes.iter().filter_map(|node| match node {
                Node::Leaf(values) => Some(values),
                Node::Branch { .. } => None,
            })
        };
        let mut named = vec![false; self.targets];
        leaves()
            .flatten()
            .for_each(|(class, _)| named[*class] = true);
        let negative = leaves().flatten().any(|(_, value)| *value < 0.0);
        if self.targets == 2 {
            if self.post == PostTransform::Softmax {
                return Err(attribute(
                    "post_transform",
                    "SOFTMAX of two classes is not supported",
                ));
            }
            let always = self.named_always();
            let always = |class: usize| always[class];
            let threshold = if negative { 0.0 } else { 0.5 };
            return match (named.as_slice(), self.base.len()) {
                ([true, false], 0 | 1) if always(0) => Ok(Decision::Single {
                    of: 0,
                    threshold,
                    first: if negative {
                        First::Negative
                    } else {
                        First::Rest
                    },
                }),
                ([false, true], 0) if always(1) => Ok(Decision::Single {
                    of: 1,
                    threshold,
                    first: First::Zero,
                }),
                ([true, true], 0) if always(0) && always(1) => Ok(Decision::Second),
                (_, 2) => Err(attribute("base_values", "of two classes it has two values")),
                _ => Err(attribute(
                    "class_ids",
                    "the leaves name none of two classes, or not always",
                )),
            };
        }
        if self.targets < 2 || self.base.len() == 1 {
            return Err(attribute(
                "class_ids",
                "there is one class, or one base value of several",
            ));
        }
        let always = self.named_always().iter().all(|always| *always);
        let positive = !negative && leaves().all(|values| values.iter().any(|(_, v)| *v > 0.0));
        match always || positive || !self.base.is_empty() {
            true => Ok(Decision::Largest),
            false => Err(attribute(
                "class_ids",
                "a class has no score for some samples",
            )),
        }
    }

    /// For each target, whether every sample meets a leaf that names it: whether all leaves of some tree do.
    pub(crate) fn named_always(&self) -> Vec<bool> {
        let mut always = vec![false; self.targets];
        let mut counts = vec![0usize; self.targets];
        for root in &self.roots {
            let (mut leaves, mut seen) = (0, Vec::new());
            let mut stack = vec![*root];
            while let Some(at) = stack.pop() {
                match &self.nodes[at] {
                    Node::Branch { yes, no, .. } => stack.extend([*yes, *no]),
                    Node::Leaf(values) => {
                        leaves += 1;
                        for (target, _) in values {
                            counts[*target] += 1;
                            seen.push(*target);
                        }
                    }
                }
            }
            for target in seen {
                always[target] |= counts[target] == leaves;
                counts[target] = 0;
            }
        }
        always
    }

    /// What is added to the sum of a target.
    pub(crate) fn base_of(&self, target: usize) -> f32 {
        match self.base.as_slice() {
            [only] if self.classes.is_some() => *only,
            base => base.get(target).copied().unwrap_or(0.0),
        }
    }

    /// The scores of a regressor, of one row.
    pub(crate) fn regression(&self, row: &[f32]) -> Vec<f32> {
        let sums = self.sums(row).into_iter().enumerate();
        let score = |(target, sum): (usize, Option<f64>)| {
            (sum.unwrap_or(0.0) + f64::from(self.base_of(target))) as f32
        };
        let scores: Vec<f32> = sums.map(score).collect();
        transformed(&scores, self.post)
    }

    /// The label of a classifier, by what stands for it, and the scores, of one row.
    pub(crate) fn classification(
        &self,
        decision: Decision,
        labels: &[i64],
        row: &[f32],
    ) -> (i64, Vec<f32>) {
        let sums = self.sums(row).into_iter().enumerate();
        let sums: Vec<f32> = sums
            .map(|(class, sum)| (sum.unwrap_or(0.0) + f64::from(self.base_of(class))) as f32)
            .collect();
        match decision {
            Decision::Largest => {
                let best = sums.iter().enumerate().fold(
                    0,
                    |best, (i, v)| {
                        if *v > sums[best] { i } else { best }
                    },
                );
                (labels[best], transformed(&sums, self.post))
            }
            Decision::Second => {
                let label = i64::from(sums[1] > 0.0);
                (label, transformed(&sums, self.post))
            }
            Decision::Single {
                of,
                threshold,
                first,
            } => {
                let s = sums[of];
                let logistic = self.post == PostTransform::Logistic;
                let first = match first {
                    First::Rest if !logistic => 1.0 - s,
                    First::Rest | First::Negative => -s,
                    First::Zero => 0.0,
                };
                let label = labels[usize::from(s > threshold)];
                (label, transformed(&[first, s], self.post))
            }
        }
    }

    /// How many sums an import makes: what a classifier compares with comes first.
    pub(crate) fn sum_count(&self) -> Result<usize, NodeError> {
        if self.classes.is_none() {
            return Ok(self.targets);
        }
        Ok(match self.decision()? {
            Decision::Largest => self.targets,
            Decision::Single { .. } => 2,
            Decision::Second => 3,
        })
    }

    /// Whether the sums of leaves are all that decides.
    pub(crate) fn adds(&self) -> bool {
        matches!(self.aggregate, Aggregate::Sum | Aggregate::Average)
    }
}

/// Scores of one row after the transformation.
fn transformed(scores: &[f32], post: PostTransform) -> Vec<f32> {
    use crate::math::exp;
    match post {
        PostTransform::None => scores.to_vec(),
        PostTransform::Logistic => {
            let of = |v: &f32| {
                let part = 1.0 / (1.0 + exp(-f64::from(v.abs())));
                (if *v < 0.0 { 1.0 - part } else { part }) as f32
            };
            scores.iter().map(of).collect()
        }
        PostTransform::Softmax => {
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f64> = scores
                .iter()
                .map(|v| exp(f64::from(*v) - f64::from(largest)))
                .collect();
            let sum: f64 = powers.iter().sum();
            powers.iter().map(|power| (power / sum) as f32).collect()
        }
    }
}

/// The labels of a classifier.
pub(crate) fn labels(node: &NodeView<'_>) -> Result<Labels, NodeError> {
    let integers = node.maybe_ints("classlabels_int64s")?.unwrap_or_default();
    let texts = node.maybe_texts("classlabels_strings")?.unwrap_or_default();
    let labels = match (integers, texts) {
        (integers, []) if !integers.is_empty() => Labels::Integers(integers.to_vec()),
        ([], texts) if !texts.is_empty() => Labels::Texts(texts.to_vec()),
        _ => {
            let reason = "either integers or strings have to be given";
            return Err(attribute("classlabels_int64s", reason));
        }
    };
    match labels.len() {
        1..=MAX_EXTENT => Ok(labels),
        _ => Err(attribute("classlabels_int64s", "there are more than 4096")),
    }
}

/// Most features and targets.
pub(crate) const MAX_EXTENT: usize = 1 << 12;
