//! The graph of a decoded model: names become values, and calls of functions what they stand for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};

use prost::Message;

use crate::error::{ImportError, TensorProblem};
use crate::graph::constant::{Constant, MAX_COMPUTED_ELEMENTS};
use crate::graph::{Graph, Input, Node, STANDARD, ValueId, base, has_operators};
use crate::proto::bind::{Binder, Bindings};
use crate::proto::functions::{Function, Functions};
use crate::proto::opsets::{MAX_CONSTANT_ELEMENTS, Opsets, cap, domain_name};
use crate::proto::order::{captures, node_name, sort};
use crate::proto::{attribute, tensor};
use zkonnx_circuits::program::{MAX_NODES, MAX_PORTS};

/// Largest number of bytes of the nodes of functions, branches and loops that are copied into a graph.
const MAX_INLINED_BYTES: usize = 1 << 25;
/// Deepest nesting of calls.
const MAX_DEPTH: usize = 32;

/// What names mean in a graph or in a function; `None` for an input that a call leaves out.
type Names = HashMap<String, Option<ValueId>>;

/// Where a node stands.
struct Place<'p> {
    names: &'p Names,
    opsets: &'p Opsets,
    /// Before the names of nodes of functions.
    prefix: &'p str,
    depth: usize,
}

struct Reader<'r> {
    graph: &'r mut Graph,
    library: &'r Library,
    /// The calls that are being inlined.
    open: Vec<(String, String)>,
    /// Nodes seen, calls included.
    seen: usize,
    nodes: Vec<Node>,
}

/// What inner graphs and calls are read with: the functions of the model, and its opsets.
#[derive(Debug, Default)]
pub(crate) struct Library {
    pub(crate) functions: Functions,
    pub(crate) opsets: Opsets,
}

/// Reads a graph.
pub(crate) fn read(
    proto: &GraphProto,
    library: &Library,
    bindings: &Bindings,
) -> Result<Graph, ImportError> {
    cap("nodes", MAX_NODES, proto.node.len())?;
    cap("inputs", MAX_NODES, proto.input.len())?;
    cap("outputs", MAX_PORTS, proto.output.len())?;
    let opset = library.opsets.get(STANDARD).copied().unwrap_or(0);
    let mut graph = Graph::new(opset);
    let mut reader = Reader::new(&mut graph, library);
    let mut names = Names::new();
    let (constants, total) = constants(proto)?;
    reader.enter(&constants, &mut names, "")?;
    // A short file must not ask for much memory.
    reader.graph.spare = MAX_COMPUTED_ELEMENTS.saturating_add(total.saturating_mul(8));
    reader.inputs(proto, &mut names, bindings)?;
    cap("inputs", MAX_PORTS, reader.graph.inputs.len())?;
    if proto.output.is_empty() {
        return Err(ImportError::NoOutput);
    }
    let outputs = reader.body(proto, &mut names, "", &library.opsets)?;
    let nodes = reader.nodes;
    graph.outputs = outputs;
    graph.nodes = nodes;
    Ok(graph)
}

/// A graph that a node holds, decoded once however often it is inlined.
#[derive(Debug)]
pub(crate) struct Body {
    proto: GraphProto,
    constants: Constants,
    /// Bytes of its nodes, and of the names of its constants.
    size: usize,
}

/// Constants by name.
type Constants = Vec<(String, Arc<Constant>)>;

impl Body {
    /// Decodes an attribute that holds a graph.
    pub(crate) fn read(encoded: &[u8]) -> Result<Self, ImportError> {
        let attribute = AttributeProto::decode(encoded);
        let attribute = attribute.map_err(|e| ImportError::NotOnnx(e.to_string()))?;
        let proto = attribute.g.ok_or(ImportError::NoGraph)?;
        let (constants, _) = constants(&proto)?;
        let nodes: usize = proto.node.iter().map(Message::encoded_len).sum();
        let names: usize = constants.iter().map(|(name, _)| name.len()).sum();
        let size = nodes.saturating_add(names);
        Ok(Self {
            proto,
            constants,
            size,
        })
    }
}

impl Library {
    /// The nodes of an inner graph of a node, and its results. `given` are its inputs; other names are those that the
    /// node captures.
    pub(crate) fn inline(
        &self,
        graph: &mut Graph,
        node: &Node,
        body: &Body,
        given: &[ValueId],
    ) -> Result<(Vec<Node>, Vec<ValueId>), ImportError> {
        let prefix = format!("{}/", base(&graph.node_name(node)));
        let mut opsets = self.opsets.clone();
        opsets.insert(node.domain.clone(), node.opset);
        let captures = node.captures.iter();
        let mut names: Names = captures.map(|(name, v)| (name.clone(), Some(*v))).collect();
        let inputs = &body.proto.input;
        if inputs.len() != given.len() {
            return Err(ImportError::InnerInputs {
                node: graph.node_name(node),
                expected: inputs.len(),
                got: given.len(),
            });
        }
        for (input, value) in inputs.iter().zip(given) {
            names.insert(input.name.clone(), Some(*value));
        }
        charge(graph, body.size)?;
        let mut reader = Reader::new(graph, self);
        reader.enter(&body.constants, &mut names, &prefix)?;
        let results = reader.body(&body.proto, &mut names, &prefix, &opsets)?;
        Ok((reader.nodes, results))
    }
}

/// Bounds what a short file may have copied into the graph: nodes may hold constants.
fn charge(graph: &mut Graph, bytes: usize) -> Result<(), ImportError> {
    graph.inlined = graph.inlined.saturating_add(bytes);
    cap(
        "bytes in copies of functions and loops",
        MAX_INLINED_BYTES,
        graph.inlined,
    )
}

/// The constants of a graph, and how many elements they have.
fn constants(proto: &GraphProto) -> Result<(Constants, usize), ImportError> {
    if let Some(sparse) = proto.sparse_initializer.first() {
        let values = sparse.values.as_ref();
        return Err(ImportError::Tensor {
            name: values.map_or(String::new(), |values| values.name.clone()),
            source: TensorProblem::Sparse,
        });
    }
    let (mut constants, mut total) = (Vec::with_capacity(proto.initializer.len()), 0usize);
    for proto in &proto.initializer {
        let name = proto.name.clone();
        let constant = tensor::read(proto).map_err(|source| ImportError::Tensor {
            name: name.clone(),
            source,
        })?;
        total = total.saturating_add(constant.len());
        cap("elements in constants", MAX_CONSTANT_ELEMENTS, total)?;
        constants.push((name, Arc::new(constant)));
    }
    Ok((constants, total))
}

impl<'r> Reader<'r> {
    fn new(graph: &'r mut Graph, library: &'r Library) -> Self {
        Self {
            graph,
            library,
            open: Vec::new(),
            seen: 0,
            nodes: Vec::new(),
        }
    }

    /// Reads the nodes of a graph whose inputs and constants have names, and answers its results.
    fn body(
        &mut self,
        proto: &GraphProto,
        names: &mut Names,
        prefix: &str,
        opsets: &Opsets,
    ) -> Result<Vec<ValueId>, ImportError> {
        cap("nodes", MAX_NODES, proto.node.len())?;
        let order = sort(&proto.node, |name| names.contains_key(name))?;
        let made = proto.node.iter().flat_map(|node| &node.output);
        for name in made.filter(|name| !name.is_empty()) {
            let value = self.graph.add(&format!("{prefix}{name}"));
            names.insert(name.clone(), Some(value));
        }
        let place = Place {
            names,
            opsets,
            prefix,
            depth: 0,
        };
        for i in order {
            self.node(&proto.node[i], &place)?;
        }
        let result = |output: &ValueInfoProto| {
            let value = names.get(&output.name).copied().flatten();
            value.ok_or_else(|| ImportError::MissingOutput(format!("{prefix}{}", output.name)))
        };
        proto.output.iter().map(result).collect()
    }

    /// Enters constants under names of their own.
    fn enter(
        &mut self,
        constants: &[(String, Arc<Constant>)],
        names: &mut Names,
        prefix: &str,
    ) -> Result<(), ImportError> {
        let mut own = HashSet::new();
        for (name, constant) in constants {
            if name.is_empty() || !own.insert(name) {
                return Err(ImportError::Duplicate(name.clone()));
            }
            let value = self.graph.add(&format!("{prefix}{name}"));
            self.graph.set_constant(value, Arc::clone(constant));
            names.insert(name.clone(), Some(value));
        }
        Ok(())
    }

    fn inputs(
        &mut self,
        proto: &GraphProto,
        names: &mut Names,
        bindings: &Bindings,
    ) -> Result<(), ImportError> {
        let mut binder = Binder::new(bindings);
        let mut seen = HashSet::new();
        for info in &proto.input {
            let name = &info.name;
            if !seen.insert(name.as_str()) || name.is_empty() {
                return Err(ImportError::Duplicate(name.clone()));
            }
            // Old files list initializers as inputs too; the constant is the default, and defaults are what is proved.
            if names.contains_key(name) {
                continue;
            }
            let (dtype, shape) = binder.input(info).map_err(|source| ImportError::Input {
                name: name.clone(),
                source,
            })?;
            let value = self.graph.add(name);
            names.insert(name.clone(), Some(value));
            self.graph.inputs.push(Input {
                value,
                dtype,
                shape,
            });
        }
        binder.finish()
    }

    /// Adds a node, or what it stands for. Everything that it reads and makes has a name.
    fn node(&mut self, proto: &NodeProto, place: &Place<'_>) -> Result<(), ImportError> {
        self.seen += 1;
        cap("nodes", MAX_NODES, self.seen)?;
        let id = |name: &String| place.names.get(name).copied().flatten();
        let captures = captures(proto).into_iter();
        let captures = captures.filter_map(|name| {
            let value = place.names.get(name).copied().flatten()?;
            Some((name.to_owned(), value))
        });
        let domain = domain_name(&proto.domain);
        let node = Node {
            name: match proto.name.as_str() {
                "" => String::new(),
                name => format!("{}{name}", place.prefix),
            },
            domain: domain.to_owned(),
            op: proto.op_type.clone(),
            opset: place.opsets.get(domain).copied().unwrap_or(0),
            inputs: proto.input.iter().map(id).collect(),
            outputs: proto.output.iter().map(id).collect(),
            attributes: proto.attribute.iter().map(attribute::read).collect(),
            captures: captures.collect(),
            fault: None,
        };
        let called = (domain.to_owned(), proto.op_type.clone());
        let function = self.library.functions.get(&called);
        // ONNX Runtime's operators are what their names say. A function that calls itself stays a node that nobody knows.
        match function.filter(|_| !has_operators(domain)) {
            Some(function) if !self.open.contains(&called) => {
                self.open.push(called);
                self.call(function, proto, &node, place)?;
                self.open.pop();
            }
            _ => self.nodes.push(node),
        }
        Ok(())
    }

    /// Adds the nodes of a function in place of a call.
    fn call(
        &mut self,
        function: &Function,
        proto: &NodeProto,
        call: &Node,
        place: &Place<'_>,
    ) -> Result<(), ImportError> {
        if place.depth >= MAX_DEPTH || call.inputs.len() > function.inputs.len() {
            self.nodes.push(call.clone());
            return Ok(());
        }
        let name = node_name(proto);
        let prefix = format!("{}{}", place.prefix, base(&name));
        let prefix = format!("{}/", base(&prefix));
        let mut names = Names::new();
        for (i, name) in function.inputs.iter().enumerate() {
            if names.insert(name.clone(), call.input(i)).is_some() {
                return Err(ImportError::Duplicate(format!("{prefix}{name}")));
            }
        }
        charge(self.graph, function.size)?;
        let nodes = function.nodes(&proto.attribute);
        cap("nodes", MAX_NODES, self.seen + nodes.len())?;
        let order = sort(&nodes, |name| names.contains_key(name))?;
        for name in nodes.iter().flat_map(|node| &node.output) {
            let result = function.outputs.iter().position(|output| output == name);
            let result = result.and_then(|i| call.output(i));
            if !name.is_empty() {
                let value = result.unwrap_or_else(|| self.graph.add(&format!("{prefix}{name}")));
                names.insert(name.clone(), Some(value));
            }
        }
        let inner = Place {
            names: &names,
            opsets: &function.opsets,
            prefix: &prefix,
            depth: place.depth + 1,
        };
        for i in order {
            self.node(&nodes[i], &inner)?;
        }
        for (i, name) in function.outputs.iter().enumerate() {
            let Some(output) = call.output(i) else {
                continue;
            };
            let value = names.get(name).copied().flatten();
            let value =
                value.ok_or_else(|| ImportError::MissingOutput(format!("{prefix}{name}")))?;
            // An input that is a result too, or a result that is given twice.
            if value != output {
                self.nodes.push(Node {
                    name: format!("{prefix}{name}"),
                    domain: STANDARD.to_owned(),
                    op: "Identity".to_owned(),
                    opset: self.graph.opset,
                    inputs: vec![Some(value)],
                    outputs: vec![Some(output)],
                    ..Node::default()
                });
            }
        }
        Ok(())
    }
}
