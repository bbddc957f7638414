//! Why an operator cannot be expressed in the circuit.

use super::{StepError, Wire};
use crate::program::{OpError, Range};

/// Why an operator cannot be expressed in the circuit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LowerError {
    /// An operator needs cells but was given an accumulator that nothing has requantized.
    #[error(
        "an accumulator reaches `{op}` before it is requantized; insert a QuantizeLinear before it"
    )]
    NotRequantized {
        /// The operator that needs cells.
        op: &'static str,
    },
    /// A step function does not cover what its input may reach.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Bounds beyond what 62-bit arithmetic holds.
    #[error("the values of `{op}` may reach {reach}, more than the 62 bits that are supported")]
    TooWide {
        /// The operator.
        op: &'static str,
        /// The largest magnitude.
        reach: i128,
    },
    /// The circuit bounds an input less tightly than the operator can take.
    #[error("the circuit does not keep what reaches an operator within its bounds: {0}")]
    Bounds(OpError),
    /// An operator refuses, for its circuit, inputs that its `facts` has accepted: its own defect.
    #[error("`{op}` refuses what it has accepted: {source}; please report this model")]
    Inconsistent {
        /// The operator.
        op: &'static str,
        /// What it says.
        source: OpError,
    },
    /// An operator names an element that no equation defines, or none yet: its own defect.
    #[error("`{op}` reads {wire:?}, which nothing defines; please report this model")]
    NoSuchElement {
        /// The operator.
        op: &'static str,
        /// The element.
        wire: Wire,
    },
    /// A linear form reads beyond its inputs: a defect of the operator.
    #[error("a form of `{op}` reads input {input} of {inputs}; please report this model")]
    NoSuchInput {
        /// The operator.
        op: &'static str,
        /// The input that is read.
        input: usize,
        /// How many there are.
        inputs: usize,
    },
    /// A step names a rule that is not in the list: a defect of the operator.
    #[error("a step names a rule beyond the {rules} that there are; please report this model")]
    NoSuchRule {
        /// How many there are.
        rules: usize,
    },
    /// A maximum of nothing: a defect of the operator.
    #[error("`{op}` takes the maximum of nothing; please report this model")]
    EmptyWindow {
        /// The operator.
        op: &'static str,
    },
    /// Bounds are assumed that exclude all that a form can be: a defect of the operator.
    #[error("`{op}` assumes values {} to {} of a form that has none there; please report this model", range.lo, range.hi)]
    Excluded {
        /// The operator.
        op: &'static str,
        /// What is assumed.
        range: Range,
    },
    /// An operator returns other outputs than its `facts` has promised: its own defect.
    #[error(
        "`{op}` has {got} elements in its circuit and promised {expected}; please report this model"
    )]
    Outputs {
        /// The operator.
        op: &'static str,
        /// Elements of the promised outputs.
        expected: usize,
        /// Elements that it returned.
        got: usize,
    },
    /// An operator put other equations in the place of those that it was given to add to: its own defect.
    #[error("`{op}` exchanges the equations of the model for its own; please report this model")]
    Exchanged {
        /// The operator.
        op: &'static str,
    },
}

impl LowerError {
    /// Whether it tells of a defect of the program, which no model should meet.
    pub fn is_internal(&self) -> bool {
        match self {
            Self::NotRequantized { .. } | Self::TooWide { .. } | Self::Bounds(_) => false,
            // An assumption or a domain that is too narrow is the operator's, and one that is too long the model's.
            Self::Step(step) => {
                !matches!(step, StepError::TooLong { .. } | StepError::Domain { .. })
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_defects_from_what_a_model_may_ask_for() {
        let op = "test";
        let (lo, hi) = (0, 9);
        let range = Range::new(lo, hi);
        let arity = OpError::Arity {
            op,
            expected: 1,
            got: 2,
        };
        let (value, max) = (10, 4);
        let limits = [
            LowerError::NotRequantized { op },
            LowerError::Step(StepError::Domain { value, lo, hi }),
            LowerError::Step(StepError::TooLong { lo, hi, max }),
            LowerError::TooWide { op, reach: 1 << 63 },
            LowerError::Bounds(arity.clone()),
        ];
        for error in limits {
            assert!(!error.is_internal(), "{error:?}");
        }
        let wire = Wire::Const(0);
        let (expected, got) = (1, 2);
        let defects = [
            LowerError::Step(StepError::Pieces { lo, hi }),
            LowerError::Inconsistent { op, source: arity },
            LowerError::NoSuchElement { op, wire },
            LowerError::NoSuchInput {
                op,
                input: 2,
                inputs: 2,
            },
            LowerError::NoSuchRule { rules: 1 },
            LowerError::EmptyWindow { op },
            LowerError::Excluded { op, range },
            LowerError::Outputs { op, expected, got },
            LowerError::Exchanged { op },
        ];
        for error in defects {
            assert!(error.is_internal(), "{error:?}");
        }
    }
}
