//! Operators of another crate that are unsound, each in its own way: none of them gets past the compiler and the harness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use zkonnx_circuits::circuit::WitnessError;
use zkonnx_circuits::compile::{CompileError, Compiled, InferenceError, assumptions, compile};
use zkonnx_circuits::lower::{
    Collector, LinearForms, LowerError, Lowering, StepError, StepRule, Wire, Wires,
};
use zkonnx_circuits::ops::reach;
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_circuits::program::{
    Builder, DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Port, Program,
    Range, Tensor,
};
use zkonnx_circuits::testing::{check_operator, extremes, mutate_operator};
use zkonnx_verifier::InputVisibility;

const NAME: &str = "unsound";
/// Inputs of a row.
const N: usize = 512;

/// What is wrong with an operator.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing.
    None,
    /// A bound that random inputs keep: sums of many terms stay near their mean.
    Statistics,
    /// The same for one end only, one less than what a single corner reaches.
    Corner,
    /// A bound that holds of sums of remainders but at the one point where all are largest.
    Composed,
    /// A narrow bound that a maximum is taken under.
    Maximum,
    /// A bound that a condition hides: it fails where all inputs are largest.
    Condition,
    /// A rule on the domain that random inputs keep.
    Domain,
    /// Cells of equations of its own in the place of the model's.
    Hint,
    /// The equations of the model made again, with narrower inputs.
    Tightened,
    /// A cell that does not exist yet.
    Future,
    /// Fewer results than promised.
    Fewer,
    /// Forms that change each time they are asked for.
    Moody,
    /// Cells, sums and constants that leave the type that was promised.
    WideCell,
    WideSum,
    WideConstant,
    /// Another function than its circuit.
    Disagrees,
}

#[derive(Clone, Copy, Debug)]
struct Unsound(Fault);

const FAULTS: [Fault; 16] = [
    Fault::None,
    Fault::Statistics,
    Fault::Corner,
    Fault::Composed,
    Fault::Maximum,
    Fault::Condition,
    Fault::Domain,
    Fault::Hint,
    Fault::Tightened,
    Fault::Future,
    Fault::Fewer,
    Fault::Moody,
    Fault::WideCell,
    Fault::WideSum,
    Fault::WideConstant,
    Fault::Disagrees,
];

impl Unsound {
    fn decode(r: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let fault = FAULTS.get(r.count()?).copied();
        Ok(Arc::new(Self(
            fault.ok_or(DecodeError::Malformed("fault"))?,
        )))
    }
}

/// `Σ ± x` of each row: signs alternate, or all are positive.
#[derive(Debug)]
struct Sums {
    rows: usize,
    n: usize,
    alternate: bool,
}

impl LinearForms for Sums {
    fn grid(&self) -> Vec<usize> {
        vec![self.rows]
    }
    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        let sign = |j: usize| if self.alternate && j % 2 == 1 { -1 } else { 1 };
        (0..self.n).for_each(|j| f(out * self.n + j, sign(j)));
    }
    fn constant(&self, _: usize) -> i64 {
        0
    }
}

/// `x − step · q` for pairs.
#[derive(Debug)]
struct Remainders(usize, i64);

impl LinearForms for Remainders {
    fn grid(&self) -> Vec<usize> {
        vec![self.0]
    }
    fn terms(&self, out: usize, f: &mut dyn FnMut(usize, i64)) {
        f(out, 1);
        f(self.0 + out, -self.1);
    }
    fn constant(&self, _: usize) -> i64 {
        0
    }
}

/// A form that counts how often it is asked for.
#[derive(Debug, Default)]
struct Moody(std::sync::atomic::AtomicI64);

impl LinearForms for Moody {
    fn grid(&self) -> Vec<usize> {
        vec![1]
    }
    fn terms(&self, _: usize, f: &mut dyn FnMut(usize, i64)) {
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        f((asked % 2) as usize, 1);
    }
    fn constant(&self, _: usize) -> i64 {
        0
    }
}

fn large(s: i64) -> i64 {
    i64::from(s >= 100)
}

impl Operator for Unsound {
    fn id(&self) -> OpId {
        OpId {
            domain: "org.example",
            name: NAME,
            version: 1,
        }
    }

    fn facts(&self, x: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::any(DataType::Bool, vec![x[0].shape[0], 1])])
    }

    fn eval(&self, x: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let n = x[0].shape[1];
        let row = |row: &[i64]| {
            let signed = row.iter().enumerate();
            let sum: i64 = match self.0 {
                Fault::Composed => row.iter().map(|v| v % 4).sum(),
                Fault::Corner | Fault::Maximum => row.iter().sum(),
                Fault::Condition => {
                    let all = row.iter().all(|v| *v == 3);
                    return i64::from(all || row[0] >= 2);
                }
                _ => signed.map(|(j, v)| if j % 2 == 1 { -v } else { *v }).sum(),
            };
            match self.0 {
                Fault::Disagrees => 1 - large(sum),
                _ => large(sum),
            }
        };
        let data = x[0].data.chunks(n).map(row).collect();
        Ok(vec![Tensor::new(
            DataType::Bool,
            vec![x[0].shape[0], 1],
            data,
        )])
    }

    fn encode(&self, out: &mut Encoder) {
        out.count(FAULTS.iter().position(|f| *f == self.0).unwrap());
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        x: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let x = &x[0];
        let (rows, n) = (facts[0].shape[0], facts[0].shape[1]);
        let sums = |alternate| Arc::new(Sums { rows, n, alternate });
        let decide = |cx: &mut Lowering, sums: &[Wire]| {
            let rule = StepRule::monotone(reach(cx, NAME, sums)?, None, large);
            cx.steps(sums, vec![Arc::new(rule)], |_| 0)
        };
        match self.0 {
            Fault::None | Fault::Tightened | Fault::Disagrees => {
                if self.0 == Fault::Tightened {
                    let mut own = Collector::new();
                    own.inputs(u32::MAX, x.len(), Range::new(60, 200))?;
                    std::mem::swap(cx, own.node(0));
                }
                let sums = cx.linear(NAME, x, sums(true))?;
                Ok(vec![decide(cx, &sums)?])
            }
            Fault::Statistics => {
                let within = Range::new(-9500, 9500);
                let sums = cx.assume_within(NAME, x, sums(true), within, "it never failed")?;
                Ok(vec![decide(cx, &sums)?])
            }
            Fault::Corner => {
                let all = facts[0].range.hi * n as i64;
                let within = Range::new(0, all - 1);
                let sums = cx.assume_within(NAME, x, sums(false), within, "hardly ever")?;
                Ok(vec![decide(cx, &sums)?])
            }
            Fault::Composed => {
                let rule = StepRule::monotone(facts[0].range, None, |v| v >> 2);
                let quotients = cx.steps(x, vec![Arc::new(rule)], |_| 0)?;
                let pairs = [x.as_slice(), &quotients].concat();
                let (forms, true_bound) = (Remainders(x.len(), 4), Range::new(0, 3));
                let rests =
                    cx.assume_within(NAME, &pairs, Arc::new(forms), true_bound, "so it is")?;
                let within = Range::new(0, 3 * n as i64 - 1);
                let sums = cx.assume_within(NAME, &rests, sums(false), within, "hardly ever")?;
                Ok(vec![decide(cx, &sums)?])
            }
            Fault::Maximum => {
                let within = Range::new(0, 3 * n as i64 - 1);
                let sums = cx.assume_within(NAME, x, sums(false), within, "hardly ever")?;
                let windows = sums.iter().map(|s| vec![*s, Wire::Const(0)]).collect();
                let largest = cx.max(NAME, windows)?;
                Ok(vec![decide(cx, &largest)?])
            }
            Fault::Condition => {
                let rule = StepRule::monotone(facts[0].range, None, |v| i64::from(v == 3));
                let full = cx.steps(x, vec![Arc::new(rule)], |_| 0)?;
                let counts = cx.linear(NAME, &full, sums(false))?;
                let all = n as i64;
                let rule = StepRule::monotone(Range::new(0, all), None, |c| i64::from(c == all));
                let all = cx.steps(&counts, vec![Arc::new(rule)], |_| 0)?;
                let first: Wires = (0..rows).map(|r| x[r * n]).collect();
                let pairs = [first.as_slice(), &all].concat();
                let (forms, within) = (Remainders(rows, -9), Range::new(0, 11));
                let sums =
                    cx.assume_within(NAME, &pairs, Arc::new(forms), within, "hardly ever")?;
                let rule = StepRule::monotone(within, None, |s| i64::from(s >= 2));
                Ok(vec![cx.steps(&sums, vec![Arc::new(rule)], |_| 0)?])
            }
            Fault::Domain => {
                let sums = cx.linear(NAME, x, sums(true))?;
                let rule = StepRule::monotone(Range::new(-9500, 9500), None, large);
                Ok(vec![cx.steps(&sums, vec![Arc::new(rule)], |_| 0)?])
            }
            Fault::Hint => {
                let mut own = Collector::new();
                own.inputs(u32::MAX, x.len(), facts[0].range)?;
                let free = own.inputs(0, rows, Range::new(0, 1))?;
                std::mem::swap(cx, own.node(0));
                Ok(vec![free])
            }
            Fault::Future => {
                let next = Wire::Cell(zkonnx_circuits::lower::VarId(cx.vars().len() as u32));
                let rule = Arc::new(StepRule::monotone(Range::new(0, 1), None, |v| v));
                Ok(vec![cx.steps(&vec![next; rows], vec![rule], |_| 0)?])
            }
            Fault::Fewer => {
                let sums = cx.linear(NAME, x, sums(true))?;
                Ok(vec![decide(cx, &sums)?.split_off(1)])
            }
            Fault::Moody => {
                let sums = cx.linear(NAME, x, Arc::new(Moody::default()))?;
                Ok(vec![vec![decide(cx, &sums)?[0]; rows]])
            }
            Fault::WideCell => {
                let sums = cx.linear(NAME, x, sums(true))?;
                let reach = reach(cx, NAME, &sums)?;
                let rule = |s| large(s) + i64::from(s == reach.hi);
                let rule = StepRule::monotone(reach, None, rule);
                Ok(vec![cx.steps(&sums, vec![Arc::new(rule)], |_| 0)?])
            }
            Fault::WideSum => Ok(vec![cx.linear(NAME, x, sums(true))?]),
            Fault::WideConstant => Ok(vec![vec![Wire::Const(-1); rows]]),
        }
    }
}

fn facts(fault: Fault) -> Fact {
    let (n, hi) = match fault {
        Fault::Corner | Fault::Composed => (40, 255),
        Fault::Maximum | Fault::Condition => (30, 3),
        _ => (N, 255),
    };
    Fact {
        range: Range::new(0, hi),
        ..Fact::any(DataType::U8, vec![2, n])
    }
}

fn checked(fault: Fault) {
    check_operator(&Unsound(fault), &[facts(fault)], Unsound::decode, 200);
}

fn mutated(fault: Fault) {
    let score = mutate_operator(Arc::new(Unsound(fault)), &[facts(fault)], 3);
    assert!(score.survivors.is_empty(), "{:?}", score.survivors.first());
}

fn compiled(fault: Fault) -> LowerError {
    match refused(fault) {
        CompileError::Lower { source, .. } => source,
        other => panic!("{other}"),
    }
}

fn refused(fault: Fault) -> CompileError {
    attempt(fault).unwrap_err()
}

#[test]
fn rejects_an_executor_that_disagrees_with_its_circuit() {
    let fact = facts(Fault::Disagrees);
    let x = Tensor::new(fact.dtype, fact.shape.clone(), vec![7; fact.len()]);
    let honest = attempt(Fault::None).unwrap();
    assert!(honest.infer(std::slice::from_ref(&x), [0; 32]).is_ok());
    let error = attempt(Fault::Disagrees)
        .unwrap()
        .infer(&[x], [0; 32])
        .unwrap_err();
    assert_eq!(error, InferenceError::Disagreement);
    assert!(error.is_internal());
}

/// An honest prover at an input that breaks an assumption has no witness.
#[test]
fn has_no_witness_where_an_assumption_fails() {
    let compiled = attempt(Fault::Maximum).unwrap();
    let fact = facts(Fault::Maximum);
    let of = |v: i64| Tensor::new(fact.dtype, fact.shape.clone(), vec![v; fact.len()]);
    assert!(compiled.infer(&[of(2)], [0; 32]).is_ok());
    let error = compiled.infer(&[of(3)], [0; 32]).unwrap_err();
    let witness = matches!(
        error,
        InferenceError::Witness(WitnessError::Range { node: 0, .. })
    );
    assert!(witness && error.is_internal(), "{error}");
}

/// What is assumed is listed of a program that has no plan, as of one that has.
#[test]
fn lists_what_is_assumed() {
    let listed = |fault| -> Vec<_> {
        let list = assumptions(&program(fault)).unwrap();
        let compiled = attempt(fault).unwrap();
        assert!(compiled.lowering.assumptions().eq(&list));
        list.into_iter().map(|a| (a.op, a.node, a.reason)).collect()
    };
    assert!(listed(Fault::None).is_empty());
    assert_eq!(listed(Fault::Statistics), [(NAME, 0, "it never failed")]);
}

fn attempt(fault: Fault) -> Result<Compiled, CompileError> {
    compile(
        program(fault),
        InputVisibility::Public,
        &PlanOptions::default(),
    )
}

fn program(fault: Fault) -> Arc<Program> {
    let mut builder = Builder::new();
    let x = builder.input("x", facts(fault), None);
    let outputs = builder
        .push("operator", Arc::new(Unsound(fault)), &[x])
        .unwrap();
    let port = |tensor: &_| Port {
        name: "y".to_owned(),
        tensor: *tensor,
        quantization: None,
    };
    let (program, _) = builder.finish(outputs.iter().map(port).collect()).unwrap();
    Arc::new(program)
}

/// A digit of a public element has room for the values of its type, and no others.
#[test]
fn rejects_outputs_that_leave_their_type() {
    for (fault, wide) in [
        (Fault::WideCell, 2),
        (Fault::WideSum, -65_280),
        (Fault::WideConstant, -1),
    ] {
        match refused(fault) {
            CompileError::OutputRange { name, reach } => assert_eq!((&*name, reach), ("y", wide)),
            other => panic!("{fault:?}: {other}"),
        }
    }
}

#[test]
fn accepts_the_operator_without_a_fault() {
    checked(Fault::None);
}

#[test]
#[should_panic(
    expected = "false assumption: `unsound` (node 0) assumes -9500 to 9500, since \"it never failed\""
)]
fn rejects_a_bound_by_statistics() {
    checked(Fault::Statistics);
}

#[test]
#[should_panic(expected = "false assumption: `unsound` (node 0) assumes -9500 to 9500")]
fn rejects_a_bound_by_statistics_before_it_lies_about_it() {
    mutated(Fault::Statistics);
}

#[test]
#[should_panic(
    expected = "false assumption: `unsound` (node 0) assumes 0 to 10199, since \"hardly ever\", and reaches 10200"
)]
fn rejects_a_bound_that_one_corner_breaks() {
    checked(Fault::Corner);
}

#[test]
#[should_panic(
    expected = "false assumption: `unsound` (node 0) assumes 0 to 119, since \"hardly ever\", and reaches 120"
)]
fn rejects_a_bound_on_forms_of_forms_that_are_bounded() {
    checked(Fault::Composed);
}

#[test]
#[should_panic(
    expected = "false assumption: `unsound` (node 0) assumes 0 to 89, since \"hardly ever\", and reaches 90"
)]
fn rejects_a_bound_under_a_maximum() {
    checked(Fault::Maximum);
}

#[test]
#[should_panic(
    expected = "false assumption: `unsound` (node 0) assumes 0 to 11, since \"hardly ever\", and reaches 12"
)]
fn rejects_a_bound_that_a_condition_hides() {
    checked(Fault::Condition);
}

/// Both of its bounds are what the form can be, and the search comes to all four ends.
#[test]
fn reaches_both_ends_of_a_bound_that_is_tight() {
    let mut collector = Collector::new();
    let x = collector.inputs(0, 40, Range::new(-3, 200)).unwrap();
    let cx = collector.node(0);
    let rule = StepRule::monotone(Range::new(-3, 200), None, |v| v >> 2);
    let quotients = cx.steps(&x, vec![Arc::new(rule)], |_| 0).unwrap();
    let pairs = [x.as_slice(), &quotients].concat();
    for (lo, hi, holds) in [(0, 3, true), (0, 2, false), (1, 3, false)] {
        let mut collector = Collector::new();
        let x = collector.inputs(0, 40, Range::new(-3, 200)).unwrap();
        let cx = collector.node(0);
        let rule = StepRule::monotone(Range::new(-3, 200), None, |v| v >> 2);
        cx.steps(&x, vec![Arc::new(rule)], |_| 0).unwrap();
        let forms = Arc::new(Remainders(40, 4));
        let range = Range::new(lo, hi);
        cx.assume_within(NAME, &pairs, forms, range, "a remainder")
            .unwrap();
        let found = extremes(collector.lowering(), 1);
        assert_eq!(found.falsified.is_empty(), holds, "{lo} to {hi}");
    }
}

#[test]
fn rejects_a_rule_that_is_narrower_than_the_circuit() {
    let domain = StepError::Domain {
        value: -65_280,
        lo: -9500,
        hi: 9500,
    };
    assert_eq!(compiled(Fault::Domain), LowerError::Step(domain));
}

#[test]
#[should_panic(expected = "the operator has a circuit: Step(Domain { value: -65280")]
fn rejects_a_rule_that_is_narrower_than_the_circuit_in_the_harness() {
    checked(Fault::Domain);
}

#[test]
fn rejects_a_free_hint() {
    let exchanged = LowerError::Exchanged { op: NAME };
    assert_eq!(compiled(Fault::Hint), exchanged);
    assert!(exchanged.is_internal());
}

#[test]
#[should_panic(expected = "the operator keeps its promises: Exchanged")]
fn rejects_a_free_hint_in_the_harness() {
    checked(Fault::Hint);
}

#[test]
fn rejects_tightened_cell_ranges() {
    assert_eq!(
        compiled(Fault::Tightened),
        LowerError::Exchanged { op: NAME }
    );
}

#[test]
#[should_panic(expected = "the operator keeps its promises: Exchanged")]
fn rejects_tightened_cell_ranges_in_the_harness() {
    checked(Fault::Tightened);
}

#[test]
fn rejects_a_cell_that_is_its_own_reason() {
    let error = compiled(Fault::Future);
    assert!(matches!(error, LowerError::NoSuchElement { .. }), "{error}");
}

#[test]
fn rejects_fewer_results_than_promised() {
    let (op, expected, got) = (NAME, 2, 1);
    assert_eq!(
        compiled(Fault::Fewer),
        LowerError::Outputs { op, expected, got }
    );
}

#[test]
#[should_panic(expected = "changes")]
fn rejects_forms_that_change() {
    checked(Fault::Moody);
}
