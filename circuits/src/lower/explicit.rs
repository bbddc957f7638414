//! Linear forms as lists of terms, and linear forms of linear forms.
//!
//! A form of forms is a form of their inputs. It is written out, so that chains of sums neither nest nor double the
//! work of whoever reads them; what would be too long to write out is refused like any sum that a cell is needed of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{LinearForms, LinearMap, LowerError, Operand, Wire};

/// Most terms of all forms of a composition.
const MAX_TERMS: usize = 1 << 22;
/// Bound on coefficients and constants of a composition.
const MAX_COEFFICIENT: i128 = 1 << 62;

/// Terms (input and coefficient, each input once) and constant of a form.
pub(crate) type Form = (Vec<(usize, i64)>, i64);

/// Forms as explicit lists of terms.
#[derive(Debug)]
pub(crate) struct Explicit {
    /// Extents of the grid.
    pub(crate) grid: Vec<usize>,
    /// As many as the grid has places.
    pub(crate) forms: Vec<Form>,
}

impl LinearForms for Explicit {
    fn grid(&self) -> Vec<usize> {
        self.grid.clone()
    }

    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        for &(input, factor) in &self.forms[out].0 {
            f(input, factor);
        }
    }

    fn constant(&self, out: usize) -> i64 {
        self.forms[out].1
    }
}

/// The forms of `inputs`, some of which are forms of `maps` themselves, as forms of cells and constants.
pub(super) fn compose(
    op: &'static str,
    maps: &[LinearMap],
    inputs: &[Wire],
    outer: &Arc<dyn LinearForms>,
) -> Result<(Vec<Operand>, Arc<dyn LinearForms>), LowerError> {
    let mut cells = Vec::new();
    let mut places: HashMap<Operand, usize> = HashMap::new();
    let mut place = |operand: Operand| {
        *places.entry(operand).or_insert_with(|| {
            cells.push(operand);
            cells.len() - 1
        })
    };
    let grid = outer.grid();
    let count: usize = grid.iter().product();
    let mut left = MAX_TERMS;
    let mut forms = Vec::with_capacity(count);
    for out in 0..count {
        let mut terms: BTreeMap<usize, i128> = BTreeMap::new();
        let mut constant = i128::from(outer.constant(out));
        outer.terms(out, &mut |j, factor| match inputs[j] {
            Wire::Sum { map, index } => {
                let (map, index) = (&maps[map as usize], index as usize);
                let factor = i128::from(factor);
                constant += factor * i128::from(map.forms.constant(index));
                map.forms.terms(index, &mut |k, c| {
                    *terms.entry(place(map.inputs[k])).or_default() += factor * i128::from(c);
                });
            }
            Wire::Cell(v) => {
                *terms.entry(place(Operand::Cell(v))).or_default() += i128::from(factor)
            }
            Wire::Const(v) => constant += i128::from(factor) * i128::from(v),
        });
        left = left
            .checked_sub(terms.len())
            .ok_or(LowerError::NotRequantized { op })?;
        let fits = |v: i128| match v.abs() < MAX_COEFFICIENT {
            true => Ok(v as i64),
            false => Err(LowerError::TooWide { op, reach: v.abs() }),
        };
        let mut list = Vec::with_capacity(terms.len());
        for (input, factor) in terms {
            // Sums may cancel.
            if factor != 0 {
                list.push((input, fits(factor)?));
            }
        }
        forms.push((list, fits(constant)?));
    }
    Ok((cells, Arc::new(Explicit { grid, forms })))
}

#[cfg(test)]
mod tests {
    use super::super::{Collector, Lowering, Operand, StepRule};
    use super::*;
    use crate::program::Range;

    fn forms(forms: &[(&[(usize, i64)], i64)]) -> Arc<dyn LinearForms> {
        let forms: Vec<Form> = forms.iter().map(|(t, c)| (t.to_vec(), *c)).collect();
        Arc::new(Explicit {
            grid: vec![forms.len()],
            forms,
        })
    }

    fn read(cx: &Lowering, wire: Wire) -> (Vec<(Operand, i64)>, i64) {
        let Wire::Sum { map, index } = wire else {
            panic!("{wire:?} is no sum");
        };
        let map = &cx.maps()[map as usize];
        let mut terms = Vec::new();
        map.forms
            .terms(index as usize, &mut |j, c| terms.push((map.inputs[j], c)));
        (terms, map.forms.constant(index as usize))
    }

    #[test]
    fn accepts_forms_of_forms_as_forms_of_cells() {
        let mut collector = Collector::new();
        let x = collector.inputs(0, 3, Range::new(0, 9)).unwrap();
        let cx = collector.node(0);
        let inner = forms(&[(&[(0, 2), (1, -1)], 5), (&[(1, 1), (2, 1)], 0)]);
        let sums = cx.linear("test", &x, inner).unwrap();
        // 3·(2a − b + 5) + 3·(b + c) + 7·b − 1: b cancels to 7.
        let inputs = [sums[0], sums[1], x[1]];
        let outer = forms(&[(&[(0, 3), (1, 3), (2, 7)], -1)]);
        let made = cx.linear("test", &inputs, outer).unwrap();
        let (mut terms, constant) = read(cx, made[0]);
        terms.sort_by_key(|t| t.1);
        let cell = |i: u32| Operand::Cell(super::super::VarId(i));
        assert_eq!(terms, [(cell(2), 3), (cell(0), 6), (cell(1), 7)]);
        assert_eq!(constant, 14);
        // Again, and to nothing.
        let outer = forms(&[(&[(0, 1), (1, -3), (2, -7), (3, -6)], 0)]);
        let made = cx
            .linear("test", &[made[0], x[2], x[1], x[0]], outer)
            .unwrap();
        assert_eq!(read(cx, made[0]), (vec![], 14));
    }

    #[test]
    fn rejects_coefficients_that_do_not_fit() {
        let mut collector = Collector::new();
        let x = collector.inputs(0, 1, Range::new(0, 9)).unwrap();
        let cx = collector.node(0);
        let large = || forms(&[(&[(0, 1 << 40)], 0)]);
        let sums = cx.linear("test", &x, large()).unwrap();
        let refused = cx.linear("test", &sums, large());
        assert!(matches!(refused, Err(LowerError::TooWide { .. })));
    }

    #[test]
    fn rejects_doublings_that_would_not_end() {
        let mut collector = Collector::new();
        let x = collector.inputs(0, 1, Range::new(0, 1)).unwrap();
        let cx = collector.node(0);
        let mut sum = x;
        for _ in 0..70 {
            match cx.linear("test", &[sum[0], sum[0]], forms(&[(&[(0, 1), (1, 1)], 0)])) {
                Ok(next) => sum = next,
                Err(error) => {
                    assert!(matches!(error, LowerError::TooWide { .. }));
                    return;
                }
            }
        }
        panic!("2^70 fits 62 bits");
    }

    #[test]
    fn accepts_the_maximum_of_narrow_sums_and_rejects_that_of_wide_ones() {
        let mut collector = Collector::new();
        let x = collector.inputs(0, 2, Range::new(0, 255)).unwrap();
        let cx = collector.node(0);
        let narrow = forms(&[(&[(0, 1), (1, 2)], 0), (&[(0, 1)], 3)]);
        let sums = cx.linear("test", &x, narrow).unwrap();
        let largest = cx
            .max("test", vec![vec![sums[0], sums[1], sums[0]]])
            .unwrap();
        assert!(matches!(largest[0], Wire::Cell(_)));
        let wide = forms(&[(&[(0, 100)], 0)]);
        let sums = cx.linear("test", &x, wide).unwrap();
        let refused = cx.max("test", vec![vec![sums[0], x[1]]]);
        assert_eq!(refused, Err(LowerError::NotRequantized { op: "test" }));
        let rule = Arc::new(StepRule::monotone(Range::new(0, 25_500), None, |v| v / 100));
        let cells = cx.steps(&sums, vec![rule], |_| 0).unwrap();
        assert!(cx.max("test", vec![vec![cells[0], x[1]]]).is_ok());
    }

    #[test]
    fn rejects_compositions_of_too_many_terms() {
        let width = 1 << 11;
        let mut collector = Collector::new();
        let x = collector.inputs(0, width, Range::new(0, 1)).unwrap();
        let cx = collector.node(0);
        let terms: Vec<_> = (0..width).map(|i| (i, 1)).collect();
        let sum = cx.linear("test", &x, forms(&[(&terms, 0)])).unwrap();
        let copies = |n: usize| forms(&vec![(&[(0, 1)][..], 0); n]);
        let rows = MAX_TERMS / width;
        let made = cx.linear("test", &sum, copies(rows)).map(|w| w.len());
        assert_eq!(made, Ok(rows));
        let refused = cx.linear("test", &sum, copies(rows + 1));
        assert_eq!(refused, Err(LowerError::NotRequantized { op: "test" }));
    }
}
