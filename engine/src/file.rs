//! The frame of stored files: magic, format version, byte order, contents, checksum.
//!
//! A file is read in one pass and nothing of it is returned before the checksum over all of it has matched. Lengths are
//! never read from a file without a bound: they follow from numbers that have been validated.

use std::io::{Read, Write};

use blake2b_simd::blake2bp;
use ff::PrimeField;
use pasta_curves::arithmetic::CurveAffine;
use pasta_curves::{EqAffine, Fp, Fq};
use thiserror::Error;

use crate::msm::Point;

/// Bytes that are buffered at a time.
const BUFFER: usize = 1 << 16;

/// Written little-endian, as every number is, so that a file has the same bytes on every machine. It names the cause if a
/// file was damaged by a conversion.
const BYTE_ORDER: u32 = 0x0102_0304;

/// Why a stored file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// Reading or writing failed.
    #[error("cannot read or write the file: {0}")]
    Io(#[from] std::io::Error),
    /// The file is of another kind.
    #[error("this is not a {expected} file")]
    Kind {
        /// The kind of file that was expected.
        expected: &'static str,
    },
    /// The file is of another format version.
    #[error(
        "the file has format version {got}, this program reads version {expected}: generate it again"
    )]
    Version {
        /// The version that this program writes.
        expected: u32,
        /// The version of the file.
        got: u32,
    },
    /// The file was written with another byte order.
    #[error("the file was written on a machine of another byte order: generate it again")]
    ByteOrder,
    /// The file belongs to something else.
    #[error("the file belongs to another program: expected {expected}, got {got}")]
    Owner {
        /// The tag that was expected.
        expected: Tag,
        /// The tag of the file.
        got: Tag,
    },
    /// The contents do not match the checksum.
    #[error("the file is damaged: its checksum does not match")]
    Checksum,
    /// The contents are whole and are not the ones whose digest is compiled in.
    #[error(
        "the file does not hold the parameters for 2^{k} rows that this program derives: delete it"
    )]
    NotPinned {
        /// Binary logarithm of the number of rows that the file claims.
        k: u32,
    },
    /// A number in the file is out of its range.
    #[error("the file holds {what} = {value}, which is out of range")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A field element is not canonical.
    #[error("the file holds a field element that is not canonical")]
    Element,
    /// A point is not on the curve.
    #[error("the file holds a point that is not on the curve")]
    Point,
    /// The verifying part of a key is not acceptable.
    #[error("the key in the file is not acceptable: {0}")]
    Key(#[from] zkonnx_verifier::KeyError),
}

/// What a file belongs to, such as the id of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tag(pub [u8; 32]);

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn hasher() -> blake2bp::State {
    blake2bp::Params::new().hash_length(32).to_state()
}

fn digest(state: &blake2bp::State) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(state.finalize().as_bytes());
    digest
}

/// Writes a file and hashes what it writes.
pub(crate) struct Writer<W> {
    inner: W,
    state: blake2bp::State,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(inner: W, magic: &[u8; 8], version: u32) -> Result<Self, FileError> {
        let mut writer = Self {
            inner,
            state: hasher(),
            buffer: Vec::with_capacity(BUFFER + 64),
        };
        writer.bytes(magic)?;
        writer.u32(BYTE_ORDER)?;
        writer.u32(version)?;
        Ok(writer)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.state.update(&self.buffer);
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn u32(&mut self, value: u32) -> Result<(), FileError> {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn elements(&mut self, values: &[Fp]) -> Result<(), FileError> {
        values
            .iter()
            .try_for_each(|value| self.bytes(&value.to_repr()))
    }

    pub(crate) fn point(&mut self, point: &Point) -> Result<(), FileError> {
        self.bytes(&point.x.to_repr())?;
        self.bytes(&point.y.to_repr())
    }

    /// Appends the checksum and flushes. Returns the digest of everything before it.
    pub(crate) fn finish(mut self) -> Result<[u8; 32], FileError> {
        self.flush()?;
        let digest = digest(&self.state);
        self.inner.write_all(&digest)?;
        self.inner.flush()?;
        Ok(digest)
    }
}

/// Reads a file and hashes what it reads.
pub(crate) struct Reader<R> {
    inner: R,
    state: blake2bp::State,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(
        inner: R,
        magic: &[u8; 8],
        kind: &'static str,
        version: u32,
    ) -> Result<Self, FileError> {
        let mut reader = Self {
            inner,
            state: hasher(),
            buffer: Vec::new(),
        };
        if reader.array::<8>()? != *magic {
            return Err(FileError::Kind { expected: kind });
        }
        if reader.u32()? != BYTE_ORDER {
            return Err(FileError::ByteOrder);
        }
        let got = reader.u32()?;
        if got != version {
            return Err(FileError::Version {
                expected: version,
                got,
            });
        }
        Ok(reader)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.state.update(&bytes);
        Ok(bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FileError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number that is at most `max`.
    pub(crate) fn bounded(&mut self, what: &'static str, max: u32) -> Result<usize, FileError> {
        let value = self.u32()?;
        if value > max {
            return Err(FileError::Range {
                what,
                value: value.into(),
            });
        }
        Ok(value as usize)
    }

    /// `count` items of `SIZE` bytes.
    fn items<const SIZE: usize, T>(
        &mut self,
        count: usize,
        mut decode: impl FnMut(&[u8; SIZE]) -> Result<T, FileError>,
    ) -> Result<Vec<T>, FileError> {
        let step = (BUFFER / SIZE).max(1);
        let mut items = Vec::with_capacity(count);
        while items.len() < count {
            let take = step.min(count - items.len());
            self.buffer.resize(take * SIZE, 0);
            self.inner.read_exact(&mut self.buffer)?;
            self.state.update(&self.buffer);
            for bytes in self.buffer.chunks_exact(SIZE) {
                let mut item = [0; SIZE];
                item.copy_from_slice(bytes);
                items.push(decode(&item)?);
            }
        }
        Ok(items)
    }

    pub(crate) fn words(&mut self, count: usize) -> Result<Vec<u32>, FileError> {
        self.items(count, |bytes| Ok(u32::from_le_bytes(*bytes)))
    }

    pub(crate) fn elements(&mut self, count: usize) -> Result<Vec<Fp>, FileError> {
        self.items(count, |bytes| {
            Option::from(Fp::from_repr(*bytes)).ok_or(FileError::Element)
        })
    }

    /// Points that are checked to be on the curve.
    pub(crate) fn points(&mut self, count: usize) -> Result<Vec<Point>, FileError> {
        self.items(count, |bytes: &[u8; 64]| {
            let point = decode_point(bytes)?;
            let checked: Option<EqAffine> = EqAffine::from_xy(point.x, point.y).into();
            checked.map(|_| point).ok_or(FileError::Point)
        })
    }

    /// Points that a pinned digest vouches for.
    pub(crate) fn points_unchecked(&mut self, count: usize) -> Result<Vec<Point>, FileError> {
        self.items(count, decode_point)
    }

    /// Checks the checksum, which finds damage and no intent, and that the file ends there. Returns the digest of
    /// everything before it, to be compared with one that is pinned.
    pub(crate) fn finish(mut self) -> Result<[u8; 32], FileError> {
        let mut stored = [0; 32];
        self.inner.read_exact(&mut stored)?;
        let digest = digest(&self.state);
        if digest != stored || self.inner.read(&mut [0])? != 0 {
            return Err(FileError::Checksum);
        }
        Ok(digest)
    }
}

fn decode_point(bytes: &[u8; 64]) -> Result<Point, FileError> {
    let coordinate = |from: usize| {
        let mut repr = [0; 32];
        repr.copy_from_slice(&bytes[from..from + 32]);
        Option::<Fq>::from(Fq::from_repr(repr)).ok_or(FileError::Element)
    };
    Ok(Point {
        x: coordinate(0)?,
        y: coordinate(32)?,
    })
}
