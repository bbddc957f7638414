//! A forest in integers: ranks for features, whole numbers of a scale for leaves.
//!
//! A tree reads a feature only through comparisons with thresholds. So the feature is replaced by its *rank*, the number of
//! cuts below it: between two cuts no branch tells values apart. `x ≤ t` and `x > t` have the cut `t`, `x < t` and `x ≥ t`
//! the next smaller float. A value that is not a number ranks above all.

use crate::error::NodeError;
use crate::trees::scores::Decision;
use crate::trees::{Aggregate, Forest, Mode, Node, Question, attribute};
use zkonnx_circuits::ops::{TreeEnsemble, TreeNode};

/// Bits of the largest sum of leaves.
const SUM_BITS: i32 = 40;
/// Most cuts of a feature.
const MAX_CUTS: usize = 65_000;

/// The largest float below another one; minus infinity has none.
fn below(t: f32) -> Option<f32> {
    let bits = t.to_bits();
    match t {
        _ if t == f32::NEG_INFINITY => None,
        // Both zeros are above the smallest negative number.
        _ if t == 0.0 => Some(-f32::from_bits(1)),
        _ if t > 0.0 => Some(f32::from_bits(bits - 1)),
        _ => Some(f32::from_bits(bits + 1)),
    }
}

/// The numbers `x` with `above < x ≤ last`, all if there is no bound.
#[derive(Clone, Copy, Debug)]
struct Interval {
    above: Option<f32>,
    last: Option<f32>,
}

impl Question {
    /// The numbers for which it holds, and whether it is those for which it does not.
    fn interval(&self) -> (Interval, bool) {
        let t = self.threshold;
        let upto = |last: Option<f32>| Interval { above: None, last };
        match self.mode {
            Mode::AtMost => (upto(Some(t)), false),
            Mode::Above => (upto(Some(t)), true),
            Mode::Below => (upto(below(t)), false),
            Mode::AtLeast => (upto(below(t)), true),
            Mode::Equal | Mode::Other => {
                let interval = Interval {
                    above: below(t),
                    last: Some(t),
                };
                (interval, self.mode == Mode::Other)
            }
        }
    }
}

/// The zero of two signs as one.
fn canonical(cut: f32) -> f32 {
    if cut == 0.0 { 0.0 } else { cut }
}

/// A forest in integers.
#[derive(Debug)]
pub(crate) struct Ranked {
    pub(crate) trees: TreeEnsemble,
    /// The real of one unit of the sums.
    pub(crate) scale: f32,
    /// Whether every leaf is a whole number of units.
    pub(crate) exact: bool,
}

impl Forest {
    /// For each of `features` features, its cuts, growing.
    ///
    /// # Errors
    ///
    /// Fewer features than are asked for, or too many cuts of one.
    pub(crate) fn cuts(&self, features: usize) -> Result<Vec<Vec<f32>>, NodeError> {
        if features < self.features {
            return Err(NodeError::Input {
                input: 0,
                what: "x",
                reason: "it has fewer features than the trees ask for",
            });
        }
        let mut cuts: Vec<Vec<f32>> = vec![Vec::new(); features];
        for node in &self.nodes {
            if let Node::Branch { question, .. } = node {
                let (interval, _) = question.interval();
                let bounds = [interval.above, interval.last].into_iter().flatten();
                cuts[question.feature].extend(bounds.map(canonical));
            }
        }
        for cuts in &mut cuts {
            cuts.sort_by(f32::total_cmp);
            cuts.dedup();
            if cuts.len() > MAX_CUTS {
                return Err(attribute(
                    "nodes_values",
                    "a feature has more than 65000 thresholds",
                ));
            }
        }
        Ok(cuts)
    }

    /// The forest on ranks, for features with these cuts; what a classifier decides by comes first.
    ///
    /// # Errors
    ///
    /// Leaves that are not added up, or questions about missing values that no pair of bounds says.
    pub(crate) fn ranked(&self, cuts: &[Vec<f32>]) -> Result<Ranked, NodeError> {
        if !self.adds() {
            let reason = "only SUM and AVERAGE are proved";
            return Err(attribute("aggregate_function", reason));
        }
        let decision = match &self.classes {
            None => None,
            Some(_) => Some(self.decision()?),
        };
        // Where the sum of each target stands, and what the sums start from.
        let (places, mut starts) = match decision {
            None | Some(Decision::Largest) => {
                let starts: Vec<f32> = (0..self.targets)
                    .map(|target| self.base_of(target))
                    .collect();
                ((0..self.targets).map(Some).collect(), starts)
            }
            Some(Decision::Single { of, threshold, .. }) => {
                let place = |target: usize| (target == of).then_some(1);
                (
                    (0..2).map(place).collect(),
                    vec![threshold, self.base_of(of)],
                )
            }
            Some(Decision::Second) => (vec![Some(1), Some(2)], vec![0.0; 3]),
        };
        if self.aggregate == Aggregate::Average {
            // It is added once the sums have been divided.
            starts.iter_mut().for_each(|start| *start = 0.0);
        }
        let places: Vec<Option<usize>> = places;
        let scale = self.scale(&starts);
        let mut exact = true;
        let mut whole = |value: f32| {
            let units = f64::from(value) / f64::from(scale);
            exact &= units == units.round_ties_even();
            units.round_ties_even() as i64
        };
        let base = starts.iter().map(|start| whole(*start)).collect();
        let mut trees = Vec::with_capacity(self.roots.len());
        for root in &self.roots {
            let mut nodes = Vec::new();
            let mut stack = vec![*root];
            while let Some(at) = stack.pop() {
                match &self.nodes[at] {
                    Node::Leaf(values) => {
                        let of = values.iter();
                        let of = of.filter_map(|(target, v)| Some((places[*target]?, whole(*v))));
                        nodes.push(TreeNode::Leaf(of.collect()));
                    }
                    Node::Branch { question, yes, no } => {
                        let (node, turned) = branch(question, &cuts[question.feature])?;
                        nodes.push(node);
                        let (first, second) = if turned { (*yes, *no) } else { (*no, *yes) };
                        // In preorder: what stands behind the answer no of the integer question comes first.
                        stack.extend([second, first]);
                    }
                }
            }
            trees.push(nodes);
        }
        let trees = TreeEnsemble::new(cuts.len().max(1), base, trees)?;
        Ok(Ranked {
            trees,
            scale,
            exact,
        })
    }

    /// The largest power of two of which all leaves are multiples, if the sums have at most 40 bits in it; else that in
    /// which they have so many.
    fn scale(&self, starts: &[f32]) -> f32 {
        let mut largest = vec![0f64; self.targets];
        let mut finest = 0;
        let mut note = |value: f32| {
            if value != 0.0 {
                // The value is a whole number of 2^exponent.
                let bits = value.to_bits();
                let (biased, mantissa) = ((bits >> 23 & 0xff) as i32, bits & 0x7f_ffff);
                let (whole, exponent) = match biased {
                    0 => (mantissa, -149),
                    _ => (mantissa | 0x80_0000, biased - 150),
                };
                finest = finest.min(exponent + whole.trailing_zeros() as i32);
            }
        };
        starts.iter().for_each(|start| note(*start));
        for root in &self.roots {
            let mut of_tree = vec![0f64; self.targets];
            let mut stack = vec![*root];
            while let Some(at) = stack.pop() {
                match &self.nodes[at] {
                    Node::Branch { yes, no, .. } => stack.extend([*yes, *no]),
                    Node::Leaf(values) => {
                        for &(target, value) in values {
                            note(value);
                            of_tree[target] = of_tree[target].max(f64::from(value.abs()));
                        }
                    }
                }
            }
            largest
                .iter_mut()
                .zip(of_tree)
                .for_each(|(sum, of)| *sum += of);
        }
        let starts = starts
            .iter()
            .fold(0f64, |most, v| most.max(f64::from(v.abs())));
        let most = largest.iter().fold(starts, |most, v| most.max(*v + starts));
        // The exponent of the first power of two above the sums, found without a logarithm.
        let bits = most.to_bits();
        let top = ((bits >> 52 & 0x7ff) as i32) - 1022;
        let exponent = finest.max(top - SUM_BITS).clamp(-120, 100);
        f32::from_bits(((exponent + 127) as u32) << 23)
    }
}

/// A question about a rank, and whether it is the opposite of the one about the feature.
fn branch(question: &Question, cuts: &[f32]) -> Result<(TreeNode, bool), NodeError> {
    let (interval, turned) = question.interval();
    // How many cuts are not above a bound: `x > bound` says that the rank is at least that.
    let place = |bound: f32| {
        let bound = canonical(bound);
        cuts.partition_point(|cut| *cut <= bound) as i64
    };
    // Ranks of numbers go from 0 to the number of cuts.
    let top = cuts.len() as i64;
    // Numbers for which the interval's question holds, as `above < rank ≤ last`.
    let above = interval.above.map_or(-1, |bound| place(bound) - 1);
    let last = match interval.last {
        Some(bound) => place(bound) - 1,
        // Nothing is below minus infinity.
        None => -1,
    };
    // Whether a missing value belongs to the numbers of the interval.
    let holds_for_missing = question.missing || question.mode == Mode::Other;
    let inside = holds_for_missing != turned;
    let feature = question.feature;
    match interval.above {
        // `rank ≤ last`: the opposite of `rank > last`, to which missing values belong or not.
        None => {
            let node = TreeNode::Branch {
                feature,
                above: last,
                last: if inside { Some(top) } else { None },
            };
            Ok((node, !turned))
        }
        Some(_) if inside => {
            let reason = "a test for equality that a missing value passes is not proved";
            Err(attribute("nodes_missing_value_tracks_true", reason))
        }
        Some(_) => Ok((
            TreeNode::Branch {
                feature,
                above,
                last: Some(last),
            },
            turned,
        )),
    }
}
