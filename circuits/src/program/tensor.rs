//! Integer tensors and what is known of them before execution.

use zkonnx_verifier::DataType;

/// A closed interval of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// Smallest value.
    pub lo: i64,
    /// Largest value.
    pub hi: i64,
}

impl Range {
    /// The interval from `lo` to `hi`, both included.
    pub const fn new(lo: i64, hi: i64) -> Self {
        Self { lo, hi }
    }

    /// All values of an integer type. `i64` counts as 62 bits wide, so that sums of two never overflow.
    pub fn of(dtype: DataType) -> Self {
        match dtype {
            DataType::Bool => Self::new(0, 1),
            DataType::I64 => Self::new(-(1 << 62), 1 << 62),
            narrow => {
                let lo = -(narrow.offset() as i64);
                Self::new(lo, lo + ((1 << narrow.width()) - 1))
            }
        }
    }

    /// How far the ends are apart, which no signed integer of 64 bits need hold.
    pub fn span(&self) -> u64 {
        self.hi.abs_diff(self.lo)
    }

    /// Whether `value` lies in the interval.
    pub fn contains(&self, value: i64) -> bool {
        self.lo <= value && value <= self.hi
    }

    /// Whether all of `other` lies in the interval.
    pub fn covers(&self, other: &Range) -> bool {
        self.lo <= other.lo && other.hi <= self.hi
    }

    /// The smallest interval that holds both.
    pub fn union(&self, other: &Range) -> Self {
        Self::new(self.lo.min(other.lo), self.hi.max(other.hi))
    }
}

/// Type, shape and range of a tensor, known at import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Type of the elements.
    pub dtype: DataType,
    /// Extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// Bounds on every element, at most those of the type.
    pub range: Range,
}

impl Fact {
    /// A tensor that may hold any value of its type.
    pub fn any(dtype: DataType, shape: Vec<usize>) -> Self {
        Self {
            dtype,
            shape,
            range: Range::of(dtype),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A dense integer tensor, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Type of the elements.
    pub dtype: DataType,
    /// Extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements, row-major; as many as the product of `shape`.
    pub data: Vec<i64>,
}

impl Tensor {
    /// A tensor of the given elements. Panics if their number does not match: a bug of the caller.
    pub fn new(dtype: DataType, shape: Vec<usize>, data: Vec<i64>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "elements must fill the shape"
        );
        Self { dtype, shape, data }
    }
}
