//! RNN, GRU and LSTM, unrolled over a sequence whose length is known.
//!
//! Input and state of a step stand behind each other in one matrix product, so that a gate is one exact sum. A state
//! that is zero leaves its terms out.

use crate::graph::constant::Constant;
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
    /// The operators of the gates, of what is new, and of what is shown, as far as the cell has them.
    functions: Vec<&'static str>,
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
            (p.op(cell.functions[0], &[gates]), None)
        }
        "LSTM" => {
            let bias = cell.bias_of(0..4 * h, true, true);
            let gates = cell.gates(p, 0..4 * h, Some(x), state, bias);
            let [input, output, forget] =
                [0, 1, 2].map(|g| cell.gate(p, gates, g, cell.functions[0]));
            let candidate = cell.gate(p, gates, 3, cell.functions[1]);
            let kept = product(p, forget, memory);
            let new = p.op("Mul", &[input, candidate]);
            let memory = sum(p, new, kept);
            let shown = p.op(cell.functions[2], &[memory]);
            (p.op("Mul", &[output, shown]), Some(memory))
        }
        _ => {
            let bias = cell.bias_of(0..2 * h, true, true);
            let gates = cell.gates(p, 0..2 * h, Some(x), state, bias);
            let [update, reset] = [0, 1].map(|g| cell.gate(p, gates, g, cell.functions[0]));
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
            let candidate = p.op(cell.functions[1], &[inside]);
            // (1 − z) · candidate + z · state
            let one = p.scalar(1.0);
            let rest = p.op("Sub", &[one, update]);
            let new = p.op("Mul", &[rest, candidate]);
            let kept = product(p, update, state);
            (sum(p, new, kept), None)
        }
    }
}

/// The functions of a cell, of which those of a second direction follow; `None` where one is not proved.
fn functions(node: &NodeView<'_>, directions: usize) -> Option<Vec<Vec<&'static str>>> {
    const PROVED: [&str; 5] = ["Sigmoid", "Tanh", "Relu", "Softsign", "Softplus"];
    let default: &[&str] = match node.op() {
        "RNN" => &["Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        _ => &["Sigmoid", "Tanh", "Tanh"],
    };
    // None of these has a parameter, so that what is given for them says nothing.
    node.maybe_floats("activation_alpha").ok()?;
    node.maybe_floats("activation_beta").ok()?;
    let Some(given) = node.maybe_texts("activations").ok()? else {
        let own = default
            .iter()
            .filter_map(|f| PROVED.into_iter().find(|p| p == f));
        return Some(vec![own.collect(); directions]);
    };
    let known = |name: &Vec<u8>| {
        let mut proved = PROVED.into_iter();
        proved.find(|f| f.as_bytes().eq_ignore_ascii_case(name))
    };
    let all: Vec<&'static str> = given.iter().map(known).collect::<Option<_>>()?;
    let each = default.len();
    (all.len() == each * directions).then(|| all.chunks(each).map(<[_]>::to_vec).collect())
}

/// What one direction gives: its states in order of time, and the last state and memory.
struct Passed {
    states: Vec<ValueId>,
    state: Option<ValueId>,
    memory: Option<ValueId>,
}

/// The outputs of the node, those that nobody reads left out.
pub(crate) fn unrolled(p: &mut Draft<'_>, node: &NodeView<'_>) -> Option<Vec<Option<ValueId>>> {
    let gates = match node.op() {
        "RNN" => 1,
        "GRU" => 3,
        _ => 4,
    };
    let batch_first = node.flag("layout", false).ok()?;
    let (steps, batch, input) = match (node.shape(0)?.as_slice(), batch_first) {
        (&[steps, batch, input], false) | (&[batch, steps, input], true) => (steps, batch, input),
        _ => return None,
    };
    let backwards: &[bool] = match node.text("direction", "forward").ok()? {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        _ => return None,
    };
    let directions = backwards.len();
    let floats = |input| node.constant(input)?.as_floats();
    let (of_input, of_state) = (floats(1)?, floats(2)?);
    let rows = node.shape(1)?.get(1).copied()?;
    let hidden = match node.maybe_int("hidden_size").ok()? {
        Some(hidden) => usize::try_from(hidden).ok()?,
        None => rows / gates,
    };
    let before_reset = node.flag("linear_before_reset", false).ok()?;
    // All sequences have their full length, and what was an attribute of the first opsets says nothing.
    node.int("output_sequence", 0).ok()?;
    let lengths = match node.input(4) {
        None => true,
        Some(_) => node.constant_ints(4)?.iter().all(|n| *n == steps as i64),
    };
    let fits = (1..=MAX_STEPS).contains(&steps) && (1..=MAX_HIDDEN).contains(&hidden);
    if node.input(7).is_some() || node.flag("input_forget", false).ok()? || !lengths || !fits {
        return None;
    }
    let bias = match node.input(3) {
        Some(_) => floats(3)?.to_vec(),
        None => vec![0.0; 2 * directions * rows],
    };
    if rows != gates * hidden
        || of_input.len() != directions * rows * input
        || of_state.len() != directions * rows * hidden
        || bias.len() != 2 * directions * rows
    {
        return None;
    }
    let functions = functions(node, directions)?;
    // Clipping has an attribute; whoever has not asked for one does not know what it does.
    node.check_attributes().ok()?;
    let mut x = node.input(0)?;
    if batch_first {
        x = p.with("Transpose", &[x], vec![Attribute::ints("perm", &[1, 0, 2])]);
    }
    let start = |p: &mut Draft<'_>, input: usize, direction: usize| {
        let value = node.input(input)?;
        let known = node.constant(input).and_then(Constant::as_floats);
        if known.is_some_and(|values| values.iter().all(|v| *v == 0.0)) {
            return None;
        }
        let place = p.ints(&[direction as i64]);
        let axis = vec![Attribute::int("axis", i64::from(batch_first))];
        let own = p.with("Gather", &[value, place], axis);
        Some(p.reshape(own, &[batch, hidden]))
    };
    let mut passed = Vec::with_capacity(directions);
    for (d, functions) in functions.into_iter().enumerate() {
        let cell = Cell {
            input,
            hidden,
            of_input: &of_input[d * rows * input..][..rows * input],
            of_state: &of_state[d * rows * hidden..][..rows * hidden],
            bias: bias[2 * d * rows..][..2 * rows].to_vec(),
            functions,
        };
        let (mut state, mut memory) = (start(p, 5, d), start(p, 6, d));
        let mut states = Vec::with_capacity(steps);
        for t in 0..steps {
            let t = if backwards[d] { steps - 1 - t } else { t };
            let numbers = [t as i64, t as i64 + 1, 0].map(|v| p.ints(&[v]));
            let x = p.op("Slice", &[x, numbers[0], numbers[1], numbers[2]]);
            let x = p.reshape(x, &[batch, input]);
            let (new, kept) = step(p, &cell, node.op(), before_reset, x, (state, memory));
            states.push(new);
            (state, memory) = (Some(new), kept);
        }
        if backwards[d] {
            states.reverse();
        }
        passed.push(Passed {
            states,
            state,
            memory,
        });
    }
    results(p, node, &passed, (steps, batch, hidden), batch_first)
}

/// The outputs of the node: all states `[steps, directions, batch, hidden]`, then the last ones `[directions, batch,
/// hidden]`, or with the batch first.
fn results(
    p: &mut Draft<'_>,
    node: &NodeView<'_>,
    passed: &[Passed],
    (steps, batch, hidden): (usize, usize, usize),
    batch_first: bool,
) -> Option<Vec<Option<ValueId>>> {
    let wanted = |i: usize| node.node().output(i).is_some();
    let joined = |p: &mut Draft<'_>, parts: Vec<ValueId>, axis: i64| match parts.as_slice() {
        &[only] => only,
        parts => p.with("Concat", parts, vec![Attribute::int("axis", axis)]),
    };
    let mut results = vec![None; 3];
    if wanted(0) {
        let mut rows = Vec::with_capacity(steps);
        for t in 0..steps {
            let states = passed.iter();
            let states = states
                .map(|one| p.reshape(one.states[t], &[1, 1, batch, hidden]))
                .collect();
            rows.push(joined(p, states, 1));
        }
        let all = p.with("Concat", &rows, vec![Attribute::int("axis", 0)]);
        results[0] = Some(match batch_first {
            false => all,
            true => p.with(
                "Transpose",
                &[all],
                vec![Attribute::ints("perm", &[2, 0, 1, 3])],
            ),
        });
    }
    for i in [1, 2] {
        if !wanted(i) {
            continue;
        }
        let last = |one: &Passed| if i == 1 { one.state } else { one.memory };
        let last: Vec<ValueId> = passed.iter().map(last).collect::<Option<_>>()?;
        let rows = last.into_iter();
        let rows = rows
            .map(|state| p.reshape(state, &[1, batch, hidden]))
            .collect();
        let all = joined(p, rows, 0);
        results[i] = Some(match batch_first {
            false => all,
            true => p.with(
                "Transpose",
                &[all],
                vec![Attribute::ints("perm", &[1, 0, 2])],
            ),
        });
    }
    Some(results)
}
