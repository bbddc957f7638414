//! Products of matrices.

use crate::error::NodeError;
use crate::eval::cast::{integers, number};
use crate::eval::inputs::{Inputs, Results, attribute, bad, one, wrong_type};
use crate::eval::places::Places;
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data, Element};
use zkonnx_circuits::ops::broadcast;
use zkonnx_circuits::program::elements;

const SHAPES: NodeError = bad(1, "b", "its shape does not fit that of a");

/// Rows, inner extent, columns.
type Extents = (usize, usize, usize);

/// `a · b` for matrices `[m, k]` and `[k, n]`, summed in binary64.
fn product(a: &[f64], b: &[f64], (m, k, n): Extents) -> Vec<f64> {
    let mut y = vec![0.0; m * n];
    for row in 0..m {
        let out = &mut y[row * n..][..n];
        for (i, factor) in a[row * k..][..k].iter().enumerate() {
            for (sum, value) in out.iter_mut().zip(&b[i * n..][..n]) {
                *sum += factor * value;
            }
        }
    }
    y
}

/// Floats as binary64, in which products of binary32 numbers are exact.
pub(crate) fn widened(data: &[f32]) -> Vec<f64> {
    data.iter().copied().map(f64::from).collect()
}

fn doubles(c: &Constant, input: usize) -> Result<Vec<f64>, NodeError> {
    match &c.data {
        Data::Float(data) => Ok(widened(data)),
        Data::Double(data) => Ok(data.clone()),
        _ => Err(wrong_type(input, c)),
    }
}

fn narrowed(element: Element, data: Vec<f64>) -> Data {
    match element {
        Element::Double => Data::Double(data),
        _ => Data::Float(data.into_iter().map(|v| v as f32).collect()),
    }
}

/// `MatMul`, with leading axes broadcast.
pub(crate) fn matmul(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (x, y) = (inputs.get(0)?, inputs.get(1)?);
    if x.element() != y.element() {
        return Err(bad(1, "b", "it has another element type than a"));
    }
    let vector = (x.shape.len() == 1, y.shape.len() == 1);
    let a = if vector.0 {
        vec![1, x.shape[0]]
    } else {
        x.shape.clone()
    };
    let b = if vector.1 {
        vec![y.shape[0], 1]
    } else {
        y.shape.clone()
    };
    let ([lead_a @ .., m, k], [lead_b @ .., rows, n]) = (a.as_slice(), b.as_slice()) else {
        return Err(bad(0, "a", "it is a scalar"));
    };
    let lead = broadcast(lead_a, lead_b)
        .filter(|_| k == rows)
        .ok_or(SHAPES)?;
    let (pa, pb) = (Places::new(lead_a, &lead), Places::new(lead_b, &lead));
    let extents = (*m, *k, *n);
    let matrices = elements(&lead);
    inputs.count(&[matrices, *m, *n])?;
    let data = match (&x.data, &y.data) {
        (Data::Float(_) | Data::Double(_), _) => {
            let (xs, ys) = (doubles(x, 0)?, doubles(y, 1)?);
            let one = |i: usize| {
                let (a, b) = (
                    &xs[pa.at(i) * m * k..][..m * k],
                    &ys[pb.at(i) * k * n..][..k * n],
                );
                product(a, b, extents)
            };
            narrowed(x.element(), (0..matrices).flat_map(one).collect())
        }
        (xs, ys) => {
            let mut out = Vec::with_capacity(matrices * m * n);
            for i in 0..matrices {
                for place in 0..m * n {
                    let (row, column) = (place / n, place % n);
                    let term = |j: usize| {
                        let a = number(xs, (pa.at(i) * m + row) * k + j)?;
                        Some(a.wrapping_mul(number(ys, (pb.at(i) * k + j) * n + column)?))
                    };
                    // All sums are modulo a power of two in the end.
                    let add = |sum: i128, term: Option<i128>| Some(sum.wrapping_add(term?));
                    let sum = (0..*k).map(term).try_fold(0, add);
                    out.push(sum.ok_or_else(|| wrong_type(0, x))?);
                }
            }
            integers(x.element(), out).ok_or_else(|| wrong_type(0, x))?
        }
    };
    let mut shape = lead;
    shape.extend((!vector.0).then_some(*m));
    shape.extend((!vector.1).then_some(*n));
    one(shape, data)
}

fn transposed(data: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let place = |i: usize| i % rows * columns + i / rows;
    (0..rows * columns).map(|i| data[place(i)]).collect()
}

/// `Gemm`: the product, rounded; times alpha; plus beta times `c`.
pub(crate) fn gemm(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let element = inputs.get(0)?.element();
    let matrix = |input: usize, turn: bool| -> Result<(Vec<f64>, usize, usize), NodeError> {
        let matrix = inputs.get(input)?;
        let &[rows, columns] = matrix.shape.as_slice() else {
            return Err(bad(input, "the operand", "it is not a matrix"));
        };
        let data = doubles(matrix, input)?;
        Ok(match turn {
            true => (transposed(&data, rows, columns), columns, rows),
            false => (data, rows, columns),
        })
    };
    let (a, m, k) = matrix(0, node.flag("transA", false)?)?;
    let (b, rows, n) = matrix(1, node.flag("transB", false)?)?;
    if rows != k || inputs.get(1)?.element() != element {
        return Err(SHAPES);
    }
    inputs.count(&[m, n])?;
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    if element == Element::Double && (alpha != 1.0 || beta != 1.0) {
        return Err(attribute("alpha", "factors are supported for float only"));
    }
    let mut y = narrowed(element, product(&a, &b, (m, k, n)));
    let c = inputs.maybe(2).filter(|_| beta != 0.0);
    if let Some(c) = c
        && (broadcast(&[m, n], &c.shape).as_deref() != Some(&[m, n]) || c.element() != element)
    {
        return Err(bad(2, "c", "it does not broadcast to the product"));
    }
    let places = c.map(|c| Places::new(&c.shape, &[m, n]));
    match (&mut y, c.map(|c| &c.data)) {
        (Data::Float(y), c) => {
            for (i, v) in y.iter_mut().enumerate() {
                *v *= alpha;
                if let (Some(Data::Float(c)), Some(places)) = (c, &places) {
                    *v += beta * c[places.at(i)];
                }
            }
        }
        (Data::Double(y), Some(Data::Double(c))) => {
            for (i, v) in y.iter_mut().enumerate() {
                *v += places.as_ref().map_or(0.0, |places| c[places.at(i)]);
            }
        }
        _ => {}
    }
    one(vec![m, n], y)
}
