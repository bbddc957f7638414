//! Who makes and who reads each value of a graph, and where the float result of a group goes.

use std::collections::{HashMap, HashSet};

use crate::graph::{Graph, Node, NodeView, ValueId, is_known_domain};
use zkonnx_circuits::program::DataType;

/// Where a pending result stands in the graph, and what its operands allow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The float result; `None` if the operator is an integer kernel as it stands.
    pub(crate) result: Option<ValueId>,
    /// The type of result that an integer kernel for these operands has; `None` if there is no such kernel.
    pub(crate) kernel: Option<DataType>,
    /// Whether the kernel may give its sums as floats.
    pub(crate) sums: bool,
    /// Whether it does so whatever follows.
    pub(crate) always_sums: bool,
}

impl Origin {
    /// The result of an operator that is an integer kernel as it stands.
    pub(crate) fn kernel() -> Self {
        Self::default()
    }

    /// The result of an operator that is an integer kernel and gives its sums as floats.
    pub(crate) fn sums() -> Self {
        Self {
            always_sums: true,
            ..Self::default()
        }
    }

    /// The same group with its result elsewhere, as where ONNX Runtime fuses a node with the next one.
    pub(crate) fn moved_to(&self, node: &NodeView<'_>) -> Self {
        Self {
            result: self.result.and_then(|_| node.node().output(0)),
            ..self.clone()
        }
    }

    /// Whether a kernel may run, as far as the operands say.
    pub(crate) fn has_kernel(&self) -> bool {
        self.result.is_none() || self.kernel.is_some()
    }

    /// The same group where something else rules a kernel out.
    pub(crate) fn in_float(self) -> Self {
        Self {
            kernel: None,
            ..self
        }
    }
}

/// The type of result of a kernel of activations and weights of these types.
pub(crate) fn weighted(x: DataType, w: DataType) -> Option<DataType> {
    let byte = |t| matches!(t, DataType::U8 | DataType::I8);
    (byte(x) && byte(w) && (x == DataType::U8 || w == DataType::I8)).then_some(x)
}

/// The type of result of a kernel whose operands are all of its type.
pub(crate) fn alike(types: &[DataType]) -> Option<DataType> {
    let &[first, ref rest @ ..] = types else {
        return None;
    };
    (matches!(first, DataType::U8 | DataType::I8) && rest.iter().all(|t| *t == first))
        .then_some(first)
}

/// What a node is to the way of a float result from an operator to its quantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// The quantization.
    Quantizes,
    Dequantizes,
    /// It is looked through.
    Transparent,
    /// A clamp, of which the quantization may make nothing.
    Clamps,
    /// Quantization is moved over it: movement of single elements, and the largest of several.
    Moves,
    /// Anything else.
    Ends,
}

/// Who makes and who reads each value of a graph.
#[derive(Debug)]
pub(crate) struct Routes<'a> {
    makers: HashMap<ValueId, &'a Node>,
    readers: HashMap<ValueId, Vec<&'a Node>>,
    outputs: HashSet<ValueId>,
    opset: i64,
    /// What a node of a model of some opset is.
    passage: fn(&Node, i64) -> Passage,
}

/// Where a float result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// To one QuantizeLinear, over clamps and movement alone.
    Quantized,
    /// To one reader that is something else.
    Other,
    /// To several readers or an output of the graph; whether a QuantizeLinear is among them.
    Fork { quantized: bool },
}

/// The way of a float result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) goal: Goal,
    /// How many clamps stand at its beginning.
    pub(crate) clamps: usize,
}

impl<'a> Routes<'a> {
    pub(crate) fn new(graph: &'a Graph, passage: fn(&Node, i64) -> Passage) -> Self {
        let mut routes = Self {
            makers: HashMap::new(),
            readers: HashMap::new(),
            outputs: graph.outputs.iter().copied().collect(),
            opset: graph.opset,
            passage,
        };
        let folded = graph.folded.iter().map(|folded| &folded.node);
        for node in graph.nodes.iter().chain(folded) {
            routes.makers.extend(node.made().map(|value| (value, node)));
            let read: HashSet<ValueId> = node.inputs.iter().flatten().copied().collect();
            for value in read {
                routes.readers.entry(value).or_default().push(node);
            }
        }
        routes
    }

    /// The node that makes a value.
    pub(crate) fn maker(&self, value: ValueId) -> Option<&'a Node> {
        self.makers.get(&value).copied()
    }

    /// The nodes that read a value.
    pub(crate) fn readers(&self, value: ValueId) -> impl Iterator<Item = &'a Node> + '_ {
        self.readers.get(&value).into_iter().flatten().copied()
    }

    /// Whether some node reads a value, or it is an output.
    pub(crate) fn is_used(&self, value: ValueId) -> bool {
        self.readers.contains_key(&value) || self.outputs.contains(&value)
    }

    /// What a node is to the way of a float result.
    pub(crate) fn passage(&self, node: &Node) -> Passage {
        (self.passage)(node, self.opset)
    }

    /// The reader of a tensor, if there is one and the tensor is no output.
    pub(crate) fn only_reader(&self, value: ValueId) -> Option<&'a Node> {
        match self.readers.get(&value).map(Vec::as_slice) {
            Some(&[reader]) if !self.outputs.contains(&value) => Some(reader),
            _ => None,
        }
    }

    pub(crate) fn follow(&self, result: ValueId) -> Route {
        let (mut value, mut clamps, mut moved) = (result, 0, false);
        // A graph has no cycles, so this ends.
        loop {
            let Some(node) = self.only_reader(value) else {
                let mut readers = self.readers.get(&value).into_iter().flatten();
                let quantized = readers.any(|n| self.passage(n) == Passage::Quantizes);
                let goal = Goal::Fork { quantized };
                return Route { goal, clamps };
            };
            match self.passage(node) {
                Passage::Quantizes => {
                    let goal = Goal::Quantized;
                    return Route { goal, clamps };
                }
                Passage::Transparent => {}
                Passage::Clamps if !moved => clamps += 1,
                Passage::Moves => moved = true,
                _ => {
                    let goal = Goal::Other;
                    return Route { goal, clamps };
                }
            }
            match node.output(0) {
                Some(next) => value = next,
                None => {
                    let goal = Goal::Other;
                    return Route { goal, clamps };
                }
            }
        }
    }

    /// Whether a value comes from DequantizeLinear over nothing but such movement.
    pub(crate) fn is_dequantized(&self, value: ValueId) -> bool {
        let mut value = Some(value);
        while let Some(node) = value.and_then(|value| self.maker(value)) {
            match self.passage(node) {
                Passage::Dequantizes => return true,
                // Of operators of other crates ONNX Runtime knows nothing.
                _ if !is_known_domain(&node.domain) => return true,
                Passage::Transparent | Passage::Moves => {}
                _ => return false,
            }
            value = node.input(0);
        }
        false
    }
}
