//! Reading and writing of canonical bytes.
//!
//! Every format of this crate is a plain sequence of little-endian fields without padding or options, so that a value
//! has exactly one encoding: what a hash or a settlement covers must not have a second form. A reader never allocates
//! for a length that its input cannot hold, which bounds the memory of decoding by a multiple of the input's size.

use alloc::vec::Vec;

use crate::error::DecodeError;

/// The unread part of an input.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    /// Reads a count of items that take at least `min_bytes` each, so that it cannot exceed what the input holds.
    pub(crate) fn count(&mut self, min_bytes: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.u32()?).map_err(|_| DecodeError::Truncated)?;
        match count.checked_mul(min_bytes) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// Reads the mark and the version every format starts with.
    pub(crate) fn header(&mut self, magic: [u8; 4], version: u16) -> Result<(), DecodeError> {
        if self.array::<4>()? != magic {
            return Err(DecodeError::WrongMagic { expected: magic });
        }
        let got = self.u16()?;
        if got != version {
            return Err(DecodeError::UnknownVersion {
                expected: version,
                got,
            });
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }
}

/// Appends fields to a buffer. Counts come from values whose constructors cap them far below `u32::MAX`, so the
/// saturation is unreachable; it keeps the writer free of panics.
pub(crate) trait Writer {
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_count(&mut self, value: usize);
    fn put_header(&mut self, magic: [u8; 4], version: u16);
}

impl Writer for Vec<u8> {
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_count(&mut self, value: usize) {
        self.put_u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    fn put_header(&mut self, magic: [u8; 4], version: u16) {
        self.extend_from_slice(&magic);
        self.put_u16(version);
    }
}
