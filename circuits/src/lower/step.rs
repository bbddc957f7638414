//! Step functions of an integer.

use crate::program::Range;

/// Why a step function cannot be made or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The argument lies outside the domain.
    #[error("{value} lies outside the domain of a step function, {lo} to {hi}")]
    Domain {
        /// The argument.
        value: i64,
        /// Smallest argument.
        lo: i64,
        /// Largest argument.
        hi: i64,
    },
}

/// A piecewise constant function of an integer: piece `i` starts at `pieces[i].0` and has the value `pieces[i].1`.
///
/// Requantization is the case where values grow with the argument; an elementwise table is the case where every
/// piece has length one. Neighbouring pieces have different values, so the representation is unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepRule {
    domain: (i64, i64),
    pieces: Vec<(i64, i64)>,
    scale: Option<(u32, i32)>,
}

impl StepRule {
    /// The non-decreasing `f` on `domain`, by bisection. `scale` is the multiplier `m · 2^e` that the steps follow,
    /// if there is one: the planner may use it to let several rules share a table, after checking every step.
    pub fn monotone(domain: Range, scale: Option<(u32, i32)>, f: impl Fn(i64) -> i64) -> Self {
        let mut pieces = vec![(domain.lo, f(domain.lo))];
        let last = f(domain.hi);
        while let Some(&(start, value)) = pieces.last() {
            if value == last {
                break;
            }
            // The smallest argument in (start, hi] whose value differs from this piece's.
            let (mut below, mut above) = (start, domain.hi);
            while above - below > 1 {
                let middle = below + (above - below) / 2;
                if f(middle) == value {
                    below = middle;
                } else {
                    above = middle;
                }
            }
            pieces.push((above, f(above)));
        }
        Self {
            domain: (domain.lo, domain.hi),
            pieces,
            scale,
        }
    }

    /// Any function on a small domain, by enumeration.
    pub fn table(domain: Range, f: impl Fn(i64) -> i64) -> Self {
        let mut pieces: Vec<(i64, i64)> = Vec::new();
        for x in domain.lo..=domain.hi {
            let y = f(x);
            if pieces.last().is_none_or(|&(_, last)| last != y) {
                pieces.push((x, y));
            }
        }
        Self {
            domain: (domain.lo, domain.hi),
            pieces,
            scale: None,
        }
    }

    /// Explicit pieces, the first of which starts at the domain's lowest argument; starts grow and neighbouring
    /// values differ.
    pub fn from_pieces(domain: Range, pieces: Vec<(i64, i64)>) -> Self {
        debug_assert!(pieces.first().is_some_and(|&(start, _)| start == domain.lo));
        Self {
            domain: (domain.lo, domain.hi),
            pieces,
            scale: None,
        }
    }

    /// The value at `x`.
    pub fn eval(&self, x: i64) -> Result<i64, StepError> {
        let (lo, hi) = self.domain;
        if x < lo || x > hi {
            return Err(StepError::Domain { value: x, lo, hi });
        }
        let after = self.pieces.partition_point(|&(start, _)| start <= x);
        Ok(self.pieces[after - 1].1)
    }

    /// The domain.
    pub fn domain(&self) -> Range {
        Range::new(self.domain.0, self.domain.1)
    }

    /// Start and value of each piece, in order.
    pub fn pieces(&self) -> &[(i64, i64)] {
        &self.pieces
    }

    /// Mantissa and exponent of the multiplier that the steps follow, if any.
    pub fn scale(&self) -> Option<(u32, i32)> {
        self.scale
    }

    /// The smallest interval that holds all values.
    pub fn outputs(&self) -> Range {
        let values = || self.pieces.iter().map(|&(_, y)| y);
        Range::new(values().min().unwrap_or(0), values().max().unwrap_or(0))
    }
}
