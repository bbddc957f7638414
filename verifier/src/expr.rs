//! Walking expressions without recursion.
//!
//! A key is data of a stranger, and the sums of a wide gate nest one level per term. A recursive walk would let the
//! key choose the height of the machine's stack, so every walk here is a loop over the postfix list with a stack whose
//! height has been checked once, in [`Expression::analyse`].

use alloc::vec::Vec;

use pasta_curves::Fp;

use crate::cs::{ColumnKind, ConstraintSystem, Expression, Node};
use crate::error::ExpressionError;

/// Largest number of operands that wait at once during an evaluation.
pub const MAX_STACK: usize = 1 << 10;

impl Node {
    /// The number of operands: 0, 1 or 2.
    pub fn arity(&self) -> usize {
        match self {
            Self::Constant(_) | Self::Fixed(_) | Self::Advice(_) | Self::Instance(_) => 0,
            Self::Negated | Self::Scaled(_) => 1,
            Self::Sum | Self::Product => 2,
        }
    }
}

impl Expression {
    /// Checks that the nodes are one expression over the system's queries and returns its degree.
    pub(crate) fn analyse(&self, cs: &ConstraintSystem) -> Result<u32, ExpressionError> {
        let mut height = 0usize;
        for (node, op) in self.nodes.iter().enumerate() {
            let query = match *op {
                Node::Fixed(query) => Some((ColumnKind::Fixed, query, cs.fixed_queries.len())),
                Node::Advice(query) => Some((ColumnKind::Advice, query, cs.advice_queries.len())),
                Node::Instance(query) => {
                    Some((ColumnKind::Instance, query, cs.instance_queries.len()))
                }
                _ => None,
            };
            if let Some((kind, query, len)) = query {
                if !usize::try_from(query).is_ok_and(|query| query < len) {
                    return Err(ExpressionError::UnknownQuery { node, kind, query });
                }
            }
            height = height
                .checked_sub(op.arity())
                .ok_or(ExpressionError::MissingOperand { node })?
                + 1;
            if height > MAX_STACK {
                return Err(ExpressionError::TooDeep { node });
            }
        }
        match height {
            0 => Err(ExpressionError::Empty),
            1 => Ok(self.degree()),
            _ => Err(ExpressionError::LeftoverOperands { count: height - 1 }),
        }
    }

    /// The degree as halo2 counts it: one per query, added by products. Saturates; zero for a malformed list.
    pub fn degree(&self) -> u32 {
        let mut stack: Vec<u32> = Vec::new();
        for node in &self.nodes {
            let degree = match node {
                Node::Constant(_) => 0,
                Node::Fixed(_) | Node::Advice(_) | Node::Instance(_) => 1,
                Node::Negated | Node::Scaled(_) => continue,
                Node::Sum | Node::Product => {
                    let (Some(b), Some(a)) = (stack.pop(), stack.pop()) else {
                        return 0;
                    };
                    if matches!(node, Node::Sum) {
                        a.max(b)
                    } else {
                        a.saturating_add(b)
                    }
                }
            };
            stack.push(degree);
        }
        stack.pop().unwrap_or(0)
    }

    /// The value at given query values, by the indices of the queries. `stack` is scratch space, left empty.
    ///
    /// `None` if the list is malformed or reads a query without a value, which a validated key excludes.
    pub fn evaluate(
        &self,
        fixed: &[Fp],
        advice: &[Fp],
        instance: &[Fp],
        stack: &mut Vec<Fp>,
    ) -> Option<Fp> {
        let read = |values: &[Fp], query: u32| values.get(usize::try_from(query).ok()?).copied();
        stack.clear();
        for node in &self.nodes {
            let value = match *node {
                Node::Constant(value) => value,
                Node::Fixed(query) => read(fixed, query)?,
                Node::Advice(query) => read(advice, query)?,
                Node::Instance(query) => read(instance, query)?,
                Node::Negated => -stack.pop()?,
                Node::Scaled(factor) => stack.pop()? * factor,
                Node::Sum => stack.pop()? + stack.pop()?,
                Node::Product => stack.pop()? * stack.pop()?,
            };
            stack.push(value);
        }
        let value = stack.pop()?;
        stack.is_empty().then_some(value)
    }
}
