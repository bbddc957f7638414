//! Which of several rules applies to which element.

use crate::program::{DecodeError, Decoder, Encoder, OpError};

/// The rule of each element of a tensor, by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lanes {
    /// Rule 0 everywhere.
    Tensor,
    /// The rule follows the index along an axis.
    Axis {
        /// The axis.
        axis: usize,
        /// The rule of each index.
        rule_of: Vec<u32>,
    },
    /// The rule follows the element, row-major.
    Elements(Vec<u32>),
}

impl Lanes {
    /// Distinct items and the lanes that refer to them, in canonical form: rules are numbered by first use, and one
    /// rule needs no axis.
    pub fn along_axis<T: Clone + Eq + std::hash::Hash>(axis: usize, items: &[T]) -> (Vec<T>, Self) {
        let (distinct, rule_of) = dedup(items);
        match distinct.len() {
            0 | 1 => (distinct, Self::Tensor),
            _ => (distinct, Self::Axis { axis, rule_of }),
        }
    }

    /// As [`Lanes::along_axis`], with one item for each element.
    pub fn by_element<T: Clone + Eq + std::hash::Hash>(items: &[T]) -> (Vec<T>, Self) {
        let (distinct, rule_of) = dedup(items);
        match distinct.len() {
            0 | 1 => (distinct, Self::Tensor),
            _ => (distinct, Self::Elements(rule_of)),
        }
    }

    /// The rule of each element of a tensor of this shape.
    pub fn rule_of(&self, shape: &[usize]) -> impl Fn(usize) -> usize + '_ {
        let inner: usize = match self {
            Self::Axis { axis, .. } => shape.iter().skip(axis + 1).product(),
            _ => 1,
        };
        let extent = match self {
            Self::Axis { rule_of, .. } => rule_of.len(),
            _ => 1,
        };
        move |i| match self {
            Self::Tensor => 0,
            Self::Axis { rule_of, .. } => rule_of[(i / inner) % extent] as usize,
            Self::Elements(rule_of) => rule_of[i] as usize,
        }
    }

    /// Checks that the lanes are in canonical form for this number of rules.
    pub(super) fn check(&self, op: &'static str, rules: usize) -> Result<(), OpError> {
        let ok = match self {
            Self::Tensor => rules == 1,
            Self::Axis { rule_of, .. } | Self::Elements(rule_of) => {
                let mut next = 0;
                let ordered = rule_of.iter().all(|&r| {
                    next += u32::from(r == next);
                    r < next
                });
                rules > 1 && ordered && next as usize == rules
            }
        };
        if ok {
            Ok(())
        } else {
            Err(OpError::Parameter {
                op,
                parameter: "the assignment of rules",
            })
        }
    }

    /// Checks that the lanes fit a tensor of this shape.
    pub(super) fn check_shape(&self, op: &'static str, shape: &[usize]) -> Result<(), OpError> {
        let ok = match self {
            Self::Tensor => true,
            Self::Axis { axis, rule_of } => shape.get(*axis) == Some(&rule_of.len()),
            Self::Elements(rule_of) => crate::program::elements(shape) == rule_of.len(),
        };
        let expected = "there is one rule for each index or element";
        if ok {
            Ok(())
        } else {
            Err(OpError::Shape {
                op,
                expected,
                got: shape.to_vec(),
            })
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Tensor => String::new(),
            Self::Axis { axis, .. } => format!(" along axis {axis}"),
            Self::Elements(_) => " by element".to_owned(),
        }
    }

    /// A tag (0 tensor, 1 axis, 2 elements), then the axis, then the rules (`counts`).
    pub(super) fn encode(&self, out: &mut Encoder) {
        let wide = |rules: &[u32]| rules.iter().map(|&r| r as usize).collect::<Vec<_>>();
        match self {
            Self::Tensor => out.u8(0),
            Self::Axis { axis, rule_of } => {
                out.u8(1);
                out.count(*axis);
                out.counts(&wide(rule_of));
            }
            Self::Elements(rule_of) => {
                out.u8(2);
                out.counts(&wide(rule_of));
            }
        }
    }

    pub(super) fn decode(reader: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let rules = |reader: &mut Decoder<'_>| -> Result<Vec<u32>, DecodeError> {
            Ok(reader.counts()?.into_iter().map(|r| r as u32).collect())
        };
        match reader.u8()? {
            0 => Ok(Self::Tensor),
            1 => Ok(Self::Axis {
                axis: reader.count()?,
                rule_of: rules(reader)?,
            }),
            2 => Ok(Self::Elements(rules(reader)?)),
            _ => Err(DecodeError::Malformed("assignment of rules")),
        }
    }
}

fn dedup<T: Clone + Eq + std::hash::Hash>(items: &[T]) -> (Vec<T>, Vec<u32>) {
    let mut numbers = std::collections::HashMap::new();
    let mut distinct = Vec::new();
    let rule_of = items
        .iter()
        .map(|item| {
            *numbers.entry(item.clone()).or_insert_with(|| {
                distinct.push(item.clone());
                distinct.len() as u32 - 1
            })
        })
        .collect();
    (distinct, rule_of)
}
