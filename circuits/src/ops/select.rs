//! `select`: one of two tensors, element by element, as a boolean says.
//!
//! `y[i] = c[i] ? a[i] : b[i]`, all inputs broadcast against each other; `a` and `b` have one type and, in a quantized
//! model, one scale.
//!
//! # Circuit
//!
//! With all values of `a` and `b` in `lo..=hi` and `W = hi − lo + 1`, the forms `a + W·(1 − c)` and `b + W·c` tell from
//! their value alone whether the element was chosen: below `lo + W` it was. One step each gives `a − lo` or 0 and
//! `b − lo` or 0, and a third makes a cell of their sum. **Assumes** `c ∈ {0, 1}`, which the bounds of its cell
//! enforce. **Guarantees** one `y` for each input. **Needs** all three steps: without the first two the other operand
//! would leak into the sum; the third makes a cell that others may copy.

use std::sync::Arc;

use super::weighted_sum::{broadcast, broadcast_places};
use super::{accepted, check_size, reach};
use crate::lower::{LinearForms, LowerError, Lowering, StepRule, Wire, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("select");
const NAME: &str = ID.name;

/// Widest range of the values.
const MAX_WIDTH: u64 = 1 << 16;

/// Chooses between two tensors; inputs are the boolean, the value where it is true, the value where it is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select;

impl Select {
    /// It has no parameters.
    pub fn decode(_: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        Ok(Arc::new(Self))
    }
}

fn common(shapes: &[&[usize]]) -> Result<Vec<usize>, OpError> {
    if shapes.len() != 3 {
        return Err(OpError::Arity {
            op: NAME,
            expected: 3,
            got: shapes.len(),
        });
    }
    let mut shape: Vec<usize> = Vec::new();
    for input in shapes {
        let expected = "the inputs broadcast";
        let bad = OpError::Shape {
            op: NAME,
            expected,
            got: input.to_vec(),
        };
        shape = broadcast(&shape, input).ok_or(bad)?;
    }
    check_size(NAME, &shape)?;
    Ok(shape)
}

impl Operator for Select {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let shape = common(
            &inputs
                .iter()
                .map(|x| x.shape.as_slice())
                .collect::<Vec<_>>(),
        )?;
        let (c, a, b) = (inputs[0], inputs[1], inputs[2]);
        if c.dtype != DataType::Bool {
            return Err(OpError::Type {
                op: NAME,
                got: c.dtype,
            });
        }
        if a.dtype != b.dtype {
            return Err(OpError::Type {
                op: NAME,
                got: b.dtype,
            });
        }
        let range = a.range.union(&b.range);
        if range.span() >= MAX_WIDTH {
            return Err(OpError::Type {
                op: NAME,
                got: a.dtype,
            });
        }
        Ok(vec![Fact {
            dtype: a.dtype,
            shape,
            range,
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = common(
            &inputs
                .iter()
                .map(|x| x.shape.as_slice())
                .collect::<Vec<_>>(),
        )?;
        let places = |i: usize| broadcast_places(&shape, &inputs[i].shape).into_iter();
        let data = places(0)
            .zip(places(1).zip(places(2)))
            .map(|(c, (a, b))| match inputs[0].data[c] {
                0 => inputs[2].data[b],
                _ => inputs[1].data[a],
            })
            .collect();
        Ok(vec![Tensor::new(inputs[1].dtype, shape, data)])
    }

    fn encode(&self, _: &mut Encoder) {}

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let shapes: Vec<&[usize]> = facts.iter().map(|x| x.shape.as_slice()).collect();
        let shape = accepted(NAME, common(&shapes))?;
        let range = reach(cx, NAME, &[inputs[1].as_slice(), &inputs[2]].concat())?;
        StepRule::check_enumerable(range)?;
        let width = range.hi - range.lo + 1;
        let conditions = broadcast_places(&shape, shapes[0]);
        let mut chosen = Vec::with_capacity(2);
        for (which, sign) in [(1, -width), (2, width)] {
            let values = broadcast_places(&shape, shapes[which]).into_iter();
            let pairs: Wires = values
                .zip(&conditions)
                .flat_map(|(v, &c)| [inputs[which][v], inputs[0][c]])
                .collect();
            let constant = if sign < 0 { width } else { 0 };
            let forms = Pairs {
                len: elements(&shape),
                second: sign,
                constant,
            };
            let sums = cx.linear(NAME, &pairs, Arc::new(forms))?;
            let domain = Range::new(range.lo, range.hi + width);
            let keep = |p: i64| if p <= range.hi { p - range.lo } else { 0 };
            let rule = Arc::new(StepRule::table(domain, keep)?);
            chosen.push(cx.steps(&sums, vec![rule], |_| 0)?);
        }
        let both: Wires = chosen[0]
            .iter()
            .zip(&chosen[1])
            .flat_map(|(a, b)| [*a, *b])
            .collect();
        let forms = Pairs {
            len: elements(&shape),
            second: 1,
            constant: range.lo,
        };
        let sums: Vec<Wire> = cx.linear(NAME, &both, Arc::new(forms))?;
        let domain = Range::new(range.lo, range.lo + 2 * (width - 1));
        let rule = Arc::new(StepRule::table(domain, |y| y.min(range.hi))?);
        Ok(vec![cx.steps(&sums, vec![rule], |_| 0)?])
    }
}

/// `x[2i] + second · x[2i + 1] + constant`.
#[derive(Debug)]
struct Pairs {
    len: usize,
    second: i64,
    constant: i64,
}

impl LinearForms for Pairs {
    fn grid(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        f(2 * out, 1);
        f(2 * out + 1, self.second);
    }

    fn constant(&self, _: usize) -> i64 {
        self.constant
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    #[test]
    fn accepts_inputs_that_broadcast() {
        let facts = [
            Fact::any(DataType::Bool, vec![2, 3]),
            Fact::any(DataType::I8, vec![3]),
            Fact::any(DataType::I8, vec![2, 1]),
        ];
        testing::check(&Select, &facts, Select::decode, 20);
    }

    #[test]
    fn rejects_conditions_that_are_not_boolean_and_wide_values() {
        let fact = |dtype| Fact::any(dtype, vec![2]);
        let (c, u8s, i32s) = (
            fact(DataType::Bool),
            fact(DataType::U8),
            fact(DataType::I32),
        );
        assert!(Select.facts(&[&u8s, &u8s, &u8s]).is_err());
        assert!(Select.facts(&[&c, &u8s, &i32s]).is_err());
        assert!(Select.facts(&[&c, &i32s, &i32s]).is_err());
        // The ends of 64-bit integers are further apart than any of them is large.
        let i64s = fact(DataType::I64);
        let refused = Select.facts(&[&c, &i64s, &i64s]);
        assert!(matches!(refused, Err(OpError::Type { .. })), "{refused:?}");
        assert!(Select.facts(&[&c, &u8s]).is_err());
    }
}
