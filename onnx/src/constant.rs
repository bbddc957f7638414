//! Constant tensors of a model.

use tract_onnx::pb::{TensorProto, tensor_proto};

use super::error::TensorProblem;
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, MAX_RANK, Range, elements};

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
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Float(data) => data.len(),
            Self::Double(data) => data.len(),
            Self::Half(_, data) => data.len(),
            Self::Int(_, data) => data.len(),
            Self::Long(data) => data.len(),
        }
    }

    pub(crate) fn element(&self) -> Element {
        match self {
            Self::Float(_) => Element::Float,
            Self::Double(_) => Element::Double,
            Self::Half(kind, _) => Element::Half(*kind),
            Self::Int(dtype, _) => Element::Int(*dtype),
            Self::Long(_) => Element::Long,
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
            Data::Int(_, data) => Some(data),
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

    /// Reads a tensor; all lengths are checked before anything is allocated for them.
    pub(crate) fn read(proto: &TensorProto) -> Result<Self, TensorProblem> {
        let external = tensor_proto::DataLocation::External as i32;
        if proto.data_location == Some(external)
            || !proto.external_data.is_empty()
            || proto.segment.is_some()
        {
            return Err(TensorProblem::External);
        }
        let mut shape = Vec::with_capacity(proto.dims.len().min(MAX_RANK));
        for &dim in &proto.dims {
            shape.push(usize::try_from(dim).map_err(|_| TensorProblem::Negative)?);
        }
        let len = elements(&shape);
        if len > MAX_ELEMENTS || shape.len() > MAX_RANK || shape.iter().any(|&d| d > MAX_ELEMENTS) {
            return Err(TensorProblem::TooLarge(MAX_ELEMENTS));
        }
        let data = read_data(proto, len)?;
        Ok(Self { shape, data })
    }
}

/// The integer type of an ONNX element type, if it is one that programs know.
pub(crate) fn integer_type(code: i32) -> Option<DataType> {
    use tensor_proto::DataType as Onnx;
    Some(match Onnx::try_from(code).ok()? {
        Onnx::Uint8 => DataType::U8,
        Onnx::Int8 => DataType::I8,
        Onnx::Uint16 => DataType::U16,
        Onnx::Int16 => DataType::I16,
        Onnx::Uint32 => DataType::U32,
        Onnx::Int32 => DataType::I32,
        Onnx::Int64 => DataType::I64,
        Onnx::Bool => DataType::Bool,
        _ => return None,
    })
}

/// The ONNX element type of binary32.
pub(crate) const FLOAT: i32 = tensor_proto::DataType::Float as i32;

/// The type of elements that an ONNX code names, if constants may have it.
pub(crate) fn element_type(code: i32) -> Option<Element> {
    use tensor_proto::DataType as Onnx;
    Some(match Onnx::try_from(code).ok()? {
        Onnx::Float => Element::Float,
        Onnx::Double => Element::Double,
        Onnx::Float16 => Element::Half(Half::F16),
        Onnx::Bfloat16 => Element::Half(Half::BFloat16),
        Onnx::Uint64 => Element::Long,
        _ => Element::Int(integer_type(code)?),
    })
}

fn read_data(proto: &TensorProto, len: usize) -> Result<Data, TensorProblem> {
    let length = |got: usize| {
        if got == len {
            Ok(())
        } else {
            Err(TensorProblem::Length { expected: len, got })
        }
    };
    let raw = |width: usize| -> Result<Vec<u64>, TensorProblem> {
        length(proto.raw_data.len() / width)?;
        length(proto.raw_data.len().div_ceil(width))?;
        let word = |chunk: &[u8]| {
            chunk
                .iter()
                .rev()
                .fold(0u64, |acc, &byte| (acc << 8) | u64::from(byte))
        };
        Ok(proto.raw_data.chunks_exact(width).map(word).collect())
    };
    let is_raw = !proto.raw_data.is_empty();
    let problem = TensorProblem::Type(proto.data_type);
    let dtype = match element_type(proto.data_type).ok_or(problem)? {
        Element::Float => {
            let data: Vec<f32> = match is_raw {
                true => raw(4)?.iter().map(|w| f32::from_bits(*w as u32)).collect(),
                false => proto.float_data.clone(),
            };
            length(data.len())?;
            return Ok(Data::Float(data));
        }
        Element::Double => {
            let data: Vec<f64> = match is_raw {
                true => raw(8)?.into_iter().map(f64::from_bits).collect(),
                false => proto.double_data.clone(),
            };
            length(data.len())?;
            return Ok(Data::Double(data));
        }
        Element::Half(kind) => {
            let data: Vec<u16> = match is_raw {
                true => raw(2)?.into_iter().map(|word| word as u16).collect(),
                false => proto.int32_data.iter().map(|&v| v as u16).collect(),
            };
            length(data.len())?;
            return Ok(Data::Half(kind, data));
        }
        Element::Long => {
            let data = if is_raw {
                raw(8)?
            } else {
                proto.uint64_data.clone()
            };
            length(data.len())?;
            return Ok(Data::Long(data));
        }
        Element::Int(dtype) => dtype,
    };
    let values: Vec<i64> = if is_raw {
        let spare = 64 - dtype.width();
        let signed = dtype.offset() != 0;
        let value = |word: u64| {
            if signed {
                ((word << spare) as i64) >> spare
            } else {
                word as i64
            }
        };
        raw(dtype.bytes())?.into_iter().map(value).collect()
    } else if dtype == DataType::I64 {
        proto.int64_data.clone()
    } else if dtype == DataType::U32 {
        proto
            .uint64_data
            .iter()
            .map(|&v| i64::try_from(v).unwrap_or(i64::MAX))
            .collect()
    } else {
        proto.int32_data.iter().map(|&v| i64::from(v)).collect()
    };
    length(values.len())?;
    let full = dtype == DataType::I64;
    if full || values.iter().all(|v| Range::of(dtype).contains(*v)) {
        Ok(Data::Int(dtype, values))
    } else {
        Err(TensorProblem::Value)
    }
}
