//! What the search sees and considers, number by number: the plan depends on all of it, and most of it changes no plan of
//! a small model.

#[path = "../../../tests/common/mod.rs"]
mod common;

use common::{Model, Random, Stack, assert_pinned, digest, every_kind, random_stack};

use super::*;
use crate::plan::Objective;
use crate::program::Range;

/// Models with what the planner tells apart: inputs that are bytes and others, tables for each channel, windows with
/// and without overlap, accumulators of many bits, layers that are wider than a circuit is high.
fn models() -> Vec<(String, Model)> {
    let mut models = vec![("every kind".to_owned(), every_kind())];
    models.extend([17, 33, 52].map(|seed| (format!("stack {seed}"), random_stack(seed))));
    let mut r = Random::new(5);
    let mut wide = Stack::new(120, Range::new(-128, 127));
    wide.dense(&mut r, 20, true);
    wide.dense(&mut r, 12, false);
    models.push(("wide".to_owned(), wide.finish()));
    let mut image = Stack::new(144, Range::new(3, 90));
    image.conv(&mut r, 1, 6, 3, true);
    image.overlapping_max(3);
    image.table(&mut r);
    image.dense(&mut r, 11, true);
    models.push(("image".to_owned(), image.finish()));
    models
}

fn jobs(model: &Model, steps: u64) -> Jobs<'_> {
    Jobs::new(&model.lowering, &model.public, steps).unwrap()
}

/// All numbers of a choice of tables.
fn of_tables(tables: &Tables) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        tables.forms,
        tables.domains,
        tables.placed,
        tables.banks,
        tables.rule_banks,
        tables.lanes,
        tables.inputs
    )
}

fn of_candidate(c: &Candidate) -> String {
    let (shape, cost) = (&c.shape, &c.cost);
    let tables = of_tables(&c.tables);
    format!("{shape:?} {tables} {cost:?} {} {}", c.rows, c.margin)
}

#[test]
fn needs_are_those_that_are_pinned() {
    let mut lines = Vec::new();
    for (name, model) in models() {
        let jobs = jobs(&model, u64::MAX);
        lines.push(format!(
            "{name}: slots={:?} units={} slot_lanes={} widest={} bytes={} node={:?} tables={}",
            jobs.needs_slots(),
            jobs.unit_lanes(),
            jobs.slot_lanes(),
            jobs.widest_maximum(),
            jobs.byte_inputs(),
            jobs.largest_node(),
            jobs.tables.len(),
        ));
    }
    assert_pinned("needs.txt", &lines);
}

#[test]
fn shapes_that_are_tried_are_those_that_are_pinned() {
    let mut lines = Vec::new();
    for (name, model) in models() {
        let jobs = jobs(&model, u64::MAX);
        for k in [7, 8, 9, 10] {
            let skeletons = jobs.skeletons(k);
            let texts: Vec<String> = skeletons
                .iter()
                .map(|(shape, tables)| format!("{shape:?} {}", of_tables(tables)))
                .collect();
            let checks = jobs.checks(k);
            let (count, hash) = (texts.len(), digest(&texts));
            lines.push(format!("{name}: k={k} shapes={count} {hash} {checks:?}"));
        }
        lines.push(format!("{name}: spent={}", jobs.budget.spent()));
    }
    assert_pinned("shapes.txt", &lines);
}

#[test]
fn estimates_are_those_that_are_pinned() {
    let mut lines = Vec::new();
    for (name, model) in models() {
        for k in [9, 10] {
            let jobs = jobs(&model, u64::MAX);
            let mut rows = Vec::new();
            for (shape, tables) in jobs.skeletons(k).iter().step_by(71) {
                let estimate = jobs.estimate(shape, tables);
                for (bytes, plain) in [(0, 1), (1, 2), (1, 7), (2, 24), (3, 100)] {
                    let shape = Shape {
                        bytes,
                        plain,
                        ..shape.clone()
                    };
                    rows.push(estimate.rows(&shape, &jobs.budget));
                }
            }
            let (count, least, most) = (rows.len(), rows.iter().min(), rows.iter().max());
            let (hash, spent) = (digest(&rows), jobs.budget.spent());
            lines.push(format!(
                "{name}: k={k} estimates={count} from {least:?} to {most:?} {hash} spent={spent}"
            ));
        }
    }
    assert_pinned("estimates.txt", &lines);
}

#[test]
fn candidates_are_those_that_are_pinned() {
    let usual = PlanOptions::default();
    let of = |objective: Objective| PlanOptions {
        objective,
        ..usual.clone()
    };
    let options = [
        ("usual", usual.clone()),
        ("verifier", of(Objective::Verifier)),
        ("size", of(Objective::ProofSize)),
        ("memory", of(Objective::Memory)),
        (
            "short",
            PlanOptions {
                max_proof_bytes: 5_000,
                ..usual.clone()
            },
        ),
        (
            "low",
            PlanOptions {
                max_k: 9,
                ..usual.clone()
            },
        ),
        (
            "hurried",
            PlanOptions {
                search_steps: 300_000,
                ..usual.clone()
            },
        ),
    ];
    let mut lines = Vec::new();
    for (number, (name, model)) in models().into_iter().enumerate() {
        // The first sees all options, the others one each besides the usual ones: searches take their time.
        let some = |(i, _): &(usize, _)| number == 0 || *i == 0 || *i == number;
        for (_, (kind, options)) in options.iter().enumerate().filter(some) {
            let jobs = jobs(&model, options.search_steps);
            let mut next_k = LEAST_K;
            let candidates = jobs.candidates(model.elements, options, &mut next_k);
            let texts: Vec<String> = candidates.iter().map(of_candidate).collect();
            let (count, hash, spent) = (texts.len(), digest(&texts), jobs.budget.spent());
            lines.push(format!(
                "{name}: {kind} candidates={count} next={next_k} {hash} spent={spent}"
            ));
        }
    }
    assert_pinned("candidates.txt", &lines);
}

/// What `Jobs::cheapest` hands to `place`, which finds all circuits longer than estimated, by so much in percent.
fn placed(
    model: &Model,
    search_steps: u64,
    spent_by_one: u64,
    most: usize,
    over: usize,
) -> Vec<(Shape, usize)> {
    let options = PlanOptions {
        search_steps,
        ..PlanOptions::default()
    };
    let jobs = jobs(model, search_steps);
    let seen = std::cell::RefCell::new(Vec::new());
    let found = jobs.cheapest(model.elements, &options, |c| {
        jobs.budget.spend(spent_by_one);
        seen.borrow_mut().push((c.shape.clone(), c.margin));
        if seen.borrow().len() == most {
            return Err(PlanError::WrongBlock { block: 7 });
        }
        Err(PlanError::TooManyRows {
            rows: (c.rows * 100).div_ceil(100 - over),
            usable: c.shape.usable_rows(),
        })
    });
    let ended = match found {
        Ok(found) => found.is_none(),
        Err(error) => error == PlanError::WrongBlock { block: 7 },
    };
    assert!(ended);
    seen.into_inner()
}

#[test]
fn a_few_circuits_are_placed_whatever_the_search_has_taken() {
    let model = every_kind();
    let of = |spent_by_one| placed(&model, 20_000_000, spent_by_one, 40, 0).len();
    assert_eq!(of(u64::MAX), LEAST_ATTEMPTS);
    assert_eq!(of(0), 40);
}

#[test]
fn what_one_circuit_took_more_than_estimated_is_left_free_in_those_like_it() {
    let placed = placed(&every_kind(), 20_000_000, 0, 40, 7);
    let mut known = HashMap::new();
    let mut alike = 0;
    for (shape, margin) in placed {
        // The rows of a placed circuit are rounded up, and so is their percentage.
        let seen = known.insert(Overruns::key(&shape), 7..=8);
        alike += usize::from(seen.is_some());
        assert!(seen.is_none_or(|seen| margin >= *seen.start()), "{margin}");
    }
    assert!(alike > 1);
}

#[test]
fn nothing_is_left_free_before_an_estimate_was_wrong() {
    let shape = |k| bare(k, 8, Check::Limbs(1));
    let mut overruns = Overruns::default();
    overruns.add(&shape(9), 90, 100);
    overruns.add(&shape(9), 98, 100);
    overruns.add(&shape(10), 100, 100);
    assert_eq!([9, 10, 11].map(|k| overruns.margin(&shape(k))), [10, 0, 0]);
}

#[test]
fn candidates_have_a_row_for_each_public_element() {
    let model = every_kind();
    let jobs = jobs(&model, u64::MAX);
    let options = PlanOptions {
        max_k: 10,
        ..PlanOptions::default()
    };
    let least = |elements| {
        let candidates = jobs.candidates(elements, &options, &mut LEAST_K.clone());
        candidates.iter().map(|c| c.shape.k).min().unwrap()
    };
    assert!(least(model.elements) < 10);
    assert_eq!(least(600), 10);
}

/// Of one more column of bytes than there has to be or none more, the cheaper, and of equals the one without.
#[test]
fn a_skeleton_is_completed_by_the_fewest_columns() {
    let model = every_kind();
    let jobs = jobs(&model, u64::MAX);
    for objective in [Objective::ProofSize, Objective::Prover] {
        let options = PlanOptions {
            objective,
            max_proof_bytes: usize::MAX,
            ..PlanOptions::default()
        };
        for (skeleton, tables) in jobs.skeletons(9).iter().step_by(5) {
            let estimate = jobs.estimate(skeleton, tables);
            let enough = jobs.byte_inputs().div_ceil(skeleton.usable_rows());
            let cheapest = |bytes: usize| {
                let mut of = (1..=MAX_PLAIN).map(|plain| Shape {
                    bytes,
                    plain,
                    ..skeleton.clone()
                });
                of.find(|s| estimate.rows(s, &jobs.budget) <= s.usable_rows())
            };
            let score = |shape: &Shape| options.objective.score(&predict(shape));
            let best = match [enough, enough + 1].map(cheapest) {
                [Some(a), Some(b)] => Some(if score(&b) < score(&a) { b } else { a }),
                [a, b] => a.or(b),
            };
            let below = |bound: f64| {
                let found = jobs.complete(skeleton, tables, &options, 0, bound);
                found.map(|c| c.shape)
            };
            assert_eq!(below(f64::INFINITY), best);
            if let Some(best) = best {
                assert_eq!(below(score(&best)), None, "that costs no less");
                assert_eq!(below(score(&best).next_up()), Some(best));
            }
        }
    }
}

#[test]
fn what_is_missing_is_counted_where_least_is_missing() {
    let model = every_kind();
    let jobs = jobs(&model, u64::MAX);
    let nearest = |max_k: u32, max_proof_bytes: usize| {
        let options = PlanOptions {
            max_k,
            max_proof_bytes,
            ..PlanOptions::default()
        };
        match jobs.no_shape(&options, model.elements) {
            PlanError::NoShape { nearest, .. } => nearest,
            other => panic!("{other}"),
        }
    };
    let with = |shape: &Shape, plain: usize| Shape {
        bytes: jobs.byte_inputs().div_ceil(shape.usable_rows()),
        plain,
        ..shape.clone()
    };
    let skeletons = jobs.skeletons(9);
    let bytes = |shape: &Shape, plain| predict(&with(shape, plain)).proof_bytes;
    let mut some: Vec<_> = skeletons.iter().map(|(shape, _)| bytes(shape, 4)).collect();
    some.sort_unstable();
    let mut last_is_longer = 0;
    for max_proof_bytes in [0, 1, 2].map(|eighth| some[some.len() * eighth / 8]) {
        let rows = skeletons.iter().filter_map(|(shape, tables)| {
            let plain = (1..=MAX_PLAIN).take_while(|&n| bytes(shape, n) <= max_proof_bytes);
            let shape = with(shape, plain.last()?);
            let rows = jobs.estimate(&shape, tables).rows(&shape, &jobs.budget);
            Some((rows.max(model.elements), shape.usable_rows()))
        });
        let rows: Vec<_> = rows.collect();
        let least = rows.iter().min().copied();
        last_is_longer += usize::from(rows.last().copied() > least);
        assert_eq!(nearest(9, max_proof_bytes), least);
    }
    assert!(last_is_longer > 0);
    // No column fits.
    let least = skeletons.iter().map(|(shape, _)| bytes(shape, 0)).min();
    assert_eq!(nearest(9, least.unwrap()), None);
}

#[test]
fn slots_are_as_many_as_windows_need_rows_for() {
    let mut stack = Stack::new(752, Range::new(0, 255));
    stack.overlapping_max(3);
    let model = stack.finish();
    let jobs = jobs(&model, u64::MAX);
    let least = |k: u32| {
        let maxima = jobs.skeletons(k).into_iter().map(|(shape, _)| shape.maxima);
        maxima.min().unwrap()
    };
    // 502 rows can be used of 512.
    assert_eq!(jobs.slot_lanes(), 750);
    assert_eq!([9, 10].map(least), [2, 1]);
}

#[test]
fn numbers_grow_from_the_least_to_the_most() {
    assert_eq!(counts(0, 32), [1, 2, 3]);
    assert_eq!(counts(30, 32), [30, 31, 32]);
    assert_eq!(counts(32, 32), [32]);
    assert_eq!(counts(33, 32), Vec::<usize>::new());
    assert_eq!(counts(10, 32), [10, 11, 12, 13, 14, 16, 18, 22]);
}
