//! Counting what verification does, so that a bound on it can be stated before it starts and held against the facts.

/// Amounts of work, by kind. As a measurement they are what was done, as a cost they are an upper bound of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes that went through BLAKE2b.
    pub hashed_bytes: u64,
    /// Points that were decompressed, a square root each.
    pub decompressions: u64,
    /// Multiplications and squarings in the scalar field, at least as many as are done. Additions go with them,
    /// conversions with the bytes and integers that are read, and are not counted.
    pub field_muls: u64,
    /// Inversions in the scalar field.
    pub field_inversions: u64,
    /// Additions of points.
    pub group_additions: u64,
    /// Doublings of points.
    pub group_doublings: u64,
}

impl Work {
    /// The sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// The same work so many times, saturating.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        self.zip(self, |value, _| value.saturating_mul(count))
    }

    /// Whether every amount is at most the other's.
    pub fn within(&self, bound: &Self) -> bool {
        self.fields()
            .iter()
            .zip(bound.fields())
            .all(|(&value, limit)| value <= limit)
    }

    fn fields(&self) -> [u64; 6] {
        [
            self.hashed_bytes,
            self.decompressions,
            self.field_muls,
            self.field_inversions,
            self.group_additions,
            self.group_doublings,
        ]
    }

    fn zip(self, other: Self, op: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            hashed_bytes: op(self.hashed_bytes, other.hashed_bytes),
            decompressions: op(self.decompressions, other.decompressions),
            field_muls: op(self.field_muls, other.field_muls),
            field_inversions: op(self.field_inversions, other.field_inversions),
            group_additions: op(self.group_additions, other.group_additions),
            group_doublings: op(self.group_doublings, other.group_doublings),
        }
    }
}

/// A count as the meter's type.
pub(crate) fn amount(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
