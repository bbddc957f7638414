//! `tree_ensemble`: sums of the leaves that decision trees choose.
//!
//! The last axis holds the features `x_f` of a row. A branch asks whether `c < x_f ≤ d` for constants `c` and `d`, of
//! which the second may be left out; a row's path through a tree ends at one leaf, which has an integer for each target.
//! `y_k = b_k + Σ_trees leaf_k`.
//!
//! # Circuit
//!
//! | cell        | equation                                    | block               |
//! | ----------- | ------------------------------------------- | ------------------- |
//! | `t_{f,c}`   | 1 if `x_f − c > 0`, otherwise 0             | step of two pieces  |
//! | `I_yes`     | 1 if `I_n + t_{f,c} − t_{f,d} − 1 > 0`, otherwise 0 | step of two pieces |
//!
//! `I_n` tells whether the path goes through node `n`: it is 1 at the root, `I_yes` where the branch's question holds,
//! and the linear form `I_n − I_yes`, which costs nothing, where it does not. A comparison that several branches make is
//! one cell, and that at the root is `I_yes` itself. The result is the linear form `b_k + Σ leaf_k · I_leaf`.
//!
//! **Assumes** nothing but the bounds of the cells `x_f`. **Guarantees** one `y` for each row: the steps force every
//! `t`, and from the root on `I_n` is 0 or 1 and is handed to exactly one of the two nodes below. **Needs** both steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{bounded, check_size, only, reach};
use crate::lower::{Explicit, LowerError, Lowering, StepRule, Wire, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Tensor, elements,
};

pub(super) const ID: OpId = super::id("tree_ensemble");
const NAME: &str = ID.name;

/// Most nodes of all trees.
pub const MAX_TREE_NODES: usize = 1 << 20;
/// Deepest leaf.
pub const MAX_TREE_DEPTH: usize = 64;
/// Most targets, and most features.
const MAX_EXTENT: usize = 1 << 12;
/// Most elements of a batch of rows.
const MAX_ROWS: usize = 1 << 10;
/// Bound on the values of leaves, and on what is added to their sums.
const MAX_VALUE: u64 = 1 << 40;
/// Widest range of the features.
const MAX_WIDTH: u64 = 1 << 32;

/// A node of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeNode {
    /// Whether `above < x[feature]`, and `x[feature] ≤ last` if that is given.
    Branch {
        /// The feature.
        feature: usize,
        /// The largest integer below those that the question holds for.
        above: i64,
        /// The last integer that it holds for, more than `above`.
        last: Option<i64>,
    },
    /// What the tree adds to some targets, each once, by growing target.
    Leaf(Vec<(usize, i64)>),
}

/// Nodes in preorder: a branch, the nodes behind it where its question is answered by no, those where it is by yes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tree {
    nodes: Vec<TreeNode>,
    /// For each branch, the first node where its question is answered by yes.
    yes: Vec<usize>,
    depth: Vec<usize>,
}

impl Tree {
    /// `None` if the nodes are not one tree, or one that is too deep.
    fn new(nodes: Vec<TreeNode>) -> Option<Self> {
        let (mut yes, mut depth) = (vec![0; nodes.len()], vec![0; nodes.len()]);
        // The branches whose second part is to come, and the depth of the next node.
        let mut open: Vec<usize> = Vec::new();
        let mut below = 0;
        for (i, node) in nodes.iter().enumerate() {
            depth[i] = below;
            match node {
                TreeNode::Branch { .. } => {
                    open.push(i);
                    below += 1;
                    if below > MAX_TREE_DEPTH {
                        return None;
                    }
                }
                TreeNode::Leaf(_) => match open.pop() {
                    Some(branch) => {
                        yes[branch] = i + 1;
                        below = depth[branch] + 1;
                    }
                    None if i + 1 == nodes.len() => return Some(Self { nodes, yes, depth }),
                    None => return None,
                },
            }
        }
        None
    }

    /// The leaf that a row ends at.
    fn leaf(&self, row: &[i64]) -> &[(usize, i64)] {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                TreeNode::Leaf(values) => return values,
                TreeNode::Branch {
                    feature,
                    above,
                    last,
                } => {
                    let x = row[*feature];
                    let holds = x > *above && last.is_none_or(|last| x <= last);
                    at = if holds { self.yes[at] } else { at + 1 };
                }
            }
        }
    }
}

/// Decision trees whose leaves are added up; the result has type `i64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEnsemble {
    features: usize,
    /// What the sums start from, one for each target.
    base: Vec<i64>,
    trees: Vec<Tree>,
}

fn parameter(parameter: &'static str) -> OpError {
    OpError::Parameter {
        op: NAME,
        parameter,
    }
}

impl TreeEnsemble {
    /// Trees over so many features. The nodes of each are in preorder: a branch, those behind it where its question does
    /// not hold, then those where it does. `base` is what the sums of the targets start from.
    ///
    /// # Errors
    ///
    /// Nodes that are not one tree, or deeper than [`MAX_TREE_DEPTH`]; more than [`MAX_TREE_NODES`]; features, targets
    /// or values out of range.
    pub fn new(
        features: usize,
        base: Vec<i64>,
        trees: Vec<Vec<TreeNode>>,
    ) -> Result<Self, OpError> {
        let large = |v: i64| v.unsigned_abs() > MAX_VALUE;
        if !(1..=MAX_EXTENT).contains(&features) || !(1..=MAX_EXTENT).contains(&base.len()) {
            return Err(parameter("the number of features or targets"));
        }
        let nodes: usize = trees.iter().map(Vec::len).sum();
        if trees.is_empty() || nodes > MAX_TREE_NODES {
            return Err(parameter("the number of nodes"));
        }
        if base.iter().any(|v| large(*v)) {
            return Err(parameter("a base value"));
        }
        for node in trees.iter().flatten() {
            match node {
                TreeNode::Branch {
                    feature,
                    above,
                    last,
                } => {
                    let wrong = last.is_some_and(|last| last <= *above || large(last));
                    if *feature >= features || large(*above) || wrong {
                        return Err(parameter("a branch"));
                    }
                }
                TreeNode::Leaf(values) => {
                    let wrong = |(target, v): &(usize, i64)| *target >= base.len() || large(*v);
                    let grow = values.windows(2).all(|pair| pair[0].0 < pair[1].0);
                    if !grow || values.iter().any(wrong) {
                        return Err(parameter("a leaf"));
                    }
                }
            }
        }
        let trees: Option<Vec<Tree>> = trees.into_iter().map(Tree::new).collect();
        let trees = trees.ok_or(parameter("a tree"))?;
        Ok(Self {
            features,
            base,
            trees,
        })
    }

    /// Features (count), base values (`ints`), then the trees, each a count of nodes and the nodes: 0, feature (count),
    /// above (i64), whether there is a last integer (flag) and which (i64); or 1 and a count of targets (count) with
    /// their values (i64).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let (features, base) = (reader.count()?, reader.ints()?);
        let count = reader.count_of(4)?;
        let mut trees = Vec::with_capacity(count);
        for _ in 0..count {
            let count = reader.count_of(5)?;
            let mut nodes = Vec::with_capacity(count);
            for _ in 0..count {
                nodes.push(match reader.flag()? {
                    false => TreeNode::Branch {
                        feature: reader.count()?,
                        above: reader.i64()?,
                        last: match reader.flag()? {
                            false => None,
                            true => Some(reader.i64()?),
                        },
                    },
                    true => {
                        let count = reader.count_of(12)?;
                        let value = |_| Ok((reader.count()?, reader.i64()?));
                        let values = (0..count).map(value);
                        TreeNode::Leaf(values.collect::<Result<_, DecodeError>>()?)
                    }
                });
            }
            trees.push(nodes);
        }
        Ok(Arc::new(Self::new(features, base, trees)?))
    }

    /// The shape of the result.
    fn shape(&self, x: &[usize]) -> Result<Vec<usize>, OpError> {
        let rows = x.split_last().filter(|(last, _)| **last == self.features);
        let lead = rows.map(|(_, lead)| lead);
        let lead = lead.filter(|lead| elements(lead) <= MAX_ROWS);
        let lead = lead.ok_or(OpError::Shape {
            op: NAME,
            expected: "rows of as many features as the trees were made for, at most 1,024 of them",
            got: x.to_vec(),
        })?;
        let shape = [lead, &[self.base.len()]].concat();
        check_size(NAME, &shape)?;
        Ok(shape)
    }

    /// What features are compared with, each comparison once, and its number.
    fn comparisons(&self) -> BTreeMap<(usize, i64), usize> {
        let mut comparisons = BTreeMap::new();
        for node in self.trees.iter().flat_map(|tree| &tree.nodes) {
            if let TreeNode::Branch {
                feature,
                above,
                last,
            } = node
            {
                for cut in [Some(*above), *last].into_iter().flatten() {
                    comparisons.insert((*feature, cut), 0);
                }
            }
        }
        let numbers = comparisons.values_mut().enumerate();
        numbers.for_each(|(number, of)| *of = number);
        comparisons
    }
}

/// Terms and constant of a linear form.
type Form = (Vec<(usize, i64)>, i64);

/// A sum of cells, each 0 or 1, and a constant, that is 0 or 1.
#[derive(Clone, Debug)]
struct Indicator {
    /// By place among all cells.
    cells: Vec<(usize, i64)>,
    constant: i64,
}

impl Indicator {
    fn of(cell: usize) -> Self {
        Self {
            cells: vec![(cell, 1)],
            constant: 0,
        }
    }

    fn without(mut self, cell: usize) -> Self {
        self.cells.push((cell, -1));
        self
    }
}

/// A node that the equations have reached.
struct Reached {
    row: usize,
    tree: usize,
    node: usize,
    path: Indicator,
}

impl Operator for TreeEnsemble {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        if x.range.span() >= MAX_WIDTH {
            return Err(OpError::Type {
                op: NAME,
                got: x.dtype,
            });
        }
        let mut bounds: Vec<(i128, i128)> = self.base.iter().map(|b| (*b, *b)).map(wide).collect();
        for tree in &self.trees {
            let mut of_tree: Vec<Option<(i64, i64)>> = vec![None; bounds.len()];
            let mut leaves = 0usize;
            let mut named = vec![0usize; bounds.len()];
            for node in &tree.nodes {
                let TreeNode::Leaf(values) = node else {
                    continue;
                };
                leaves += 1;
                for &(target, v) in values {
                    let (lo, hi) = of_tree[target].unwrap_or((v, v));
                    of_tree[target] = Some((lo.min(v), hi.max(v)));
                    named[target] += 1;
                }
            }
            for ((bounds, of), named) in bounds.iter_mut().zip(of_tree).zip(named) {
                let Some((lo, hi)) = of else { continue };
                // A leaf that does not name a target adds nothing to it.
                let zero = named < leaves;
                let (lo, hi) = wide(if zero {
                    (lo.min(0), hi.max(0))
                } else {
                    (lo, hi)
                });
                bounds.0 += lo;
                bounds.1 += hi;
            }
        }
        let lo = bounds.iter().map(|b| b.0).min().unwrap_or(0);
        let hi = bounds.iter().map(|b| b.1).max().unwrap_or(0);
        Ok(vec![bounded(NAME, DataType::I64, shape, lo, hi)?])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let shape = self.shape(&x.shape)?;
        let mut data = Vec::with_capacity(elements(&shape));
        for row in x.data.chunks(self.features) {
            let first = data.len();
            data.extend(&self.base);
            for tree in &self.trees {
                for &(target, v) in tree.leaf(row) {
                    data[first + target] += v;
                }
            }
        }
        Ok(vec![Tensor::new(DataType::I64, shape, data)])
    }

    fn describe(&self) -> String {
        let nodes: usize = self.trees.iter().map(|tree| tree.nodes.len()).sum();
        format!("{} trees of {nodes} nodes", self.trees.len())
    }

    fn encode(&self, out: &mut Encoder) {
        out.count(self.features);
        out.ints(&self.base);
        out.count(self.trees.len());
        for tree in &self.trees {
            out.count(tree.nodes.len());
            for node in &tree.nodes {
                match node {
                    TreeNode::Branch {
                        feature,
                        above,
                        last,
                    } => {
                        out.flag(false);
                        out.count(*feature);
                        out.i64(*above);
                        out.flag(last.is_some());
                        last.iter().for_each(|last| out.i64(*last));
                    }
                    TreeNode::Leaf(values) => {
                        out.flag(true);
                        out.count(values.len());
                        for &(target, v) in values {
                            out.count(target);
                            out.i64(v);
                        }
                    }
                }
            }
        }
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        _: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let x = &inputs[0];
        let comparisons = self.comparisons();
        let rows = x.len() / self.features;
        let compare = |row: usize| {
            let forms = comparisons.keys();
            forms.map(move |(feature, cut)| (vec![(row * self.features + feature, 1)], -cut))
        };
        let mut cells = steps(cx, x, (0..rows).flat_map(compare).collect())?;
        let truth = |row: usize, feature: usize, cut: i64| {
            let number = comparisons.get(&(feature, cut)).copied();
            row * comparisons.len() + number.unwrap_or(0)
        };

        let mut sums: Vec<BTreeMap<usize, i64>> = vec![BTreeMap::new(); rows * self.base.len()];
        let mut constants: Vec<i64> = (0..rows).flat_map(|_| self.base.iter().copied()).collect();
        let mut level: Vec<Reached> = Vec::with_capacity(rows * self.trees.len());
        for row in 0..rows {
            level.extend((0..self.trees.len()).map(|tree| Reached {
                row,
                tree,
                node: 0,
                path: Indicator {
                    cells: Vec::new(),
                    constant: 1,
                },
            }));
        }
        while !level.is_empty() {
            // The paths on which a branch's question is answered by yes.
            let (mut forms, mut branches) = (Vec::new(), Vec::new());
            for reached in level {
                match &self.trees[reached.tree].nodes[reached.node] {
                    TreeNode::Leaf(values) => {
                        for &(target, v) in values {
                            let place = reached.row * self.base.len() + target;
                            constants[place] += v * reached.path.constant;
                            for &(cell, factor) in &reached.path.cells {
                                *sums[place].entry(cell).or_default() += v * factor;
                            }
                        }
                    }
                    TreeNode::Branch {
                        feature,
                        above,
                        last,
                    } => {
                        let above = truth(reached.row, *feature, *above);
                        let yes = match last {
                            None if reached.path.cells.is_empty() => above,
                            _ => {
                                let last = last.map(|last| truth(reached.row, *feature, last));
                                let own = last.map(|last| (last, -1));
                                let own = [(above, 1)].into_iter().chain(own);
                                let mut both: BTreeMap<usize, i64> = BTreeMap::new();
                                for (cell, factor) in own.chain(reached.path.cells.iter().copied())
                                {
                                    *both.entry(cell).or_default() += factor;
                                }
                                let form = (both.into_iter().collect(), reached.path.constant - 1);
                                forms.push(form);
                                cells.len() + forms.len() - 1
                            }
                        };
                        branches.push((reached, yes));
                    }
                }
            }
            let made = steps(cx, &cells, forms)?;
            cells.extend(made);
            level = Vec::with_capacity(2 * branches.len());
            for (reached, yes) in branches {
                let Reached {
                    row,
                    tree,
                    node,
                    path,
                } = reached;
                let after = self.trees[tree].yes[node];
                level.extend([
                    Reached {
                        row,
                        tree,
                        node: node + 1,
                        path: path.without(yes),
                    },
                    Reached {
                        row,
                        tree,
                        node: after,
                        path: Indicator::of(yes),
                    },
                ]);
            }
        }
        let forms = sums.into_iter().zip(constants);
        let forms = Explicit {
            grid: vec![rows, self.base.len()],
            forms: forms
                .map(|(terms, constant)| {
                    (terms.into_iter().filter(|t| t.1 != 0).collect(), constant)
                })
                .collect(),
        };
        Ok(vec![cx.linear(NAME, &cells, Arc::new(forms))?])
    }
}

fn wide((lo, hi): (i64, i64)) -> (i128, i128) {
    (i128::from(lo), i128::from(hi))
}

/// For each form, a cell that is 1 where it is positive, otherwise 0; a constant where nothing is left of the form, as
/// where a path asks the same twice.
fn steps(cx: &mut Lowering, of: &[Wire], forms: Vec<Form>) -> Result<Wires, LowerError> {
    let mut out = vec![Wire::Const(0); forms.len()];
    let (mut places, mut left) = (Vec::new(), Vec::new());
    for (place, (mut terms, constant)) in forms.into_iter().enumerate() {
        terms.retain(|&(_, factor)| factor != 0);
        if terms.is_empty() {
            out[place] = Wire::Const(i64::from(constant > 0));
        } else {
            places.push(place);
            left.push((terms, constant));
        }
    }
    if left.is_empty() {
        return Ok(out);
    }
    let grid = vec![left.len()];
    let sums = cx.linear(NAME, of, Arc::new(Explicit { grid, forms: left }))?;
    let rule = StepRule::monotone(reach(cx, NAME, &sums)?, None, |v| i64::from(v > 0));
    let made = cx.steps(&sums, vec![Arc::new(rule)], |_| 0)?;
    for (place, wire) in places.into_iter().zip(made) {
        out[place] = wire;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Range;
    use crate::testing::{Rng, check_operator, mutate_operator};

    fn branch(feature: usize, above: i64) -> TreeNode {
        between(feature, above, None)
    }

    fn between(feature: usize, above: i64, last: Option<i64>) -> TreeNode {
        TreeNode::Branch {
            feature,
            above,
            last,
        }
    }

    fn leaf(values: &[(usize, i64)]) -> TreeNode {
        TreeNode::Leaf(values.to_vec())
    }

    fn ranks(shape: &[usize], hi: i64) -> Fact {
        Fact {
            dtype: DataType::U8,
            shape: shape.to_vec(),
            range: Range::new(0, hi),
        }
    }

    /// A tree of random questions, of at most so many levels.
    fn random(rng: &mut Rng, features: usize, targets: usize, levels: usize) -> Vec<TreeNode> {
        if levels == 0 || rng.within(0, 5) == 0 {
            let target = rng.within(0, targets as i64 - 1) as usize;
            return vec![leaf(&[(target, rng.within(-1 << 30, 1 << 30))])];
        }
        let feature = rng.within(0, features as i64 - 1) as usize;
        let above = rng.within(-1, 9);
        let last = (rng.within(0, 2) == 0).then(|| above + rng.within(1, 4));
        let mut nodes = vec![between(feature, above, last)];
        nodes.extend(random(rng, features, targets, levels - 1));
        nodes.extend(random(rng, features, targets, levels - 1));
        nodes
    }

    fn example() -> TreeEnsemble {
        let first = vec![
            branch(0, 3),
            leaf(&[(0, 10)]),
            branch(1, 5),
            leaf(&[(1, -7)]),
            leaf(&[(0, 1), (1, 2)]),
        ];
        TreeEnsemble::new(2, vec![100, 200], vec![first, vec![leaf(&[(1, 1000)])]]).unwrap()
    }

    #[test]
    fn accepts_the_leaf_of_each_path() {
        let x = Tensor::new(DataType::U8, vec![3, 2], vec![3, 9, 4, 5, 4, 6]);
        let y = &example().eval(&[&x]).unwrap()[0];
        assert_eq!(y.shape, [3, 2]);
        assert_eq!(y.data, [110, 1200, 100, 1193, 101, 1202]);
        let fact = &example().facts(&[&ranks(&[3, 2], 9)]).unwrap()[0];
        assert_eq!(fact.range, Range::new(100, 1202));
    }

    #[test]
    fn accepts_questions_of_two_sides() {
        let nodes = vec![between(0, 2, Some(4)), leaf(&[(0, 1)]), leaf(&[(0, 7)])];
        let op = TreeEnsemble::new(1, vec![0], vec![nodes]).unwrap();
        let x = Tensor::new(DataType::U8, vec![5, 1], vec![2, 3, 4, 5, 0]);
        assert_eq!(op.eval(&[&x]).unwrap()[0].data, [1, 7, 7, 1, 1]);
    }

    #[test]
    fn accepts_random_trees_and_no_lie() {
        let mut rng = Rng(11);
        for (rows, hi) in [(1, 9), (2, 9), (1, 1), (1, 255)] {
            let trees = (0..4).map(|levels| random(&mut rng, 3, 2, levels + 1));
            let op = TreeEnsemble::new(3, vec![5, -6], trees.collect()).unwrap();
            let facts = [ranks(&[rows, 3], hi)];
            check_operator(&op, &facts, TreeEnsemble::decode, 30);
            let score = mutate_operator(Arc::new(op), &facts, 2);
            assert!(score.survivors.is_empty(), "{:?}", score.survivors);
        }
    }

    #[test]
    fn rejects_nodes_that_are_no_tree() {
        let make = |nodes| TreeEnsemble::new(2, vec![0], vec![nodes]);
        let wrong = |what| Err(parameter(what));
        let l = || leaf(&[(0, 1)]);
        for nodes in [
            vec![],
            vec![branch(0, 1), l()],
            vec![l(), l()],
            vec![branch(0, 1), l(), l(), l()],
            vec![branch(0, 1), branch(1, 1), l(), l()],
        ] {
            assert_eq!(make(nodes), wrong("a tree"));
        }
        let deep = (0..MAX_TREE_DEPTH + 1).flat_map(|_| [branch(0, 1), l()]);
        assert_eq!(make(deep.chain([l()]).collect()), wrong("a tree"));
        let deep = (0..MAX_TREE_DEPTH).flat_map(|_| [branch(0, 1), l()]);
        assert!(make(deep.chain([l()]).collect()).is_ok());
        assert_eq!(make(vec![branch(2, 1), l(), l()]), wrong("a branch"));
        let nodes = vec![between(1, 1, Some(0)), l(), l()];
        assert_eq!(make(nodes), wrong("a branch"));
        assert_eq!(make(vec![leaf(&[(1, 1)])]), wrong("a leaf"));
        assert_eq!(make(vec![leaf(&[(0, 1), (0, 2)])]), wrong("a leaf"));
        assert_eq!(make(vec![leaf(&[(0, 1 << 41)])]), wrong("a leaf"));
        assert!(TreeEnsemble::new(0, vec![0], vec![vec![l()]]).is_err());
        assert!(TreeEnsemble::new(1, vec![], vec![vec![l()]]).is_err());
        assert!(TreeEnsemble::new(1, vec![0], vec![]).is_err());
        assert!(TreeEnsemble::new(1, vec![1 << 41], vec![vec![l()]]).is_err());
    }

    #[test]
    fn rejects_rows_of_other_features_and_wide_ones() {
        let op = example();
        for shape in [&[3][..], &[2, 3], &[]] {
            assert!(op.facts(&[&ranks(shape, 9)]).is_err());
        }
        assert!(op.facts(&[&Fact::any(DataType::I64, vec![1, 2])]).is_err());
        assert!(op.facts(&[&ranks(&[1025, 2], 9)]).is_err());
    }
}
