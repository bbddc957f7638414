//! A search for inputs at which a model leaves the bounds that its equations rest on.
//!
//! Most bounds are proved: by the lookup of a cell, or by interval arithmetic over such cells. What an operator *assumes*
//! ([`Lowering::assume_within`]) no constraint says, and no lie about a witness gives away, because honest provers keep
//! it or fail. So each such form is driven to both of its extremes over the inputs that there are: from the corner that
//! the signs of its coefficients name (through steps and maxima by their slopes), from both ends of all inputs and from
//! random corners, one input at a time as long as that leads further. The same search visits the ends of the domains of
//! steps, and of maxima, where an operator and its equations may come apart.

use std::collections::{BTreeMap, BTreeSet};

use super::cone::{Cone, Origins, Outside, Target};
use super::operator::Rng;
use crate::lower::{Assumption, Block, Lowering};
use crate::program::Range;

/// An input at which a form lies outside of what was assumed of it.
#[derive(Clone, Debug)]
pub struct Falsified {
    /// What was assumed.
    pub assumption: Assumption,
    /// The value of the form.
    pub value: i128,
    /// The values of all inputs of the model, one list after the other.
    pub inputs: Vec<i64>,
}

impl std::fmt::Display for Falsified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Assumption {
            op,
            node,
            range,
            reason,
            ..
        } = &self.assumption;
        let (lo, hi, value) = (range.lo, range.hi, self.value);
        write!(
            f,
            "`{op}` (node {node}) assumes {lo} to {hi}, since \"{reason}\", and reaches {value}"
        )
    }
}

/// How many terms may be followed in all, for what is assumed and for the rest.
const WORK: [u64; 2] = [6_000_000, 600_000];
/// The most forms of one map that are searched from every start; all others have their best corner tried.
const SEARCHED: usize = 12;

/// What a search has found.
#[derive(Debug, Default)]
pub struct Extremes {
    /// Assumptions that do not hold, the first input of each that shows it.
    pub falsified: Vec<Falsified>,
    /// Inputs that drive some form or maximum to one of its ends, as far as the search came.
    pub inputs: Vec<Vec<i64>>,
}

/// Drives what the equations assume, and the arguments of their steps and maxima, to their extremes.
///
/// # Panics
///
/// If the equations are malformed: a form that says one thing and then another, a cell that nothing defines.
pub fn extremes(lowering: &Lowering, seed: u64) -> Extremes {
    for map in lowering.maps() {
        check_forms(map);
    }
    let origins = Origins::new(lowering);
    let mut search = Search {
        origins: &origins,
        rng: Rng(seed),
        falsified: BTreeMap::new(),
        inputs: BTreeSet::new(),
    };
    let assumed: Vec<(Target, Range)> = lowering
        .assumptions()
        .flat_map(|a| {
            forms_of(lowering, a)
                .into_iter()
                .map(|form| (form, a.range))
        })
        .collect();
    search.all(&assumed, WORK[0]);
    let others: Vec<(Target, Range)> = ends(lowering);
    search.all(&others, WORK[1]);
    Extremes {
        falsified: search.falsified.into_values().collect(),
        inputs: search.inputs.into_iter().collect(),
    }
}

/// Forms are asked for again and again, and have to say the same, each input once.
fn check_forms(map: &crate::lower::LinearMap) {
    let last = map.len().saturating_sub(1);
    for form in [0, last / 2, last].into_iter().filter(|&f| f < map.len()) {
        let read = || {
            let mut terms = vec![(usize::MAX, map.forms.constant(form))];
            map.forms.terms(form, &mut |j, c| terms.push((j, c)));
            terms
        };
        let terms = read();
        assert_eq!(terms, read(), "form {form} of {map:?} changes");
        let inputs: BTreeSet<usize> = terms.iter().map(|t| t.0).collect();
        assert_eq!(
            inputs.len(),
            terms.len(),
            "form {form} reads an input twice"
        );
    }
}

/// The forms of an assumption, those first that interval arithmetic bounds least.
fn forms_of(lowering: &Lowering, assumption: &Assumption) -> Vec<Target> {
    let map = &lowering.maps()[assumption.map as usize];
    let mut terms: Vec<(usize, u32)> = (0..map.len() as u32)
        .map(|form| {
            let mut count = 0;
            map.forms.terms(form as usize, &mut |_, _| count += 1);
            (count, form)
        })
        .collect();
    terms.sort_by_key(|&(count, form)| (std::cmp::Reverse(count), form));
    let target = |(_, form)| Target::Forms {
        map: assumption.map,
        forms: vec![form],
    };
    terms.into_iter().map(target).collect()
}

/// Steps and maxima of every block: the first lane, the last and one between for each rule.
fn ends(lowering: &Lowering) -> Vec<(Target, Range)> {
    let everything = Range::new(i64::MIN, i64::MAX);
    let mut out = Vec::new();
    for block in lowering.blocks() {
        match block {
            Block::Input { .. } => {}
            Block::Step { map, lanes, .. } => {
                let mut of_rule: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
                for (i, lane) in lanes.iter().enumerate() {
                    of_rule.entry(lane.rule).or_default().push(i);
                }
                for lanes_of in of_rule.values().take(8) {
                    for lane in few(lanes_of) {
                        let forms = lanes[lane].forms().collect();
                        out.push((Target::Forms { map: *map, forms }, everything));
                    }
                }
            }
            Block::Max { windows, .. } => {
                let all: Vec<usize> = (0..windows.len()).collect();
                let tops = few(&all).into_iter().map(|w| Target::Cell(windows[w].1));
                out.extend(tops.map(|top| (top, everything)));
            }
        }
    }
    out
}

/// The first, the last and one between.
fn few(of: &[usize]) -> BTreeSet<usize> {
    let last = of.len().saturating_sub(1);
    [0, last / 2, last]
        .iter()
        .filter_map(|&i| of.get(i).copied())
        .collect()
}

struct Search<'a> {
    origins: &'a Origins<'a>,
    rng: Rng,
    falsified: BTreeMap<u32, Falsified>,
    inputs: BTreeSet<Vec<i64>>,
}

impl Search<'_> {
    fn all(&mut self, targets: &[(Target, Range)], work: u64) {
        let mut searched: BTreeMap<u32, usize> = BTreeMap::new();
        let share = work / (targets.len() as u64).max(1);
        for (target, range) in targets {
            let whole = match target {
                Target::Cell(_) => true,
                Target::Forms { map, .. } => {
                    if self.falsified.contains_key(map) {
                        continue;
                    }
                    let count = searched.entry(*map).or_default();
                    *count += 1;
                    *count <= SEARCHED
                }
            };
            let mut cone = Cone::new(self.origins, target);
            for sign in [1, -1] {
                // However many there are, each has its best corner tried, and a sweep from there.
                let starts = if whole { 6 } else { 1 };
                let limit = cone.work + share.max(20_000) / 2;
                self.drive(&mut cone, target, *range, sign, starts, limit);
            }
        }
    }

    fn note(&mut self, cone: &Cone<'_>, map: u32, value: i128) {
        let assumption = self.origins.lowering.assumption_of(map);
        let Some(assumption) = assumption else {
            panic!("a form of map {map} reaches {value}, which interval arithmetic excludes");
        };
        let falsified = || Falsified {
            assumption: assumption.clone(),
            value,
            inputs: cone.whole_input(),
        };
        self.falsified.entry(map).or_insert_with(falsified);
    }

    /// Whether the target lies where it should; what does not is noted.
    fn look(
        &mut self,
        cone: &Cone<'_>,
        target: &Target,
        range: Range,
        changed: Result<(), Outside>,
    ) -> bool {
        if let Err(Outside { map, value }) = changed {
            self.note(cone, map, value);
        }
        let value = cone.objective();
        let inside = i128::from(range.lo) <= value && value <= i128::from(range.hi);
        if let (false, Target::Forms { map, .. }) = (inside, target) {
            self.note(cone, *map, value);
        }
        inside && changed.is_ok()
    }

    /// Moves the target up (`sign` 1) or down (-1) from several starts.
    fn drive(
        &mut self,
        cone: &mut Cone<'_>,
        target: &Target,
        range: Range,
        sign: i128,
        starts: usize,
        limit: u64,
    ) {
        let inputs = cone.inputs();
        let slopes = cone.slopes();
        for start in 0..starts {
            let at = |&(cell, range): &(usize, Range), rng: &mut Rng| {
                let up = slopes[cell] * sign > 0;
                let value = match start {
                    0 => {
                        if up {
                            range.hi
                        } else {
                            range.lo
                        }
                    }
                    1 => range.lo,
                    2 => range.hi,
                    3 => {
                        if rng.next().is_multiple_of(2) {
                            range.hi
                        } else {
                            range.lo
                        }
                    }
                    4 => rng.within(range.lo, range.hi),
                    // All but one at one end.
                    _ => {
                        if rng.next().is_multiple_of(inputs.len() as u64) {
                            range.hi
                        } else {
                            range.lo
                        }
                    }
                };
                (cell, value)
            };
            let values: Vec<_> = inputs
                .iter()
                .map(|input| at(input, &mut self.rng))
                .collect();
            let changed = cone.start(&values);
            if !self.look(cone, target, range, changed) {
                return;
            }
            // A start has its share of the work, and what those before it have left.
            let left = limit.saturating_sub(cone.work);
            let until = cone.work + left / (starts - start) as u64;
            if !self.climb(cone, target, range, sign, until) {
                return;
            }
            if self.inputs.len() < 64 {
                self.inputs.insert(cone.whole_input());
            }
        }
    }

    /// Changes one input after the other as long as that leads further; `false` once a bound is broken.
    fn climb(
        &mut self,
        cone: &mut Cone<'_>,
        target: &Target,
        range: Range,
        sign: i128,
        until: u64,
    ) -> bool {
        let inputs = cone.inputs();
        let mut best = cone.objective() * sign;
        loop {
            let mut moved = false;
            for &(cell, of) in &inputs {
                if cone.work > until {
                    return true;
                }
                let now = cone.value(cell);
                let mut kept = now;
                for value in self.candidates(of, now) {
                    let changed = cone.set(cell, value);
                    if !self.look(cone, target, range, changed) {
                        return false;
                    }
                    let found = cone.objective() * sign;
                    if found > best {
                        (best, kept, moved) = (found, value, true);
                    }
                }
                let changed = cone.set(cell, kept);
                if !self.look(cone, target, range, changed) {
                    return false;
                }
            }
            if !moved {
                return true;
            }
        }
    }

    /// Where else an input may stand: all of a small range, else its ends, its neighbours and some others.
    fn candidates(&mut self, of: Range, now: i64) -> Vec<i64> {
        let mut out: Vec<i64> = match of.span() {
            0..8 => (of.lo..=of.hi).collect(),
            _ => {
                let drawn = self.rng.within(of.lo, of.hi);
                let middle = of.lo + (of.span() / 2) as i64;
                vec![of.lo, of.hi, now - 1, now + 1, middle, drawn]
            }
        };
        out.retain(|&v| v != now && of.contains(v));
        out
    }
}
