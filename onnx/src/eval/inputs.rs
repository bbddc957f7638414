//! What an operator is evaluated on, the types that it may have, and what is wrong with them.

use crate::error::NodeError;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Element, MAX_COMPUTED_ELEMENTS};
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, MAX_RANK, elements};

/// The inputs of a node, and how large its results may be.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    /// `None` where one is left out.
    values: Vec<Option<&'a Constant>>,
    pub(crate) most: usize,
    /// Whether the results decide what a model means. Then the sign of a zero that nothing specifies is none.
    pub(crate) folded: bool,
}

/// The results of a node.
pub(crate) type Results = Result<Vec<Constant>, NodeError>;

/// A set of element types.
pub(crate) type Types = u16;

pub(crate) const F: Types = 1;

pub(crate) const D: Types = 2;

pub(crate) const H: Types = 4;

pub(crate) const U64: Types = 8;

pub(crate) const BOOL: Types = 16;

pub(crate) const I8: Types = 32;

pub(crate) const I16: Types = 64;

pub(crate) const I32: Types = 128;

pub(crate) const I64: Types = 256;

pub(crate) const U8: Types = 512;

pub(crate) const U16: Types = 1024;

pub(crate) const U32: Types = 2048;

pub(crate) const SHORT: Types = 4096;

pub(crate) const SIGNED: Types = I8 | I16 | I32 | I64;

pub(crate) const UNSIGNED: Types = U8 | U16 | U32 | U64;

pub(crate) const INTS: Types = SIGNED | UNSIGNED;

pub(crate) const WORDS: Types = I32 | I64;

pub(crate) const NUMBERS: Types = F | D | INTS;

pub(crate) const ALL: Types = NUMBERS | BOOL | H;

pub(crate) fn bit(element: Element) -> Types {
    match element {
        Element::Float => F,
        Element::Double => D,
        Element::Half(_) => H,
        Element::Long => U64,
        Element::Int(DataType::Bool) => BOOL,
        Element::Int(DataType::I8) => I8,
        Element::Int(DataType::I16) => I16,
        Element::Int(DataType::I32) => I32,
        Element::Int(DataType::I64) => I64,
        Element::Int(DataType::U8) => U8,
        Element::Int(DataType::U16) => U16,
        Element::Int(DataType::U32) => U32,
        Element::Short(_) => SHORT,
        // No other type is read from a file.
        Element::Int(_) => 0,
    }
}

/// The name of an element type, as ONNX has it.
pub(crate) fn type_name(element: Element) -> &'static str {
    const NAMES: [&str; 13] = [
        "float", "double", "float16", "uint64", "bool", "int8", "int16", "int32", "int64", "uint8",
        "uint16", "uint32", "int4",
    ];
    let place = bit(element).trailing_zeros() as usize;
    NAMES.get(place).copied().unwrap_or("unknown")
}

impl<'a> Inputs<'a> {
    /// Inputs of a node that runs on a sample.
    pub(crate) fn new(values: Vec<Option<&'a Constant>>) -> Self {
        Self {
            values,
            most: MAX_ELEMENTS,
            folded: false,
        }
    }

    /// Inputs of a node that is folded: a short file must not ask for much memory.
    pub(crate) fn of_constants(values: Vec<Option<&'a Constant>>) -> Self {
        let given = values.iter().flatten().map(|c| c.len()).max();
        let most = MAX_COMPUTED_ELEMENTS.max(given.unwrap_or(0).saturating_mul(2));
        Self {
            values,
            most: most.min(MAX_ELEMENTS),
            folded: true,
        }
    }

    /// The number of elements of a result, unless there are too many, or too many axes.
    pub(crate) fn count(&self, shape: &[usize]) -> Result<usize, NodeError> {
        match elements(shape) {
            n if n <= self.most && shape.len() <= MAX_RANK => Ok(n),
            _ => Err(bad(0, "x", "the result has too many elements or axes")),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn maybe(&self, input: usize) -> Option<&'a Constant> {
        self.values.get(input).copied().flatten()
    }

    pub(crate) fn get(&self, input: usize) -> Result<&'a Constant, NodeError> {
        self.maybe(input).ok_or(NodeError::Arity {
            what: "inputs",
            expected: "more",
            got: self.len(),
        })
    }

    /// All inputs, none of them left out.
    pub(crate) fn all(&self) -> Result<Vec<&'a Constant>, NodeError> {
        (0..self.len()).map(|input| self.get(input)).collect()
    }

    pub(crate) fn floats(&self, input: usize) -> Result<&'a [f32], NodeError> {
        let got = self.get(input)?;
        got.as_floats().ok_or(wrong_type(input, got))
    }

    pub(crate) fn maybe_floats(&self, input: usize) -> Result<Option<&'a [f32]>, NodeError> {
        match self.maybe(input) {
            None => Ok(None),
            Some(_) => self.floats(input).map(Some),
        }
    }

    pub(crate) fn ints(&self, input: usize) -> Result<&'a [i64], NodeError> {
        let got = self.get(input)?;
        got.as_ints().ok_or(wrong_type(input, got))
    }

    pub(crate) fn maybe_ints(&self, input: usize) -> Result<Option<&'a [i64]>, NodeError> {
        match self.maybe(input) {
            None => Ok(None),
            Some(_) => self.ints(input).map(Some),
        }
    }

    /// The only integer of an input.
    pub(crate) fn int(&self, input: usize, what: &'static str) -> Result<i64, NodeError> {
        match self.ints(input)? {
            &[v] => Ok(v),
            _ => Err(bad(input, what, "it is not one integer")),
        }
    }
}

pub(crate) fn wrong_type(input: usize, got: &Constant) -> NodeError {
    let got = type_name(got.element());
    NodeError::ElementType { input, got }
}

pub(crate) const fn bad(input: usize, what: &'static str, reason: &'static str) -> NodeError {
    NodeError::Input {
        input,
        what,
        reason,
    }
}

pub(crate) const fn attribute(name: &'static str, reason: &'static str) -> NodeError {
    NodeError::Attribute { name, reason }
}

/// A value that C++ or ONNX leaves undefined.
pub(crate) const fn undefined(reason: &'static str) -> NodeError {
    NodeError::Undefined { reason }
}

pub(crate) fn one(shape: Vec<usize>, data: crate::graph::constant::Data) -> Results {
    Ok(vec![Constant { shape, data }])
}

/// Axes given as an attribute in old opsets and as an input in new ones; `None` if they are given in neither way.
pub(crate) fn numbers(
    node: &NodeView<'_>,
    name: &'static str,
    inputs: &Inputs<'_>,
    input: usize,
) -> Result<Option<Vec<i64>>, NodeError> {
    match node.maybe_ints(name)? {
        Some(values) => Ok(Some(values.to_vec())),
        None => Ok(inputs.maybe_ints(input)?.map(<[i64]>::to_vec)),
    }
}
