//! Constant tensors of a model.

use tract_onnx::pb::{TensorProto, tensor_proto};

use super::error::TensorProblem;
use crate::program::{DataType, MAX_ELEMENTS, MAX_RANK, Range, elements};

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
    /// Integers or booleans.
    Int(DataType, Vec<i64>),
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
            Data::Float(_) => None,
        }
    }

    pub(crate) fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(data) => Some(data),
            Data::Int(..) => None,
        }
    }

    pub(crate) fn dtype(&self) -> Option<DataType> {
        match self.data {
            Data::Int(dtype, _) => Some(dtype),
            Data::Float(_) => None,
        }
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
        let data = match &self.data {
            Data::Float(data) => Data::Float(places.iter().map(|&i| data[i]).collect()),
            Data::Int(dtype, data) => Data::Int(*dtype, places.iter().map(|&i| data[i]).collect()),
        };
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
const DOUBLE: i32 = tensor_proto::DataType::Double as i32;

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
    if proto.data_type == FLOAT {
        if is_raw {
            return Ok(Data::Float(
                raw(4)?
                    .into_iter()
                    .map(|word| f32::from_bits(word as u32))
                    .collect(),
            ));
        }
        length(proto.float_data.len())?;
        return Ok(Data::Float(proto.float_data.clone()));
    }
    if proto.data_type == DOUBLE {
        // Doubles occur as bounds and thresholds in exported graphs; the model's arithmetic is binary32.
        let doubles: Vec<f64> = if is_raw {
            raw(8)?.into_iter().map(f64::from_bits).collect()
        } else {
            proto.double_data.clone()
        };
        length(doubles.len())?;
        return Ok(Data::Float(doubles.into_iter().map(|d| d as f32).collect()));
    }
    let dtype = integer_type(proto.data_type).ok_or(TensorProblem::Type(proto.data_type))?;
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
