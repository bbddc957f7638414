//! Tensors in ONNX's own format, as its backend tests keep them.

use prost::Message;

use crate::numpy::{Array, Elements};

/// Why bytes are no tensor that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PbError {
    /// The bytes are of something else.
    #[error("this is neither JSON, .npy, .npz nor an ONNX tensor")]
    Decode,
    /// The elements are not in the file.
    #[error("the tensor's elements are in another file, which is not supported")]
    External,
    /// Elements that are no numbers, or of a rare type.
    #[error("tensor elements of ONNX type {0} are not supported")]
    Type(i32),
    /// Another number of elements than the shape announces.
    #[error("the tensor has {got} elements, its shape announces {expected}")]
    Length {
        /// Elements that the shape announces.
        expected: usize,
        /// Elements that there are.
        got: usize,
    },
    /// An extent that is negative or huge.
    #[error("the tensor's shape is malformed")]
    Shape,
}

/// The fields of `onnx.TensorProto` that matter here.
#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

/// ONNX's numbers for element types, the names NumPy has for them, and whether `int32_data` holds their elements.
const TYPES: [(i32, &str); 9] = [
    (1, "<f4"),
    (2, "|u1"),
    (3, "|i1"),
    (4, "<u2"),
    (5, "<i2"),
    (6, "<i4"),
    (7, "<i8"),
    (9, "|b1"),
    (11, "<f8"),
];

/// The tensor with these bytes and its name.
pub(super) fn read(bytes: &[u8]) -> Result<(Option<String>, Array), PbError> {
    let tensor = TensorProto::decode(bytes).map_err(|_| PbError::Decode)?;
    if tensor.data_type == 0 {
        return Err(PbError::Decode);
    }
    if tensor.data_location != 0 {
        return Err(PbError::External);
    }
    let known = TYPES.iter().find(|(code, _)| *code == tensor.data_type);
    let (_, descr) = *known.ok_or(PbError::Type(tensor.data_type))?;
    let shape: Option<Vec<usize>> = tensor
        .dims
        .iter()
        .map(|&extent| usize::try_from(extent).ok())
        .collect();
    let shape = shape.ok_or(PbError::Shape)?;
    let expected = shape
        .iter()
        .try_fold(1usize, |n, extent| n.checked_mul(*extent))
        .ok_or(PbError::Shape)?;
    let elements = if tensor.raw_data.is_empty() {
        listed(&tensor, descr)
    } else {
        raw(&tensor.raw_data, descr)
    };
    if elements.len() != expected {
        return Err(PbError::Length {
            expected,
            got: elements.len(),
        });
    }
    let name = (!tensor.name.is_empty()).then_some(tensor.name);
    Ok((name, Array { shape, elements }))
}

fn listed(tensor: &TensorProto, descr: &'static str) -> Elements {
    match descr {
        "<f4" => Elements::F32(tensor.float_data.clone()),
        "<f8" => Elements::F32(
            tensor
                .double_data
                .iter()
                .map(|value| *value as f32)
                .collect(),
        ),
        "<i8" => Elements::Int(descr, tensor.int64_data.clone()),
        _ => Elements::Int(
            descr,
            tensor.int32_data.iter().copied().map(i64::from).collect(),
        ),
    }
}

/// Little-endian elements one after the other; bytes that fill no element make the length wrong.
fn raw(bytes: &[u8], descr: &'static str) -> Elements {
    let width = usize::from(descr.as_bytes()[2] - b'0');
    let words = bytes.chunks(width).map(|chunk| {
        chunk
            .iter()
            .rev()
            .fold(0u64, |word, byte| word << 8 | u64::from(*byte))
    });
    match descr {
        "<f4" => Elements::F32(words.map(|word| f32::from_bits(word as u32)).collect()),
        "<f8" => Elements::F32(words.map(|word| f64::from_bits(word) as f32).collect()),
        _ => {
            let shift = 64 - 8 * width as u32;
            let signed = descr.as_bytes()[1] == b'i';
            let extend = |word: u64| {
                if signed {
                    (word << shift) as i64 >> shift
                } else {
                    word as i64
                }
            };
            Elements::Int(descr, words.map(extend).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(data_type: i32, dims: &[i64], raw_data: &[u8]) -> TensorProto {
        TensorProto {
            data_type,
            dims: dims.to_vec(),
            raw_data: raw_data.to_vec(),
            ..Default::default()
        }
    }

    fn array(tensor: &TensorProto) -> Result<Array, PbError> {
        read(&tensor.encode_to_vec()).map(|(_, array)| array)
    }

    #[test]
    fn accepts_raw_and_listed_elements() {
        let bytes = proto(3, &[2], &[255, 1]);
        assert_eq!(
            array(&bytes).unwrap().elements,
            Elements::Int("|i1", vec![-1, 1])
        );
        let listed = TensorProto {
            int32_data: vec![-1, 1],
            raw_data: vec![],
            ..bytes
        };
        assert_eq!(
            array(&listed).unwrap().elements,
            Elements::Int("|i1", vec![-1, 1])
        );
        let floats = proto(1, &[1, 1], &1.5f32.to_le_bytes());
        assert_eq!(
            array(&floats).unwrap(),
            Array {
                shape: vec![1, 1],
                elements: Elements::F32(vec![1.5])
            }
        );
    }

    #[test]
    fn rejects_what_is_no_tensor() {
        assert_eq!(read(b"not a tensor"), Err(PbError::Decode));
        assert_eq!(read(b""), Err(PbError::Decode));
        assert_eq!(array(&proto(8, &[1], &[1])), Err(PbError::Type(8)));
        assert_eq!(
            array(&proto(2, &[3], &[1])),
            Err(PbError::Length {
                expected: 3,
                got: 1
            })
        );
        assert_eq!(array(&proto(2, &[-1], &[1])), Err(PbError::Shape));
        assert_eq!(
            array(&proto(2, &[1 << 40, 1 << 40], &[1])),
            Err(PbError::Shape)
        );
        let external = TensorProto {
            data_location: 1,
            ..proto(2, &[1], &[])
        };
        assert_eq!(array(&external), Err(PbError::External));
    }
}
