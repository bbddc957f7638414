//! Integer tensors as they stand in a claim, and the ports of a program that they fill.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{DecodeError, TensorError};

/// Largest number of dimensions of a public tensor.
pub const MAX_RANK: usize = 8;

/// Largest number of elements of a public tensor.
///
/// Far above what fits the rows of a circuit; it keeps products of dimensions away from overflow.
pub const MAX_ELEMENTS: usize = 1 << 20;

/// Bits of an instance element that carry values: a whole number of bytes below the 254 bits every element has.
pub const ELEMENT_BITS: u32 = 248;

/// The integer types a public tensor may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DataType {
    /// 0 to 255.
    U8,
    /// -128 to 127.
    I8,
    /// 0 to 65,535.
    U16,
    /// -32,768 to 32,767.
    I16,
    /// 0 to 2^32 - 1.
    U32,
    /// -2^31 to 2^31 - 1.
    I32,
    /// -2^63 to 2^63 - 1.
    I64,
    /// 0 or 1, eight bits wide.
    Bool,
}

impl DataType {
    /// All types, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::I64,
        Self::Bool,
    ];

    /// The byte that stands for the type in all formats.
    pub fn code(self) -> u8 {
        match self {
            Self::U8 => 1,
            Self::I8 => 2,
            Self::U16 => 3,
            Self::I16 => 4,
            Self::U32 => 5,
            Self::I32 => 6,
            Self::I64 => 7,
            Self::Bool => 8,
        }
    }

    /// The type with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.code() == code)
    }

    /// Width in bits: 8, 16, 32 or 64.
    pub fn width(self) -> u32 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 8,
            Self::U16 | Self::I16 => 16,
            Self::U32 | Self::I32 => 32,
            Self::I64 => 64,
        }
    }

    /// Width in bytes: 1, 2, 4 or 8.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    /// What is added to a value to make it non-negative: 2^(width - 1) for signed types, 0 for the others.
    pub fn offset(self) -> u64 {
        match self {
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => 1 << (self.width() - 1),
            Self::U8 | Self::U16 | Self::U32 | Self::Bool => 0,
        }
    }

    /// Values that share one instance element: floor(248 / width).
    pub fn per_element(self) -> usize {
        match self.width() {
            8 => 31,
            16 => 15,
            32 => 7,
            _ => 3,
        }
    }

    /// Whether the type has this value.
    pub fn contains(self, value: i64) -> bool {
        match self {
            Self::U8 => u8::try_from(value).is_ok(),
            Self::I8 => i8::try_from(value).is_ok(),
            Self::U16 => u16::try_from(value).is_ok(),
            Self::I16 => i16::try_from(value).is_ok(),
            Self::U32 => u32::try_from(value).is_ok(),
            Self::I32 => i32::try_from(value).is_ok(),
            Self::I64 => true,
            Self::Bool => value == 0 || value == 1,
        }
    }

    /// The value plus the type's offset, which is below 2^width for every value the type contains.
    pub(crate) fn digit(self, value: i64) -> u64 {
        (value as u64).wrapping_add(self.offset())
    }
}

/// Type and shape of one input or output of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortSpec {
    dtype: DataType,
    shape: Vec<u32>,
    len: usize,
}

impl PortSpec {
    /// A port with at most [`MAX_RANK`] dimensions, none of them zero, and at most [`MAX_ELEMENTS`] elements. The
    /// empty shape is a scalar.
    pub fn new(dtype: DataType, shape: Vec<u32>) -> Result<Self, TensorError> {
        if shape.len() > MAX_RANK {
            return Err(TensorError::RankTooLarge { rank: shape.len() });
        }
        let mut len = 1usize;
        for (axis, &dim) in shape.iter().enumerate() {
            if dim == 0 {
                return Err(TensorError::EmptyDimension { axis });
            }
            len = usize::try_from(dim)
                .ok()
                .and_then(|dim| len.checked_mul(dim))
                .filter(|&len| len <= MAX_ELEMENTS)
                .ok_or(TensorError::TooManyElements)?;
        }
        Ok(Self { dtype, shape, len })
    }

    /// The type of the values.
    pub fn dtype(&self) -> DataType {
        self.dtype
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[u32] {
        &self.shape
    }

    /// The number of values, 1 to [`MAX_ELEMENTS`].
    #[allow(clippy::len_without_is_empty)] // A port is never empty.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of instance elements that the port's values take.
    pub fn element_count(&self) -> usize {
        self.len.div_ceil(self.dtype.per_element())
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.dtype.code());
        // A rank is at most `MAX_RANK`.
        out.push(self.shape.len() as u8);
        for &dim in &self.shape {
            out.put_u32(dim);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.u8()?;
        let dtype = DataType::from_code(code).ok_or(DecodeError::UnknownDataType { code })?;
        let rank = usize::from(reader.u8()?);
        if rank > MAX_RANK {
            return Err(TensorError::RankTooLarge { rank }.into());
        }
        let shape = (0..rank).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        Ok(Self::new(dtype, shape)?)
    }
}

/// A tensor of integers, each within its type, in row-major order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorData {
    spec: PortSpec,
    values: Vec<i64>,
}

impl TensorData {
    /// A tensor with as many values as the shape says, all within the type's range.
    pub fn new(dtype: DataType, shape: Vec<u32>, values: Vec<i64>) -> Result<Self, TensorError> {
        Self::with_spec(PortSpec::new(dtype, shape)?, values)
    }

    /// As [`TensorData::new`], for a given port.
    pub fn with_spec(spec: PortSpec, values: Vec<i64>) -> Result<Self, TensorError> {
        if values.len() != spec.len {
            return Err(TensorError::WrongLength {
                expected: spec.len,
                got: values.len(),
            });
        }
        if let Some((index, &value)) = values
            .iter()
            .enumerate()
            .find(|&(_, &value)| !spec.dtype.contains(value))
        {
            return Err(TensorError::ValueOutOfRange {
                index,
                value,
                dtype: spec.dtype,
            });
        }
        Ok(Self { spec, values })
    }

    /// Type and shape.
    pub fn spec(&self) -> &PortSpec {
        &self.spec
    }

    /// The type of the values.
    pub fn dtype(&self) -> DataType {
        self.spec.dtype
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[u32] {
        &self.spec.shape
    }

    /// The values in row-major order.
    pub fn values(&self) -> &[i64] {
        &self.values
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.spec.write(out);
        for value in &self.values {
            let bytes = value.to_le_bytes();
            out.extend(bytes.iter().take(self.spec.dtype.bytes()));
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let spec = PortSpec::read(reader)?;
        let width = spec.dtype.bytes();
        // At most `MAX_ELEMENTS` times eight bytes, so the product does not overflow.
        let bytes = reader.take(spec.len.saturating_mul(width))?;
        let values = bytes
            .chunks_exact(width)
            .map(|chunk| read_value(spec.dtype, chunk))
            .collect();
        // What is out of range here is a boolean other than 0 and 1.
        Ok(Self::with_spec(spec, values)?)
    }
}

/// The value of a type from its little-endian two's complement bytes.
fn read_value(dtype: DataType, bytes: &[u8]) -> i64 {
    let raw = bytes
        .iter()
        .rev()
        .fold(0u64, |acc, &byte| (acc << 8) | u64::from(byte));
    let spare = 64 - dtype.width();
    match dtype.offset() {
        0 => raw as i64,
        _ => ((raw << spare) as i64) >> spare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn accepts_the_ends_of_every_type_and_reads_back_the_same() {
        for dtype in DataType::ALL {
            let low = match dtype.offset() {
                0 => 0,
                _ => (dtype.offset() as i64).wrapping_neg(),
            };
            let low = if dtype == DataType::I64 {
                i64::MIN
            } else {
                low
            };
            let high = match dtype {
                DataType::Bool => 1,
                DataType::I64 => i64::MAX,
                _ => low + ((1i64 << dtype.width()) - 1),
            };
            let tensor = TensorData::new(dtype, vec![2], vec![low, high]).unwrap();
            let mut bytes = Vec::new();
            tensor.write(&mut bytes);
            assert_eq!(TensorData::read(&mut Reader::new(&bytes)).unwrap(), tensor);
            if dtype != DataType::I64 {
                for value in [low - 1, high + 1] {
                    assert!(matches!(
                        TensorData::new(dtype, vec![1], vec![value]),
                        Err(TensorError::ValueOutOfRange { .. })
                    ));
                }
            }
        }
    }

    #[test]
    fn rejects_malformed_tensors() {
        let new = |shape: Vec<u32>, len| TensorData::new(DataType::U8, shape, vec![0; len]);
        assert_eq!(
            new(vec![1; MAX_RANK + 1], 1),
            Err(TensorError::RankTooLarge { rank: 9 })
        );
        assert_eq!(
            new(vec![2, 0], 0),
            Err(TensorError::EmptyDimension { axis: 1 })
        );
        assert_eq!(new(vec![u32::MAX; 8], 1), Err(TensorError::TooManyElements));
        assert_eq!(
            new(vec![3], 2),
            Err(TensorError::WrongLength {
                expected: 3,
                got: 2
            })
        );
        assert!(new(vec![], 1).is_ok());
    }

    #[test]
    fn rejects_a_boolean_of_two_and_an_unknown_type() {
        assert!(matches!(
            TensorData::read(&mut Reader::new(&[8, 0, 2])),
            Err(DecodeError::Tensor(TensorError::ValueOutOfRange { .. }))
        ));
        for code in [0, 9, 255] {
            assert_eq!(
                PortSpec::read(&mut Reader::new(&[code, 0])),
                Err(DecodeError::UnknownDataType { code })
            );
        }
    }
}
