//! Nodes of old opsets in the form of later ones.
//!
//! Files from opset 6 on are read; what is below 10 is rewritten to 10, whose forms the import knows. `quantize` writes
//! files of opset 13 at least, the first in which scales may follow an axis, and takes everything to that.

use crate::error::NodeError;
use crate::graph::{Attribute, AttributeValue, Draft, Made, Node, NodeView, STANDARD, ValueId};

/// What a node becomes in an opset: the same node again, or others.
pub(crate) fn upgraded(draft: Draft<'_>, node: &Node, target: i64) -> Result<Made, NodeError> {
    let mut upgrade = Upgrade {
        view: NodeView::new(draft.graph(), node),
        draft,
        node: node.clone(),
    };
    let results = upgrade.results(node.opset, target)?;
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

/// Whether a node has to be looked at.
pub(crate) fn is_old(node: &Node, target: i64) -> bool {
    // The nodes of an inner graph are of the opset that the file gives.
    let holds_graph = ["If", "Loop", "Scan"].contains(&node.op.as_str());
    node.domain == STANDARD && node.opset < target && !holds_graph
}

struct Upgrade<'g, 'n> {
    view: NodeView<'n>,
    draft: Draft<'g>,
    /// The node as it becomes.
    node: Node,
}

impl Upgrade<'_, '_> {
    /// Changes the node, or answers the results of what replaces it.
    fn results(
        &mut self,
        from: i64,
        target: i64,
    ) -> Result<Option<Vec<Option<ValueId>>>, NodeError> {
        let until = |version: i64| from < version && target >= version;
        match self.view.op() {
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "And" | "Or" | "Xor" | "Equal" | "Greater"
            | "Less"
                if until(7) =>
            {
                self.aligned()?;
            }
            "PRelu" if until(7) => self.slopes()?,
            "Gemm" if until(7) => self.drop("broadcast"),
            "BatchNormalization" if until(9) => {
                if !self.view.flag("spatial", true)? {
                    return Err(NodeError::Attribute {
                        name: "spatial",
                        reason: "statistics for each element are not supported",
                    });
                }
                self.drop("spatial");
                self.drop("is_test");
            }
            "Upsample" if until(10) => return self.resize().map(Some),
            "Slice" if until(10) => self.slice()?,
            "TopK" if until(10) => {
                let k = self.view.int("k", 0)?;
                self.push_ints(&[k]);
                self.drop("k");
            }
            _ => {}
        }
        match self.view.op() {
            "Clip" if until(11) => self.clip()?,
            "Pad" if until(11) => self.pad()?,
            "Resize" if until(11) => return self.resize().map(Some),
            "Scatter" if until(11) => self.node.op = "ScatterElements".into(),
            "Dropout" if until(12) => {
                self.drop("is_test");
                let ratio = self.view.float("ratio", 0.5)?;
                let ratio = self.draft.scalar(ratio);
                self.node.inputs.push(Some(ratio));
                self.drop("ratio");
            }
            "Squeeze" | "Unsqueeze" | "ReduceSum" if until(13) => self.axes()?,
            "Split" if until(13) => {
                if let Some(parts) = self.view.maybe_ints("split")? {
                    self.push_ints(parts);
                    self.drop("split");
                }
            }
            "Softmax" | "LogSoftmax" | "Hardmax" if until(13) => return self.flattened(),
            "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
            | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare"
                if until(18) =>
            {
                self.axes()?;
            }
            _ => {}
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
    fn aligned(&mut self) -> Result<(), NodeError> {
        let (broadcast, axis) = (
            self.view.flag("broadcast", false)?,
            self.view.maybe_int("axis")?,
        );
        self.drop("broadcast");
        self.drop("axis");
        let (true, Some(axis)) = (broadcast, axis) else {
            return Ok(());
        };
        let (a, b) = (self.rank(0)?, self.rank(1)?);
        let axis = self.view.axis("axis", axis, a)?;
        let after = a.checked_sub(axis + b).ok_or(NodeError::Attribute {
            name: "axis",
            reason: "the second operand does not fit behind it",
        })?;
        self.widen(1, after);
        Ok(())
    }

    /// Slopes of PRelu: one, or one for each channel.
    fn slopes(&mut self) -> Result<(), NodeError> {
        if self
            .view
            .shape(1)
            .is_some_and(|shape| shape.len() == 1 && shape[0] > 1)
        {
            let after = self.rank(0)?.saturating_sub(2);
            self.widen(1, after);
        }
        Ok(())
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
    fn resize(&mut self) -> Result<Vec<Option<ValueId>>, NodeError> {
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
            return Ok(vec![Some(resized)]);
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
        Ok(vec![Some(result)])
    }

    fn slice(&mut self) -> Result<(), NodeError> {
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
        Ok(())
    }

    fn clip(&mut self) -> Result<(), NodeError> {
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
        Ok(())
    }

    fn pad(&mut self) -> Result<(), NodeError> {
        let pads = self.view.maybe_ints("pads")?.ok_or(missing("pads"))?;
        self.push_ints(pads);
        if let Some(value) = self.view.maybe_float("value")? {
            let value = self.draft.scalar(value);
            self.node.inputs.push(Some(value));
        }
        self.drop("pads");
        self.drop("value");
        Ok(())
    }

    /// Axes as an input.
    fn axes(&mut self) -> Result<(), NodeError> {
        if let Some(axes) = self.view.maybe_ints("axes")? {
            self.push_ints(axes);
            self.drop("axes");
        }
        Ok(())
    }

    /// Before opset 13 these work on a matrix: all axes from one on are its rows.
    fn flattened(&mut self) -> Result<Option<Vec<Option<ValueId>>>, NodeError> {
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
