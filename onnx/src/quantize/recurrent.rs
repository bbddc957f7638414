//! RNN, GRU and LSTM, unrolled over a sequence whose length is known.
//!
//! Input and state of a step stand behind each other in one matrix product, so that a gate is one exact sum. A state
//! that is zero leaves its terms out.

use super::decompose::Context;
use crate::graph::{Attribute, Draft, NodeView, ValueId};

/// Most steps of a sequence.
const MAX_STEPS: usize = 512;
/// Most elements of a state.
const MAX_HIDDEN: usize = 1 << 14;

/// Extents and weights: of the input `[gates · hidden, input]`, of the state `[gates · hidden, hidden]`, and both
/// biases.
struct Cell<'w> {
    input: usize,
    hidden: usize,
    of_input: &'w [f32],
    of_state: &'w [f32],
    bias: Vec<f32>,
}

impl Cell<'_> {
    fn bias_of(&self, rows: std::ops::Range<usize>, input: bool, state: bool) -> Vec<f32> {
        let half = self.bias.len() / 2;
        let value = |r: usize| {
            let terms = [(input, self.bias[r]), (state, self.bias[half + r])];
            terms.iter().filter(|t| t.0).map(|t| t.1).sum()
        };
        rows.map(value).collect()
    }

    /// Rows of gates applied to an input and a state, each of which may be left out.
    fn gates(
        &self,
        p: &mut Draft<'_>,
        rows: std::ops::Range<usize>,
        x: Option<ValueId>,
        state: Option<ValueId>,
        bias: Vec<f32>,
    ) -> ValueId {
        let count = rows.len();
        let mut data = Vec::new();
        for row in rows {
            if x.is_some() {
                data.extend(&self.of_input[row * self.input..][..self.input]);
            }
            if state.is_some() {
                data.extend(&self.of_state[row * self.hidden..][..self.hidden]);
            }
        }
        let both = match (x, state) {
            (Some(x), Some(state)) => {
                p.with("Concat", &[x, state], vec![Attribute::int("axis", 1)])
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return p.floats(&[1, count], bias),
        };
        let weights = p.floats(&[count, data.len() / count.max(1)], data);
        let bias = p.floats(&[count], bias);
        let transposed = vec![Attribute::int("transB", 1)];
        p.with("Gemm", &[both, weights, bias], transposed)
    }

    /// A function of one gate out of several that stand behind each other.
    fn gate(&self, p: &mut Draft<'_>, gates: ValueId, number: usize, f: &str) -> ValueId {
        let (from, to) = (number * self.hidden, (number + 1) * self.hidden);
        let numbers = [from as i64, to as i64, 1].map(|v| p.ints(&[v]));
        let part = p.op("Slice", &[gates, numbers[0], numbers[1], numbers[2]]);
        p.op(f, &[part])
    }
}

/// `a · b`, or `a` if `b` is left out.
fn product(p: &mut Draft<'_>, a: ValueId, b: Option<ValueId>) -> Option<ValueId> {
    b.map(|b| p.op("Mul", &[a, b]))
}

fn sum(p: &mut Draft<'_>, a: ValueId, b: Option<ValueId>) -> ValueId {
    match b {
        Some(b) => p.op("Add", &[a, b]),
        None => a,
    }
}

/// The hidden state after a step, and the cell state of an LSTM.
fn step(
    p: &mut Draft<'_>,
    cell: &Cell<'_>,
    op: &str,
    before_reset: bool,
    x: ValueId,
    (state, memory): (Option<ValueId>, Option<ValueId>),
) -> (ValueId, Option<ValueId>) {
    let h = cell.hidden;
    match op {
        "RNN" => {
            let gates = cell.gates(p, 0..h, Some(x), state, cell.bias_of(0..h, true, true));
            (p.op("Tanh", &[gates]), None)
        }
        "LSTM" => {
            let bias = cell.bias_of(0..4 * h, true, true);
            let gates = cell.gates(p, 0..4 * h, Some(x), state, bias);
            let [input, output, forget] = [0, 1, 2].map(|g| cell.gate(p, gates, g, "Sigmoid"));
            let candidate = cell.gate(p, gates, 3, "Tanh");
            let kept = product(p, forget, memory);
            let new = p.op("Mul", &[input, candidate]);
            let memory = sum(p, new, kept);
            let shown = p.op("Tanh", &[memory]);
            (p.op("Mul", &[output, shown]), Some(memory))
        }
        _ => {
            let bias = cell.bias_of(0..2 * h, true, true);
            let gates = cell.gates(p, 0..2 * h, Some(x), state, bias);
            let [update, reset] = [0, 1].map(|g| cell.gate(p, gates, g, "Sigmoid"));
            let rows = 2 * h..3 * h;
            let inside = if before_reset {
                let of_input = cell.bias_of(rows.clone(), true, false);
                let of_input = cell.gates(p, rows.clone(), Some(x), None, of_input);
                let of_state = cell.bias_of(rows.clone(), false, true);
                let of_state = cell.gates(p, rows, None, state, of_state);
                let scaled = p.op("Mul", &[reset, of_state]);
                p.op("Add", &[of_input, scaled])
            } else {
                let scaled = product(p, reset, state);
                let bias = cell.bias_of(rows.clone(), true, true);
                cell.gates(p, rows, Some(x), scaled, bias)
            };
            let candidate = p.op("Tanh", &[inside]);
            // (1 − z) · candidate + z · state
            let one = p.scalar(1.0);
            let rest = p.op("Sub", &[one, update]);
            let new = p.op("Mul", &[rest, candidate]);
            let kept = product(p, update, state);
            (sum(p, new, kept), None)
        }
    }
}

/// The outputs of the node, those that nobody reads left out.
pub(super) fn unrolled(
    p: &mut Draft<'_>,
    node: &NodeView<'_>,
    cx: &Context<'_>,
) -> Option<Vec<Option<ValueId>>> {
    let gates = match node.op() {
        "RNN" => 1,
        "GRU" => 3,
        _ => 4,
    };
    let &[steps, batch, input] = cx.shape(node, 0)?.as_slice() else {
        return None;
    };
    let backwards = match node.text("direction", "forward").ok()? {
        "forward" => false,
        "reverse" => true,
        _ => return None,
    };
    let hidden = usize::try_from(node.int("hidden_size", 0).ok()?).ok()?;
    let before_reset = node.flag("linear_before_reset", false).ok()?;
    let extra = [4, 7].iter().any(|&i| node.input(i).is_some());
    let floats = |input| cx.constant(node, input)?.as_floats();
    let fits = (1..=MAX_STEPS).contains(&steps) && (1..=MAX_HIDDEN).contains(&hidden);
    if extra || node.int("layout", 0).ok()? != 0 || !fits {
        return None;
    }
    let cell = Cell {
        input,
        hidden,
        of_input: floats(1)?,
        of_state: floats(2)?,
        bias: match node.input(3) {
            Some(_) => floats(3)?.to_vec(),
            None => vec![0.0; 2 * gates * hidden],
        },
    };
    let rows = gates * hidden;
    if cell.of_input.len() != rows * input
        || cell.of_state.len() != rows * hidden
        || cell.bias.len() != 2 * rows
    {
        return None;
    }
    // Clipping and other functions have attributes; whoever has not asked for one does not know what it does.
    node.check_attributes().ok()?;
    let start = |p: &mut Draft<'_>, input| {
        let zero = || {
            cx.constant(node, input)?
                .as_floats()?
                .iter()
                .all(|v| *v == 0.0)
                .then_some(())
        };
        let given = node.input(input).filter(|_| zero().is_none());
        given.map(|given| p.reshape(given, &[batch, hidden]))
    };
    let (mut state, mut memory) = (start(p, 5), start(p, 6));
    let mut states = Vec::with_capacity(steps);
    for t in 0..steps {
        let t = if backwards { steps - 1 - t } else { t };
        let numbers = [t as i64, t as i64 + 1, 0].map(|v| p.ints(&[v]));
        let x = [node.input(0)?, numbers[0], numbers[1], numbers[2]];
        let x = p.op("Slice", &x);
        let x = p.reshape(x, &[batch, input]);
        let (new, kept) = step(p, &cell, node.op(), before_reset, x, (state, memory));
        states.push(new);
        (state, memory) = (Some(new), kept);
    }
    if backwards {
        states.reverse();
    }
    let wanted = |i: usize| node.node().output(i).is_some();
    let mut results = vec![None; 3];
    if wanted(0) {
        let states = states.into_iter();
        let rows: Vec<ValueId> = states
            .map(|state| p.reshape(state, &[1, 1, batch, hidden]))
            .collect();
        results[0] = Some(p.with("Concat", &rows, vec![Attribute::int("axis", 0)]));
    }
    for (i, last) in [(1, state), (2, memory)] {
        if wanted(i) {
            results[i] = Some(p.reshape(last?, &[1, batch, hidden]));
        }
    }
    Some(results)
}
