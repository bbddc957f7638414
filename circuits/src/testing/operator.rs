//! What every operator's tests check: facts, executor, bytes and circuit say the same, and no lie survives.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test harness fails by panicking, where the test that called it stands"
)]

use std::sync::Arc;

use zkonnx_verifier::InputVisibility;

use super::extremes::extremes;
use super::mutate::{Mutator, Score};
use crate::compile::compile;
use crate::lower::{Block, Collector, LinearMap, Lowering, Operand, Wire};
use crate::plan::PlanOptions;
use crate::program::{Builder, DecodeOperator, Decoder, Encoder, Fact, Operator, Port, Tensor};

/// A small deterministic generator.
#[derive(Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let x = self.0 ^ (self.0 >> 33);
        x.wrapping_mul(0xff51afd7ed558ccd) ^ (x >> 29)
    }

    /// A number of `lo..=hi`.
    pub fn within(&mut self, lo: i64, hi: i64) -> i64 {
        let drawn = match hi.abs_diff(lo).checked_add(1) {
            Some(n) => self.next() % n,
            None => self.next(),
        };
        lo.wrapping_add_unsigned(drawn)
    }
}

/// Random tensors within their facts; the first two rounds take the lower and the upper end everywhere.
fn sample(facts: &[Fact], round: usize, rng: &mut Rng) -> Vec<Tensor> {
    let mut value = |fact: &Fact| match round {
        0 => fact.range.lo,
        1 => fact.range.hi,
        _ => rng.within(fact.range.lo, fact.range.hi),
    };
    facts
        .iter()
        .map(|fact| {
            Tensor::new(
                fact.dtype,
                fact.shape.clone(),
                (0..fact.len()).map(|_| value(fact)).collect(),
            )
        })
        .collect()
}

/// The values of all cells of a lowering, from those of the graph inputs, in the order of the blocks.
fn witness(cx: &Lowering, inputs: &[Tensor]) -> Vec<i64> {
    let mut values = vec![0; cx.vars().len()];
    let mut data = inputs.iter().flat_map(|t| t.data.iter().copied());
    for block in cx.blocks() {
        match block {
            Block::Input { cells, .. } => {
                for cell in cells {
                    values[cell.0 as usize] = data.next().expect("a value for each input cell");
                }
            }
            Block::Step {
                map, rules, lanes, ..
            } => {
                for lane in lanes {
                    let x = form(&cx.maps()[*map as usize], lane.index, &values);
                    values[lane.out.0 as usize] = rules[lane.rule as usize]
                        .eval(x)
                        .expect("within the domain");
                }
            }
            Block::Max { windows, .. } => {
                for (cells, out) in windows {
                    let largest = cells.iter().map(|c| values[c.0 as usize]).max();
                    values[out.0 as usize] = largest.expect("a window is not empty");
                }
            }
        }
    }
    for (value, info) in values.iter().zip(cx.vars()) {
        assert!(
            info.range.contains(*value),
            "{value} outside {:?}",
            info.range
        );
        assert!(info.offset <= info.range.lo, "a cell may be negative");
    }
    values
}

fn read(cx: &Lowering, wire: Wire, values: &[i64]) -> i64 {
    match wire {
        Wire::Const(v) => v,
        Wire::Cell(v) => values[v.0 as usize],
        Wire::Sum { map, index } => form(&cx.maps()[map as usize], index, values),
    }
}

fn form(map: &LinearMap, index: u32, values: &[i64]) -> i64 {
    let mut sum = map.forms.constant(index as usize);
    map.forms.terms(index as usize, &mut |j, c| {
        assert_ne!(c, 0, "a zero coefficient");
        sum += c * match map.inputs[j] {
            Operand::Const(v) => v,
            Operand::Cell(v) => values[v.0 as usize],
        };
    });
    sum
}

/// Inputs at which the equations come close to their bounds.
///
/// # Panics
///
/// If there is an input at which something that the equations assume does not hold.
#[track_caller]
fn drive(cx: &Lowering) -> Vec<Vec<i64>> {
    let found = extremes(cx, 11);
    if let Some(falsified) = found.falsified.first() {
        panic!("false assumption: {falsified}");
    }
    found.inputs
}

/// The values of all inputs as tensors.
fn split(facts: &[Fact], mut values: &[i64]) -> Vec<Tensor> {
    let take = |fact: &Fact| {
        let (own, rest) = values.split_at(fact.len());
        values = rest;
        Tensor::new(fact.dtype, fact.shape.clone(), own.to_vec())
    };
    facts.iter().map(take).collect()
}

/// Checks on random inputs, and on inputs that drive its equations to their bounds ([`extremes`]), that the outputs keep their facts, that the operator survives its own bytes, and that its
/// circuit computes what `eval` computes. The first two rounds take the ends of the ranges.
///
/// # Panics
///
/// If any of these is not so, or if an input falsifies what the circuit assumes.
#[track_caller]
pub fn check_operator(op: &dyn Operator, facts: &[Fact], decode: DecodeOperator, rounds: usize) {
    let references: Vec<&Fact> = facts.iter().collect();
    let outputs = op.facts(&references).expect("the inputs are accepted");

    let mut bytes = Encoder::new();
    op.encode(&mut bytes);
    let bytes = bytes.into_bytes();
    let mut reader = Decoder::new(&bytes);
    let again = decode(&mut reader).expect("an operator reads its own bytes");
    reader.finish().expect("an operator reads all of its bytes");
    let mut rewritten = Encoder::new();
    again.encode(&mut rewritten);
    assert_eq!(rewritten.into_bytes(), bytes);
    for len in 0..bytes.len().min(200) {
        let mut reader = Decoder::new(&bytes[..len]);
        assert!(
            decode(&mut reader).is_err(),
            "a prefix of {len} bytes is accepted"
        );
    }

    let mut collector = Collector::new();
    let mut input = |fact: &Fact| collector.inputs(0, fact.len(), fact.range);
    let wires: Vec<_> = facts
        .iter()
        .map(|fact| input(fact).expect("inputs are narrow"))
        .collect();
    let lowered = again
        .lower(collector.node(0), &wires, &references)
        .expect("the operator has a circuit");
    let promised: Vec<usize> = outputs.iter().map(Fact::len).collect();
    collector
        .check(op.id().name, &lowered, &promised)
        .expect("the operator keeps its promises");
    let cx = collector.lowering();
    let driven = drive(cx);

    let mut rng = Rng(7);
    let drawn = (0..rounds).map(|round| sample(facts, round, &mut rng));
    let driven = driven.iter().map(|values| split(facts, values));
    for inputs in drawn.chain(driven) {
        let results = op
            .eval(&inputs.iter().collect::<Vec<_>>())
            .expect("the inputs are accepted");
        let values = witness(cx, &inputs);
        for ((result, fact), wires) in results.iter().zip(&outputs).zip(&lowered) {
            assert_eq!((result.dtype, &result.shape), (fact.dtype, &fact.shape));
            assert!(
                result.data.iter().all(|v| fact.range.contains(*v)),
                "{result:?} outside {fact:?}"
            );
            let proved: Vec<i64> = wires.iter().map(|w| read(cx, *w, &values)).collect();
            assert_eq!(proved, result.data);
        }
    }
}

/// Compiles a program of this operator alone and lies about an inference of it in all ways that the mutation harness
/// knows. In a sound circuit no mutant survives. Inputs are drawn from `seed`.
///
/// # Panics
///
/// If the operator has no circuit, assumes what does not hold, or its circuit rejects the honest witness.
#[track_caller]
pub fn mutate_operator(op: Arc<dyn Operator>, facts: &[Fact], seed: u64) -> Score {
    let mut builder = Builder::new();
    let ids: Vec<_> = facts
        .iter()
        .enumerate()
        .map(|(i, fact)| builder.input(&format!("x{i}"), fact.clone(), None))
        .collect();
    let outputs = builder
        .push("operator", op, &ids)
        .expect("the inputs are accepted");
    let port = |tensor: &_| Port {
        name: "y".to_owned(),
        tensor: *tensor,
        quantization: None,
    };
    let (program, _) = builder
        .finish(outputs.iter().map(port).collect())
        .expect("one operator is a program");
    let compiled = compile(
        Arc::new(program),
        InputVisibility::Public,
        &PlanOptions::default(),
    )
    .expect("the operator has a circuit");
    drive(&compiled.lowering);
    let inputs = sample(facts, 2, &mut Rng(seed));
    let inference = compiled
        .infer(&inputs, [0; 32])
        .expect("executor and circuit agree");
    let mutator = Mutator::new(
        &compiled.lowering,
        &compiled.assembly,
        &inference.inputs,
        inference.witness.clone(),
        &inference.instance,
    );
    let violated = mutator.honest_violations();
    assert!(violated.is_empty(), "honest, but rejected: {violated:?}");
    let loose = mutator.noise_violations(seed);
    assert!(
        loose.is_empty(),
        "cells that anyone may fill enter {loose:?}"
    );
    mutator.run(1)
}
