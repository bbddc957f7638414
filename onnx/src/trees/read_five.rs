//! The attributes of `TreeEnsemble`, opset 5 of `ai.onnx.ml`: leaves stand in lists of their own.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::trees::read::{extent, list, question};
use crate::trees::scores::PostTransform;
use crate::trees::{Aggregate, Forest, Mode, Node, attribute};
use zkonnx_circuits::ops::MAX_TREE_NODES;

impl Forest {
    pub(crate) fn read_five(node: &NodeView<'_>) -> Result<Self, NodeError> {
        let features = node.maybe_ints("nodes_featureids")?.unwrap_or_default();
        let len = features.len();
        let floats = |name: &'static str| -> Result<Vec<f32>, NodeError> {
            let tensor = node.tensor(name)?;
            let tensor = tensor.ok_or(attribute(name, "it is missing"))?;
            let floats = tensor.as_floats().map(<[f32]>::to_vec);
            floats.ok_or(attribute(name, "only float32 is supported"))
        };
        let modes = node.tensor("nodes_modes")?;
        let modes = modes.as_ref().and_then(|modes| modes.as_ints());
        let modes = modes.ok_or(attribute("nodes_modes", "it is not a list of uint8"))?;
        let splits = floats("nodes_splits")?;
        if len > MAX_TREE_NODES || modes.len() != len || splits.len() != len {
            let reason = "it has another length than the list of nodes, or more than 2^20";
            return Err(attribute("nodes_modes", reason));
        }
        if node.has_attribute("membership_values") {
            let reason = "sets of values are not supported; export the trees without them";
            return Err(attribute("membership_values", reason));
        }
        if node.has_attribute("nodes_hitrates") {
            node.tensor("nodes_hitrates")?;
        }
        let (yes, no) = (
            list(node, "nodes_truenodeids", len)?,
            list(node, "nodes_falsenodeids", len)?,
        );
        let (yes_leaf, no_leaf) = (
            list(node, "nodes_trueleafs", len)?,
            list(node, "nodes_falseleafs", len)?,
        );
        let missing = match node.maybe_ints("nodes_missing_value_tracks_true")? {
            None | Some(&[]) => None,
            Some(_) => Some(list(node, "nodes_missing_value_tracks_true", len)?),
        };
        let ids = node.maybe_ints("leaf_targetids")?.unwrap_or_default();
        let weights = floats("leaf_weights")?;
        let targets = extent("n_targets", node.int("n_targets", 1)?)?;
        if weights.len() != ids.len() || ids.is_empty() || ids.len() > MAX_TREE_NODES {
            return Err(attribute(
                "leaf_weights",
                "it has another length than the list of leaves",
            ));
        }
        let mut leaves = Vec::with_capacity(ids.len());
        for (id, weight) in ids.iter().zip(&weights) {
            let target = usize::try_from(*id).ok().filter(|t| *t < targets);
            let target = target.ok_or(attribute("leaf_targetids", "a target does not exist"))?;
            leaves.push(vec![(target, *weight)]);
        }
        let mut nodes = Vec::with_capacity(2 * len + 1);
        for place in 0..len {
            let mode = match modes[place] {
                0 => Mode::AtMost,
                1 => Mode::Below,
                2 => Mode::AtLeast,
                3 => Mode::Above,
                4 => Mode::Equal,
                5 => Mode::Other,
                _ => return Err(attribute("nodes_modes", "a mode is not supported")),
            };
            let missing = missing.is_some_and(|missing| missing[place] != 0);
            nodes.push(Node::Branch {
                question: question(
                    ("nodes_featureids", features[place]),
                    mode,
                    ("nodes_splits", splits[place]),
                    missing,
                )?,
                yes: 0,
                no: 0,
            });
        }
        // A leaf that several branches name is one for each.
        let mut leaf_or_node = |leaf: bool, number: i64| -> Result<usize, NodeError> {
            let number = usize::try_from(number).ok();
            let missing = attribute("nodes_truenodeids", "a node or leaf does not exist");
            match (leaf, number) {
                (false, Some(number)) if number < len => Ok(number),
                (true, Some(number)) if number < leaves.len() => {
                    nodes.push(Node::Leaf(leaves[number].clone()));
                    Ok(nodes.len() - 1)
                }
                _ => Err(missing),
            }
        };
        let mut behind = Vec::with_capacity(len);
        for place in 0..len {
            behind.push((
                leaf_or_node(yes_leaf[place] != 0, yes[place])?,
                leaf_or_node(no_leaf[place] != 0, no[place])?,
            ));
        }
        let roots = node.maybe_ints("tree_roots")?.unwrap_or_default();
        if roots.is_empty() {
            return Err(attribute("tree_roots", "there is no tree"));
        }
        let roots = roots.iter().map(|root| {
            let root = usize::try_from(*root).ok().filter(|root| *root < len);
            root.ok_or(attribute("tree_roots", "a root does not exist"))
        });
        let roots = roots.collect::<Result<Vec<usize>, _>>()?;
        for (node, behind) in nodes.iter_mut().zip(behind) {
            if let Node::Branch { yes, no, .. } = node {
                (*yes, *no) = behind;
            }
        }
        let aggregate = match node.int("aggregate_function", 1)? {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            _ => {
                return Err(attribute(
                    "aggregate_function",
                    "it is none of the known ones",
                ));
            }
        };
        let mut forest = Self {
            features: 0,
            targets,
            base: Vec::new(),
            nodes,
            roots,
            aggregate,
            post: PostTransform::of_number(node.int("post_transform", 0)?)?,
            classes: None,
        };
        forest.finish()?;
        Ok(forest)
    }
}
