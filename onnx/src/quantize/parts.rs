//! Building the nodes that replace another one.

use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};

use super::super::constant::Constant;
use super::super::graph::Graph;
use super::rewrite::{fresh, int_attribute};
use zkonnx_circuits::program::DataType;

/// New nodes and constants, named after the output that they compute.
pub(super) struct Parts<'g> {
    graph: &'g Graph,
    base: &'g str,
    count: usize,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<(String, Constant)>,
}

/// An attribute of a list of integers.
pub(super) fn ints_attribute(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

impl<'g> Parts<'g> {
    pub(super) fn new(graph: &'g Graph, base: &'g str) -> Self {
        Self {
            graph,
            base,
            count: 0,
            nodes: Vec::new(),
            constants: Vec::new(),
        }
    }

    pub(super) fn opset(&self) -> i64 {
        self.graph.opset("").unwrap_or(0)
    }

    fn name(&mut self, what: &str) -> String {
        self.count += 1;
        fresh(self.graph, &format!("{}_{what}{}", self.base, self.count))
    }

    /// A node with attributes; answers the name of its result.
    pub(super) fn with(
        &mut self,
        op: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let output = self.name(&op.to_lowercase());
        self.nodes.push(NodeProto {
            name: output.clone(),
            op_type: op.into(),
            input: inputs.iter().map(|&s| s.to_owned()).collect(),
            output: vec![output.clone()],
            attribute,
            ..Default::default()
        });
        output
    }

    pub(super) fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.with(op, inputs, Vec::new())
    }

    /// A constant, once for all nodes that need the same one.
    fn constant(&mut self, constant: Constant) -> String {
        if let Some((name, _)) = self.constants.iter().find(|(_, c)| *c == constant) {
            return name.clone();
        }
        let name = self.name("constant");
        self.constants.push((name.clone(), constant));
        name
    }

    pub(super) fn floats(&mut self, shape: &[usize], data: Vec<f32>) -> String {
        self.constant(Constant::floats(shape.to_vec(), data))
    }

    pub(super) fn scalar(&mut self, value: f32) -> String {
        self.floats(&[], vec![value])
    }

    pub(super) fn ints(&mut self, data: &[i64]) -> String {
        let shape = vec![data.len()];
        self.constant(Constant::ints(DataType::I64, shape, data.to_vec()))
    }

    /// A reduction along axes that keeps their places, in the form of the model's opset.
    pub(super) fn reduce(&mut self, op: &str, x: &str, axes: &[i64]) -> String {
        let since = if op == "ReduceSum" { 13 } else { 18 };
        let keep = int_attribute("keepdims", 1);
        if self.opset() < since {
            return self.with(op, &[x], vec![ints_attribute("axes", axes), keep]);
        }
        let axes = self.ints(axes);
        self.with(op, &[x, &axes], vec![keep])
    }

    pub(super) fn reshape(&mut self, x: &str, shape: &[usize]) -> String {
        let shape: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
        let shape = self.ints(&shape);
        self.op("Reshape", &[x, &shape])
    }

    /// Elements of a tensor by their places, row-major, under another shape; past its `len` elements there is a zero.
    pub(super) fn pick(
        &mut self,
        x: &str,
        len: usize,
        places: &[usize],
        shape: &[usize],
    ) -> String {
        let mut flat = self.reshape(x, &[len]);
        if places.contains(&len) {
            flat = match self.opset() {
                ..11 => self.with("Pad", &[&flat], vec![ints_attribute("pads", &[0, 1])]),
                _ => {
                    let pads = self.ints(&[0, 1]);
                    self.op("Pad", &[&flat, &pads])
                }
            };
        }
        let places: Vec<i64> = places.iter().map(|&p| p as i64).collect();
        let places = self.ints(&places);
        let picked = self.with("Gather", &[&flat, &places], vec![int_attribute("axis", 0)]);
        self.reshape(&picked, shape)
    }

    /// Gives results the names of the outputs that they are.
    pub(super) fn name_results(&mut self, results: &[String], outputs: &[String]) {
        let named = results.iter().zip(outputs).filter(|(_, o)| !o.is_empty());
        for (result, output) in named {
            for node in &mut self.nodes {
                let names = node.input.iter_mut().chain(&mut node.output);
                names
                    .filter(|name| *name == result)
                    .for_each(|name| name.clone_from(output));
            }
        }
    }
}
