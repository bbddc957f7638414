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
    /// An enumerated domain that no circuit could hold.
    #[error(
        "a step function cannot be enumerated from {lo} to {hi}: these are more than {max} values"
    )]
    TooLong {
        /// Smallest argument.
        lo: i64,
        /// Largest argument.
        hi: i64,
        /// The most arguments.
        max: u64,
    },
    /// Pieces that do not start with the domain, do not follow each other, or leave it.
    #[error("the pieces of a step function from {lo} to {hi} do not partition it")]
    Pieces {
        /// Smallest argument.
        lo: i64,
        /// Largest argument.
        hi: i64,
    },
}

/// The most arguments that are enumerated.
const MAX_ENUMERATED: u64 = 1 << 22;

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
            while above.abs_diff(below) > 1 {
                let middle = below + (above.abs_diff(below) / 2) as i64;
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

    /// Fails for a domain that has too many values to be enumerated.
    pub fn check_enumerable(domain: Range) -> Result<(), StepError> {
        let (Range { lo, hi }, max) = (domain, MAX_ENUMERATED);
        match domain.span() {
            _ if lo > hi => Err(StepError::Pieces { lo, hi }),
            0..MAX_ENUMERATED => Ok(()),
            _ => Err(StepError::TooLong { lo, hi, max }),
        }
    }

    /// Any function on a small domain, by enumeration.
    pub fn table(domain: Range, f: impl Fn(i64) -> i64) -> Result<Self, StepError> {
        Self::check_enumerable(domain)?;
        let Range { lo, hi } = domain;
        let mut pieces: Vec<(i64, i64)> = Vec::new();
        for x in domain.lo..=domain.hi {
            let y = f(x);
            if pieces.last().is_none_or(|&(_, last)| last != y) {
                pieces.push((x, y));
            }
        }
        Ok(Self {
            domain: (lo, hi),
            pieces,
            scale: None,
        })
    }

    /// Explicit pieces, the first of which starts at the domain's lowest argument; starts grow and neighbouring
    /// values differ. Pieces in another order would have two values at one argument, and a prover the choice.
    pub fn from_pieces(domain: Range, pieces: Vec<(i64, i64)>) -> Result<Self, StepError> {
        let Range { lo, hi } = domain;
        let first = pieces.first().is_some_and(|&(start, _)| start == lo);
        let last = pieces.last().is_some_and(|&(start, _)| start <= hi);
        let grow = pieces
            .windows(2)
            .all(|p| p[0].0 < p[1].0 && p[0].1 != p[1].1);
        if !first || !last || !grow {
            return Err(StepError::Pieces { lo, hi });
        }
        Ok(Self {
            domain: (lo, hi),
            pieces,
            scale: None,
        })
    }

    /// Fails if a value of `reach` lies outside the domain.
    pub(super) fn check_covers(&self, reach: Range) -> Result<(), StepError> {
        let (lo, hi) = self.domain;
        let value = if reach.lo < lo { reach.lo } else { reach.hi };
        match self.domain().covers(&reach) {
            true => Ok(()),
            false => Err(StepError::Domain { value, lo, hi }),
        }
    }

    /// The value at `x`.
    pub fn eval(&self, x: i64) -> Result<i64, StepError> {
        let (lo, hi) = self.domain;
        if x < lo || x > hi {
            return Err(StepError::Domain { value: x, lo, hi });
        }
        let after = self.pieces.partition_point(|&(start, _)| start <= x);
        let piece = after.checked_sub(1).and_then(|i| self.pieces.get(i));
        piece.map(|p| p.1).ok_or(StepError::Pieces { lo, hi })
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

    /// The smallest interval that holds all values. There is a piece, whoever made the rule.
    pub fn outputs(&self) -> Range {
        let first = self.pieces[0].1;
        let grow = |r: Range, &(_, y): &(i64, i64)| Range::new(r.lo.min(y), r.hi.max(y));
        self.pieces.iter().fold(Range::new(first, first), grow)
    }
}
