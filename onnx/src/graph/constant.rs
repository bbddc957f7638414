//! Constant tensors of a model.

use std::sync::Arc;
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, elements};

/// Elements of a constant that is computed from a smaller one, and of all that are computed in a model beside eight
/// times those in its file: so that a short file does not ask for much memory.
pub(crate) const MAX_COMPUTED_ELEMENTS: usize = 1 << 22;

/// Whether a constant of `len` elements may be computed from `from` elements.
pub(crate) fn may_compute(len: usize, from: usize) -> bool {
    len <= MAX_COMPUTED_ELEMENTS.max(from.saturating_mul(2)) && len <= MAX_ELEMENTS
}

/// The elements of a constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    /// Binary32.
    Float(Vec<f32>),
    /// Binary64.
    Double(Vec<f64>),
    /// Floats of 16 bits, as their bits. They are moved and converted, not computed with.
    Half(Half, Vec<u16>),
    /// Integers or booleans, within their type.
    Int(DataType, Vec<i64>),
    /// Unsigned integers of 64 bits, which no program has.
    Long(Vec<u64>),
    /// Integers of 4 bits, with the type of 8 bits of their sign. They are dequantized, not computed with.
    Short(DataType, Vec<i64>),
}

/// A float type of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// Binary16.
    F16,
    /// The upper half of binary32.
    BFloat16,
}

/// The type of a constant's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Float,
    Double,
    Half(Half),
    Int(DataType),
    Long,
    Short(DataType),
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Float(data) => data.len(),
            Self::Double(data) => data.len(),
            Self::Half(_, data) => data.len(),
            Self::Int(_, data) => data.len(),
            Self::Long(data) => data.len(),
            Self::Short(_, data) => data.len(),
        }
    }

    pub(crate) fn element(&self) -> Element {
        match self {
            Self::Float(_) => Element::Float,
            Self::Double(_) => Element::Double,
            Self::Half(kind, _) => Element::Half(*kind),
            Self::Int(dtype, _) => Element::Int(*dtype),
            Self::Long(_) => Element::Long,
            Self::Short(dtype, _) => Element::Short(*dtype),
        }
    }

    /// Elements by place; the places exist.
    pub(crate) fn pick(&self, places: &[usize]) -> Self {
        fn at<T: Copy>(data: &[T], places: &[usize]) -> Vec<T> {
            places.iter().map(|&i| data[i]).collect()
        }
        match self {
            Self::Float(data) => Self::Float(at(data, places)),
            Self::Double(data) => Self::Double(at(data, places)),
            Self::Half(kind, data) => Self::Half(*kind, at(data, places)),
            Self::Int(dtype, data) => Self::Int(*dtype, at(data, places)),
            Self::Long(data) => Self::Long(at(data, places)),
            Self::Short(dtype, data) => Self::Short(*dtype, at(data, places)),
        }
    }

    /// Appends elements of the same type; `false` if their type is another.
    pub(crate) fn extend(&mut self, more: &Self) -> bool {
        match (self, more) {
            (Self::Float(a), Self::Float(b)) => a.extend(b),
            (Self::Double(a), Self::Double(b)) => a.extend(b),
            (Self::Half(x, a), Self::Half(y, b)) if x == y => a.extend(b),
            (Self::Int(x, a), Self::Int(y, b)) if x == y => a.extend(b),
            (Self::Long(a), Self::Long(b)) => a.extend(b),
            (Self::Short(x, a), Self::Short(y, b)) if x == y => a.extend(b),
            _ => return false,
        }
        true
    }
}

/// A constant tensor: an initializer, the value of a Constant node, or what was computed from such at import.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
}

impl Constant {
    pub(crate) fn ints(dtype: DataType, shape: Vec<usize>, data: Vec<i64>) -> Self {
        Self {
            shape,
            data: Data::Int(dtype, data),
        }
    }

    pub(crate) fn floats(shape: Vec<usize>, data: Vec<f32>) -> Self {
        Self {
            shape,
            data: Data::Float(data),
        }
    }

    pub(crate) fn len(&self) -> usize {
        elements(&self.shape)
    }

    pub(crate) fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(_, data) | Data::Short(_, data) => Some(data),
            _ => None,
        }
    }

    pub(crate) fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(data) => Some(data),
            _ => None,
        }
    }

    /// The type of integers that programs know.
    pub(crate) fn dtype(&self) -> Option<DataType> {
        match self.data {
            Data::Int(dtype, _) => Some(dtype),
            _ => None,
        }
    }

    pub(crate) fn element(&self) -> Element {
        self.data.element()
    }

    /// The only integer of a scalar or one-element tensor.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self.as_ints() {
            Some(&[v]) => Some(v),
            _ => None,
        }
    }

    /// Elements picked by place; the places are within the tensor.
    pub(crate) fn pick(&self, shape: Vec<usize>, places: &[usize]) -> Self {
        let data = self.data.pick(places);
        Self { shape, data }
    }

    pub(crate) fn ty(&self) -> Type {
        Type {
            element: self.element(),
            shape: self.shape.clone(),
        }
    }
}

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) element: Element,
    pub(crate) shape: Vec<usize>,
}

/// What names or columns an output of a model has instead of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The output.
    pub output: String,
    /// The name of each integer from 0, or of each column.
    pub names: Arc<Vec<String>>,
    /// Whether these are names of columns, as a ZipMap gives them, and not of integers.
    pub columns: bool,
}
