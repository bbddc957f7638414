//! Nodes of old opsets in the form of later ones.
//!
//! Files from opset 6 on are read; what is below 10 is rewritten to 10, whose forms the import knows. `quantize` writes
//! files of opset 13 at least, the first in which scales may follow an axis, and takes everything to that.

use crate::error::NodeError;
use crate::graph::{Attribute, AttributeValue, Draft, Made, Node, NodeView, ValueId};

/// What a node becomes in an opset: the same node again, or others.
pub(crate) fn upgraded(
    draft: Draft<'_>,
    node: &Node,
    target: i64,
    rule: Option<(i64, Rule)>,
) -> Result<Made, NodeError> {
    let mut upgrade = Upgrade {
        view: NodeView::new(draft.graph(), node),
        draft,
        node: node.clone(),
    };
    let results = match rule {
        Some((version, rule)) if node.opset < version && target >= version => rule(&mut upgrade)?,
        _ => None,
    };
    let Upgrade {
        draft, mut node, ..
    } = upgrade;
    match results {
        Some(results) => Ok(draft.finish(&results, &node.outputs)),
        None => {
            node.opset = target;
            let mut made = draft.finish(&[], &[]);
            made.nodes.push(node);
            Ok(made)
        }
    }
}

/// The results of what replaces a node, or nothing if the node itself was changed.
pub(crate) type Upgraded = Result<Option<Vec<Option<ValueId>>>, NodeError>;

/// From a node of an old opset to one of a later opset.
pub(crate) type Rule = fn(&mut Upgrade<'_, '_>) -> Upgraded;

/// A node that is taken to a later opset.
pub(crate) struct Upgrade<'g, 'n> {
    view: NodeView<'n>,
    draft: Draft<'g>,
    /// The node as it becomes.
    node: Node,
}

impl Upgrade<'_, '_> {
    /// The name of a node becomes another one.
    pub(crate) fn scatter(&mut self) -> Upgraded {
        self.node.op = "ScatterElements".into();
        Ok(None)
    }

    /// Without the flag that allowed for broadcasting.
    pub(crate) fn gemm(&mut self) -> Upgraded {
        self.drop("broadcast");
        Ok(None)
    }

    pub(crate) fn batch_normalization(&mut self) -> Upgraded {
        if !self.view.flag("spatial", true)? {
            return Err(NodeError::Attribute {
                name: "spatial",
                reason: "statistics for each element are not supported",
            });
        }
        self.drop("spatial");
        self.drop("is_test");
        Ok(None)
    }

    pub(crate) fn top_k(&mut self) -> Upgraded {
        let k = self.view.int("k", 0)?;
        self.push_ints(&[k]);
        self.drop("k");
        Ok(None)
    }

    pub(crate) fn dropout(&mut self) -> Upgraded {
        self.drop("is_test");
        let ratio = self.view.float("ratio", 0.5)?;
        let ratio = self.draft.scalar(ratio);
        self.node.inputs.push(Some(ratio));
        self.drop("ratio");
        Ok(None)
    }

    pub(crate) fn split(&mut self) -> Upgraded {
        if let Some(parts) = self.view.maybe_ints("split")? {
            self.push_ints(parts);
            self.drop("split");
        }
        Ok(None)
    }

    fn drop(&mut self, name: &str) {
        self.node.attributes.retain(|a| a.name != name);
    }

    fn push_ints(&mut self, values: &[i64]) {
        let values = self.draft.ints(values);
        self.node.inputs.push(Some(values));
    }

    fn rank(&self, input: usize) -> Result<usize, NodeError> {
        let shape = self.view.shape(input);
        shape.map(|shape| shape.len()).ok_or(NodeError::Input {
            input,
            what: "the operand",
            reason: "its shape is not known, which this opset needs",
        })
    }

    /// The second operand, whose first axis stood at `axis` of the first operand: with axes of one after it.
    pub(crate) fn aligned(&mut self) -> Upgraded {
        let (broadcast, axis) = (
            self.view.flag("broadcast", false)?,
            self.view.maybe_int("axis")?,
        );
        self.drop("broadcast");
        self.drop("axis");
        let (true, Some(axis)) = (broadcast, axis) else {
            return Ok(None);
        };
        let (a, b) = (self.rank(0)?, self.rank(1)?);
        let axis = self.view.axis("axis", axis, a)?;
        let after = a.checked_sub(axis + b).ok_or(NodeError::Attribute {
            name: "axis",
            reason: "the second operand does not fit behind it",
        })?;
        self.widen(1, after);
        Ok(None)
    }

    /// Slopes of PRelu: one, or one for each channel.
    pub(crate) fn slopes(&mut self) -> Upgraded {
        if self
            .view
            .shape(1)
            .is_some_and(|shape| shape.len() == 1 && shape[0] > 1)
        {
            let after = self.rank(0)?.saturating_sub(2);
            self.widen(1, after);
        }
        Ok(None)
    }

    /// Appends axes of one to an input.
    fn widen(&mut self, input: usize, count: usize) {
        let (Some(value), Some(shape)) = (self.view.input(input), self.view.shape(input)) else {
            return;
        };
        if count > 0 {
            let shape = [shape.as_slice(), &vec![1; count]].concat();
            self.node.inputs[input] = Some(self.draft.reshape(value, &shape));
        }
    }

    /// `Upsample`, and the `Resize` of opset 10: elements are those at `place / scale`, rounded up along axes that shrink
    /// and down along others, so that it takes two of the later forms where both occur.
    pub(crate) fn resize(&mut self) -> Upgraded {
        let (Some(x), mode) = (self.view.input(0), self.view.text("mode", "nearest")?) else {
            return Err(missing("x"));
        };
        let mode = if mode == "bilinear" { "linear" } else { mode };
        let own = self.view.maybe_floats("scales")?;
        let given = self.view.input(1);
        let given = given.map(|v| self.draft.graph().constant(v).and_then(|c| c.as_floats()));
        let scales = match (own, given) {
            (Some(scales), None) | (None, Some(Some(scales))) => scales.to_vec(),
            (None, Some(None)) => {
                let what = "the scales";
                return Err(NodeError::NotConstant { input: 1, what });
            }
            _ => return Err(missing("scales")),
        };
        self.view.check_attributes()?;
        let text = |name: &str, value: &str| Attribute {
            name: name.into(),
            value: AttributeValue::Text(value.as_bytes().to_vec()),
        };
        if self.draft.opset() < 11 {
            let scales = self.draft.floats(&[scales.len()], scales);
            let resized = self
                .draft
                .with("Resize", &[x, scales], vec![text("mode", mode)]);
            return Ok(Some(vec![Some(resized)]));
        }
        let mut result = x;
        for (rounding, grows) in [("floor", true), ("ceil", false)] {
            let nearest = mode == "nearest";
            let part = |s: &f32| {
                if nearest && (*s >= 1.0) != grows {
                    1.0
                } else {
                    *s
                }
            };
            let part: Vec<f32> = scales.iter().map(part).collect();
            // Of two kinds of rounding one suffices where no axis needs the other; interpolation knows none.
            let idle =
                part.iter().all(|s| *s == 1.0) && (!grows || scales.iter().any(|s| *s < 1.0));
            if idle || !nearest && !grows {
                continue;
            }
            let part = self.draft.floats(&[part.len()], part);
            let mut attributes = vec![
                text("mode", mode),
                text("coordinate_transformation_mode", "asymmetric"),
            ];
            attributes.extend(nearest.then(|| text("nearest_mode", rounding)));
            let inputs = vec![Some(result), None, Some(part)];
            result = self.draft.node("Resize", inputs, attributes);
        }
        Ok(Some(vec![Some(result)]))
    }

    pub(crate) fn slice(&mut self) -> Upgraded {
        let list = |name| {
            let values = self.view.maybe_ints(name)?;
            values.map(<[i64]>::to_vec).ok_or(missing(name))
        };
        let (starts, ends) = (list("starts")?, list("ends")?);
        let axes = self.view.maybe_ints("axes")?.map(<[i64]>::to_vec);
        for values in [Some(starts), Some(ends), axes].into_iter().flatten() {
            self.push_ints(&values);
        }
        for name in ["starts", "ends", "axes"] {
            self.drop(name);
        }
        Ok(None)
    }

    pub(crate) fn clip(&mut self) -> Upgraded {
        let limits = [self.view.maybe_float("min")?, self.view.maybe_float("max")?];
        for limit in limits {
            let limit = limit.map(|limit| self.draft.scalar(limit));
            self.node.inputs.push(limit);
        }
        while let Some(None) = self.node.inputs.last() {
            self.node.inputs.pop();
        }
        self.drop("min");
        self.drop("max");
        Ok(None)
    }

    pub(crate) fn pad(&mut self) -> Upgraded {
        let pads = self.view.maybe_ints("pads")?.ok_or(missing("pads"))?;
        self.push_ints(pads);
        if let Some(value) = self.view.maybe_float("value")? {
            let value = self.draft.scalar(value);
            self.node.inputs.push(Some(value));
        }
        self.drop("pads");
        self.drop("value");
        Ok(None)
    }

    /// Axes as an input.
    pub(crate) fn axes(&mut self) -> Upgraded {
        if let Some(axes) = self.view.maybe_ints("axes")? {
            self.push_ints(axes);
            self.drop("axes");
        }
        Ok(None)
    }

    /// Before opset 13 these work on a matrix: all axes from one on are its rows.
    pub(crate) fn flattened(&mut self) -> Upgraded {
        let axis = self.view.int("axis", 1)?;
        let rank = self.rank(0)?;
        let axis = self.view.axis("axis", axis, rank)?;
        self.drop("axis");
        let (x, shape) = match (self.view.input(0), self.view.shape(0)) {
            (Some(x), Some(shape)) => (x, shape),
            _ => return Ok(None),
        };
        self.node.attributes.push(Attribute::int("axis", -1));
        if axis + 1 == rank {
            return Ok(None);
        }
        let rows = shape[..axis].iter().product();
        let matrix = self
            .draft
            .reshape(x, &[rows, shape[axis..].iter().product()]);
        let op = self.view.op().to_owned();
        let attributes = self.node.attributes.clone();
        let result = self.draft.with(&op, &[matrix], attributes);
        Ok(Some(vec![Some(self.draft.reshape(result, &shape))]))
    }
}

const fn missing(name: &'static str) -> NodeError {
    let reason = "it is missing";
    NodeError::Attribute { name, reason }
}
