//! The attributes of `TreeEnsembleRegressor` and `TreeEnsembleClassifier`: lists with an entry for each node.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::trees::scores::{Classes, MAX_EXTENT, PostTransform};
use crate::trees::{Aggregate, Forest, Mode, Node, Question, attribute};
use std::collections::HashMap;

use zkonnx_circuits::ops::MAX_TREE_NODES;

/// Names of the lists that say what leaves are worth.
struct Leaves {
    trees: &'static str,
    nodes: &'static str,
    targets: &'static str,
    weights: &'static str,
}

const OF_TARGETS: Leaves = Leaves {
    trees: "target_treeids",
    nodes: "target_nodeids",
    targets: "target_ids",
    weights: "target_weights",
};

const OF_CLASSES: Leaves = Leaves {
    trees: "class_treeids",
    nodes: "class_nodeids",
    targets: "class_ids",
    weights: "class_weights",
};

impl Forest {
    /// What a node's attributes say.
    ///
    /// # Errors
    ///
    /// Lists of different lengths, nodes that are no trees, values that are not finite, forms that are not supported.
    pub(crate) fn read(node: &NodeView<'_>) -> Result<Self, NodeError> {
        match node.op() {
            "TreeEnsemble" => Self::read_five(node),
            op => Self::read_lists(node, op == "TreeEnsembleClassifier"),
        }
    }

    fn read_lists(node: &NodeView<'_>, classifier: bool) -> Result<Self, NodeError> {
        for name in [
            "nodes_values_as_tensor",
            "nodes_hitrates_as_tensor",
            "base_values_as_tensor",
            "target_weights_as_tensor",
            "class_weights_as_tensor",
        ] {
            if node.has_attribute(name) {
                let reason = "values of float64 are not supported; export the trees with float32";
                return Err(attribute(name, reason));
            }
        }
        let classes = classifier.then(|| Classes::read(node)).transpose()?;
        let targets = match &classes {
            Some(classes) => classes.labels.len(),
            None => extent("n_targets", node.int("n_targets", 1)?)?,
        };
        let aggregate = match classifier {
            true => Aggregate::Sum,
            false => match node.text("aggregate_function", "SUM")? {
                "SUM" => Aggregate::Sum,
                "AVERAGE" => Aggregate::Average,
                "MIN" => Aggregate::Min,
                "MAX" => Aggregate::Max,
                _ => {
                    return Err(attribute(
                        "aggregate_function",
                        "it is none of the known ones",
                    ));
                }
            },
        };
        node.maybe_floats("nodes_hitrates")?;
        let (mut nodes, roots, places) = branches(node)?;
        let leaves = if classifier { OF_CLASSES } else { OF_TARGETS };
        worth(node, &leaves, targets, &mut nodes, &places)?;
        let base = node
            .maybe_floats("base_values")?
            .unwrap_or_default()
            .to_vec();
        let fits = base.is_empty() || base.len() == targets || classifier && base.len() == 1;
        if !fits || base.iter().any(|v| !v.is_finite()) {
            let reason = "it is not one finite number for each target";
            return Err(attribute("base_values", reason));
        }
        let mut forest = Self {
            features: 0,
            targets,
            base,
            nodes,
            roots,
            aggregate,
            post: PostTransform::read(node)?,
            classes,
        };
        forest.finish()?;
        Ok(forest)
    }

    /// Checks that the nodes are trees, and counts the features.
    pub(crate) fn finish(&mut self) -> Result<(), NodeError> {
        self.check_nodes()?;
        if self.classes.is_some() {
            return Ok(());
        }
        if self.targets == 1 {
            // ONNX Runtime leaves the only score as it is.
            self.post = PostTransform::None;
        }
        // ONNX Runtime adds no base value to a target that no leaf names.
        let always = self.named_always().iter().all(|always| *always);
        match self.base.is_empty() || always {
            true => Ok(()),
            false => Err(attribute(
                "base_values",
                "a target has no score for some samples",
            )),
        }
    }

    fn check_nodes(&mut self) -> Result<(), NodeError> {
        let wrong = attribute("nodes_truenodeids", "the nodes are not trees");
        let mut seen = vec![false; self.nodes.len()];
        let mut stack = self.roots.clone();
        while let Some(at) = stack.pop() {
            let place = seen.get_mut(at).ok_or_else(|| wrong.clone())?;
            if std::mem::replace(place, true) {
                return Err(wrong.clone());
            }
            match &self.nodes[at] {
                Node::Branch { question, yes, no } => {
                    self.features = self.features.max(question.feature + 1);
                    stack.extend([*yes, *no]);
                }
                Node::Leaf(values) => {
                    if values.iter().any(|(_, v)| !v.is_finite()) {
                        return Err(attribute("target_weights", "one is not a finite number"));
                    }
                }
            }
        }
        match seen.iter().all(|seen| *seen) {
            true => Ok(()),
            false => Err(wrong),
        }
    }
}

/// A number of features or targets.
pub(crate) fn extent(name: &'static str, value: i64) -> Result<usize, NodeError> {
    let extent = usize::try_from(value).ok();
    let extent = extent.filter(|extent| (1..=MAX_EXTENT).contains(extent));
    extent.ok_or(attribute(name, "it is not a number from 1 to 4096"))
}

pub(crate) fn list<'a>(
    node: &NodeView<'a>,
    name: &'static str,
    len: usize,
) -> Result<&'a [i64], NodeError> {
    let list = node.maybe_ints(name)?.unwrap_or_default();
    if list.len() != len {
        return Err(attribute(
            name,
            "it has another length than the list of nodes",
        ));
    }
    Ok(list)
}

/// A question of a branch, once its numbers are known to be sound.
pub(crate) fn question(
    (names, feature): (&'static str, i64),
    mode: Mode,
    (values, threshold): (&'static str, f32),
    missing: bool,
) -> Result<Question, NodeError> {
    let feature = usize::try_from(feature).ok().filter(|f| *f < MAX_EXTENT);
    let feature = feature.ok_or(attribute(names, "a feature is not from 0 to 4095"))?;
    if threshold.is_nan() {
        return Err(attribute(values, "a threshold is not a number"));
    }
    Ok(Question {
        feature,
        mode,
        threshold,
        missing,
    })
}

/// Places of nodes by tree and number.
type Places = HashMap<(i64, i64), usize>;

/// The nodes, with leaves that are worth nothing yet.
fn branches(node: &NodeView<'_>) -> Result<(Vec<Node>, Vec<usize>, Places), NodeError> {
    let trees = node.maybe_ints("nodes_treeids")?.unwrap_or_default();
    let len = trees.len();
    if len == 0 || len > MAX_TREE_NODES {
        return Err(attribute(
            "nodes_treeids",
            "there is no node, or more than 2^20",
        ));
    }
    let numbers = list(node, "nodes_nodeids", len)?;
    let features = list(node, "nodes_featureids", len)?;
    let (yes, no) = (
        list(node, "nodes_truenodeids", len)?,
        list(node, "nodes_falsenodeids", len)?,
    );
    let missing = match node.maybe_ints("nodes_missing_value_tracks_true")? {
        None | Some(&[]) => None,
        Some(_) => Some(list(node, "nodes_missing_value_tracks_true", len)?),
    };
    let modes = node.maybe_texts("nodes_modes")?.unwrap_or_default();
    let values = node.maybe_floats("nodes_values")?.unwrap_or_default();
    if modes.len() != len || values.len() != len {
        let reason = "it has another length than the list of nodes";
        return Err(attribute("nodes_modes", reason));
    }
    let mut places = Places::with_capacity(len);
    for (place, key) in trees
        .iter()
        .copied()
        .zip(numbers.iter().copied())
        .enumerate()
    {
        if places.insert(key, place).is_some() {
            return Err(attribute(
                "nodes_nodeids",
                "a tree has two nodes of one number",
            ));
        }
    }
    let mut nodes = Vec::with_capacity(len);
    let mut behind = vec![false; len];
    for place in 0..len {
        let mode = match modes[place].as_slice() {
            b"LEAF" => {
                nodes.push(Node::Leaf(Vec::new()));
                continue;
            }
            b"BRANCH_LEQ" => Mode::AtMost,
            b"BRANCH_LT" => Mode::Below,
            b"BRANCH_GTE" => Mode::AtLeast,
            b"BRANCH_GT" => Mode::Above,
            b"BRANCH_EQ" => Mode::Equal,
            b"BRANCH_NEQ" => Mode::Other,
            _ => return Err(attribute("nodes_modes", "a mode is none of the known ones")),
        };
        let missing = missing.is_some_and(|missing| missing[place] != 0);
        let question = question(
            ("nodes_featureids", features[place]),
            mode,
            ("nodes_values", values[place]),
            missing,
        )?;
        let mut find = |number: i64| {
            let found = places.get(&(trees[place], number)).copied();
            let found = found.ok_or(attribute("nodes_truenodeids", "a node does not exist"))?;
            behind[found] = true;
            Ok::<_, NodeError>(found)
        };
        nodes.push(Node::Branch {
            question,
            yes: find(yes[place])?,
            no: find(no[place])?,
        });
    }
    // Trees in the order of their first nodes.
    let roots: Vec<usize> = (0..len).filter(|place| !behind[*place]).collect();
    let own: HashMap<i64, usize> = roots.iter().map(|root| (trees[*root], *root)).collect();
    let all: std::collections::HashSet<i64> = trees.iter().copied().collect();
    if own.len() != roots.len() || own.len() != all.len() {
        return Err(attribute("nodes_treeids", "a tree has no root, or several"));
    }
    Ok((nodes, roots, places))
}

/// Gives the leaves what they are worth.
fn worth(
    node: &NodeView<'_>,
    names: &Leaves,
    targets: usize,
    nodes: &mut [Node],
    places: &Places,
) -> Result<(), NodeError> {
    let trees = node.maybe_ints(names.trees)?.unwrap_or_default();
    let len = trees.len();
    let (numbers, ids) = (
        list(node, names.nodes, len)?,
        list(node, names.targets, len)?,
    );
    let weights = node.maybe_floats(names.weights)?.unwrap_or_default();
    if weights.len() != len {
        let reason = "it has another length than the list of nodes";
        return Err(attribute(names.weights, reason));
    }
    for i in 0..len {
        let target = usize::try_from(ids[i]).ok().filter(|t| *t < targets);
        let target = target.ok_or(attribute(names.targets, "a target does not exist"))?;
        let place = places.get(&(trees[i], numbers[i]));
        match place.map(|place| &mut nodes[*place]) {
            Some(Node::Leaf(values)) => values.push((target, weights[i])),
            // ONNX Runtime leaves out what a branch is worth.
            Some(Node::Branch { .. }) => {}
            None => return Err(attribute(names.nodes, "a node does not exist")),
        }
    }
    for node in nodes {
        if let Node::Leaf(values) = node {
            values.sort_by_key(|(target, _)| *target);
            if values.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                let reason = "a leaf names a target twice";
                return Err(attribute(names.targets, reason));
            }
        }
    }
    Ok(())
}
