//! Tables of step functions, and which rules may share one.
//!
//! A table lists the steps of a function of an integer `p`. A lane whose rule has a table of its own has `p = acc`.
//! Per-channel quantization gives each channel another multiplier, and a table each would be long; but if the lane is
//! scaled, `p = m·acc` with an integer `m` close to its multiplier, then the thresholds of all channels fall on
//! nearly the same places, and one table serves them all *provided that* for every channel and every step the
//! threshold lies in the gap between the last accumulator below the step and the first one in it. That is checked
//! here for every step of every rule, so no precision is assumed: a table that would move one threshold of one
//! channel by one accumulator is not made.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::chips::Shape;
use crate::lower::StepRule;

use super::pack::window_bits;

/// A table of steps of `p`, before long steps are split.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepTable {
    /// Smallest `p`.
    pub lo: i64,
    /// Largest `p`.
    pub hi: i64,
    /// What is subtracted from a value to get the content of its cell.
    pub y_offset: i64,
    /// First `p` and value of each step.
    pub steps: Arc<[(i64, i64)]>,
}

/// One row of a table in the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// Content of the cell `y`.
    pub y: u64,
    /// Content of the cell `t`: start of the interval, less the smallest `p`.
    pub t: u64,
    /// Number of integers in the interval, less one.
    pub width_less_one: u64,
}

impl StepTable {
    /// Bits of the window of `p`.
    pub fn bits(&self) -> u32 {
        window_bits((i128::from(self.hi) - i128::from(self.lo) + 1) as u128)
    }

    fn intervals(&self) -> impl Iterator<Item = (i64, i64, i64)> + '_ {
        self.steps.iter().enumerate().map(|(i, &(start, value))| {
            let end = self.steps.get(i + 1).map_or(self.hi, |next| next.0 - 1);
            (start, end, value)
        })
    }

    fn cuts(&self, Cutting { widest, outer }: Cutting) -> Vec<Cut> {
        let mut cuts: Vec<Cut> = self
            .intervals()
            .map(|(start, end, value)| {
                let len = (i128::from(end) - i128::from(start) + 1) as u128;
                let pieces = len.div_ceil(u128::from(widest)).max(1);
                Cut {
                    start,
                    len,
                    pieces,
                    value,
                }
            })
            .collect();
        let (Some(outer), [first, inner @ .., last]) = (outer, cuts.as_mut_slice()) else {
            return cuts;
        };
        let width = inner.iter().map(|cut| cut.len.div_ceil(cut.pieces)).max();
        let grow = |cut: &mut Cut| {
            let width = match width {
                // Idle units look up a width of one in any case.
                _ if cut.len == 1 => 1,
                Some(width) if cut.len <= width => width,
                _ => u128::from(outer),
            };
            let more = cut.len.next_multiple_of(width) - cut.len;
            cut.len += more;
            cut.pieces = cut.len / width;
            more as i64
        };
        first.start -= grow(first);
        grow(last);
        cuts
    }

    /// What the table takes in a circuit.
    pub fn size(&self, cutting: Cutting) -> TableSize {
        let cuts = self.cuts(cutting);
        TableSize {
            rows: cuts.iter().map(|cut| cut.pieces as usize).sum(),
            lo: cuts.first().map_or(self.lo, |cut| cut.start),
            hi: cuts.last().map_or(self.hi, Cut::end),
        }
    }

    /// The widths less one that occur in a circuit, each at least once.
    pub fn widths(&self, cutting: Cutting) -> impl Iterator<Item = u64> {
        let cuts = self.cuts(cutting);
        cuts.into_iter().flat_map(|cut| cut.widths())
    }

    /// The rows of the table in a circuit.
    pub fn cut(&self, cutting: Cutting) -> CutTable {
        let cuts = self.cuts(cutting);
        let lo = cuts.first().map_or(self.lo, |cut| cut.start);
        let hi = cuts.last().map_or(self.hi, Cut::end);
        let rows = cuts.iter().flat_map(|cut| cut.rows(lo, self.y_offset));
        CutTable {
            lo,
            hi,
            rows: rows.collect(),
        }
    }
}

/// What a table takes in a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Number of rows.
    pub rows: usize,
    /// Smallest `p`.
    pub lo: i64,
    /// Largest `p`.
    pub hi: i64,
}

/// How steps are cut into rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cutting {
    /// The most integers that a row holds.
    pub widest: u64,
    /// Where widths are looked up, each that occurs costs rows. The first and the last step, where functions saturate,
    /// are then cut into pieces of this width; they grow outwards, where no form reaches, so that it divides them.
    pub outer: Option<u64>,
}

impl Cutting {
    /// How the circuits of a shape cut steps.
    pub fn of(shape: &Shape) -> Self {
        Self {
            widest: shape.max_step_width(),
            outer: (shape.limbs() == 0).then_some(1 << shape.k.saturating_sub(2)),
        }
    }
}

/// One step, cut into pieces whose widths differ by at most one.
struct Cut {
    start: i64,
    len: u128,
    pieces: u128,
    value: i64,
}

impl Cut {
    fn end(&self) -> i64 {
        (i128::from(self.start) + self.len as i128 - 1) as i64
    }

    /// Widths less one.
    fn widths(&self) -> impl Iterator<Item = u64> + use<> {
        let narrow = (self.len / self.pieces) as u64;
        let wide = self.len.div_ceil(self.pieces) as u64;
        [narrow.saturating_sub(1), wide.saturating_sub(1)].into_iter()
    }

    fn rows(&self, lo: i64, y_offset: i64) -> impl Iterator<Item = TableRow> + '_ {
        let at = |i: u128| (i * self.len / self.pieces) as i128;
        (0..self.pieces).map(move |i| TableRow {
            y: (self.value - y_offset) as u64,
            t: (i128::from(self.start) - i128::from(lo) + at(i)) as u64,
            width_less_one: (at(i + 1) - at(i) - 1) as u64,
        })
    }
}

/// The rows of a table: intervals that partition its domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTable {
    /// Smallest `p`.
    pub lo: i64,
    /// Largest `p`.
    pub hi: i64,
    /// The rows, in order of their start.
    pub rows: Vec<TableRow>,
}

impl CutTable {
    /// Bits of the window of `p`.
    pub fn bits(&self) -> u32 {
        window_bits((i128::from(self.hi) - i128::from(self.lo) + 1) as u128)
    }

    /// The row that holds `p`, if `p` is in the domain.
    pub fn find(&self, p: i64) -> Option<TableRow> {
        if p < self.lo || p > self.hi {
            return None;
        }
        let t = (i128::from(p) - i128::from(self.lo)) as u64;
        let next = self.rows.partition_point(|row| row.t <= t);
        self.rows.get(next.checked_sub(1)?).copied()
    }
}

/// How the rules of a block read their tables.
#[derive(Clone, Debug)]
pub struct TableForm {
    /// The tables.
    pub tables: Vec<StepTable>,
    /// For each rule, its multiplier and its table.
    pub rules: Vec<(i64, usize)>,
}

impl TableForm {
    /// The widest window of its tables.
    pub fn bits(&self) -> u32 {
        self.tables.iter().map(StepTable::bits).max().unwrap_or(0)
    }

    /// The largest multiplier.
    pub fn max_multiplier(&self) -> i64 {
        self.rules.iter().map(|&(m, _)| m).max().unwrap_or(1)
    }
}

/// Bits that the largest multiplier may take in a shared table, narrow ones first.
const MULTIPLIER_BITS: [u32; 9] = [6, 8, 10, 12, 14, 16, 18, 21, 24];

/// The forms that the rules of a block may take, all of them exact: a table for each rule, and shared tables of
/// growing precision.
pub fn forms(rules: &[Arc<StepRule>], y_offset: i64) -> Vec<TableForm> {
    let mut out = vec![own_tables(rules, y_offset)];
    if out[0].tables.len() > 1 && rules.iter().all(|r| can_share(r)) {
        let mut fewest = out[0].tables.len();
        for bits in MULTIPLIER_BITS {
            let form = shared_tables(rules, y_offset, bits);
            if form.tables.len() < fewest {
                fewest = form.tables.len();
                out.push(form);
            }
            if fewest == 1 {
                break;
            }
        }
    }
    out
}

/// Largest argument of a rule that may be scaled: times the largest multiplier, of one bit more than
/// [`MULTIPLIER_BITS`] allows by rounding, it stays within 62 bits.
const MAX_SCALED: i64 = 1 << 36;

fn can_share(rule: &StepRule) -> bool {
    let domain = rule.domain();
    let narrow = domain.lo >= -MAX_SCALED && domain.hi <= MAX_SCALED;
    narrow && rule.scale().is_some() && is_monotone(rule)
}

fn is_monotone(rule: &StepRule) -> bool {
    rule.pieces().windows(2).all(|w| w[0].1 <= w[1].1)
}

fn own_tables(rules: &[Arc<StepRule>], y_offset: i64) -> TableForm {
    let mut tables: Vec<StepTable> = Vec::new();
    let mut of_rule = Vec::with_capacity(rules.len());
    for rule in rules {
        let table = StepTable {
            lo: rule.domain().lo,
            hi: rule.domain().hi,
            y_offset,
            steps: rule.pieces().into(),
        };
        let index = tables.iter().position(|t| *t == table).unwrap_or_else(|| {
            tables.push(table);
            tables.len() - 1
        });
        of_rule.push((1, index));
    }
    TableForm {
        tables,
        rules: of_rule,
    }
}

/// The thresholds that a set of scaled rules leaves open.
struct Shared {
    lo: i64,
    hi: i64,
    /// For each value, the smallest and the largest `p` at which its step may start.
    gaps: Vec<(i64, i64, i64)>,
}

impl Shared {
    fn new(rule: &StepRule, multiplier: i64, values: &[i64]) -> Self {
        let domain = rule.domain();
        let (lo, hi) = (multiplier * domain.lo, multiplier * domain.hi);
        let gaps = values
            .iter()
            .map(|&value| {
                let first = rule.pieces().partition_point(|&(_, y)| y < value);
                match rule.pieces().get(first) {
                    None => (value, hi + 1, i64::MAX),
                    Some(_) if first == 0 => (value, i64::MIN, lo),
                    Some(&(start, _)) => (value, multiplier * (start - 1) + 1, multiplier * start),
                }
            })
            .collect();
        Self { lo, hi, gaps }
    }

    /// Narrows the thresholds to those that `other` leaves open as well, if there are some for each value.
    fn meet(&mut self, other: &Self) -> bool {
        let both = || self.gaps.iter().zip(&other.gaps);
        if both().any(|(a, b)| a.1.max(b.1) > a.2.min(b.2)) {
            return false;
        }
        for (gap, other) in self.gaps.iter_mut().zip(&other.gaps) {
            *gap = (gap.0, gap.1.max(other.1), gap.2.min(other.2));
        }
        self.lo = self.lo.min(other.lo);
        self.hi = self.hi.max(other.hi);
        true
    }

    fn table(&self, y_offset: i64) -> StepTable {
        let mut steps: Vec<(i64, i64)> = Vec::new();
        for &(value, from, _) in &self.gaps {
            let start = from.max(self.lo);
            if start > self.hi {
                break;
            }
            match steps.last_mut() {
                Some(last) if last.0 == start => last.1 = value,
                _ => steps.push((start, value)),
            }
        }
        StepTable {
            lo: self.lo,
            hi: self.hi,
            y_offset,
            steps: steps.into(),
        }
    }
}

/// Rules share a table, in order, as long as their thresholds leave room for it.
fn shared_tables(rules: &[Arc<StepRule>], y_offset: i64, bits: u32) -> TableForm {
    let values: BTreeSet<i64> = rules
        .iter()
        .flat_map(|r| r.pieces().iter().map(|p| p.1))
        .collect();
    let values: Vec<i64> = values.into_iter().collect();
    let multipliers = multipliers(rules, bits);
    let mut clusters: Vec<Shared> = Vec::new();
    let mut of_rule = Vec::with_capacity(rules.len());
    for (rule, &m) in rules.iter().zip(&multipliers) {
        let own = Shared::new(rule, m, &values);
        let index = match clusters.iter_mut().position(|c| c.meet(&own)) {
            Some(index) => index,
            None => {
                clusters.push(own);
                clusters.len() - 1
            }
        };
        of_rule.push((m, index));
    }
    let tables = clusters.iter().map(|c| c.table(y_offset)).collect();
    TableForm {
        tables,
        rules: of_rule,
    }
}

/// Integer multipliers proportional to the scales of the rules, the largest of about `bits` bits.
fn multipliers(rules: &[Arc<StepRule>], bits: u32) -> Vec<i64> {
    let scales: Vec<(u128, i32)> = rules
        .iter()
        .filter_map(|r| r.scale())
        .map(|(m, e)| (u128::from(m.max(1)), e))
        .collect();
    // The position of the leading bit, so that all are compared on one scale.
    let top = |&(m, e): &(u128, i32)| 128 - m.leading_zeros() as i32 + e;
    let highest = scales.iter().map(top).max().unwrap_or_default();
    scales
        .iter()
        .map(|&(m, e)| {
            let shift = e - highest + bits as i32;
            let scaled = match shift {
                64.. => 1,
                0..64 => m << shift,
                -100..0 => (m + (1 << (-shift - 1))) >> -shift,
                _ => 1,
            };
            scaled.clamp(1, 1 << 40) as i64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::search::bare;
    use super::*;
    use crate::chips::Check;
    use crate::program::Range;

    fn cutting(widest: u64, outer: Option<u64>) -> Cutting {
        Cutting { widest, outer }
    }

    fn linear_rule(multiplier: i64, shift: i32, domain: Range) -> Arc<StepRule> {
        let scale = Some((multiplier as u32, -shift));
        Arc::new(StepRule::monotone(domain, scale, |x| {
            ((x * multiplier) >> shift).clamp(0, 255)
        }))
    }

    #[test]
    fn every_form_computes_every_rule() {
        let rules: Vec<_> = [9_100_001, 12_345_678, 16_000_000, 8_400_000]
            .iter()
            .map(|&m| linear_rule(m, 30, Range::new(-9_000, 30_000)))
            .collect();
        let forms = forms(&rules, 0);
        assert!(forms.len() > 1, "the rules can share tables");
        for form in &forms {
            for (rule, &(m, table)) in rules.iter().zip(&form.rules) {
                let domain = rule.domain();
                let widest = 64 * form.max_multiplier() as u64;
                for (width, outer) in [(widest, Some(widest - 7)), (16 * widest, None)] {
                    let cut = form.tables[table].cut(cutting(width, outer));
                    for x in domain.lo..=domain.hi {
                        let row = cut.find(m * x).expect("in the domain");
                        assert_eq!(Ok(row.y as i64), rule.eval(x));
                        let p = (m * x - cut.lo) as u64;
                        assert!(row.t <= p && p <= row.t + row.width_less_one);
                        assert!(row.width_less_one < width);
                    }
                }
            }
        }
    }

    #[test]
    fn rows_partition_the_domain() {
        let rule = linear_rule(3, 4, Range::new(-50, 200));
        let form = &forms(&[rule], 0)[0];
        for width in [1, 2, 7, 1000] {
            let cutting = cutting(width, (width == 7).then_some(5));
            let cut = form.tables[0].cut(cutting);
            let size = form.tables[0].size(cutting);
            let widths: Vec<u64> = form.tables[0].widths(cutting).collect();
            assert_eq!(cut.rows.len(), size.rows);
            assert!(cut.lo <= -50 && cut.hi >= 200);
            let mut next = 0;
            for row in &cut.rows {
                assert_eq!(row.t, next);
                assert!(row.width_less_one < width && widths.contains(&row.width_less_one));
                next = row.t + row.width_less_one + 1;
            }
            assert_eq!(next as i64, cut.hi - cut.lo + 1);
        }
    }

    #[test]
    fn the_outer_steps_need_no_widths_of_their_own() {
        let rule = linear_rule(1, 8, Range::new(-70_001, 90_003));
        let form = &forms(&[rule], 0)[0];
        // All inner steps are 256 wide.
        let widths = |widest| -> Vec<u64> {
            let widths: BTreeSet<u64> =
                form.tables[0].widths(cutting(widest, Some(1000))).collect();
            widths.into_iter().collect()
        };
        assert_eq!(widths(300), [255, 999]);
        assert_eq!(widths(100), [84, 85, 999]);
        let size = form.tables[0].size(cutting(300, Some(1000)));
        assert_eq!(size.lo, 256 - 71_000);
    }

    #[test]
    fn rules_of_wide_arguments_are_not_scaled() {
        let rule = |m: i64| {
            let domain = Range::new(-(1 << 40), 1 << 40);
            let scale = Some((m as u32, -30));
            Arc::new(StepRule::monotone(domain, scale, move |x| {
                i64::from(x >= m)
            }))
        };
        assert_eq!(forms(&[rule(9_000_000), rule(16_000_000)], 0).len(), 1);
    }

    #[test]
    fn rules_whose_thresholds_cross_do_not_share() {
        // The second rule has its step one accumulator later than any scaling of the first allows.
        let a = Arc::new(StepRule::monotone(
            Range::new(0, 100),
            Some((1 << 23, 0)),
            |x| i64::from(x >= 50),
        ));
        let b = Arc::new(StepRule::monotone(
            Range::new(0, 100),
            Some((1 << 23, 0)),
            |x| i64::from(x >= 51),
        ));
        let form = shared_tables(&[a, b], 0, 24);
        assert_eq!(form.tables.len(), 2);
    }

    #[test]
    fn rules_that_fall_do_not_share() {
        let rule = |end: i64| {
            let (scale, f) = (Some((1 << 23, -25)), move |x| i64::from(x < end));
            Arc::new(StepRule::monotone(Range::new(0, 99), scale, f))
        };
        let forms = forms(&[rule(50), rule(60)], 0);
        assert_eq!(forms.len(), 1, "only a table for each");
    }

    #[test]
    fn steps_are_cut_into_the_fewest_rows() {
        let table = StepTable {
            lo: -3,
            hi: 29,
            y_offset: -2,
            steps: Arc::new([(-3, -2), (5, 0), (15, 7)]),
        };
        let rows = |cutting| -> Vec<(u64, u64, u64)> {
            let rows = table.cut(cutting).rows.into_iter();
            rows.map(|row| (row.y, row.t, row.width_less_one)).collect()
        };
        // Of 8, 10 and 15 integers.
        let whole = [(0, 0, 7), (2, 8, 9), (9, 18, 14)];
        assert_eq!(rows(cutting(15, None)), whole);
        let halves = [(0, 0, 7), (2, 8, 9), (9, 18, 6), (9, 25, 7)];
        assert_eq!(rows(cutting(14, None)), halves);
        // The first is no wider than the inner one; the last grows to two pieces of twelve.
        let cut = table.cut(cutting(14, Some(12)));
        assert_eq!((cut.lo, cut.hi), (-5, 38));
        assert_eq!(
            rows(cutting(14, Some(12))),
            [(0, 0, 9), (2, 10, 9), (9, 20, 11), (9, 32, 11)]
        );
        assert_eq!(cut.find(-6), None);
        assert_eq!(cut.find(39), None);
        assert_eq!(cut.find(-5), Some(cut.rows[0]));
        assert_eq!(cut.find(38), Some(cut.rows[3]));
    }

    #[test]
    fn windows_hold_the_whole_domain() {
        let table = |hi| StepTable {
            lo: 0,
            hi,
            y_offset: 0,
            steps: Arc::new([(0, 0)]),
        };
        for (hi, bits) in [(0, 0), (1, 1), (254, 8), (255, 8), (256, 9)] {
            assert_eq!(table(hi).bits(), bits);
            assert_eq!(table(hi).cut(cutting(1 << 20, None)).bits(), bits);
        }
        let form = TableForm {
            tables: vec![table(255), table(256)],
            rules: vec![(3, 1), (5, 0)],
        };
        assert_eq!((form.bits(), form.max_multiplier()), (9, 5));
        let none = TableForm {
            tables: Vec::new(),
            rules: Vec::new(),
        };
        assert_eq!((none.bits(), none.max_multiplier()), (0, 1));
    }

    #[test]
    fn only_looked_up_widths_have_outer_steps() {
        let shape = |check| bare(13, 9, check);
        let limbs = Cutting::of(&shape(Check::Limbs(2)));
        assert_eq!(limbs, cutting(1 << 18, None));
        let width = Cutting::of(&shape(Check::Width(700)));
        assert_eq!(width, cutting(700, Some(1 << 11)));
    }

    #[test]
    fn multipliers_are_the_nearest_to_the_scales() {
        let of = |scales: &[(u32, i32)], bits| {
            let rule = |&scale| {
                let domain = Range::new(0, 9);
                Arc::new(StepRule::monotone(domain, Some(scale), |x| x))
            };
            multipliers(&scales.iter().map(rule).collect::<Vec<_>>(), bits)
        };
        // Quarters of 185 and 187 are 46.25 and 46.75.
        assert_eq!(of(&[(185, 0), (187, 0), (186, 0)], 6), [46, 47, 47]);
        assert_eq!(of(&[(185, -7), (185, -8), (3, -1)], 8), [185, 93, 192]);
        assert_eq!(of(&[(3, 0), (5, 0)], 6), [24, 40]);
        // What is far smaller than the largest, or nothing, has the least multiplier.
        assert_eq!(
            of(&[(255, 0), (255, -30), (255, -200), (0, 0)], 8),
            [255, 1, 1, 1]
        );
        assert_eq!(of(&[], 6), [0; 0]);
    }

    #[test]
    fn thresholds_lie_between_accumulators() {
        let rule = |end: i64, t: i64, f: fn(bool) -> i64| {
            StepRule::monotone(Range::new(-2, end), None, move |x| f(x >= t))
        };
        let values = [0, 1, 2];
        let mut shared = Shared::new(&rule(9, 4, i64::from), 10, &values);
        assert_eq!((shared.lo, shared.hi), (-20, 90));
        let gaps = [(0, i64::MIN, -20), (1, 31, 40), (2, 91, i64::MAX)];
        assert_eq!(shared.gaps, gaps);
        let table = shared.table(0);
        assert_eq!(*table.steps, [(-20, 0), (31, 1)]);
        // A rule with a step in the same gap, and one that has it at once after the last.
        let same = Shared::new(&rule(12, 5, i64::from), 8, &values);
        assert!(shared.meet(&same));
        assert_eq!((shared.lo, shared.hi), (-20, 96));
        assert_eq!(shared.gaps[1], (1, 33, 40));
        assert_eq!(shared.gaps[2], (2, 97, i64::MAX));
        let touching = Shared::new(&rule(9, 33, i64::from), 1, &[0]);
        assert_eq!(touching.gaps, [(0, i64::MIN, -2)]);
        let late = Shared::new(&rule(9, 5, i64::from), 10, &values);
        let before = shared.gaps.clone();
        assert!(!shared.meet(&late), "41 is above 40");
        assert_eq!(shared.gaps, before);
    }

    #[test]
    fn rules_share_up_to_the_largest_argument_that_may_be_scaled() {
        let count = |lo: i64, hi: i64| {
            let rules = [9_000_000, 16_000_000].map(|m| {
                let scale = Some((m as u32, -30));
                Arc::new(StepRule::monotone(Range::new(lo, hi), scale, move |x| {
                    i64::from(i128::from(x) * i128::from(m) >= 1 << 30)
                }))
            });
            let forms = forms(&rules, 0);
            assert_eq!(forms[0].tables.len(), 2);
            forms.len()
        };
        let most = MAX_SCALED;
        assert_eq!(count(-most, most), 2);
        assert_eq!(count(-most - 1, most), 1);
        assert_eq!(count(-most, most + 1), 1);
    }
}
