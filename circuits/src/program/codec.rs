//! Canonical bytes: little-endian fields without padding, one encoding for each value.
//!
//! What is hashed must have no second form, so every count is followed by exactly that many items, and integers are
//! written with the smallest of the widths 1, 2, 4 and 8 that holds them all, which the reader checks. A reader never
//! allocates for a count that its input cannot hold: the memory of decoding is bounded by the size of the input.

use super::DecodeError;

/// Appends fields in canonical form.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Number of bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// A flag: one byte, 0 or 1.
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, two's complement.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    /// A count or extent: four bytes. All of them are capped far below 2^32 by the constructors.
    pub fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A string: its length, then its UTF-8 bytes.
    pub fn text(&mut self, text: &str) {
        self.count(text.len());
        self.raw(text.as_bytes());
    }

    /// Extents or positions: their number, then four bytes each.
    pub fn counts(&mut self, values: &[usize]) {
        self.count(values.len());
        for &value in values {
            self.count(value);
        }
    }

    /// Integers: their number, the width in bytes, then each in two's complement of that width.
    pub fn ints(&mut self, values: &[i64]) {
        let width = width_of(values);
        self.count(values.len());
        self.u8(width as u8);
        for value in values {
            self.raw(&value.to_le_bytes()[..width]);
        }
    }
}

/// The smallest of the widths 1, 2, 4 and 8 that holds every value.
fn width_of(values: &[i64]) -> usize {
    let fits = |bits: u32| {
        values
            .iter()
            .all(|v| (*v << (64 - bits)) >> (64 - bits) == *v)
    };
    [8, 16, 32]
        .into_iter()
        .find(|&bits| fits(bits))
        .unwrap_or(64) as usize
        / 8
}

/// Reads fields and refuses every form but the canonical one.
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// A reader of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Fails if bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(DecodeError::Trailing(n)),
        }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// A flag: one byte, 0 or 1.
    pub fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Malformed("flag")),
        }
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, two's complement.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A count of items that take at least `min_bytes` each, so that it cannot exceed what the input holds.
    pub fn count_of(&mut self, min_bytes: usize) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        match count.checked_mul(min_bytes) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// An extent or position.
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        Ok(self.u32()? as usize)
    }

    /// A string.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.count_of(1)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| DecodeError::Malformed("string"))
    }

    /// Extents or positions.
    pub fn counts(&mut self) -> Result<Vec<usize>, DecodeError> {
        let len = self.count_of(4)?;
        (0..len).map(|_| self.count()).collect()
    }

    /// Integers; refused if a smaller width would have held them.
    pub fn ints(&mut self) -> Result<Vec<i64>, DecodeError> {
        let len = self.count_of(1)?;
        let width = usize::from(self.u8()?);
        if ![1, 2, 4, 8].contains(&width) {
            return Err(DecodeError::Malformed("integer width"));
        }
        let bytes = self.take(len.checked_mul(width).ok_or(DecodeError::Truncated)?)?;
        let spare = 64 - 8 * width as u32;
        let value = |chunk: &[u8]| {
            let raw = chunk
                .iter()
                .rev()
                .fold(0u64, |acc, &b| (acc << 8) | u64::from(b));
            ((raw << spare) as i64) >> spare
        };
        let values: Vec<i64> = bytes.chunks_exact(width).map(value).collect();
        if width_of(&values) != width {
            return Err(DecodeError::Malformed("integer width"));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_it_wrote() {
        for values in [
            vec![],
            vec![0, -1, 127, -128],
            vec![128],
            vec![-129, 5],
            vec![1 << 20],
            vec![i64::MIN],
        ] {
            let mut out = Encoder::new();
            out.ints(&values);
            out.text("ä");
            out.counts(&[1, 2]);
            let bytes = out.into_bytes();
            let mut reader = Decoder::new(&bytes);
            assert_eq!(reader.ints().unwrap(), values);
            assert_eq!(reader.text().unwrap(), "ä");
            assert_eq!(reader.counts().unwrap(), [1, 2]);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn rejects_a_width_that_is_not_the_smallest() {
        let bytes = [1, 0, 0, 0, 2, 5, 0];
        assert_eq!(
            Decoder::new(&bytes).ints(),
            Err(DecodeError::Malformed("integer width"))
        );
    }

    #[test]
    fn rejects_a_count_that_the_input_cannot_hold() {
        let bytes = [255, 255, 255, 255, 1, 0];
        assert_eq!(Decoder::new(&bytes).ints(), Err(DecodeError::Truncated));
        assert_eq!(Decoder::new(&bytes).counts(), Err(DecodeError::Truncated));
    }

    #[test]
    fn rejects_a_flag_of_two() {
        assert_eq!(
            Decoder::new(&[2]).flag(),
            Err(DecodeError::Malformed("flag"))
        );
    }
}
