//! `product`: products of two activations, summed over an axis.
//!
//! `y[…, m, n] = Σ_k (a[…, m, k] − a_zero) · (b[…, k, n] − b_zero)`, leading axes broadcast. With `K = 1` and suitable
//! shapes this is the elementwise product.
//!
//! # Circuit
//!
//! Neither factor is constant, so a product is no linear form. With `s = u + v` and `d = u − v` it is a difference of
//! two functions of one integer each: `u·v = ⌊s²/4⌋ − ⌊d²/4⌋`, exact because `s` and `d` have the same parity. So for
//! each (m, n, k) there are two steps (tables of squares on at most 511 values for 8-bit factors), and each output is
//! one linear form of their results. **Assumes** that both factors are bounded by their cells. **Guarantees** exactness:
//! the tables cover every value that the sums reach. **Needs** both tables: one alone leaves the product free.

use std::sync::Arc;

use super::weighted_sum::{broadcast, broadcast_places};
use super::{accepted, bounded, check_size, reach};
use crate::lower::{LinearForms, LowerError, Lowering, StepRule, Wire, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor, elements,
};

pub(super) const ID: OpId = super::id("product");
const NAME: &str = ID.name;

/// Largest number of products.
const MAX_PRODUCTS: usize = 1 << 22;
/// Widest range of a factor, less its zero point.
const MAX_FACTOR: i64 = 1 << 9;

/// Matrix product of two activations; the output has type `i32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    a_zero: i64,
    b_zero: i64,
}

/// Extents of a product: leading axes, then m, n, k.
struct Extents {
    lead: Vec<usize>,
    m: usize,
    n: usize,
    k: usize,
}

impl Product {
    /// Factors less these zero points, which lie within 16 bits.
    pub fn new(a_zero: i64, b_zero: i64) -> Result<Self, OpError> {
        let range = Range::new(-(1 << 15), 1 << 16);
        if !range.contains(a_zero) || !range.contains(b_zero) {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "the zero point",
            });
        }
        Ok(Self { a_zero, b_zero })
    }

    /// Zero points of both factors (i64 each).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let a_zero = reader.i64()?;
        Ok(Arc::new(Self::new(a_zero, reader.i64()?)?))
    }

    fn extents(&self, inputs: &[&[usize]]) -> Result<Extents, OpError> {
        let &[a, b] = inputs else {
            return Err(OpError::Arity {
                op: NAME,
                expected: 2,
                got: inputs.len(),
            });
        };
        let bad = |expected, got: &[usize]| OpError::Shape {
            op: NAME,
            expected,
            got: got.to_vec(),
        };
        let (&[ref a_lead @ .., m, k], &[ref b_lead @ .., rows, n]) = (a, b) else {
            return Err(bad("both factors are matrices", a));
        };
        if rows != k {
            return Err(bad("its rows are the columns of the other factor", b));
        }
        let lead = broadcast(a_lead, b_lead).ok_or_else(|| bad("leading axes broadcast", b))?;
        if elements(&lead)
            .saturating_mul(m)
            .saturating_mul(n)
            .saturating_mul(k)
            > MAX_PRODUCTS
        {
            return Err(OpError::TooLarge {
                op: NAME,
                max: MAX_PRODUCTS,
            });
        }
        let shape = [lead.as_slice(), &[m, n]].concat();
        check_size(NAME, &shape)?;
        Ok(Extents { lead, m, n, k })
    }

    /// Places of both factors of every product, ordered by output and then by k.
    fn pairs(extents: &Extents, a: &[usize], b: &[usize]) -> Vec<(usize, usize)> {
        let Extents { lead, m, n, k } = extents;
        let blocks_a = broadcast_places(lead, &a[..a.len() - 2]);
        let blocks_b = broadcast_places(lead, &b[..b.len() - 2]);
        let mut pairs = Vec::with_capacity(blocks_a.len() * m * n * k);
        for (block_a, block_b) in blocks_a.into_iter().zip(blocks_b) {
            for i in 0..*m {
                for j in 0..*n {
                    pairs.extend(
                        (0..*k).map(|l| ((block_a * m + i) * k + l, (block_b * k + l) * n + j)),
                    );
                }
            }
        }
        pairs
    }
}

impl Operator for Product {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| x.shape.as_slice()).collect();
        let extents = self.extents(&shapes)?;
        let ends = |x: &Fact, zero: i64| [x.range.lo - zero, x.range.hi - zero];
        let (u, v) = (ends(inputs[0], self.a_zero), ends(inputs[1], self.b_zero));
        if let Some(wide) = u.iter().chain(&v).find(|e| e.abs() > MAX_FACTOR) {
            return Err(OpError::Value {
                op: NAME,
                value: *wide,
                range: Range::new(-MAX_FACTOR, MAX_FACTOR),
            });
        }
        let corners = u
            .iter()
            .flat_map(|x| v.iter().map(move |y| i128::from(x * y)));
        let (lo, hi) = corners.fold((i128::MAX, i128::MIN), |(lo, hi), p| (lo.min(p), hi.max(p)));
        let k = extents.k as i128;
        let shape = [extents.lead.as_slice(), &[extents.m, extents.n]].concat();
        Ok(vec![bounded(NAME, DataType::I32, shape, lo * k, hi * k)?])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| x.shape.as_slice()).collect();
        let extents = self.extents(&shapes)?;
        let (a, b) = (inputs[0], inputs[1]);
        let product =
            |&(i, j): &(usize, usize)| (a.data[i] - self.a_zero) * (b.data[j] - self.b_zero);
        let pairs = Self::pairs(&extents, &a.shape, &b.shape);
        let data = pairs
            .chunks(extents.k.max(1))
            .map(|terms| terms.iter().map(product).sum())
            .collect();
        let shape = [extents.lead.as_slice(), &[extents.m, extents.n]].concat();
        Ok(vec![Tensor::new(DataType::I32, shape, data)])
    }

    fn describe(&self) -> String {
        format!("zero points {} and {}", self.a_zero, self.b_zero)
    }

    fn encode(&self, out: &mut Encoder) {
        out.i64(self.a_zero);
        out.i64(self.b_zero);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let shapes: Vec<&[usize]> = facts.iter().map(|x| x.shape.as_slice()).collect();
        let extents = accepted(NAME, self.extents(&shapes))?;
        let pairs = Self::pairs(&extents, shapes[0], shapes[1]);
        let both: Wires = pairs
            .iter()
            .flat_map(|&(i, j)| [inputs[0][i], inputs[1][j]])
            .collect();
        let mut squares = Vec::with_capacity(2);
        for (sign, constant) in [
            (1, -self.a_zero - self.b_zero),
            (-1, self.b_zero - self.a_zero),
        ] {
            let forms = Arc::new(Combination {
                len: pairs.len(),
                sign,
                constant,
            });
            let sums = cx.linear(NAME, &both, forms)?;
            squares.push(self.square(cx, &sums)?);
        }
        let quarters: Wires = squares[0]
            .iter()
            .zip(&squares[1])
            .flat_map(|(s, d)| [*s, *d])
            .collect();
        let forms = Arc::new(Differences {
            len: pairs.len() / extents.k.max(1),
            k: extents.k,
        });
        Ok(vec![cx.linear(NAME, &quarters, forms)?])
    }
}

impl Product {
    /// `⌊x²/4⌋` of each form.
    fn square(&self, cx: &mut Lowering, sums: &[Wire]) -> Result<Wires, LowerError> {
        let rule = StepRule::table(reach(cx, NAME, sums)?, |x| x * x / 4)?;
        cx.steps(sums, vec![Arc::new(rule)], |_| 0)
    }
}

/// `x[2i] + sign · x[2i + 1] + constant`.
#[derive(Debug)]
struct Combination {
    len: usize,
    sign: i64,
    constant: i64,
}

impl LinearForms for Combination {
    fn grid(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        f(2 * out, 1);
        f(2 * out + 1, self.sign);
    }

    fn constant(&self, _: usize) -> i64 {
        self.constant
    }
}

/// `Σ_k x[2(out·K + k)] − x[2(out·K + k) + 1]`.
#[derive(Debug)]
struct Differences {
    len: usize,
    k: usize,
}

impl LinearForms for Differences {
    fn grid(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        for place in out * self.k..(out + 1) * self.k {
            f(2 * place, 1);
            f(2 * place + 1, -1);
        }
    }

    fn constant(&self, _: usize) -> i64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    #[test]
    fn accepts_every_product_of_two_bytes() {
        let quarter = |x: i64| x * x / 4;
        for u in -255..=255i64 {
            for v in -255..=255i64 {
                assert_eq!(quarter(u + v) - quarter(u - v), u * v);
            }
        }
    }

    #[test]
    fn accepts_matrices_with_broadcast_leading_axes() {
        let op = Product::new(3, -5).unwrap();
        let facts = [
            Fact::any(DataType::U8, vec![2, 1, 2, 3]),
            Fact::any(DataType::I8, vec![2, 3, 2]),
        ];
        testing::check(&op, &facts, Product::decode, 10);
    }

    #[test]
    fn rejects_factors_that_do_not_fit() {
        let op = Product::new(0, 0).unwrap();
        let fact = |dtype, shape: &[usize]| Fact::any(dtype, shape.to_vec());
        let a = fact(DataType::U8, &[2, 3]);
        assert!(op.facts(&[&a, &fact(DataType::U8, &[2, 3])]).is_err());
        assert!(op.facts(&[&a, &fact(DataType::U8, &[3])]).is_err());
        assert!(op.facts(&[&a, &fact(DataType::U16, &[3, 1])]).is_err());
        assert!(op.facts(&[&a]).is_err());
    }
}
