//! `top_k`: the largest elements along an axis, and where they stand.
//!
//! Two outputs, `values` (type of the input) and `indices` (int64), of extent `k` along `axis`: the elements in falling
//! order, equal ones by rising index. Inputs have at most 16 bits.
//!
//! # Circuit
//!
//! `k` rounds. With `lo..=hi` the bounds of the elements, `W = hi − lo + 1` and `x⁰ = x`, round `r` finds the leader of
//! `xʳ` with the equations of `arg_max`: the maximum `mʳ`, the keys `kʳ_i`, their maximum `tʳ`. Then
//!
//! | cell     | equation                                                   | block              |
//! | -------- | ---------------------------------------------------------- | ------------------ |
//! | `uʳ_i`   | 1 if `tʳ − kʳ_i ≥ 1`, otherwise 0                          | step of two pieces |
//! | `xʳ⁺¹_i` | `p − W` if `p ≥ lo + W`, otherwise `lo − 1`                | step of `W + 1` pieces |
//!
//! with the form `p = xʳ_i + W · uʳ_i`. The second step reads `p` alone: an element that was taken now or before has `p < lo + W`, and becomes
//! `lo − 1`; any other has `p = xʳ_i + W ≥ lo + W`, and stays. An element taken before has `xʳ_i = lo − 1`, so with
//! `uʳ_i = 1` it has `p = lo − 1 + W`, which is below `lo + W` as well. `values[r] = max(mʳ, lo)`, a step that
//! tells the next reader the bounds of the type, and `indices[r] = N − tʳ`.
//!
//! **Assumes** nothing but the bounds of the cells. **Guarantees** one result: `tʳ` is the key of exactly one element,
//! keys being distinct where they are positive, so exactly one element is taken in each round. **Needs** `k ≤ N`: then
//! some element is left in every round, and `mʳ ≥ lo`.

use std::sync::Arc;

use super::arg_max::{Differences, Leaders, Lines, check_narrow, leaders, places_of, resized};
use super::{accepted, only, reach};
use crate::lower::{LowerError, Lowering, StepRule, Wire, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("top_k");
const NAME: &str = ID.name;

/// The largest elements along an axis, sorted, with their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK {
    axis: usize,
    k: usize,
}

impl TopK {
    /// The `k` largest elements along `axis`.
    pub fn new(axis: usize, k: usize) -> Self {
        Self { axis, k }
    }

    /// The axis, then the number of elements (counts).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        Ok(Arc::new(Self::new(reader.count()?, reader.count()?)))
    }

    fn lines(&self, shape: &[usize]) -> Result<Lines, OpError> {
        let lines = Lines::new(NAME, shape, self.axis)?;
        if self.k == 0 || self.k > lines.extent {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "k",
            });
        }
        Ok(lines)
    }
}

/// One less than the smallest value in the lines where an element was taken, and all others as they are.
fn without(
    cx: &mut Lowering,
    lines: &[Wires],
    round: &Leaders,
    range: Range,
) -> Result<Vec<Wires>, LowerError> {
    let extent = lines.first().map_or(1, Vec::len);
    let pairs: Wires = round
        .keys
        .iter()
        .zip(&round.best)
        .flat_map(|(keys, &t)| keys.iter().flat_map(move |&k| [t, k]))
        .collect();
    let len = pairs.len() / 2;
    let forms = Differences {
        len,
        sign: 1,
        constant: 0,
    };
    let distances = cx.linear(NAME, &pairs, Arc::new(forms))?;
    let domain = reach(cx, NAME, &distances)?;
    let rule = StepRule::monotone(domain, None, |d| i64::from(d >= 1));
    let left = cx.steps(&distances, vec![Arc::new(rule)], |_| 0)?;

    let width = range.hi - range.lo + 1;
    let pairs: Wires = lines
        .iter()
        .flatten()
        .zip(&left)
        .flat_map(|(&x, &u)| [x, u])
        .collect();
    let forms = Differences {
        len,
        sign: -width,
        constant: 0,
    };
    let sums = cx.linear(NAME, &pairs, Arc::new(forms))?;
    let domain = reach(cx, NAME, &sums)?;
    let keep = |p: i64| (p - width).max(range.lo - 1);
    let rule = Arc::new(StepRule::table(domain, keep)?);
    let next = cx.steps(&sums, vec![rule], |_| 0)?;
    Ok(next.chunks(extent).map(<[Wire]>::to_vec).collect())
}

impl Operator for TopK {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        check_narrow(NAME, x.dtype)?;
        let lines = self.lines(&x.shape)?;
        let shape = resized(&x.shape, self.axis, self.k);
        let values = Fact {
            dtype: x.dtype,
            shape: shape.clone(),
            range: x.range,
        };
        let indices = Fact {
            dtype: DataType::I64,
            shape,
            range: Range::new(0, lines.extent as i64 - 1),
        };
        Ok(vec![values, indices])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let lines = self.lines(&x.shape)?;
        let shape = resized(&x.shape, self.axis, self.k);
        let mut values = vec![0; elements(&shape)];
        let mut indices = values.clone();
        let targets = Lines {
            extent: self.k,
            ..lines
        };
        for (line, target) in lines.places().zip(targets.places()) {
            let mut order: Vec<usize> = (0..line.len()).collect();
            // A stable sort: equal elements keep the order of their indices.
            order.sort_by_key(|&i| std::cmp::Reverse(x.data[line[i]]));
            for (&to, i) in target.iter().zip(order) {
                values[to] = x.data[line[i]];
                indices[to] = i as i64;
            }
        }
        Ok(vec![
            Tensor::new(x.dtype, shape.clone(), values),
            Tensor::new(DataType::I64, shape, indices),
        ])
    }

    fn describe(&self) -> String {
        format!("{} along axis {}", self.k, self.axis)
    }

    fn encode(&self, out: &mut Encoder) {
        out.count(self.axis);
        out.count(self.k);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let lines = accepted(NAME, self.lines(&facts[0].shape))?;
        if lines.extent == 1 {
            let zeros = vec![Wire::Const(0); inputs[0].len()];
            return Ok(vec![inputs[0].clone(), zeros]);
        }
        let range = reach(cx, NAME, &inputs[0])?;
        let mut left: Vec<Wires> = lines
            .places()
            .map(|line| line.iter().map(|&i| inputs[0][i]).collect())
            .collect();
        let mut values = vec![Wire::Const(0); lines.outer * self.k * lines.inner];
        let mut indices = values.clone();
        let targets = Lines {
            extent: self.k,
            ..lines
        };
        let targets: Vec<Vec<usize>> = targets.places().collect();
        // Later maxima are bounded by `lo − 1` only, which the type need not hold.
        StepRule::check_enumerable(range)?;
        let clamped = Range::new(range.lo - 1, range.hi);
        let clamped = Arc::new(StepRule::table(clamped, |m| m.max(range.lo))?);
        for r in 0..self.k {
            let round = leaders(cx, NAME, &left, false)?;
            let largest = match r {
                0 => round.largest.clone(),
                _ => cx.steps(&round.largest, vec![clamped.clone()], |_| 0)?,
            };
            let places = places_of(cx, NAME, &round.best, lines.extent, false)?;
            for (line, target) in targets.iter().enumerate() {
                values[target[r]] = largest[line];
                indices[target[r]] = places[line];
            }
            if r + 1 < self.k {
                left = without(cx, &left, &round, range)?;
            }
        }
        Ok(vec![values, indices])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn narrow(shape: Vec<usize>, hi: i64) -> Fact {
        Fact {
            dtype: DataType::I8,
            shape,
            range: Range::new(-1, hi),
        }
    }

    #[test]
    fn accepts_every_axis_number_and_ties() {
        for (axis, k, shape) in [
            (0, 1, vec![5]),
            (0, 5, vec![5]),
            (1, 3, vec![2, 7, 2]),
            (1, 1, vec![2, 1]),
        ] {
            for hi in [1, 127] {
                testing::check_operator(
                    &TopK::new(axis, k),
                    &[narrow(shape.clone(), hi)],
                    TopK::decode,
                    12,
                );
            }
        }
    }

    #[test]
    fn accepts_types_of_sixteen_bits() {
        for (lo, hi) in [(-32_768, 32_767), (29_990, 30_000)] {
            let fact = Fact {
                dtype: DataType::I16,
                shape: vec![6],
                range: Range::new(lo, hi),
            };
            testing::check_operator(&TopK::new(0, 2), &[fact], TopK::decode, 6);
        }
    }

    #[test]
    fn accepts_the_order_of_indices_among_equals() {
        let x = Tensor::new(DataType::U8, vec![5], vec![3, 7, 3, 7, 1]);
        let out = TopK::new(0, 4).eval(&[&x]).unwrap();
        assert_eq!(out[0].data, [7, 7, 3, 3]);
        assert_eq!(out[1].data, [1, 3, 0, 2]);
    }

    #[test]
    fn rejects_every_lie() {
        let score =
            testing::mutate_operator(Arc::new(TopK::new(1, 2)), &[narrow(vec![1, 4], 2)], 3);
        assert!(score.survivors.is_empty(), "{:?}", score.survivors.first());
        assert!(score.mutants > 100, "{}", score.mutants);
    }

    #[test]
    fn rejects_more_elements_than_there_are() {
        let fact = Fact::any(DataType::I8, vec![3]);
        assert!(TopK::new(0, 4).facts(&[&fact]).is_err());
        assert!(TopK::new(0, 0).facts(&[&fact]).is_err());
        assert!(TopK::new(1, 1).facts(&[&fact]).is_err());
        assert!(
            TopK::new(0, 1)
                .facts(&[&Fact::any(DataType::I32, vec![3])])
                .is_err()
        );
    }
}
