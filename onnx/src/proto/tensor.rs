//! Tensors as a file stores them, read and written.

use tract_onnx::pb::{TensorProto, tensor_proto};

use crate::error::TensorProblem;
use crate::graph::constant::{Constant, Data, Element, Half};
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, MAX_RANK, Range, elements};

/// Reads a tensor; all lengths are checked before anything is allocated for them.
pub(crate) fn read(proto: &TensorProto) -> Result<Constant, TensorProblem> {
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
    Ok(Constant { shape, data })
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

fn onnx_type(dtype: DataType) -> tensor_proto::DataType {
    use tensor_proto::DataType as Onnx;
    match dtype {
        DataType::U8 => Onnx::Uint8,
        DataType::I8 => Onnx::Int8,
        DataType::U16 => Onnx::Uint16,
        DataType::I16 => Onnx::Int16,
        DataType::U32 => Onnx::Uint32,
        DataType::I32 => Onnx::Int32,
        DataType::Bool => Onnx::Bool,
        _ => Onnx::Int64,
    }
}

/// The code of an integer type.
pub(crate) fn code(dtype: DataType) -> i32 {
    onnx_type(dtype) as i32
}

/// The ONNX element type of binary32.
pub(crate) const FLOAT: i32 = tensor_proto::DataType::Float as i32;

/// The ONNX element types of 4 bits.
const UINT4: i32 = 21;
const INT4: i32 = 22;

/// The type of elements that an ONNX code names, if constants may have it.
pub(crate) fn element_type(code: i32) -> Option<Element> {
    use tensor_proto::DataType as Onnx;
    match code {
        UINT4 => return Some(Element::Short(DataType::U8)),
        INT4 => return Some(Element::Short(DataType::I8)),
        _ => {}
    }
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
        Element::Short(dtype) => {
            let bytes: Vec<u8> = match is_raw {
                true => proto.raw_data.to_vec(),
                false => proto.int32_data.iter().map(|&v| v as u8).collect(),
            };
            if bytes.len() != len.div_ceil(2) {
                let got = bytes.len().saturating_mul(2);
                return Err(TensorProblem::Length { expected: len, got });
            }
            // The first of two stands in the lower half.
            let halves = bytes.iter().flat_map(|b| [b & 15, b >> 4]).take(len);
            let value = |half: u8| match dtype {
                DataType::I8 if half > 7 => i64::from(half) - 16,
                _ => i64::from(half),
            };
            return Ok(Data::Short(dtype, halves.map(value).collect()));
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

/// A constant as ONNX stores it.
pub(crate) fn write(name: &str, constant: &Constant) -> TensorProto {
    use tensor_proto::DataType as Onnx;
    if let Data::Short(dtype, values) = &constant.data {
        let half = |v: &i64| (*v as u8) & 15;
        let pair = |two: &[i64]| two.first().map_or(0, half) | two.get(1).map_or(0, half) << 4;
        return TensorProto {
            name: name.into(),
            dims: constant.shape.iter().map(|&d| d as i64).collect(),
            data_type: if *dtype == DataType::I8 { INT4 } else { UINT4 },
            raw_data: values.chunks(2).map(pair).collect(),
            ..Default::default()
        };
    }
    let (data_type, raw): (Onnx, Vec<u8>) = match &constant.data {
        Data::Float(values) => (
            Onnx::Float,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Data::Int(dtype, values) => {
            let bytes = dtype.bytes();
            let raw = values
                .iter()
                .flat_map(|v| v.to_le_bytes().into_iter().take(bytes))
                .collect();
            (onnx_type(*dtype), raw)
        }
        Data::Double(values) => (
            Onnx::Double,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Data::Half(kind, values) => (
            match kind {
                Half::F16 => Onnx::Float16,
                Half::BFloat16 => Onnx::Bfloat16,
            },
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        // Written before.
        Data::Short(_, values) => (Onnx::Int8, values.iter().map(|v| *v as u8).collect()),
        Data::Long(values) => (
            Onnx::Uint64,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
    };
    TensorProto {
        name: name.into(),
        dims: constant.shape.iter().map(|&d| d as i64).collect(),
        data_type: data_type as i32,
        raw_data: raw,
        ..Default::default()
    }
}
