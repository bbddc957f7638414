//! The graph of a decoded model: names become values, and calls of functions what they stand for.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

use super::functions::{Function, Functions};
use super::order::{captures, node_name, sort};
use super::{MAX_CONSTANT_ELEMENTS, Opsets, attribute, cap, domain_name, input_type, tensor};
use crate::error::{ImportError, TensorProblem};
use crate::graph::constant::MAX_COMPUTED_ELEMENTS;
use crate::graph::{Graph, Input, Node, STANDARD, ValueId};
use zkonnx_circuits::program::{MAX_NODES, MAX_PORTS};

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

struct Reader {
    graph: Graph,
    functions: Functions,
    /// Nodes seen, calls included.
    seen: usize,
}

/// Reads a graph.
pub(super) fn read(
    proto: &GraphProto,
    opsets: &Opsets,
    functions: Functions,
) -> Result<Graph, ImportError> {
    cap("nodes", MAX_NODES, proto.node.len())?;
    cap("inputs", MAX_NODES, proto.input.len())?;
    cap("outputs", MAX_PORTS, proto.output.len())?;
    if let Some(sparse) = proto.sparse_initializer.first() {
        let values = sparse.values.as_ref();
        return Err(ImportError::Tensor {
            name: values.map_or(String::new(), |values| values.name.clone()),
            source: TensorProblem::Sparse,
        });
    }
    let mut reader = Reader {
        graph: Graph::new(opsets.get(STANDARD).copied().unwrap_or(0)),
        functions,
        seen: 0,
    };
    let mut names = Names::new();
    reader.constants(proto, &mut names)?;
    reader.inputs(proto, &mut names)?;
    cap("inputs", MAX_PORTS, reader.graph.inputs.len())?;
    if proto.output.is_empty() {
        return Err(ImportError::NoOutput);
    }
    let order = sort(&proto.node, |name| names.contains_key(name))?;
    let made = proto.node.iter().flat_map(|node| &node.output);
    for name in made.filter(|name| !name.is_empty()) {
        names.insert(name.clone(), Some(reader.graph.add(name)));
    }
    for output in &proto.output {
        let value = names.get(&output.name).copied().flatten();
        let value = value.ok_or_else(|| ImportError::MissingOutput(output.name.clone()))?;
        reader.graph.outputs.push(value);
    }
    let place = Place {
        names: &names,
        opsets,
        prefix: "",
        depth: 0,
    };
    for i in order {
        reader.node(&proto.node[i], &place)?;
    }
    Ok(reader.graph)
}

impl Reader {
    fn constants(&mut self, proto: &GraphProto, names: &mut Names) -> Result<(), ImportError> {
        let mut total = 0usize;
        for proto in &proto.initializer {
            let name = proto.name.clone();
            let constant = tensor::read(proto).map_err(|source| ImportError::Tensor {
                name: name.clone(),
                source,
            })?;
            total = total.saturating_add(constant.len());
            cap("elements in constants", MAX_CONSTANT_ELEMENTS, total)?;
            if name.is_empty() || names.contains_key(&name) {
                return Err(ImportError::Duplicate(name));
            }
            let value = self.graph.add_constant(&name, constant);
            names.insert(name, Some(value));
        }
        // A short file must not ask for much memory.
        self.graph.spare = MAX_COMPUTED_ELEMENTS.saturating_add(total.saturating_mul(8));
        Ok(())
    }

    fn inputs(&mut self, proto: &GraphProto, names: &mut Names) -> Result<(), ImportError> {
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
            let (dtype, shape) = input_type(info).map_err(|source| ImportError::Input {
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
        Ok(())
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
        };
        let called = (domain.to_owned(), proto.op_type.clone());
        // Taken out while it is inlined, so that a function that calls itself stays a node that nobody knows.
        match self.functions.remove(&called) {
            None => self.graph.nodes.push(node),
            Some(function) => {
                let done = self.call(&function, proto, &node, place);
                self.functions.insert(called, function);
                done?;
            }
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
            self.graph.nodes.push(call.clone());
            return Ok(());
        }
        let prefix = format!("{}{}/", place.prefix, node_name(proto));
        let mut names = Names::new();
        for (i, name) in function.inputs.iter().enumerate() {
            if names.insert(name.clone(), call.input(i)).is_some() {
                return Err(ImportError::Duplicate(format!("{prefix}{name}")));
            }
        }
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
                self.graph.nodes.push(Node {
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
