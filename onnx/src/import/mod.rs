//! The walk over the graph: what each tensor is, what is reported, where the proof begins and ends.

mod derive;
mod ids;
mod outputs;
mod outside;
mod state;

use crate::error::{ImportError, InputProblem, NodeError, NodeProblem, TensorProblem};
use crate::eval::inputs::Inputs;
use crate::extension::{Extension, Registry};
use crate::graph::constant::MAX_COMPUTED_ELEMENTS;
use crate::graph::{Graph, Input, InputType, Node, NodeView, ValueId};
use crate::group::exactness::Status;
use crate::group::importer::{Done, Importer};
use crate::group::params::real_constant;
use crate::group::real::{Base, Real, Value};
use crate::group::routes::Routes;
use crate::import::state::Walk;
use crate::operator::{DYNAMIC, Operator};
use crate::report::{Imported, NodeReport};
use crate::trees::is_forest;
use crate::vocabulary;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use outputs::{boundary, tail_node};
use outside::outside;
use zkonnx_circuits::program::{Fact, TensorId};

/// Imports a folded graph.
pub(crate) fn import(graph: &Graph, registry: &Registry) -> Result<Imported, ImportError> {
    let mut walk = Walk {
        cx: Importer::new(graph, Routes::new(graph, vocabulary::passage)),
        registry,
        report: Vec::new(),
        reported: HashMap::new(),
        problems: Vec::new(),
        tensors: Vec::new(),
        tail: Vec::new(),
        head: Vec::new(),
        folded: 0,
        feeds: reaches(graph, |node| node.op == "QuantizeLinear" || is_forest(node)),
        feeds_kernel: reaches(graph, vocabulary::is_quantized),
    };
    walk.start();
    let mut folded = graph.folded.iter().peekable();
    for (index, node) in graph.nodes.iter().enumerate() {
        while let Some(folded) = folded.next_if(|folded| folded.before <= index) {
            walk.report_folded(&folded.node);
        }
        walk.visit(index, node);
    }
    folded.for_each(|folded| walk.report_folded(&folded.node));
    walk.finish()
}

/// For each node, whether its results reach a node of some kind.
fn reaches(graph: &Graph, is_goal: impl Fn(&Node) -> bool) -> Vec<bool> {
    let mut needed: HashSet<ValueId> = HashSet::new();
    let mut feeds = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        feeds[i] = node.made().any(|value| needed.contains(&value));
        if feeds[i] || is_goal(node) {
            needed.extend(node.inputs.iter().flatten());
        }
    }
    feeds
}

fn outside_done() -> Done {
    Done {
        values: Vec::new(),
        status: Status::Outside,
    }
}

fn island_after_outside() -> NodeError {
    NodeError::Island {
        reason: "it computes in float between quantized parts",
    }
}

impl<'a> Walk<'a> {
    /// Enters inputs and constants.
    fn start(&mut self) {
        for value in self.cx.graph.values() {
            if let Some(constant) = self.cx.graph.constant(value) {
                self.cx.values.insert(value, Value::Const(constant.clone()));
            }
        }
        for (i, input) in self.cx.graph.inputs.iter().enumerate() {
            let value = match input.dtype {
                InputType::Float => {
                    Value::Real(Arc::new(Real::new(Base::Input(i), input.shape.clone())))
                }
                InputType::Other(_) => Value::Broken,
                dtype if self.is_cast_input(input.value, dtype) => Value::Head,
                InputType::Int(dtype) => {
                    let range = ids::range(self.cx.graph, &self.cx.routes, input.value, dtype);
                    let fact = Fact {
                        range,
                        ..Fact::any(dtype, input.shape.clone())
                    };
                    let name = self.cx.graph.name(input.value);
                    let tensor = self.cx.builder.input(name, fact, None);
                    self.tensors.push((input.value, tensor));
                    Value::Int(tensor)
                }
            };
            self.cx.values.insert(input.value, value);
        }
    }

    /// Reports a node whose results were constants before the walk.
    fn report_folded(&mut self, node: &Node) {
        self.report.push(NodeReport {
            node: self.cx.graph.node_name(node),
            op: node.op.clone(),
            domain: node.domain.clone(),
            opset: node.opset,
            status: Status::Folded,
            operators: Vec::new(),
        });
    }

    fn visit(&mut self, index: usize, node: &'a Node) {
        let view = NodeView::new(self.cx.graph, node);
        let before = self.cx.builder.len();
        let (values, status) = match self.import_node(&view, index) {
            Ok(done) => (done.values, Ok(done.status)),
            Err(reason) => (Vec::new(), Err(reason)),
        };
        let mut values = values.into_iter();
        for output in &node.outputs {
            let value = values.next().unwrap_or(match status {
                Ok(_) => Value::Outside,
                Err(_) => Value::Broken,
            });
            let Some(output) = *output else { continue };
            if let Value::Int(tensor) = value {
                self.tensors.push((output, tensor));
            }
            self.cx.values.insert(output, value);
        }
        let (name, op, domain, opset) = (
            self.cx.graph.node_name(node),
            node.op.clone(),
            node.domain.clone(),
            node.opset,
        );
        match status {
            Ok(status) => {
                match status {
                    Status::Outside => self.tail.push(index),
                    Status::Head => self.head.push(index),
                    _ => {}
                }
                let operators = self.cx.builder.names_from(before);
                self.reported.insert(index, self.report.len());
                self.report.push(NodeReport {
                    node: name,
                    op,
                    domain,
                    opset,
                    status,
                    operators,
                });
            }
            Err(Some(reason)) => self.problems.push(NodeProblem {
                node: name,
                op,
                domain,
                opset,
                reason,
            }),
            // A consequence of an earlier problem is not reported again.
            Err(None) => {}
        }
    }

    fn import_node(
        &mut self,
        node: &NodeView<'_>,
        index: usize,
    ) -> Result<Done, Option<NodeError>> {
        let (domain, feeds) = (node.domain(), self.feeds[index]);
        let inputs: Vec<&Value> = (0..node.inputs())
            .filter_map(|i| node.input(i))
            .filter_map(|value| self.cx.values.get(&value))
            .collect();
        if inputs.iter().any(|v| matches!(v, Value::Broken)) {
            // Nothing can be said of what it computes, but an unknown operator among those that would be proved is a
            // problem of its own.
            let known = vocabulary::is_proved(node.node())
                || self.registry.find(domain, node.op()).is_some();
            let proved = feeds || self.feeds_kernel[index];
            return Err((proved && !known).then_some(NodeError::Unknown));
        }
        if let Some(fault) = &node.node().fault {
            return Err(Some(fault.clone()));
        }
        let outside = inputs.iter().any(|v| matches!(v, Value::Outside));
        let raw = |v: &&Value| matches!(v, Value::Real(r) if matches!(r.base, Base::Input(_)));
        let real = inputs.iter().any(|v| matches!(v, Value::Real(_)));
        let untouched = inputs.iter().any(raw);
        // Past the last quantization nothing is proved; what has no integer rule is then a matter of the caller.
        if outside {
            // A kernel on integers is no float tail, wherever its operands come from.
            let kernel = vocabulary::is_quantized(node.node()) || self.feeds_kernel[index];
            return if feeds || kernel {
                Err(Some(island_after_outside()))
            } else {
                Ok(outside_done())
            };
        }
        let quantizes = node.node().is("QuantizeLinear");
        let before = Self::reads_before(&inputs) && (feeds || quantizes);
        if before && quantizes {
            let plain = match self.cx.maybe(node, 0) {
                Some(Value::Real(real)) => self.quantizes_inputs(&real),
                _ => false,
            };
            if !plain {
                let done = self.quantized_head(node).map_err(Some)?;
                node.check_attributes().map_err(Some)?;
                return Ok(done);
            }
        }
        if inputs.iter().any(|value| matches!(value, Value::Head)) && !is_forest(node.node()) {
            return match (before, feeds) {
                (true, _) => self.head_node(node).map_err(Some),
                (false, false) => Ok(outside_done()),
                (false, true) => Err(Some(NodeError::Island {
                    reason: "it combines floats of the model's input with integers",
                })),
            };
        }
        if let Some(extension) = self.registry.find(domain, node.op()) {
            return self.import_extension(&extension, node, untouched);
        }
        let operator = vocabulary::of(node.node());
        if let Some(done) = self.fold(operator, node)? {
            return self.counted(done).map_err(Some);
        }
        // A scale that depends on the data is named as the cause, wherever it stands.
        let integers = operator.and_then(|operator| operator.integers);
        let dynamic = operator.is_some_and(|operator| operator.has(DYNAMIC));
        let proved = integers.is_some_and(|i| i.closes) && !untouched || dynamic;
        // Another name for a tensor leaves it what it is.
        let renamed = node.node().is("Identity");
        if real && !feeds && !proved && !renamed && node.op() != "QuantizeLinear" {
            return Ok(outside_done());
        }
        let Some((operator, integers)) = operator.zip(integers) else {
            let refused = operator.and_then(|operator| operator.refused);
            let refused = refused.cloned().unwrap_or(NodeError::Unknown);
            return match before.then(|| self.head_node(node)) {
                Some(Err(NodeError::Unknown)) | None => Err(Some(refused)),
                Some(done) => done.map_err(Some),
            };
        };
        operator.check(node).map_err(Some)?;
        let done = match (integers.import)(&mut self.cx, node) {
            Err(_) if integers.optional && real && !feeds => return Ok(outside_done()),
            Err(reason) if before => return self.head_node(node).map_err(|_| Some(reason)),
            Err(reason) => return Err(Some(reason)),
            Ok(done) => done,
        };
        node.check_attributes().map_err(Some)?;
        // Floats picked by a computed place are proved only once they are quantized.
        let float = |v: &Value| matches!(v, Value::Real(r) if !matches!(r.base, Base::Input(_)) && boundary(r).is_none());
        if node.op() == "Gather" && !feeds && done.values.iter().any(float) {
            return Ok(outside_done());
        }
        self.counted(done).map_err(Some)
    }

    /// Counts the elements of constants that a node makes, of which a file may not ask for too many.
    fn counted(&mut self, done: Done) -> Result<Done, NodeError> {
        let len = |v: &Value| if let Value::Const(c) = v { c.len() } else { 0 };
        let folded: usize = done.values.iter().map(len).sum();
        self.folded = self.folded.saturating_add(folded);
        if folded > 0 && self.folded > self.cx.graph.spare {
            return Err(TensorProblem::TooLarge(MAX_COMPUTED_ELEMENTS).into());
        }
        Ok(done)
    }

    /// The results of a node whose inputs are all known, if they become constants: what it computes, by the evaluator.
    /// Integers that stand for reals keep their meaning through data movement and are reals for anything else.
    fn fold(
        &mut self,
        operator: Option<&Operator>,
        node: &NodeView<'_>,
    ) -> Result<Option<Done>, Option<NodeError>> {
        let mut inputs = Vec::with_capacity(node.inputs());
        let mut quantized = false;
        for i in 0..node.inputs() {
            inputs.push(
                match node.input(i).map(|value| self.cx.values.get(&value)) {
                    None => None,
                    Some(Some(Value::Const(c))) => Some(Arc::clone(c)),
                    Some(Some(Value::Weights(w))) => {
                        quantized = true;
                        Some(Arc::new(real_constant(w)))
                    }
                    Some(_) => return Ok(None),
                },
            );
        }
        let known = operator.filter(|operator| operator.value.is_some());
        let Some(operator) = known.filter(|_| node.op() != "DequantizeLinear") else {
            return Ok(None);
        };
        operator.check(node).map_err(Some)?;
        if quantized
            && let Some(integers) = operator.integers
            && let Ok(done) = (integers.import)(&mut self.cx, node)
        {
            node.check_attributes().map_err(Some)?;
            return Ok(Some(done));
        }
        let inputs = inputs.iter().map(Option::as_deref).collect();
        let results = vocabulary::evaluate(node, &Inputs::of_constants(inputs)).map_err(Some)?;
        let values = results.into_iter().map(|c| Value::Const(Arc::new(c)));
        let (values, status) = (values.collect(), Status::Folded);
        Ok(Some(Done { values, status }))
    }

    /// A node of an operator that another crate defines.
    fn import_extension(
        &mut self,
        extension: &Extension,
        node: &NodeView<'_>,
        untouched: bool,
    ) -> Result<Done, Option<NodeError>> {
        let (min, max) = (extension.min_opset, extension.max_opset);
        if !(min..=max).contains(&node.opset) {
            return Err(Some(NodeError::Opset { min, max }));
        }
        if untouched {
            return Err(Some(NodeError::Island {
                reason: "an input of it is not quantized",
            }));
        }
        let done = extension.run(&mut self.cx, node).map_err(Some)?;
        node.check_attributes().map_err(Some)?;
        Ok(done)
    }

    /// Reports the nodes that inputs of the program are computed by as those of the float head.
    fn report_head(&mut self) {
        let mut before: HashSet<ValueId> = HashSet::new();
        for derived in &self.cx.derived {
            self.cx.ancestors(derived.value, |value, _| {
                before.insert(value);
            });
        }
        for (index, node) in self.cx.graph.nodes.iter().enumerate() {
            if !node.made().any(|value| before.contains(&value)) {
                continue;
            }
            if let Some(&place) = self.reported.get(&index) {
                self.report[place].status = Status::Head;
            }
            if !self.head.contains(&index) {
                self.head.push(index);
            }
        }
        self.head.sort_unstable();
    }

    fn finish(mut self) -> Result<Imported, ImportError> {
        self.report_head();
        let folded = self.cx.graph.folded.iter().map(|folded| &folded.node);
        let quantized = |node: &Node| vocabulary::is_quantized(node) || is_forest(node);
        let quantized = self.cx.graph.nodes.iter().chain(folded).any(quantized);
        let integer_inputs = self
            .cx
            .graph
            .inputs
            .iter()
            .any(|i| matches!(i.dtype, InputType::Int(_)));
        if !quantized && !integer_inputs {
            return Err(ImportError::FloatModel);
        }
        let other = |input: &&Input| matches!(input.dtype, InputType::Other(_));
        if let Some(input) = self.cx.graph.inputs.iter().find(other) {
            return Err(ImportError::Input {
                name: self.cx.graph.name(input.value).to_owned(),
                source: InputProblem::NotFloat32,
            });
        }
        let outputs = self.outputs();
        let float_tail = self.float_tail(&outputs);
        if !self.problems.is_empty() {
            return Err(ImportError::Unsupported(self.problems));
        }
        if outputs.ports.is_empty() {
            return Err(ImportError::FloatModel);
        }
        let graph = self.cx.graph;
        let inputs = graph.inputs.iter().enumerate();
        let order: HashMap<&str, usize> = inputs
            .map(|(i, input)| (graph.name(input.value), i))
            .collect();
        self.cx
            .builder
            .sort_inputs(|port| order.get(port.name.as_str()).copied().unwrap_or(usize::MAX));
        let quantized = |index: usize| self.cx.quantized_inputs.contains_key(&index);
        let derived: Vec<ValueId> = self
            .cx
            .derived
            .iter()
            .map(|derived| derived.value)
            .collect();
        let outside = outside(
            self.cx.graph,
            &self.cx.values,
            &outputs,
            &derived,
            quantized,
        )?;
        let (program, places) = self.cx.builder.finish_with(outputs.ports, outside)?;
        let mut tensors: Vec<(String, TensorId)> = self
            .tensors
            .into_iter()
            .filter_map(|(value, id)| Some((graph.name(value).to_owned(), places.place(id)?)))
            .collect();
        tensors.dedup();
        let node = |(i, before): (&usize, bool)| tail_node(graph, &graph.nodes[*i], before);
        let head = self.head.iter().map(|i| (i, true));
        let tail = self.tail.iter().map(|i| (i, false));
        let tail = head.chain(tail).map(node).collect();
        Ok(Imported {
            program,
            report: self.report,
            tail,
            float_tail,
            tensors,
        })
    }
}
