//! Random models made of equations, without ONNX: what the planner and the circuit must take.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses its part"
)]

use std::sync::Arc;

use ff::Field;
use halo2_proofs::dev::MockProver;
use pasta_curves::Fp;
use zkonnx_circuits::chips::{Check, Guests, Shape};
use zkonnx_circuits::circuit::{Advice, Assembly, ModelCircuit, Witness, with_chips};
use zkonnx_circuits::lower::{Collector, LinearForms, Lowering, StepRule, Wire, Wires};
use zkonnx_circuits::plan::{Layout, PublicElement};
use zkonnx_circuits::program::Range;

/// A small generator of repeatable randomness (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    pub fn between(&mut self, lo: i64, hi: i64) -> i64 {
        lo + self.below((hi - lo + 1) as u64) as i64
    }
}

/// A matrix of forms in a grid.
#[derive(Debug)]
pub struct Matrix {
    pub grid: Vec<usize>,
    pub rows: Vec<Vec<(usize, i64)>>,
    pub constants: Vec<i64>,
}

impl LinearForms for Matrix {
    fn grid(&self) -> Vec<usize> {
        self.grid.clone()
    }
    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        self.rows[out].iter().for_each(|&(j, c)| f(j, c));
    }
    fn constant(&self, out: usize) -> i64 {
        self.constants[out]
    }
}

/// A model as equations, with the public elements that expose its inputs and outputs.
pub struct Model {
    pub lowering: Lowering,
    pub inputs: usize,
    pub input_range: Range,
    pub public: Vec<PublicElement>,
    pub elements: usize,
}

pub struct Stack {
    collector: Collector,
    input: Wires,
    wires: Wires,
    input_range: Range,
    nodes: u32,
}

impl Stack {
    pub fn new(inputs: usize, input_range: Range) -> Self {
        let mut collector = Collector::new();
        let input = collector.inputs(u32::MAX, inputs, input_range).unwrap();
        Self {
            collector,
            wires: input.clone(),
            input,
            input_range,
            nodes: 0,
        }
    }

    fn node(&mut self) -> &mut Lowering {
        self.nodes += 1;
        self.collector.node(self.nodes - 1)
    }

    /// A linear map with a requantization that gives values in `[lo, hi]`; a rule for each channel, or one for all.
    pub fn linear(
        &mut self,
        r: &mut Random,
        matrix: Matrix,
        per_channel: Option<usize>,
        lo: i64,
        hi: i64,
    ) {
        let wires = std::mem::take(&mut self.wires);
        let cx = self.node();
        let forms = cx.linear("test", &wires, Arc::new(matrix)).unwrap();
        let reach: Vec<(i64, i64)> = forms
            .iter()
            .map(|w| {
                let &Wire::Sum { map, index } = w else {
                    panic!("forms are sums")
                };
                let range = cx.form_range(map, index);
                (range.lo, range.hi)
            })
            .collect();
        let channels = per_channel.unwrap_or(1);
        let per = forms.len() / channels;
        let rules = (0..channels)
            .map(|c| {
                let own = &reach[if per_channel.is_some() {
                    c * per..(c + 1) * per
                } else {
                    0..reach.len()
                }];
                let domain = Range::new(
                    own.iter().map(|b| b.0).min().unwrap(),
                    own.iter().map(|b| b.1).max().unwrap(),
                );
                let span = (domain.hi - domain.lo).max(1) as u64;
                let mantissa = (1 << 23) + r.below(1 << 23);
                let shift = 64 - span.leading_zeros() as i32 + 15 + r.below(3) as i32 - 7;
                let offset = r.between(lo, hi);
                Arc::new(StepRule::monotone(
                    domain,
                    Some((mantissa as u32, -shift)),
                    move |x| {
                        let product = i128::from(x) * i128::from(mantissa);
                        (((product + (1 << (shift - 1))) >> shift) as i64 + offset).clamp(lo, hi)
                    },
                ))
            })
            .collect();
        self.wires = cx
            .steps(&forms, rules, |i| {
                if per_channel.is_some() { i / per } else { 0 }
            })
            .unwrap();
    }

    pub fn dense(&mut self, r: &mut Random, outputs: usize, per_channel: bool) {
        let n = self.wires.len();
        let rows = (0..outputs)
            .map(|_| (0..n).map(|j| (j, nonzero(r))).collect())
            .collect();
        let constants = (0..outputs).map(|_| r.between(-5000, 5000)).collect();
        let matrix = Matrix {
            grid: vec![outputs],
            rows,
            constants,
        };
        self.linear(r, matrix, per_channel.then_some(outputs), 0, 255);
    }

    /// A square convolution of side `k` over `channels` planes, channel first.
    pub fn conv(
        &mut self,
        r: &mut Random,
        channels: usize,
        outputs: usize,
        k: usize,
        per_channel: bool,
    ) {
        let side = ((self.wires.len() / channels) as f64).sqrt() as usize;
        let out = side - k + 1;
        let kernel: Vec<i64> = (0..outputs * channels * k * k)
            .map(|_| nonzero(r))
            .collect();
        let mut rows = Vec::new();
        for o in 0..outputs {
            for (y, x) in (0..out).flat_map(|y| (0..out).map(move |x| (y, x))) {
                let mut row = Vec::new();
                for c in 0..channels {
                    for (i, j) in (0..k).flat_map(|i| (0..k).map(move |j| (i, j))) {
                        let at = (c * side + y + i) * side + x + j;
                        row.push((at, kernel[((o * channels + c) * k + i) * k + j]));
                    }
                }
                rows.push(row);
            }
        }
        let constants = vec![r.between(-2000, 2000); rows.len()];
        let matrix = Matrix {
            grid: vec![outputs, out, out],
            rows,
            constants,
        };
        self.linear(r, matrix, per_channel.then_some(outputs), 0, 255);
    }

    /// Maxima of consecutive elements.
    pub fn max(&mut self, window: usize) {
        let windows = self.wires.chunks(window).map(<[Wire]>::to_vec).collect();
        self.wires = self.node().max("test", windows).unwrap();
    }

    /// Maxima of overlapping neighbours, which cannot be moved before the steps.
    pub fn overlapping_max(&mut self, window: usize) {
        let windows = self.wires.windows(window).map(<[Wire]>::to_vec).collect();
        self.wires = self.node().max("test", windows).unwrap();
    }

    /// A table that is not monotone.
    pub fn table(&mut self, r: &mut Random) {
        let entries: Vec<i64> = (0..256).map(|_| r.between(-128, 127)).collect();
        let domain = Range::new(-128, 255);
        let rule = StepRule::table(domain, |x| entries[(x & 0xff) as usize]);
        let rule = Arc::new(rule.unwrap());

        let wires = std::mem::take(&mut self.wires);
        self.wires = self.node().steps(&wires, vec![rule], |_| 0).unwrap();
    }

    pub fn finish(self) -> Model {
        let outputs = self.wires.clone();
        let lowering = self.collector.finish(outputs.iter()).unwrap();
        let mut public = Vec::new();
        let mut row = 2;
        for wires in [&self.input, &outputs] {
            for values in wires.chunks(31) {
                let values = values
                    .iter()
                    .map(|&w| lowering.renumbered(w).unwrap())
                    .collect();
                public.push(PublicElement {
                    row,
                    bits: 8,
                    offset: 128,
                    values,
                });
                row += 1;
            }
        }
        // Values of both signs and up to 255 do not share a byte: one offset fits outputs of -128..=127 only.
        for element in &mut public {
            let lowest = element
                .values
                .iter()
                .map(|&w| lowering.range_of("test", w).unwrap().lo)
                .min()
                .unwrap_or(0);
            element.offset = if lowest < 0 { 128 } else { 0 };
        }
        Model {
            inputs: self.input.len(),
            input_range: self.input_range,
            elements: 2 + public.len(),
            public,
            lowering,
        }
    }
}

fn nonzero(r: &mut Random) -> i64 {
    match r.between(-127, 126) {
        v if v >= 0 => v + 1,
        v => v,
    }
}

impl Model {
    pub fn random_inputs(&self, r: &mut Random) -> Vec<i64> {
        (0..self.inputs)
            .map(|_| r.between(self.input_range.lo, self.input_range.hi))
            .collect()
    }

    /// The instance column that belongs to a witness.
    pub fn instance(&self, witness: &Witness) -> Vec<Fp> {
        let mut out = vec![Fp::from(7), Fp::from(9)];
        for element in &self.public {
            let mut sum = Fp::ZERO;
            for (j, &wire) in element.values.iter().enumerate() {
                let value = match wire {
                    Wire::Cell(v) => witness.vars[v.0 as usize] + self.lowering.var(v).offset,
                    Wire::Const(c) => c,
                    Wire::Sum { .. } => panic!("outputs are cells"),
                };
                let digit = Fp::from((value + element.offset as i64) as u64);
                sum += Fp::from(2).pow_vartime([8 * j as u64]) * digit;
            }
            out.push(sum);
        }
        out
    }

    /// An honest witness and its instance.
    pub fn solve(&self, layout: &Layout, r: &mut Random) -> (Vec<i64>, Witness, Vec<Fp>) {
        let inputs = self.random_inputs(r);
        let witness = Witness::solve(&self.lowering, layout, &inputs).expect("inputs are in range");
        let instance = self.instance(&witness);
        (inputs, witness, instance)
    }
}

/// MockProver's verdict.
pub fn mock_accepts(assembly: &Arc<Assembly>, advice: Advice, instance: &[Fp]) -> bool {
    let circuit = ModelCircuit::new(assembly, advice);
    with_chips(&assembly.chips, || {
        let prover = MockProver::run(assembly.layout.shape.k, &circuit, vec![instance.to_vec()]);
        prover.expect("the circuit fits").verify().is_ok()
    })
}

/// A stack of one to four layers of any kind.
pub fn random_stack(seed: u64) -> Model {
    let mut r = Random::new(seed);
    let range = [
        Range::new(0, 255),
        Range::new(-128, 127),
        Range::new(0, 1),
        Range::new(3, 90),
    ][r.below(4) as usize];
    let convolutional = r.below(2) == 0;
    let mut stack;
    if convolutional {
        let side = r.between(4, 9) as usize;
        stack = Stack::new(side * side, range);
        let channels = r.between(1, 5) as usize;
        let per_channel = r.below(2) == 0;
        stack.conv(&mut r, 1, channels, 3, per_channel);
        match r.below(4) {
            0 => stack.max(4),
            1 => stack.max(r.between(2, 9) as usize),
            2 => stack.overlapping_max(3),
            _ => {}
        }
    } else {
        stack = Stack::new(r.between(1, 80) as usize, range);
    }
    for _ in 0..r.between(1, 3) {
        match r.below(6) {
            0 => stack.table(&mut r),
            _ => {
                let (outputs, per_channel) = (r.between(1, 40) as usize, r.below(3) == 0);
                stack.dense(&mut r, outputs, per_channel);
            }
        }
    }
    stack.finish()
}

/// A model with every kind of block, small enough for all its mutants.
pub fn every_kind() -> Model {
    every_kind_of(11)
}

/// The same with other weights.
pub fn every_kind_of(seed: u64) -> Model {
    let mut r = Random::new(seed);
    let mut stack = Stack::new(36, Range::new(0, 255));
    stack.conv(&mut r, 1, 2, 3, true);
    stack.max(4);
    stack.dense(&mut r, 9, false);
    stack.overlapping_max(4);
    stack.table(&mut r);
    stack.finish()
}

/// Shapes in which every kind of constraint occurs, between them.
pub fn every_constraint() -> [Shape; 3] {
    let limbs = Shape {
        k: 10,
        range_bits: 9,
        check: Check::Limbs(2),
        unit_banks: vec![0, 1],
        banks: 2,
        maxima: 2,
        max_limbs: 4,
        max_top: true,
        shared_slots: false,
        guests: Guests::All,
        bytes: 2,
        plain: 3,
        accumulators: 2,
    };
    let shared = Shape {
        shared_slots: true,
        unit_banks: vec![0, 1, 0, 0, 1],
        accumulators: 3,
        ..limbs.clone()
    };
    let widths = Shape {
        k: 12,
        check: Check::Width(60),
        guests: Guests::Starts,
        accumulators: 5,
        ..limbs.clone()
    };
    [limbs, shared, widths]
}

/// A short hash of what a value prints.
pub fn digest(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let hash = blake2b_simd::Params::new()
        .hash_length(8)
        .hash(text.as_bytes());
    hash.to_hex().to_string()
}

/// The pinned lines of one file, and what they are now. `ZKONNX_PIN=1` writes them, for a change that is meant: it
/// changes verifying keys, and belongs into the changelog.
pub fn assert_pinned(name: &str, lines: &[String]) {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("ZKONNX_PIN").is_some() {
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let pinned = std::fs::read_to_string(&path).unwrap();
    for (line, pinned) in lines.iter().zip(pinned.lines()) {
        assert_eq!(line, pinned, "{name}");
    }
    assert_eq!(lines.len(), pinned.lines().count(), "{name}");
}
