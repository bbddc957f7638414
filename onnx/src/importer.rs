//! The walk over the graph: what each tensor is, what is reported, where the proof begins and ends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::derive::Derived;
use crate::error::{ImportError, InputProblem, NodeError, NodeProblem, TensorProblem};
use crate::eval::{self, Inputs};
use crate::exactness::Exactness;
use crate::extension::{Extension, Registry};
use crate::graph::constant::{Constant, MAX_COMPUTED_ELEMENTS};
use crate::graph::{Graph, Input, InputType, Node, NodeView, ValueId};
use crate::kernel::{Routes, is_kernel};
use crate::ops::blocks::Blocked;
use crate::outputs::{boundary, tail_node};
use crate::outside::outside;
use crate::real::{Base, Params, QuantizedConstant, Real, Value};
use crate::registry::{self, Entry};
use crate::trees::is_forest;
use crate::{Imported, NodeReport, Status, ids, windows};
use zkonnx_circuits::program::{Builder, Fact, Operator, Quantization, TensorId};

/// The results of a node, and how it is reported.
pub(crate) struct Done {
    pub(crate) values: Vec<Value>,
    pub(crate) status: Status,
}

impl Done {
    pub(crate) fn new(value: Value, status: Status) -> Self {
        Self {
            values: vec![value],
            status,
        }
    }

    /// Integers by a rule.
    pub(crate) fn closed(tensor: TensorId, exactness: Exactness) -> Self {
        Self::new(Value::Int(tensor), Status::Closed(exactness))
    }

    /// A pending real, closed by the next QuantizeLinear.
    pub(crate) fn pending(real: Real) -> Self {
        Self::new(Value::Real(Arc::new(real)), Status::Group)
    }

    pub(crate) fn int(tensor: TensorId) -> Self {
        Self::closed(tensor, Exactness::Kernel)
    }
}

/// State of an import.
pub(crate) struct Importer<'a> {
    pub(crate) graph: &'a Graph,
    registry: &'a Registry,
    pub(crate) builder: Builder,
    pub(crate) values: HashMap<ValueId, Value>,
    /// Program inputs made from float inputs of the graph, with their quantization.
    pub(crate) quantized_inputs: HashMap<usize, (Params, TensorId)>,
    /// Constants that were dequantized in blocks.
    pub(crate) blocked: HashMap<ValueId, Arc<Blocked>>,
    report: Vec<NodeReport>,
    /// For each node that was reported, its place in the report.
    reported: HashMap<usize, usize>,
    pub(crate) problems: Vec<NodeProblem>,
    /// Integer tensors by the values that they are.
    tensors: Vec<(ValueId, TensorId)>,
    /// Nodes outside of the proof, by place: after the integers, and before them.
    pub(crate) tail: Vec<usize>,
    pub(crate) head: Vec<usize>,
    /// Inputs of the program that the model computes, in order.
    pub(crate) derived: Vec<Derived>,
    /// Elements of all constants made by nodes.
    folded: usize,
    /// For each node, whether its results reach a QuantizeLinear.
    feeds: Vec<bool>,
    /// For each node, whether its results reach an integer kernel.
    feeds_kernel: Vec<bool>,
    /// Who makes and who reads each tensor.
    pub(crate) routes: Routes<'a>,
}

/// Imports a folded graph.
pub(crate) fn import(graph: &Graph, registry: &Registry) -> Result<Imported, ImportError> {
    let mut importer = Importer {
        graph,
        registry,
        builder: Builder::new(),
        values: HashMap::new(),
        quantized_inputs: HashMap::new(),
        blocked: HashMap::new(),
        report: Vec::new(),
        reported: HashMap::new(),
        problems: Vec::new(),
        tensors: Vec::new(),
        tail: Vec::new(),
        head: Vec::new(),
        derived: Vec::new(),
        folded: 0,
        feeds: reaches(graph, |node| node.op == "QuantizeLinear" || is_forest(node)),
        feeds_kernel: reaches(graph, is_kernel),
        routes: Routes::new(graph),
    };
    importer.start();
    let mut folded = graph.folded.iter().peekable();
    for (index, node) in graph.nodes.iter().enumerate() {
        while let Some(folded) = folded.next_if(|folded| folded.before <= index) {
            importer.report_folded(&folded.node);
        }
        importer.visit(index, node);
    }
    folded.for_each(|folded| importer.report_folded(&folded.node));
    importer.finish()
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

impl<'a> Importer<'a> {
    /// Enters inputs and constants.
    fn start(&mut self) {
        for value in self.graph.values() {
            if let Some(constant) = self.graph.constant(value) {
                self.values.insert(value, Value::Const(constant.clone()));
            }
        }
        for (i, input) in self.graph.inputs.iter().enumerate() {
            let value = match input.dtype {
                InputType::Float => {
                    Value::Real(Arc::new(Real::new(Base::Input(i), input.shape.clone())))
                }
                InputType::Other(_) => Value::Broken,
                dtype if self.is_cast_input(input.value, dtype) => Value::Head,
                InputType::Int(dtype) => {
                    let range = ids::range(self.graph, &self.routes, input.value, dtype);
                    let fact = Fact {
                        range,
                        ..Fact::any(dtype, input.shape.clone())
                    };
                    let name = self.graph.name(input.value);
                    let tensor = self.builder.input(name, fact, None);
                    self.tensors.push((input.value, tensor));
                    Value::Int(tensor)
                }
            };
            self.values.insert(input.value, value);
        }
    }

    /// Name of a float input of the graph.
    pub(crate) fn input_name(&self, index: usize) -> &'a str {
        self.graph.name(self.graph.inputs[index].value)
    }

    /// Reports a node whose results were constants before the walk.
    fn report_folded(&mut self, node: &Node) {
        self.report.push(NodeReport {
            node: self.graph.node_name(node),
            op: node.op.clone(),
            domain: node.domain.clone(),
            opset: node.opset,
            status: Status::Folded,
            operators: Vec::new(),
        });
    }

    fn visit(&mut self, index: usize, node: &'a Node) {
        let view = NodeView::new(self.graph, node);
        let before = self.builder.len();
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
            self.values.insert(output, value);
        }
        let (name, op, domain, opset) = (
            self.graph.node_name(node),
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
                let operators = self.builder.names_from(before);
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
            .filter_map(|value| self.values.get(&value))
            .collect();
        if inputs.iter().any(|v| matches!(v, Value::Broken)) {
            // Nothing can be said of what it computes, but an unknown operator among those that would be proved is a
            // problem of its own.
            let known = registry::find(domain, node.op()).is_some()
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
            let kernel = is_kernel(node.node()) || self.feeds_kernel[index];
            return if feeds || kernel {
                Err(Some(island_after_outside()))
            } else {
                Ok(outside_done())
            };
        }
        let quantizes = node.node().is("QuantizeLinear");
        let before = Self::reads_before(&inputs) && (feeds || quantizes);
        if before && quantizes {
            let plain = match self.maybe(node, 0) {
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
        let entry = registry::find(domain, node.op());
        if let Some(done) = self.fold(entry, node)? {
            return self.counted(done).map_err(Some);
        }
        // A scale that depends on the data is named as the cause, wherever it stands.
        let proved =
            entry.is_some_and(|e| e.closes) && !untouched || node.op().starts_with("Dynamic");
        // Another name for a tensor leaves it what it is.
        let renamed = node.node().is("Identity");
        if real && !feeds && !proved && !renamed && node.op() != "QuantizeLinear" {
            return Ok(outside_done());
        }
        let Some(entry) = entry else {
            return match before.then(|| self.head_node(node)) {
                Some(Err(NodeError::Unknown)) | None => Err(Some(unknown(node.op()))),
                Some(done) => done.map_err(Some),
            };
        };
        let Entry {
            import, optional, ..
        } = entry;
        window(entry, node)?;
        let done = match import(self, node) {
            Err(_) if *optional && real && !feeds => return Ok(outside_done()),
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
        if folded > 0 && self.folded > self.graph.spare {
            return Err(TensorProblem::TooLarge(MAX_COMPUTED_ELEMENTS).into());
        }
        Ok(done)
    }

    /// The results of a node whose inputs are all known, if they become constants: what it computes, by the evaluator.
    /// Integers that stand for reals keep their meaning through data movement and are reals for anything else.
    fn fold(
        &mut self,
        entry: Option<&Entry>,
        node: &NodeView<'_>,
    ) -> Result<Option<Done>, Option<NodeError>> {
        let mut inputs = Vec::with_capacity(node.inputs());
        let mut quantized = false;
        for i in 0..node.inputs() {
            inputs.push(match node.input(i).map(|value| self.values.get(&value)) {
                None => None,
                Some(Some(Value::Const(c))) => Some(Arc::clone(c)),
                Some(Some(Value::Weights(w))) => {
                    quantized = true;
                    Some(Arc::new(real_constant(w)))
                }
                Some(_) => return Ok(None),
            });
        }
        let known = eval::is_known(node.domain(), node.op());
        if node.op() == "DequantizeLinear" || !known {
            return Ok(None);
        }
        if let Some(entry) = entry {
            window(entry, node)?;
        }
        if quantized
            && let Some(entry) = entry
            && let Ok(done) = (entry.import)(self, node)
        {
            node.check_attributes().map_err(Some)?;
            return Ok(Some(done));
        }
        let inputs = inputs.iter().map(Option::as_deref).collect();
        let results = eval::evaluate(node, &Inputs::of_constants(inputs)).map_err(Some)?;
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
        let done = extension.run(self, node).map_err(Some)?;
        node.check_attributes().map_err(Some)?;
        Ok(done)
    }

    /// Whether an output of a node is read by some node, or is an output of the graph.
    pub(crate) fn is_used(&self, node: &NodeView<'_>, output: usize) -> bool {
        let value = node.node().output(output);
        value.is_some_and(|value| self.routes.is_used(value))
    }

    /// The value of an input; `None` if it is left out.
    pub(crate) fn maybe(&self, node: &NodeView<'_>, input: usize) -> Option<Value> {
        node.input(input)
            .and_then(|value| self.values.get(&value))
            .cloned()
    }

    /// What a value of the graph is, if it has been visited.
    pub(crate) fn value_of(&self, value: ValueId) -> Option<&Value> {
        self.values.get(&value)
    }

    /// The value of an input that has to be there.
    pub(crate) fn value(&self, node: &NodeView<'_>, input: usize) -> Result<Value, NodeError> {
        let got = node.inputs();
        self.maybe(node, input).ok_or(NodeError::Arity {
            what: "inputs",
            expected: "more",
            got,
        })
    }

    /// A constant input that has to be there.
    pub(crate) fn constant(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<Arc<Constant>, NodeError> {
        self.maybe_constant(node, input, what)?
            .ok_or(NodeError::NotConstant { input, what })
    }

    /// A constant input, if it is there.
    pub(crate) fn maybe_constant(
        &self,
        node: &NodeView<'_>,
        input: usize,
        what: &'static str,
    ) -> Result<Option<Arc<Constant>>, NodeError> {
        match self.maybe(node, input) {
            None => Ok(None),
            Some(Value::Const(c)) => Ok(Some(c)),
            Some(_) => Err(NodeError::NotConstant { input, what }),
        }
    }

    /// Adds an integer operator with one output.
    pub(crate) fn push(
        &mut self,
        node: &NodeView<'_>,
        op: impl Operator,
        inputs: &[TensorId],
    ) -> Result<TensorId, NodeError> {
        Ok(self.builder.push1(&node.name(), Arc::new(op), inputs)?)
    }

    /// Reports the nodes that inputs of the program are computed by as those of the float head.
    fn report_head(&mut self) {
        let mut before: HashSet<ValueId> = HashSet::new();
        for derived in &self.derived {
            self.ancestors(derived.value, |value, _| {
                before.insert(value);
            });
        }
        for (index, node) in self.graph.nodes.iter().enumerate() {
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
        let folded = self.graph.folded.iter().map(|folded| &folded.node);
        let quantized = |node: &Node| is_quantized(node) || is_forest(node);
        let quantized = self.graph.nodes.iter().chain(folded).any(quantized);
        let integer_inputs = self
            .graph
            .inputs
            .iter()
            .any(|i| matches!(i.dtype, InputType::Int(_)));
        if !quantized && !integer_inputs {
            return Err(ImportError::FloatModel);
        }
        let other = |input: &&Input| matches!(input.dtype, InputType::Other(_));
        if let Some(input) = self.graph.inputs.iter().find(other) {
            return Err(ImportError::Input {
                name: self.graph.name(input.value).to_owned(),
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
        let graph = self.graph;
        let inputs = graph.inputs.iter().enumerate();
        let order: HashMap<&str, usize> = inputs
            .map(|(i, input)| (graph.name(input.value), i))
            .collect();
        self.builder
            .sort_inputs(|port| order.get(port.name.as_str()).copied().unwrap_or(usize::MAX));
        let quantized = |index: usize| self.quantized_inputs.contains_key(&index);
        let derived: Vec<ValueId> = self.derived.iter().map(|derived| derived.value).collect();
        let outside = outside(self.graph, &self.values, &outputs, &derived, quantized)?;
        let (program, places) = self.builder.finish_with(outputs.ports, outside)?;
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

/// Refuses an operator in an opset that it is not supported in.
fn window(entry: &Entry, node: &NodeView<'_>) -> Result<(), Option<NodeError>> {
    if !entry.has(node) {
        let (min, max) = (entry.min, entry.max);
        return Err(Some(NodeError::Opset { min, max }));
    }
    windows::check(node).map_err(Some)
}

/// Whether a node quantizes, or computes with quantized integers.
fn is_quantized(node: &Node) -> bool {
    ["QuantizeLinear", "DequantizeLinear"].contains(&node.op.as_str())
        || node.op.starts_with("QLinear")
        || node.op.ends_with("Integer")
}

/// A dequantized constant as floats.
pub(crate) fn real_constant(weights: &QuantizedConstant) -> Constant {
    Constant::floats(
        weights.data.shape.clone(),
        crate::ops::quantization::dequantize(weights),
    )
}

/// Why an operator without an entry is refused.
fn unknown(op: &str) -> NodeError {
    match op {
        "InstanceNormalization" | "GroupNormalization" | "LayerNormalization" => NodeError::Input {
            input: 0,
            what: "x",
            reason: "mean and variance of the input have no integer rule of their own; `zkonnx quantize` expresses the \
                     operator of the float model by others that are proved",
        },
        "If" | "Loop" | "Scan" => NodeError::DataDependent,
        _ => NodeError::Unknown,
    }
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

/// Scale and zero point as a port carries them.
pub(crate) fn port_quantization(params: &Params) -> Quantization {
    Quantization {
        scale_bits: params.scale.iter().map(|s| s.to_bits()).collect(),
        zero_point: params.zero.clone(),
        axis: params.axis,
    }
}

/// The integers of a weight, less their zero points, `inner` of them for each index of the quantization's axis.
pub(crate) fn centered(weights: &QuantizedConstant) -> Option<Vec<i64>> {
    let data = weights.data.as_ints()?;
    let inner: usize = match weights.params.axis {
        Some(axis) => weights.data.shape.get(axis + 1..)?.iter().product(),
        None => 1,
    };
    let zero = &weights.params.zero;
    Some(
        data.iter()
            .enumerate()
            .map(|(i, v)| v - zero[(i / inner.max(1)) % zero.len()])
            .collect(),
    )
}
