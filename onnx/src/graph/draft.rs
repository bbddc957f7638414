//! Values and nodes that replace a node of a graph.

use crate::graph::constant::Constant;
use crate::graph::{Attribute, Graph, Node, STANDARD, ValueId, base};
use zkonnx_circuits::program::DataType;

/// New values and nodes, named after what they stand for.
#[derive(Debug)]
pub(crate) struct Draft<'g> {
    graph: &'g Graph,
    /// Opset of the nodes.
    opset: i64,
    base: String,
    made: Made,
}

/// What has been drafted.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Names of the values behind those of the graph, and their elements.
    values: Vec<(String, Option<Constant>)>,
    pub(crate) nodes: Vec<Node>,
}

impl Made {
    /// How many elements its constants have.
    pub(crate) fn len(&self) -> usize {
        let constants = self
            .values
            .iter()
            .filter_map(|(_, constant)| constant.as_ref());
        constants.map(Constant::len).sum()
    }

    /// Adds the values to the graph that they were drafted for, and answers the nodes.
    pub(crate) fn apply(self, graph: &mut Graph) -> Vec<Node> {
        for (name, constant) in self.values {
            match constant {
                Some(constant) => graph.add_constant(&name, constant),
                None => graph.add(&name),
            };
        }
        self.nodes
    }
}

impl<'g> Draft<'g> {
    /// For what replaces the maker of a value of this name.
    pub(crate) fn new(graph: &'g Graph, name: &str) -> Self {
        Self::of_opset(graph, name, graph.opset)
    }

    /// The same, for nodes of another opset than the graph's.
    pub(crate) fn of_opset(graph: &'g Graph, name: &str, opset: i64) -> Self {
        Self {
            graph,
            opset,
            base: base(name).to_owned(),
            made: Made::default(),
        }
    }

    pub(crate) fn opset(&self) -> i64 {
        self.opset
    }

    fn value(&mut self, what: &str, constant: Option<Constant>) -> ValueId {
        let number = self.made.values.len();
        let name = format!("{}_{what}{}", self.base, number + 1);
        self.made.values.push((name, constant));
        self.graph.id_after(number)
    }

    /// The graph that it is for.
    pub(crate) fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// A node with attributes; answers its result.
    pub(crate) fn with(
        &mut self,
        op: &str,
        inputs: &[ValueId],
        attributes: Vec<Attribute>,
    ) -> ValueId {
        self.node(op, inputs.iter().copied().map(Some).collect(), attributes)
    }

    /// The same, where inputs may be left out.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: Vec<Option<ValueId>>,
        attributes: Vec<Attribute>,
    ) -> ValueId {
        let output = self.value(&op.to_lowercase(), None);
        self.made.nodes.push(Node {
            domain: STANDARD.into(),
            op: op.into(),
            opset: self.opset(),
            inputs,
            outputs: vec![Some(output)],
            attributes,
            ..Node::default()
        });
        output
    }

    /// The operator of a node, in its opset and with its attributes, on other inputs.
    pub(crate) fn again(&mut self, node: &Node, inputs: Vec<Option<ValueId>>) -> ValueId {
        let output = self.node(&node.op, inputs, node.attributes.clone());
        if let Some(made) = self.made.nodes.last_mut() {
            made.name.clone_from(&node.name);
            made.domain.clone_from(&node.domain);
            made.opset = node.opset;
        }
        output
    }

    /// The same, with several results.
    pub(crate) fn several(
        &mut self,
        op: &str,
        inputs: Vec<Option<ValueId>>,
        attributes: Vec<Attribute>,
        outputs: usize,
    ) -> Vec<Option<ValueId>> {
        let first = self.node(op, inputs, attributes);
        let mut results = vec![Some(first)];
        results.extend((1..outputs).map(|_| Some(self.value(&op.to_lowercase(), None))));
        if let Some(node) = self.made.nodes.last_mut() {
            node.outputs.clone_from(&results);
        }
        results
    }

    pub(crate) fn op(&mut self, op: &str, inputs: &[ValueId]) -> ValueId {
        self.with(op, inputs, Vec::new())
    }

    /// A constant, once for all nodes that need the same one.
    pub(crate) fn constant(&mut self, constant: Constant) -> ValueId {
        let mut values = self.made.values.iter();
        match values.position(|(_, known)| known.as_ref() == Some(&constant)) {
            Some(number) => self.graph.id_after(number),
            None => self.value("constant", Some(constant)),
        }
    }

    pub(crate) fn floats(&mut self, shape: &[usize], data: Vec<f32>) -> ValueId {
        self.constant(Constant::floats(shape.to_vec(), data))
    }

    pub(crate) fn scalar(&mut self, value: f32) -> ValueId {
        self.floats(&[], vec![value])
    }

    pub(crate) fn ints(&mut self, data: &[i64]) -> ValueId {
        let shape = vec![data.len()];
        self.constant(Constant::ints(DataType::I64, shape, data.to_vec()))
    }

    /// A reduction along axes that keeps their places, in the form of the model's opset.
    pub(crate) fn reduce(&mut self, op: &str, x: ValueId, axes: &[i64]) -> ValueId {
        let since = if op == "ReduceSum" { 13 } else { 18 };
        let keep = Attribute::int("keepdims", 1);
        if self.opset() < since {
            return self.with(op, &[x], vec![Attribute::ints("axes", axes), keep]);
        }
        let axes = self.ints(axes);
        self.with(op, &[x, axes], vec![keep])
    }

    pub(crate) fn reshape(&mut self, x: ValueId, shape: &[usize]) -> ValueId {
        let shape: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
        let shape = self.ints(&shape);
        self.op("Reshape", &[x, shape])
    }

    /// Elements of a tensor by their places, row-major, under another shape; past its `len` elements there is a zero.
    pub(crate) fn pick(
        &mut self,
        x: ValueId,
        len: usize,
        places: &[usize],
        shape: &[usize],
    ) -> ValueId {
        let mut flat = self.reshape(x, &[len]);
        if places.contains(&len) {
            flat = match self.opset() {
                ..11 => self.with("Pad", &[flat], vec![Attribute::ints("pads", &[0, 1])]),
                _ => {
                    let pads = self.ints(&[0, 1]);
                    self.op("Pad", &[flat, pads])
                }
            };
        }
        let places: Vec<i64> = places.iter().map(|&p| p as i64).collect();
        let places = self.ints(&places);
        let picked = self.with("Gather", &[flat, places], vec![Attribute::int("axis", 0)]);
        self.reshape(picked, shape)
    }

    /// Makes the results those outputs, and answers what has been drafted.
    pub(crate) fn finish(
        mut self,
        results: &[Option<ValueId>],
        outputs: &[Option<ValueId>],
    ) -> Made {
        for (result, output) in results.iter().zip(outputs) {
            let (Some(result), Some(output)) = (*result, *output) else {
                continue;
            };
            let own = self.made.nodes.iter().any(|node| node.makes(result));
            let shared = results.iter().filter(|r| **r == Some(result)).count() > 1;
            if !own || shared {
                // A result that no node makes, or two outputs at once.
                self.made.nodes.push(Node {
                    domain: STANDARD.into(),
                    op: "Identity".into(),
                    opset: self.opset,
                    inputs: vec![Some(result)],
                    outputs: vec![Some(output)],
                    ..Node::default()
                });
                continue;
            }
            for node in &mut self.made.nodes {
                let values = node.inputs.iter_mut().chain(&mut node.outputs);
                values
                    .filter(|value| **value == Some(result))
                    .for_each(|value| *value = Some(output));
            }
        }
        self.made
    }
}
