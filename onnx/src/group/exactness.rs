//! How exactly the integers of a group equal those of ONNX Runtime.
//!
//! What is said of a group is what is argued of the rule that closed it, not what its operator is called.

use std::fmt;

/// How a rule relates to ONNX Runtime, without its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Relation {
    /// The integer kernel: equal to the last bit.
    Kernel,
    /// The float operators step by step in binary32: equal to the last bit.
    Steps,
    /// A table of float functions that differ from ONNX Runtime's by a known distance.
    Functions,
    /// The exact sum where ONNX Runtime adds floats in an order of its own.
    Sum,
    /// Thresholds for two tensors, certified on all pairs.
    Pairs,
    /// The integer rule of Softmax.
    Softmax,
    /// The leaves that ONNX Runtime's trees choose, added up exactly.
    Leaves,
    /// Integers of floats that are known to some units of their last place.
    Head,
    /// A rule of an operator that another crate defines.
    Foreign,
    /// Computed at import.
    AtImport,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "integer kernel",
            Self::Steps => "float steps",
            Self::Functions => "float functions",
            Self::Sum => "exact sum",
            Self::Pairs => "pairs",
            Self::Softmax => "Softmax",
            Self::Leaves => "leaves",
            Self::Head => "float head",
            Self::Foreign => "a rule of its own",
            Self::AtImport => "computed at import",
        })
    }
}

/// The rules that may close groups around an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relations(pub(crate) &'static [Relation]);

impl Relations {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Relation> + use<> {
        self.0.iter().copied()
    }
}

impl fmt::Display for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, relation) in self.0.iter().enumerate() {
            write!(f, "{}{relation}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// How the integers of one group relate to those of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exactness {
    /// The integer kernel that ONNX Runtime runs for the group: equal to the last bit.
    Kernel,
    /// The float operators that it runs, step by step: equal to the last bit.
    Steps,
    /// A table of float functions. An entry is doubtful if the distance of ONNX Runtime's function from ours reaches a
    /// tie; where none is, the table is equal to the last bit.
    Functions {
        /// Entries that may be off.
        doubtful: u32,
        /// Entries of all tables.
        entries: u32,
        /// By how many steps an entry may be off at most: one, but where the scale is smaller than what is known of the
        /// function.
        apart: u32,
    },
    /// ONNX Runtime adds floats in an order that no text fixes; here the sum is exact. A result is off where the
    /// rounding of the float sum reaches a tie.
    Sum {
        /// By how many steps at most, in whatever order the floats are added: one, but where an output has steps that
        /// are smaller than the roundings of its sum.
        apart: u32,
    },
    /// A constant is rounded to the unit of the accumulators that it is added to; a result is off where the rest
    /// reaches a tie.
    RoundedConstant {
        /// By how many steps at most.
        apart: u32,
    },
    /// Thresholds for two tensors that put some pairs of inputs on the wrong side of a threshold.
    Pairs {
        /// How many of the 65,536 pairs.
        differing: u32,
    },
    /// The integer rule of Softmax, off by one near ties.
    Softmax,
    /// The leaves that ONNX Runtime's trees choose, and their exact sum, where it adds floats.
    Leaves {
        /// Whether every leaf is a whole number of units of the sum.
        exact: bool,
    },
    /// Integers of floats that the model computes outside of the proof, with functions or sums whose last bits no text
    /// fixes.
    Head,
    /// A rule of an operator that another crate defines.
    Foreign {
        /// What that crate calls the rule.
        rule: &'static str,
    },
}

impl Exactness {
    /// Whether the integers are those of ONNX Runtime, to the last bit.
    pub fn is_exact(&self) -> bool {
        matches!(
            self,
            Self::Kernel | Self::Steps | Self::Functions { doubtful: 0, .. }
        )
    }

    /// How far a result may be from that of ONNX Runtime, in steps of its quantization; `None` if nothing is known.
    pub fn distance(&self) -> Option<u32> {
        match self {
            Self::Foreign { .. } | Self::Leaves { .. } | Self::Head => None,
            Self::Functions { apart, .. }
            | Self::Sum { apart }
            | Self::RoundedConstant { apart } => Some(*apart),
            exactness => Some(u32::from(!exactness.is_exact())),
        }
    }

    /// The rule's kind.
    pub fn relation(&self) -> Relation {
        match self {
            Self::Kernel => Relation::Kernel,
            Self::Steps => Relation::Steps,
            Self::Functions { .. } => Relation::Functions,
            Self::Sum { .. } | Self::RoundedConstant { .. } => Relation::Sum,
            Self::Pairs { .. } => Relation::Pairs,
            Self::Softmax => Relation::Softmax,
            Self::Leaves { .. } => Relation::Leaves,
            Self::Head => Relation::Head,
            Self::Foreign { .. } => Relation::Foreign,
        }
    }

    /// What holds of a result that is made of two, each by its own rule.
    pub(crate) fn and(self, other: Self) -> Self {
        let rank = |e: &Self| (e.distance().unwrap_or(u32::MAX), e.relation());
        if rank(&self) >= rank(&other) {
            self
        } else {
            other
        }
    }
}

/// A number of steps as a part of a sentence.
struct Steps(u32);

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("one"),
            steps => write!(f, "up to {steps}"),
        }
    }
}

impl fmt::Display for Exactness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("ONNX Runtime's integer kernel, to the last bit"),
            Self::Steps => f.write_str("ONNX Runtime's float steps, to the last bit"),
            Self::Functions { doubtful: 0, .. } => {
                f.write_str("a table of float functions, no entry near a tie: to the last bit")
            }
            Self::Functions {
                doubtful,
                entries,
                apart,
            } => write!(
                f,
                "a table of float functions; {doubtful} of {entries} entries are so near a tie that ONNX Runtime's may \
                 be {} apart",
                Steps(*apart)
            ),
            Self::Sum { apart } => write!(
                f,
                "the exact sum; ONNX Runtime adds floats, and is {} apart where their rounding reaches a tie",
                Steps(*apart)
            ),
            Self::RoundedConstant { apart } => write!(
                f,
                "a constant is rounded to the unit of the accumulators; ONNX Runtime is {} apart where the rest \
                 reaches a tie",
                Steps(*apart)
            ),
            Self::Pairs { differing } => write!(
                f,
                "certified on all pairs of inputs; {differing} of 65536 are one apart from ONNX Runtime"
            ),
            Self::Softmax => f.write_str(
                "integer rule of SEMANTICS.md, \"Softmax\"; one apart from ONNX Runtime near ties",
            ),
            Self::Leaves { exact } => write!(
                f,
                "the leaves that ONNX Runtime chooses; their sum is {}, where it adds floats",
                match exact {
                    true => "exact",
                    false => "rounded to 2^-39 of its largest value for each tree",
                }
            ),
            Self::Head => f.write_str(
                "floats computed outside the proof, as SEMANTICS.md, \"Constants and floats\", has them; their integers \
                 may differ where that is near a tie",
            ),
            Self::Foreign { rule } => write!(f, "rule `{rule}` of the operator's own crate"),
        }
    }
}

/// What the importer did with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Integers by a rule, which says how they relate to those of ONNX Runtime.
    Closed(Exactness),
    /// Part of a group that the next QuantizeLinear closes; how exact it is stands there.
    Group,
    /// Computed at import.
    Folded,
    /// Not proved: float arithmetic before the first QuantizeLinear.
    Head,
    /// Not proved: float arithmetic after the last DequantizeLinear.
    Outside,
}
