//! Lies, told through the assignment path that production uses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{
    Matrix, Model, Random, Stack, every_constraint, every_kind, every_kind_of, mock_accepts,
};
use ff::Field;
use pasta_curves::Fp;
use zkonnx_circuits::chips::{Check, ConstraintName, Shape};
use zkonnx_circuits::circuit::{Assembly, Lies, Witness};
use zkonnx_circuits::lower::{Collector, Wire};
use zkonnx_circuits::plan::{Cell, PlanOptions, PublicElement, place_shape, plan};
use zkonnx_circuits::program::Range;
use zkonnx_circuits::testing::{Checker, Mutant, Mutator, Score};

fn assemble(model: &Model) -> Arc<Assembly> {
    let planned = plan(
        &model.lowering,
        &model.public,
        model.elements,
        &PlanOptions::default(),
    );
    Arc::new(Assembly::new(planned.unwrap().0).unwrap())
}

fn score(model: &Model, assembly: &Arc<Assembly>, stride: usize) -> Score {
    let (inputs, witness, instance) = model.solve(&assembly.layout, &mut Random::new(5));
    let mutator = Mutator::new(&model.lowering, assembly, &inputs, witness, &instance);
    assert!(mutator.honest_violations().is_empty());
    assert!(mutator.noise_violations(1).is_empty());
    mutator.run(stride)
}

/// The model in each of these shapes, and in the one that the planner chooses.
fn every_assembly(model: &Model) -> Vec<Arc<Assembly>> {
    let place = |shape: &Shape| {
        let layout = place_shape(&model.lowering, &model.public, model.elements, shape);
        Arc::new(Assembly::new(layout.unwrap()).unwrap())
    };
    let mut all: Vec<_> = every_constraint().iter().map(place).collect();
    all.push(assemble(model));
    all
}

#[test]
fn rejects_every_mutant_and_every_constraint_is_needed() {
    let model = every_kind();
    for shape in every_constraint() {
        let layout = place_shape(&model.lowering, &model.public, model.elements, &shape).unwrap();
        let assembly = Arc::new(Assembly::new(layout).unwrap());
        let score = score(&model, &assembly, 1);
        assert!(
            score.survivors.is_empty(),
            "{:?}",
            &score.survivors[..score.survivors.len().min(3)]
        );
        assert_eq!(score.percent(), 100.0);
        // Each kind of constraint is the only one to object to some lie.
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, count) in &score.rejected_only_by {
            let kind = match name {
                ConstraintName::Dot(_) => "dot",
                ConstraintName::Max(_) => "max",
                ConstraintName::Range(_) => "range",
                ConstraintName::Byte(_) => "byte",
                ConstraintName::Step(_) => "step",
                ConstraintName::Width(_) => "width",
                _ => "copy",
            };
            *kinds.entry(kind).or_default() += count;
        }
        println!(
            "{} mutants; {kinds:?} rejected by one constraint only",
            score.mutants
        );
        let own = match shape.check {
            Check::Limbs(_) => "range",
            Check::Width(_) => "width",
        };
        for kind in ["dot", "max", "range", "step", "copy", own] {
            assert!(
                kinds.contains_key(kind),
                "no mutant is rejected by `{kind}` alone"
            );
        }
    }
}

/// Each constraint of each column is the only one to object to some lie about one of a few models. Bytes and the
/// largest values of slots have tests of their own, since it takes lies about two cells and more; and limbs that no
/// chain of the models fills are no one's.
#[test]
fn needs_every_constraint_of_every_column() {
    for shape in every_constraint() {
        let (mut used, mut alone) = (BTreeSet::new(), BTreeSet::new());
        let tops: Vec<usize> = (0..shape.maxima).map(|q| shape.top(q)).collect();
        for seed in 11..31 {
            let model = every_kind_of(seed);
            let layout = place_shape(&model.lowering, &model.public, model.elements, &shape);
            let assembly = Arc::new(Assembly::new(layout.unwrap()).unwrap());
            let in_use: BTreeSet<u32> = assembly.assigned.iter().map(|cell| cell.column).collect();
            let chips = &assembly.chips;
            let names = chips.gate_names.iter().chain(&chips.lookup_names);
            used.extend(names.copied().filter(|name| match *name {
                ConstraintName::Byte(_) => false,
                ConstraintName::Range(h) => {
                    let column = shape.range(h);
                    in_use.contains(&(column as u32)) && !tops.contains(&column)
                }
                _ => true,
            }));
            let score = score(&model, &assembly, 1);
            assert!(score.survivors.is_empty(), "{seed}");
            alone.extend(score.rejected_only_by.into_keys());
            if used.is_subset(&alone) {
                break;
            }
        }
        assert!(used.len() > 20, "{used:?}");
        let missed: Vec<_> = used.difference(&alone).collect();
        assert!(
            missed.is_empty(),
            "not needed alone: {missed:?} in {shape:?}"
        );
    }
}

#[test]
fn agrees_with_mock_prover_on_mutants() {
    let model = every_kind();
    for assembly in every_assembly(&model) {
        let (inputs, witness, instance) = model.solve(&assembly.layout, &mut Random::new(5));
        let honest = witness.advice(&assembly.layout, &instance);
        assert!(mock_accepts(&assembly, honest, &instance));
        let mutator = Mutator::new(&model.lowering, &assembly, &inputs, witness, &instance);
        let mut session = mutator.session();
        // A thousand where the circuit is small.
        let many = if assembly.layout.shape.k < 10 {
            1000
        } else {
            30
        };
        for mutant in mutator.sample(many, 1) {
            let told = mutator.apply(&mutant);
            let mock = mock_accepts(&assembly, told.advice, &told.public);
            assert_eq!(session.judge(&mutant).is_empty(), mock, "{mutant:?}");
            assert_eq!(session.objection(&mutant).is_none(), mock, "{mutant:?}");
        }
    }
}

/// What is written from an honest witness in place is what is written from the inputs on.
#[test]
fn judges_in_place_as_from_the_inputs_on() {
    let model = every_kind();
    for assembly in every_assembly(&model) {
        let (inputs, witness, instance) = model.solve(&assembly.layout, &mut Random::new(5));
        let mutator = Mutator::new(&model.lowering, &assembly, &inputs, witness, &instance);
        let checker = Checker::new(&assembly);
        let mut session = mutator.session();
        for mutant in mutator.sample(2000, 2) {
            let told = mutator.apply(&mutant);
            let whole = checker.violated_anywhere(&told.advice, &told.public);
            assert_eq!(session.judge(&mutant), whole, "{mutant:?}");
        }
        for mutant in mutator.mutants(1) {
            let all = session.judge(&mutant);
            match session.objection(&mutant) {
                Some(one) => assert!(all.contains(&one), "{mutant:?}"),
                None => assert!(all.is_empty(), "{mutant:?}"),
            }
        }
    }
}

/// Takes a constraint away: a copy, a unit's lookup, or a maximum. Returns the row where it was.
fn weaken(assembly: &mut Assembly, kind: usize, drawn: usize) -> u32 {
    if kind == 0 {
        let (copy, _) = assembly.copies.remove(drawn % assembly.copies.len());
        return copy.row;
    }
    let rows = assembly.layout.rows.iter().enumerate();
    let used = rows.filter(|(_, row)| match kind {
        1 => !row.units.is_empty(),
        _ => !row.maxima.is_empty(),
    });
    let used: Vec<usize> = used.map(|(r, _)| r).collect();
    let row = used[drawn % used.len()];
    let switches = match kind {
        1 => &assembly.chips.tags,
        _ => &assembly.chips.maxima,
    };
    for column in switches {
        assembly.fixed[column.index as usize][row] = Fp::ZERO;
    }
    row as u32
}

/// Where a constraint is missing, the harness finds the lies that MockProver then accepts.
#[test]
fn finds_the_survivors_of_a_weakened_circuit() {
    let model = every_kind();
    let mut r = Random::new(3);
    let mut survivors = [0; 3];
    for round in 0..15 {
        let mut weak = Assembly::new(assemble(&model).layout.clone()).unwrap();
        let (inputs, witness, instance) = model.solve(&weak.layout, &mut Random::new(5));
        let row = weaken(&mut weak, round % 3, r.below(1 << 20) as usize);
        let weak = Arc::new(weak);
        let mutator = Mutator::new(&model.lowering, &weak, &inputs, witness, &instance);
        assert!(mutator.honest_violations().is_empty());
        let near = |m: &Mutant| match m {
            Mutant::Cell(c, _) | Mutant::Summed(c, _) | Mutant::Carry(c, _) => c.row == row,
            _ => true,
        };
        let (mut session, mut seen) = (mutator.session(), [0, 0]);
        for mutant in mutator.mutants(1).filter(near) {
            let survives = session.judge(&mutant).is_empty();
            assert_eq!(session.objection(&mutant).is_none(), survives, "{mutant:?}");
            let seen = &mut seen[usize::from(survives)];
            *seen += 1;
            if *seen <= 10 {
                let told = mutator.apply(&mutant);
                let mock = mock_accepts(&weak, told.advice, &told.public);
                assert_eq!(survives, mock, "{mutant:?}");
            }
        }
        survivors[round % 3] += seen[1];
    }
    assert!(survivors.iter().all(|&n| n > 0), "{survivors:?}");
}

/// A weight on a cell that nothing assigns would let a prover add what it likes to an equation.
#[test]
fn finds_cells_that_anyone_may_fill() {
    let model = every_kind();
    let mut loose = Assembly::new(assemble(&model).layout.clone()).unwrap();
    let (inputs, witness, instance) = model.solve(&loose.layout, &mut Random::new(5));
    let shape = &loose.layout.shape;
    let free = (0..shape.own_hosts()).flat_map(|l| {
        let column = shape.host(l) as u32;
        let rows = 0..loose.layout.rows.len() as u32;
        rows.map(move |row| (l, Cell { column, row }))
    });
    let found = free.filter(|(_, cell)| !loose.assigned.contains(cell));
    let (l, cell) = found.max_by_key(|(l, cell)| (*l, cell.row)).unwrap();
    let weight = loose.chips.weights[0][l].unwrap().index as usize;
    loose.fixed[weight][cell.row as usize] = Fp::ONE;
    let mutator = Mutator::new(&model.lowering, &loose, &inputs, witness, &instance);
    assert!(mutator.honest_violations().is_empty());
    assert!(!mutator.noise_violations(1).is_empty());
}

#[test]
fn rejects_public_values_of_another_inference() {
    let model = every_kind();
    let assembly = assemble(&model);
    let (_, witness, instance) = model.solve(&assembly.layout, &mut Random::new(5));
    let checker = Checker::new(&assembly);
    for row in 2..instance.len() {
        let mut other = instance.clone();
        other[row] += Fp::ONE;
        // The prover may copy the verifier's values, or keep its own.
        let copied = witness.advice(&assembly.layout, &other);
        assert!(!checker.violated_anywhere(&copied, &other).is_empty());
        let kept = witness.advice(&assembly.layout, &instance);
        assert_eq!(
            checker
                .violated_anywhere(&kept, &other)
                .into_iter()
                .collect::<Vec<_>>(),
            [ConstraintName::Copy]
        );
    }
}

/// One lane in [0, 9], another in [90, 99], both read from one table on [0, 99]. Packed with the base that fits each
/// lane's own range, 16, the pairs (5, 95) and (21, 94) would have the same sum; the planner must take its window
/// from the table.
#[test]
fn rejects_a_carry_between_lanes_of_one_table() {
    let mut r = Random::new(1);
    let mut stack = Stack::new(2, Range::new(0, 9));
    let rows = vec![vec![(0, 1)], vec![(1, 1)]];
    let matrix = Matrix {
        grid: vec![2],
        rows,
        constants: vec![0, 90],
    };
    stack.linear(&mut r, matrix, None, 0, 99);
    let model = stack.finish();
    let assembly = assemble(&model);
    let table = &assembly
        .layout
        .tables
        .iter()
        .max_by_key(|t| t.table.hi)
        .unwrap()
        .table;
    assert!(table.lo <= 0 && table.hi >= 99);
    assert_eq!(
        table.bits(),
        7,
        "the window is the table's, not the lane's four bits"
    );
    assert_eq!(score(&model, &assembly, 1).percent(), 100.0);
}

/// The cells of a chain's first row start from nothing: a sum that is carried in from above is a lie.
#[test]
fn rejects_a_chain_that_starts_from_a_free_sum() {
    let model = every_kind();
    let assembly = assemble(&model);
    let (inputs, witness, instance) = model.solve(&assembly.layout, &mut Random::new(5));
    let mutator = Mutator::new(&model.lowering, &assembly, &inputs, witness, &instance);
    let mut session = mutator.session();
    let shape = &assembly.layout.shape;
    let starts: Vec<_> = assembly
        .assigned
        .iter()
        .filter(|c| c.column as usize == shape.accumulator(0))
        .collect();
    assert!(!starts.is_empty());
    for cell in starts {
        assert!(!session.judge(&Mutant::Cell(*cell, Fp::from(3))).is_empty());
    }
}

#[test]
fn shapes_of_two_threads_do_not_mix() {
    let run = |seed: u64| {
        let mut r = Random::new(seed);
        let mut stack = Stack::new(8 + seed as usize, Range::new(0, 255));
        stack.dense(&mut r, 4 + seed as usize, false);
        let model = stack.finish();
        let assembly = assemble(&model);
        let (_, witness, instance) = model.solve(&assembly.layout, &mut r);
        let advice = witness.advice(&assembly.layout, &instance);
        (0..3).all(|_| mock_accepts(&assembly, advice.clone(), &instance))
    };
    let threads: Vec<_> = [1, 9]
        .map(|seed| std::thread::spawn(move || run(seed)))
        .into();
    assert!(threads.into_iter().all(|t| t.join().unwrap()));
}

/// Public values hold inputs as digits, so of two neighbours one may take 256 from the other and the public values
/// stay; only the range checks of bytes object, each for its own column.
#[test]
fn rejects_bytes_that_are_none() {
    let model = every_kind();
    for assembly in every_assembly(&model) {
        let (inputs, _, instance) = model.solve(&assembly.layout, &mut Random::new(5));
        let checker = Checker::new(&assembly);
        let digits = model.public.iter().flat_map(|e| e.values.windows(2));
        let pairs = digits.filter_map(|pair| match pair {
            [Wire::Cell(a), Wire::Cell(b)] if (b.0 as usize) < inputs.len() => Some((*a, *b)),
            _ => None,
        });
        let mut alone = BTreeSet::new();
        for (low, high) in pairs.filter(|(_, high)| inputs[high.0 as usize] > 0) {
            let mut lies = Lies::default();
            lies.vars.insert(low, inputs[low.0 as usize] + 256);
            lies.vars.insert(high, inputs[high.0 as usize] - 1);
            let layout = &assembly.layout;
            let witness = Witness::solve_with(&model.lowering, layout, &inputs, &lies).unwrap();
            let mut advice = witness.advice_with(layout, &instance, &lies);
            let mut public = instance.clone();
            advice.close_public(layout, &mut public);
            let violated = checker.violated_anywhere(&advice, &public);
            assert!(!violated.is_empty());
            if let [only] = violated.into_iter().collect::<Vec<_>>().as_slice() {
                alone.insert(*only);
            }
        }
        let bytes = (0..assembly.layout.shape.bytes).map(ConstraintName::Byte);
        assert_eq!(alone, bytes.collect());
    }
}

/// A maximum that is no small integer may satisfy its packed equation and the product of its distances: its own range
/// check is what rejects it. Nothing reads these maxima, so that nothing else can object.
#[test]
fn rejects_maxima_that_no_limb_holds() {
    let range = Range::new(0, 255);
    let mut collector = Collector::new();
    let x = collector.inputs(u32::MAX, 32, range).unwrap();
    let windows = x.chunks(4).map(<[Wire]>::to_vec).collect();
    collector.node(0).max("test", windows).unwrap();
    let element = |(values, row): (&[Wire], u32)| PublicElement {
        row,
        bits: 8,
        offset: 0,
        values: values.to_vec(),
    };
    let public: Vec<_> = x.chunks(31).zip(2..).map(element).collect();
    let model = Model {
        lowering: collector.finish(x.iter()).unwrap(),
        inputs: x.len(),
        input_range: range,
        elements: 2 + public.len(),
        public,
    };
    let [shape, ..] = every_constraint();
    let layout = place_shape(&model.lowering, &model.public, model.elements, &shape).unwrap();
    let assembly = Assembly::new(layout).unwrap();
    let (_, witness, instance) = model.solve(&assembly.layout, &mut Random::new(5));
    let checker = Checker::new(&assembly);
    let mut alone = BTreeSet::new();
    for (r, row) in assembly.layout.rows.iter().enumerate() {
        for &(q, id) in &row.maxima {
            let (q, distances) = (q as usize, witness.windows[id as usize]);
            let zero = distances.iter().position(|&f| f == 0).unwrap();
            let other = distances.iter().position(|&f| f > 0).unwrap();
            // Another input is said to be the largest, and the maximum is what the equation makes of that.
            let mut changed = distances;
            (changed[zero], changed[other]) = (1, 0);
            let weight = |term: usize| {
                let own = row.weights.iter().filter(|w| w.1 as usize == term);
                own.map(|w| w.2).sum::<Fp>()
            };
            let by = |j: usize| Fp::from(changed[j] as u64) - Fp::from(distances[j] as u64);
            let moved: Fp = [zero, other]
                .into_iter()
                .map(|j| weight(shape.distance_term(q, j)) * by(j))
                .sum();
            let top = moved * weight(shape.top_term(q)).invert().unwrap();
            let mut advice = witness.advice(&assembly.layout, &instance);
            for j in [zero, other] {
                advice.columns[shape.distance(q, j, 0)][r] = Fp::from(changed[j] as u64);
            }
            advice.columns[shape.top(q)][r] -= top;
            advice.sum(&assembly.layout);
            let violated = checker.violated_anywhere(&advice, &instance);
            let range = ConstraintName::Range(shape.top(q) - shape.range(0));
            assert_eq!(violated.into_iter().collect::<Vec<_>>(), [range]);
            alone.insert(q);
        }
    }
    assert_eq!(alone, (0..shape.maxima).collect());
}
