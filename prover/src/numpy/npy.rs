//! One array: a header in the syntax of a Python dictionary, then the elements.

use super::NPY_MAGIC;

/// Longest header that is read, in bytes; real ones have about a hundred.
const MAX_HEADER: usize = 1 << 16;

/// Why bytes are not an array that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The bytes are of something else.
    #[error("this is not a .npy array")]
    Magic,
    /// The bytes end too early, or go on too long.
    #[error("the array is {got} bytes long, its header announces {expected}")]
    Length {
        /// Bytes that the header announces.
        expected: usize,
        /// Bytes that there are.
        got: usize,
    },
    /// The header cannot be understood.
    #[error("the array's header is malformed")]
    Header,
    /// Elements of a type that is no number.
    #[error("elements of type `{descr}` are not supported; use floats, integers or booleans")]
    Type {
        /// NumPy's name of the type.
        descr: String,
    },
    /// An unsigned 64-bit value beyond the signed range.
    #[error("the array holds a value above 2^63")]
    Value,
}

/// The elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Real numbers. Those of 16 and 64 bits are converted, as NumPy's `astype(float32)` does.
    F32(Vec<f32>),
    /// Integers (booleans are 0 and 1), with their type as NumPy writes it, such as `|u1` or `<i4`.
    Int(&'static str, Vec<i64>),
}

impl Elements {
    /// Their number.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Int(_, values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An array in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// As many elements as the product of the extents.
    pub elements: Elements,
}

/// The types that are read, and how many bytes an element takes. The first byte, the byte order, is apart.
const TYPES: [(&str, usize); 12] = [
    ("b1", 1),
    ("u1", 1),
    ("i1", 1),
    ("u2", 2),
    ("i2", 2),
    ("u4", 4),
    ("i4", 4),
    ("u8", 8),
    ("i8", 8),
    ("f2", 2),
    ("f4", 4),
    ("f8", 8),
];

impl Array {
    /// The array with these bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, NpyError> {
        let rest = bytes.strip_prefix(NPY_MAGIC).ok_or(NpyError::Magic)?;
        let (version, rest) = rest.split_at_checked(2).ok_or(NpyError::Header)?;
        let size = if version[0] == 1 { 2 } else { 4 };
        let (size, rest) = rest.split_at_checked(size).ok_or(NpyError::Header)?;
        let size = size
            .iter()
            .rev()
            .fold(0usize, |n, byte| n << 8 | usize::from(*byte));
        if size > MAX_HEADER {
            return Err(NpyError::Header);
        }
        let (header, data) = rest.split_at_checked(size).ok_or(NpyError::Header)?;
        let header = std::str::from_utf8(header).map_err(|_| NpyError::Header)?;
        let descr = quoted(header, "descr").ok_or(NpyError::Header)?;
        let fortran = field(header, "fortran_order")
            .ok_or(NpyError::Header)?
            .starts_with("True");
        let shape = shape(header).ok_or(NpyError::Header)?;
        let unknown = || NpyError::Type {
            descr: descr.to_owned(),
        };
        let big = descr.starts_with('>');
        let kind = descr.trim_start_matches(['<', '>', '|', '=']);
        let (kind, width) = *TYPES
            .iter()
            .find(|(name, _)| *name == kind)
            .ok_or_else(unknown)?;
        let count = shape
            .iter()
            .try_fold(1usize, |n, extent| n.checked_mul(*extent))
            .ok_or(NpyError::Header)?;
        let expected = count.checked_mul(width).ok_or(NpyError::Header)?;
        if data.len() != expected {
            return Err(NpyError::Length {
                expected,
                got: data.len(),
            });
        }
        let words: Vec<u64> = data
            .chunks_exact(width)
            .map(|chunk| word(chunk, big))
            .collect();
        let mut elements = convert(kind, &words)?;
        if fortran {
            elements = match elements {
                Elements::F32(values) => Elements::F32(row_major(&values, &shape)),
                Elements::Int(descr, values) => Elements::Int(descr, row_major(&values, &shape)),
            };
        }
        Ok(Self { shape, elements })
    }

    /// The bytes of a `.npy` file.
    pub fn write(&self) -> Vec<u8> {
        let descr = match &self.elements {
            Elements::F32(_) => "<f4",
            Elements::Int(descr, _) => descr,
        };
        let shape: String = self
            .shape
            .iter()
            .map(|extent| format!("{extent}, "))
            .collect();
        let shape = if self.shape.len() > 1 {
            shape.trim_end_matches(", ")
        } else {
            shape.trim_end()
        };
        let mut header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
        // NumPy aligns the elements to 64 bytes.
        let unpadded = NPY_MAGIC.len() + 4 + header.len() + 1;
        header.extend(std::iter::repeat_n(
            ' ',
            unpadded.next_multiple_of(64) - unpadded,
        ));
        header.push('\n');
        let mut out = NPY_MAGIC.to_vec();
        out.extend([1, 0]);
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        match &self.elements {
            Elements::F32(values) => values
                .iter()
                .for_each(|value| out.extend(value.to_le_bytes())),
            Elements::Int(descr, values) => {
                let width = TYPES
                    .iter()
                    .find(|(name, _)| descr.ends_with(name))
                    .map_or(8, |(_, width)| *width);
                values
                    .iter()
                    .for_each(|value| out.extend(&value.to_le_bytes()[..width]));
            }
        }
        out
    }
}

/// The text after a key of the header.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let after = header.split_once(&format!("'{key}'"))?.1;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    field(header, key)?
        .strip_prefix('\'')?
        .split_once('\'')
        .map(|(text, _)| text)
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (inside, _) = field(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    inside
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().ok())
        .collect()
}

/// An element's bytes as a number, zero-extended.
fn word(bytes: &[u8], big: bool) -> u64 {
    let fold = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
    if big {
        bytes.iter().fold(0, fold)
    } else {
        bytes.iter().rev().fold(0, fold)
    }
}

fn convert(kind: &str, words: &[u64]) -> Result<Elements, NpyError> {
    let ints = |descr, f: fn(u64) -> i64| {
        Elements::Int(descr, words.iter().map(|word| f(*word)).collect())
    };
    Ok(match kind {
        "b1" => ints("|b1", |word| i64::from(word != 0)),
        "u1" => ints("|u1", |word| word as i64),
        "i1" => ints("|i1", |word| i64::from(word as i8)),
        "u2" => ints("<u2", |word| word as i64),
        "i2" => ints("<i2", |word| i64::from(word as i16)),
        "u4" => ints("<u4", |word| word as i64),
        "i4" => ints("<i4", |word| i64::from(word as i32)),
        "i8" => ints("<i8", |word| word as i64),
        "u8" if words.iter().any(|word| i64::try_from(*word).is_err()) => {
            return Err(NpyError::Value);
        }
        "u8" => ints("<u8", |word| word as i64),
        "f2" => Elements::F32(words.iter().map(|word| half(*word as u16)).collect()),
        "f4" => Elements::F32(
            words
                .iter()
                .map(|word| f32::from_bits(*word as u32))
                .collect(),
        ),
        _ => Elements::F32(
            words
                .iter()
                .map(|word| f64::from_bits(*word) as f32)
                .collect(),
        ),
    })
}

/// The value of an IEEE 754 binary16 number, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (mantissa + 1024.0) * 2f32.powi(exponent - 25),
    }
}

/// Elements in row-major order from those in column-major order.
fn row_major<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for extent in shape {
        strides.push(stride);
        stride *= extent;
    }
    let position = |mut index: usize| {
        let mut position = 0;
        for (extent, stride) in shape.iter().zip(&strides).rev() {
            position += index % extent * stride;
            index /= extent;
        }
        position
    };
    (0..values.len())
        .map(|index| values[position(index)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn accepts_what_it_writes() {
        for shape in [vec![], vec![6], vec![2, 3], vec![1, 0, 4]] {
            let len: usize = shape.iter().product();
            let values: Vec<i64> = (0..len as i64).map(|v| v - 3).collect();
            for descr in ["|i1", "<i2", "<i4", "<i8"] {
                let array = Array {
                    shape: shape.clone(),
                    elements: Elements::Int(descr, values.clone()),
                };
                let bytes = array.write();
                assert_eq!(
                    (bytes.len() - len * (bytes.len() - 128) / len.max(1)) % 64,
                    0
                );
                assert_eq!(Array::read(&bytes), Ok(array));
            }
            let floats = values.iter().map(|v| *v as f32 / 4.0).collect();
            let array = Array {
                shape,
                elements: Elements::F32(floats),
            };
            assert_eq!(Array::read(&array.write()), Ok(array));
        }
    }

    #[test]
    fn accepts_other_orders_and_widths() {
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n";
        let array = Array::read(&file(header, &[0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 255, 255])).unwrap();
        assert_eq!(
            array.elements,
            Elements::Int("<i2", vec![1, 3, 5, 2, 4, -1])
        );
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (4,), }";
        let halves = [0x00, 0x3c, 0x01, 0x00, 0x00, 0xfc, 0xff, 0x7b];
        let expected = vec![1.0, 2f32.powi(-24), f32::NEG_INFINITY, 65504.0];
        assert_eq!(
            Array::read(&file(header, &halves)).unwrap().elements,
            Elements::F32(expected)
        );
    }

    #[test]
    fn rejects_malformed_files() {
        let good = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
        assert!(Array::read(&file(good, &[1, 2])).is_ok());
        assert_eq!(
            Array::read(&file(good, &[1])),
            Err(NpyError::Length {
                expected: 2,
                got: 1
            })
        );
        assert_eq!(Array::read(b"PK"), Err(NpyError::Magic));
        for bad in [
            "{'descr': '|u1', 'fortran_order': False}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-2,)}",
            "{'descr': '|u1', 'shape': (2,)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 99999999999)}",
        ] {
            assert_eq!(
                Array::read(&file(bad, &[1, 2])),
                Err(NpyError::Header),
                "{bad}"
            );
        }
        let object = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }";
        assert_eq!(
            Array::read(&file(object, &[])),
            Err(NpyError::Type { descr: "|O".into() })
        );
        let whole = file(good, &[1, 2]);
        for end in 0..whole.len() {
            assert!(Array::read(&whole[..end]).is_err());
        }
    }
}
