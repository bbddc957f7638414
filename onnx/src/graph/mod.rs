//! The graph that all passes work on: values and nodes by number, attributes read, one opset for each node.
//!
//! It knows nothing of protobuf. Every value has one maker (a graph input, a constant or a node), nodes stand in an order
//! in which inputs precede their use, and no two values have the same name: `verify.rs` holds every pass to it.

pub(crate) mod constant;
mod draft;
mod node;
mod verify;

pub(crate) use draft::{Draft, Made};
pub use node::NodeView;
pub(crate) use node::{Attribute, AttributeValue, Node, Untyped};

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use constant::Classes;
pub(crate) use constant::Type;
use constant::{Constant, Element};
use zkonnx_circuits::program::DataType;

/// The standard domain, in the form in which it is reported.
pub(crate) const STANDARD: &str = "ai.onnx";
/// The domain of ONNX Runtime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";
/// The domain of classical learning.
pub(crate) const LEARNING: &str = "ai.onnx.ml";

/// Whether a domain is one that this project knows. Of others, nobody can say here what their operators compute.
pub(crate) fn is_known_domain(domain: &str) -> bool {
    [STANDARD, MICROSOFT, LEARNING].contains(&domain)
}

/// Whether ONNX Runtime has operators of its own in a domain. Their meaning is that operator's, whatever functions a
/// model brings.
pub(crate) fn has_operators(domain: &str) -> bool {
    let within = |family: &str| {
        let rest = domain.strip_prefix(family);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    [STANDARD, MICROSOFT, "com.ms", "org.pytorch"]
        .into_iter()
        .any(within)
}

/// Most bytes of a name that goes into names of other values.
const MAX_BASE: usize = 256;

/// The beginning of a name that many others are made of: a file with one long name must not ask for much memory.
pub(crate) fn base(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_BASE)]
}

/// Most elements that are looked at to find the types of a graph's values.
const MAX_TYPED_ELEMENTS: usize = 1 << 28;

/// First and last supported opset of the standard domain.
pub(crate) const OPSETS: (i64, i64) = (10, 26);

/// A value of a graph, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ValueId(u32);

/// What is known of a value.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    constant: Option<Arc<Constant>>,
    ty: Option<Type>,
}

/// Type of a graph input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputType {
    Float,
    Int(DataType),
    /// A float of another size.
    Other(Element),
}

/// A graph input that is not a constant.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) value: ValueId,
    pub(crate) dtype: InputType,
    pub(crate) shape: Vec<usize>,
}

impl Input {
    pub(crate) fn ty(&self) -> Type {
        Type {
            element: match self.dtype {
                InputType::Float => Element::Float,
                InputType::Int(dtype) => Element::Int(dtype),
                InputType::Other(element) => element,
            },
            shape: self.shape.clone(),
        }
    }
}

/// A node that is no more, because its results are constants: for the report.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    pub(crate) node: Node,
    /// How many of the graph's nodes stand before it.
    pub(crate) before: usize,
}

/// A checked graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    values: Vec<Value>,
    /// Names that are taken, and the next number for another value of that name.
    names: HashMap<String, u64>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<ValueId>,
    /// What the strings were that some outputs have no more.
    pub(crate) classes: Vec<Classes>,
    /// In topological order.
    pub(crate) nodes: Vec<Node>,
    /// What has been folded, in order.
    pub(crate) folded: Vec<Folded>,
    /// Opset of the standard domain, for nodes that are added.
    pub(crate) opset: i64,
    /// How many elements of constants may still be computed.
    pub(crate) spare: usize,
    /// How many elements may still be looked at to find types.
    pub(crate) untyped: usize,
    /// Bytes of the nodes of functions, branches and loops that have been copied into the graph.
    pub(crate) inlined: usize,
}

impl Graph {
    /// An empty graph of nodes of this opset.
    pub(crate) fn new(opset: i64) -> Self {
        Self {
            opset,
            ..Self::default()
        }
    }

    /// A value of this name, or of one like it where it is taken.
    pub(crate) fn add(&mut self, name: &str) -> ValueId {
        let name = self.unused(name);
        let id = self.id_after(0);
        self.values.push(Value {
            name,
            constant: None,
            ty: None,
        });
        id
    }

    /// The name, or the name with the next number that is not taken.
    fn unused(&mut self, name: &str) -> String {
        let Some(next) = self.names.get(name) else {
            self.names.insert(name.to_owned(), 1);
            return name.to_owned();
        };
        let free = |number: &u64| !self.names.contains_key(&format!("{name}_{number}"));
        let number = (*next..).find(free).unwrap_or(u64::MAX);
        let numbered = format!("{name}_{number}");
        self.names.insert(name.to_owned(), number.saturating_add(1));
        self.names.insert(numbered.clone(), 1);
        numbered
    }

    /// The number of a value that is added after so many others.
    fn id_after(&self, others: usize) -> ValueId {
        ValueId(u32::try_from(self.values.len() + others).unwrap_or(u32::MAX))
    }

    /// A constant under this name, or under one like it.
    pub(crate) fn add_constant(&mut self, name: &str, constant: Constant) -> ValueId {
        let id = self.add(name);
        self.set_constant(id, Arc::new(constant));
        id
    }

    fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// All values.
    pub(crate) fn values(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.values.len() as u32).map(ValueId)
    }

    /// Name of a value.
    pub(crate) fn name(&self, id: ValueId) -> &str {
        &self.value(id).name
    }

    /// The elements of a value, if it is a constant.
    pub(crate) fn constant(&self, id: ValueId) -> Option<&Arc<Constant>> {
        self.value(id).constant.as_ref()
    }

    pub(crate) fn is_constant(&self, id: ValueId) -> bool {
        self.constant(id).is_some()
    }

    /// Makes a value a constant.
    pub(crate) fn set_constant(&mut self, id: ValueId, constant: Arc<Constant>) {
        self.set_type(id, constant.ty());
        self.values[id.0 as usize].constant = Some(constant);
    }

    /// Element type and shape of a value, if they are known.
    pub(crate) fn ty(&self, id: ValueId) -> Option<&Type> {
        self.value(id).ty.as_ref()
    }

    pub(crate) fn set_type(&mut self, id: ValueId, ty: Type) {
        self.values[id.0 as usize].ty = Some(ty);
    }

    /// Forgets the types of all values that are no constants.
    pub(crate) fn forget_types(&mut self) {
        self.untyped = MAX_TYPED_ELEMENTS;
        let variables = self.values.iter_mut().filter(|v| v.constant.is_none());
        variables.for_each(|value| value.ty = None);
    }

    /// Shape of a value, if it is known.
    pub(crate) fn shape(&self, id: ValueId) -> Option<&[usize]> {
        self.ty(id).map(|ty| ty.shape.as_slice())
    }

    /// Whether a value is known to be of binary32.
    pub(crate) fn is_float(&self, id: ValueId) -> bool {
        self.ty(id).is_some_and(|ty| ty.element == Element::Float)
    }

    /// The number of a graph input.
    pub(crate) fn input(&self, id: ValueId) -> Option<usize> {
        self.inputs.iter().position(|input| input.value == id)
    }

    /// The node that makes a value.
    pub(crate) fn maker(&self, id: ValueId) -> Option<usize> {
        self.nodes.iter().position(|node| node.makes(id))
    }

    /// How often a value is used, graph outputs included.
    pub(crate) fn uses(&self, id: ValueId) -> usize {
        let read = self.nodes.iter().flat_map(Node::reads);
        read.chain(self.outputs.iter().copied())
            .filter(|v| *v == id)
            .count()
    }

    /// Name of a node, or that of its first output.
    pub(crate) fn node_name(&self, node: &Node) -> String {
        match (node.name.as_str(), node.outputs.first()) {
            ("", Some(Some(output))) => self.name(*output).to_owned(),
            (name, _) => name.to_owned(),
        }
    }

    /// A part of this graph: some of its nodes and what they read, from values that are given.
    pub(crate) fn part(&self, nodes: Vec<Node>, outputs: Vec<ValueId>) -> Self {
        let mut part = Self {
            values: self.values.clone(),
            names: self.names.clone(),
            inputs: Vec::new(),
            outputs,
            classes: Vec::new(),
            nodes,
            folded: Vec::new(),
            opset: self.opset,
            spare: self.spare,
            untyped: self.untyped,
            inlined: self.inlined,
        };
        let read = part.reads();
        for (id, value) in part.values().zip(&mut part.values) {
            value.constant = value.constant.take().filter(|_| read.contains(&id));
        }
        part
    }

    /// All values that nodes read, and the outputs.
    pub(crate) fn reads(&self) -> BTreeSet<ValueId> {
        let read = self.nodes.iter().flat_map(Node::reads);
        read.chain(self.outputs.iter().copied()).collect()
    }
}
