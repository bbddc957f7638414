//! `softmax`: exponentials along an axis, divided by their sum, by logarithms.
//!
//! For each line `x_0 … x_{N−1}` along `axis`, with parameters of the operator in capitals:
//!
//! ```text
//! m   = max_i x_i
//! s   = Σ_i E[m − x_i]                  E: integers that do not grow, 2^F · e^(−scale · d) for a softmax
//! j   = the last piece with START_j ≤ s
//! p   = ⌊(s − START_j) · SLOPE_j / 2^{7·SHIFT}⌋
//! L   = LOG_j + p − BEND(p)             the logarithm of s: a tangent, and how far the curve bends away from it
//! y_i = OUT(A · (x_i − m) − L)          steps: the exponential or nothing, then the quantization
//! ```
//!
//! The importer chooses the unit of `L` such that `A` of them are the scale of the input: `A · (x_i − m)` is then the
//! exact logarithm of the numerator, and only `L` is rounded. What is divided nowhere is a product of two inputs for
//! each element: one product for each line is enough.
//!
//! # Circuit
//!
//! | cell            | equation                                        | block                        |
//! | --------------- | ----------------------------------------------- | ---------------------------- |
//! | `m`             | the largest element                             | maximum                      |
//! | `e_i`           | `E[m − x_i]`                                    | step (table), `m − x_i ≥ 0`  |
//! | `j`             | piece of `Σ e_i`                                | step                         |
//! | `start`, `log`, `slope` digits | functions of `j`                 | steps (tables)               |
//! | `r` digits      | of `Σ e_i − start`                              | `wide::digits`               |
//! | carries, squares | of `r · slope / 2^{7·SHIFT}`                   | `wide::product`              |
//! | `b`             | `BEND(p)`, `p` a linear form of these           | step                         |
//! | `y_i`           | `OUT(A·x_i − A·m − log − p + b)`                | step                         |
//!
//! **Assumes** nothing but the bounds of the cells `x_i`. **Guarantees** one result: each line of the table is a function
//! of the lines above it, proved by a step, a maximum, or equations of `wide`. Bounds that interval arithmetic does not
//! find are declared, and hold because of earlier lines: `m − x_i ≥ 0` by the maximum; `s ≥ E[0]` since some `x_i` is
//! `m`; `s − START_j` is below the length of piece `j`, hence of the longest; `p` is at most the largest
//! `(length − 1) · SLOPE`, shifted; `L` lies between the bounds of each piece. **Needs** `START_0 ≤ E[0]`, so that there
//! is a piece for every sum.

use std::sync::Arc;

use super::arg_max::Lines;
use super::requantize::Steps;
use super::wide::{self, Combo};
use super::{accepted, hull, only, reach};
use crate::lower::{LowerError, Lowering, StepRule, Wire, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor,
};

pub(super) const ID: OpId = super::id("softmax");
const NAME: &str = ID.name;

/// Bits of the largest exponential, slope and product.
const MAX_BITS: u32 = 40;
/// Largest number of pieces of the logarithm.
const MAX_PIECES: usize = 1 << 12;

/// A tangent of the logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first sum of the piece.
    pub start: i64,
    /// Its logarithm.
    pub log: i64,
    /// Growth for each unit of the sum, times `2^{7·SHIFT}`.
    pub slope: i64,
}

/// The logarithm of a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logarithm {
    /// Tangents, by growing start.
    pub pieces: Vec<Piece>,
    /// The product with a slope is shifted right by seven times this many bits.
    pub shift: usize,
    /// What is taken away from the tangent at a distance of `p`.
    pub bend: Steps,
}

/// Exponentials along an axis, divided by their sum and quantized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Softmax {
    axis: usize,
    dtype: DataType,
    exps: Vec<i64>,
    factor: i64,
    log: Logarithm,
    out: Steps,
}

/// Bounds of everything between the inputs and the results.
struct Bounds {
    /// Largest difference from the maximum.
    span: i64,
    sum: Range,
    /// Largest distance from the start of a piece.
    rest: i64,
    /// Largest product of a distance and a slope.
    product: i64,
    /// Largest distance along a tangent.
    distance: i64,
    /// Arguments of the last step.
    result: Range,
}

impl Softmax {
    /// The softmax along `axis`, of type `dtype`.
    ///
    /// `exps` has the exponential of each distance from the maximum, 1 to 256 of them, the first at least one; `factor`
    /// is the logarithm of the step from one to the next, in units of `log`; `out` makes the result of a logarithm.
    pub fn new(
        axis: usize,
        dtype: DataType,
        exps: Vec<i64>,
        factor: i64,
        log: Logarithm,
        out: Steps,
    ) -> Result<Self, OpError> {
        let wrong = |parameter| {
            Err(OpError::Parameter {
                op: NAME,
                parameter,
            })
        };
        let small = |v: i64| (0..1 << MAX_BITS).contains(&v);
        let falling = exps.windows(2).all(|e| e[0] >= e[1]);
        if !(1..=256).contains(&exps.len())
            || !falling
            || exps[0] == 0
            || !exps.iter().all(|&e| small(e))
        {
            return wrong("the exponentials");
        }
        if factor == 0 || !small(factor) {
            return wrong("the factor");
        }
        let growing = log.pieces.windows(2).all(|p| p[0].start < p[1].start);
        let fits = |p: &Piece| small(p.start) && small(p.log) && small(p.slope);
        if log.pieces.is_empty()
            || log.pieces.len() > MAX_PIECES
            || !growing
            || !log.pieces.iter().all(fits)
            || log.pieces[0].start > exps[0]
        {
            return wrong("the pieces of the logarithm");
        }
        let bends = log.bend.values().all(|v| small(v.saturating_abs()));
        if log.shift > 8 || !bends {
            return wrong("the bend of the logarithm");
        }
        let range = Range::of(dtype);
        if !out.values().all(|v| range.contains(v)) {
            return wrong("the values");
        }
        Ok(Self {
            axis,
            dtype,
            exps,
            factor,
            log,
            out,
        })
    }

    /// The axis (count), the type (its code), the exponentials (`ints`), the factor, the pieces (`ints` of starts,
    /// logarithms and slopes), the shift (count), the bend and the result (steps).
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let axis = reader.count()?;
        let dtype =
            DataType::from_code(reader.u8()?).ok_or(DecodeError::Malformed("element type"))?;
        let (exps, factor) = (reader.ints()?, reader.i64()?);
        let (starts, logs, slopes) = (reader.ints()?, reader.ints()?, reader.ints()?);
        if starts.len() != logs.len() || starts.len() != slopes.len() {
            return Err(DecodeError::Malformed("pieces"));
        }
        let pieces = starts.into_iter().zip(logs).zip(slopes);
        let pieces = pieces.map(|((start, log), slope)| Piece { start, log, slope });
        let log = Logarithm {
            pieces: pieces.collect(),
            shift: reader.count()?,
            bend: Steps::decode(reader)?,
        };
        let out = Steps::decode(reader)?;
        Ok(Arc::new(Self::new(axis, dtype, exps, factor, log, out)?))
    }

    fn lines(&self, shape: &[usize]) -> Result<Lines, OpError> {
        Lines::new(NAME, shape, self.axis)
    }

    fn shift(&self) -> u32 {
        wide::DIGIT_BITS * self.log.shift as u32
    }

    /// The piece of a sum, by number. The first one starts no later than the smallest sum.
    fn piece(&self, sum: i64) -> usize {
        let after = self.log.pieces.partition_point(|p| p.start <= sum);
        after.saturating_sub(1)
    }

    fn bounds(&self, extent: usize, x: Range) -> Result<Bounds, OpError> {
        let too_wide = || OpError::Parameter {
            op: NAME,
            parameter: "the logarithm, for an axis of this length",
        };
        let far = |value| OpError::Value {
            op: NAME,
            value,
            range: Range::new(0, self.exps.len() as i64 - 1),
        };
        let span = i64::try_from(x.span()).map_err(|_| far(i64::MAX))?;
        let place = usize::try_from(span).ok();
        let least = place.and_then(|d| self.exps.get(d)).ok_or(far(span))?;
        let extent = extent as i64;
        let sum = Range::new(self.exps[0] + (extent - 1) * least, extent * self.exps[0]);
        let (mut rest, mut product, mut hi) = (0, 0i128, 0);
        let reached = self.piece(sum.lo)..=self.piece(sum.hi);
        let mut lo = i64::MAX;
        for i in reached {
            let piece = self.log.pieces[i];
            let next = self.log.pieces.get(i + 1).map_or(sum.hi, |p| p.start - 1);
            let longest = next.min(sum.hi) - piece.start;
            let along = i128::from(longest) * i128::from(piece.slope);
            rest = rest.max(longest);
            product = product.max(along);
            lo = lo.min(piece.log);
            hi = hi.max(piece.log + (along >> self.shift()) as i64);
        }
        if product >= 1 << 61 {
            return Err(too_wide());
        }
        let distance = (product >> self.shift()) as i64;
        if distance >= 1 << MAX_BITS {
            return Err(too_wide());
        }
        let bend = self.log.bend.outputs(Range::new(0, distance));
        let result = Range::new(-self.factor * span - hi + bend.lo, -lo + bend.hi);
        Ok(Bounds {
            span,
            sum,
            rest,
            product: product as i64,
            distance,
            result,
        })
    }

    /// The logarithm of a sum.
    fn log(&self, sum: i64) -> i64 {
        let piece = self.log.pieces[self.piece(sum)];
        let along = i128::from(sum - piece.start) * i128::from(piece.slope);
        let p = (along >> self.shift()) as i64;
        piece.log + p - self.log.bend.eval(p)
    }

    fn line(&self, x: &[i64]) -> Result<Vec<i64>, OpError> {
        let largest = hull(x.iter().copied()).hi;
        let exp = |v: &i64| {
            let place = usize::try_from(largest - v).ok();
            let exp = place.and_then(|d| self.exps.get(d)).copied();
            exp.ok_or(OpError::Value {
                op: NAME,
                value: *v,
                range: Range::new(largest - self.exps.len() as i64 + 1, largest),
            })
        };
        let sum = x.iter().map(exp).sum::<Result<i64, OpError>>()?;
        let log = self.log(sum);
        let result = |v: &i64| self.out.eval(self.factor * (v - largest) - log);
        Ok(x.iter().map(result).collect())
    }
}

impl Operator for Softmax {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        if x.dtype.width() != 8 {
            return Err(OpError::Type {
                op: NAME,
                got: x.dtype,
            });
        }
        let bounds = self.bounds(self.lines(&x.shape)?.extent, x.range)?;
        Ok(vec![Fact {
            dtype: self.dtype,
            shape: x.shape.clone(),
            range: self.out.outputs(bounds.result),
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        let mut data = vec![0; x.data.len()];
        for places in self.lines(&x.shape)?.places() {
            let line: Vec<i64> = places.iter().map(|&i| x.data[i]).collect();
            for (place, y) in places.into_iter().zip(self.line(&line)?) {
                data[place] = y;
            }
        }
        Ok(vec![Tensor::new(self.dtype, x.shape.clone(), data)])
    }

    fn describe(&self) -> String {
        format!(
            "along axis {}, {} pieces of the logarithm, {} steps of the result",
            self.axis,
            self.log.pieces.len(),
            self.out.len()
        )
    }

    fn encode(&self, out: &mut Encoder) {
        let field = |f: fn(&Piece) -> i64| self.log.pieces.iter().map(f).collect::<Vec<_>>();
        out.count(self.axis);
        out.u8(self.dtype.code());
        out.ints(&self.exps);
        out.i64(self.factor);
        out.ints(&field(|p| p.start));
        out.ints(&field(|p| p.log));
        out.ints(&field(|p| p.slope));
        out.count(self.log.shift);
        self.log.bend.encode(out);
        self.out.encode(out);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let range = reach(cx, NAME, &inputs[0])?;
        let lines = accepted(NAME, self.lines(&facts[0].shape))?;
        // `facts` has accepted the range of the type; the circuit may only know wider bounds.
        let bounds = self
            .bounds(lines.extent, range)
            .map_err(LowerError::Bounds)?;
        let places: Vec<Vec<usize>> = lines.places().collect();
        let wires: Vec<Wires> = places
            .iter()
            .map(|line| line.iter().map(|&i| inputs[0][i]).collect())
            .collect();
        let largest = cx.max(NAME, wires.clone())?;
        let sums = self.sums(cx, &wires, &largest, &bounds)?;
        let logs = self.logs(cx, &sums, &bounds)?;

        let mut results = Vec::with_capacity(inputs[0].len());
        for ((line, &m), log) in wires.iter().zip(&largest).zip(&logs) {
            for &x in line {
                let mut combo = Combo::default();
                combo.add(x, self.factor);
                combo.add(m, -self.factor);
                combo.add_all(log, -1);
                results.push(combo);
            }
        }
        let rule = self.out.on(bounds.result)?;
        let reason = "the logarithm of a sum lies between the bounds of its pieces";
        let results = wide::step(cx, NAME, &results, lines.extent, (rule, reason))?;
        let mut out = vec![Wire::Const(0); inputs[0].len()];
        for (place, wire) in places.into_iter().flatten().zip(results) {
            out[place] = wire;
        }
        Ok(vec![out])
    }
}

impl Softmax {
    /// The sum of the exponentials of each line.
    fn sums(
        &self,
        cx: &mut Lowering,
        lines: &[Wires],
        largest: &[Wire],
        bounds: &Bounds,
    ) -> Result<Vec<Combo>, LowerError> {
        let mut below = Vec::new();
        for (line, &m) in lines.iter().zip(largest) {
            for &x in line {
                let mut combo = Combo::of(m);
                combo.add(x, -1);
                below.push(combo);
            }
        }
        let extent = lines.first().map_or(1, Vec::len);
        let exp = |d: i64| self.exps[d as usize];
        let rule = StepRule::table(Range::new(0, bounds.span), exp)?;
        let reason = "no element exceeds the maximum";
        let exps = wide::step(cx, NAME, &below, extent, (rule, reason))?;
        let sum = |line: &[Wire]| {
            let mut combo = Combo::default();
            line.iter().for_each(|&e| combo.add(e, 1));
            combo
        };
        Ok(exps.chunks(extent).map(sum).collect())
    }

    /// The logarithm of each sum.
    fn logs(
        &self,
        cx: &mut Lowering,
        sums: &[Combo],
        bounds: &Bounds,
    ) -> Result<Vec<Combo>, LowerError> {
        let rule = StepRule::monotone(bounds.sum, None, |s| self.piece(s) as i64);
        let reason = "one exponential is that of the maximum";
        let pieces = wide::step(cx, NAME, sums, 1, (rule, reason))?;
        let numbers = Range::new(
            self.piece(bounds.sum.lo) as i64,
            self.piece(bounds.sum.hi) as i64,
        );
        let table = |cx: &mut Lowering, f: &dyn Fn(&Piece) -> i64| {
            let rule = StepRule::table(numbers, |j| f(&self.log.pieces[j as usize]))?;
            cx.steps(&pieces, vec![Arc::new(rule)], |_| 0)
        };
        let starts = table(cx, &|p| p.start)?;
        let logs = table(cx, &|p| p.log)?;
        let reached = &self.log.pieces[numbers.lo as usize..=numbers.hi as usize];
        let steepest = hull(reached.iter().map(|p| p.slope)).hi;
        let slopes = (0..wide::digit_count(steepest))
            .map(|i| table(cx, &|p| wide::digit(p.slope, i)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut rests = sums.to_vec();
        for (rest, &start) in rests.iter_mut().zip(&starts) {
            rest.add(start, -1);
        }
        let reason = "a sum lies in its piece";
        let rests = wide::digits(cx, NAME, &rests, (bounds.rest, reason))?;
        let distances = wide::product(cx, NAME, (&rests, &slopes), bounds.product, self.log.shift)?;
        let bend = self.log.bend.on(Range::new(0, bounds.distance))?;
        let reason =
            "the product of a place in a piece and its slope is bounded by the longest piece";
        let bends = wide::step(cx, NAME, &distances, 1, (bend, reason))?;
        let mut out = distances;
        for ((sum, &log), &bend) in out.iter_mut().zip(&logs).zip(&bends) {
            sum.add(log, 1);
            sum.add(bend, -1);
        }
        Ok(out)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing;

    /// A softmax whose logarithm has `bits` fractional bits and `2^mantissa` pieces an octave, with `levels` results.
    pub(in crate::ops) fn softmax(
        axis: usize,
        scale: f64,
        extent: usize,
        (bits, mantissa): (u32, u32),
        levels: i64,
    ) -> Softmax {
        let mut factor = 1;
        while scale / factor as f64 > 0.5f64.powi(bits as i32) {
            factor *= 2;
        }
        let unit = scale / factor as f64;
        let one = 1i64 << (bits + 1);
        let exps: Vec<i64> = (0..256)
            .map(|d| (one as f64 * (-scale * f64::from(d)).exp()).round() as i64)
            .collect();
        let (mut start, mut starts) = (one, Vec::new());
        while start <= one * extent as i64 {
            starts.push(start);
            start += (start >> mantissa).max(1);
        }
        let longest = start >> mantissa;
        let shift = (1..8).find(|t| 1i64 << (7 * t) >= 2 * longest).unwrap();
        let piece = |&start: &i64| Piece {
            start,
            log: ((start as f64 / one as f64).ln() / unit).round() as i64,
            slope: (2f64.powi(7 * shift) / unit / start as f64).round() as i64,
        };
        let bend = |p: i64| (p as f64 - ((p as f64 + 0.5) * unit).ln_1p() / unit).round() as i64;
        let log = Logarithm {
            pieces: starts.iter().map(piece).collect(),
            shift: shift as usize,
            bend: Steps::enumerate(Range::new(0, 1 << (bits + 2 - mantissa)), bend),
        };
        let result = |z: i64| (levels as f64 * (z as f64 * unit).exp()).round_ties_even() as i64;
        let out = Steps::bisect(Range::new(-256 * factor - (8 << bits), 64), |z| {
            result(z).min(255)
        });
        Softmax::new(axis, DataType::U8, exps, factor, log, out).unwrap()
    }

    fn bytes(shape: Vec<usize>, hi: i64) -> Fact {
        Fact {
            dtype: DataType::I8,
            shape,
            range: Range::new(-1, hi),
        }
    }

    #[test]
    fn accepts_every_axis_and_range() {
        for (axis, shape) in [
            (0, vec![5]),
            (1, vec![2, 7, 3]),
            (2, vec![2, 1, 40]),
            (1, vec![2, 1]),
        ] {
            for hi in [2, 127] {
                let op = softmax(axis, 0.11, shape[axis], (21, 6), 256);
                testing::check_operator(&op, &[bytes(shape.clone(), hi)], Softmax::decode, 8);
            }
        }
    }

    #[test]
    fn accepts_the_rounded_quotient_for_all_differences() {
        // For all pairs and for many triples the result is the rounded quotient, but next to a tie.
        let op = softmax(0, 0.05, 3, (21, 6), 256);
        for a in 0..256i64 {
            for b in [0, 1, 7, 40, 99, 255] {
                let x = [255, 255 - a, 255 - b];
                let e = x.map(|v| (0.05 * (v - 255) as f64).exp());
                let s: f64 = e.iter().sum();
                let y = op.line(&x).unwrap();
                for (y, e) in y.iter().zip(e) {
                    let exact = 256.0 * e / s;
                    let near_tie = (exact.fract() - 0.5).abs() < 1e-3;
                    let rounded = (exact.round_ties_even() as i64).min(255);
                    assert!(*y == rounded || near_tie, "{x:?}: {y} {exact}");
                }
            }
        }
    }

    #[test]
    fn rejects_every_lie() {
        // Small parameters make a small circuit; what is lied about is the same.
        let op = softmax(1, 0.7, 4, (9, 2), 20);
        let score = testing::mutate_operator(Arc::new(op), &[bytes(vec![1, 4], 2)], 3);
        assert!(score.survivors.is_empty(), "{:?}", score.survivors.first());
        assert!(score.mutants > 100, "{}", score.mutants);
    }

    #[test]
    fn rejects_every_lie_about_full_precision() {
        let op = softmax(1, 0.11, 3, (21, 6), 256);
        let score = testing::mutate_operator(Arc::new(op), &[bytes(vec![2, 3], 127)], 5);
        assert!(score.survivors.is_empty(), "{:?}", score.survivors.first());
        assert!(score.mutants > 100, "{}", score.mutants);
    }

    #[test]
    fn rejects_parameters_that_define_no_function() {
        let good = softmax(0, 0.7, 4, (9, 2), 20);
        let made = |f: &dyn Fn(&mut Softmax)| {
            let mut op = good.clone();
            f(&mut op);
            Softmax::new(op.axis, op.dtype, op.exps, op.factor, op.log, op.out)
        };
        assert!(made(&|_| {}).is_ok());
        assert!(made(&|op| op.exps[3] = op.exps[2] + 1).is_err());
        assert!(made(&|op| op.exps.clear()).is_err());
        assert!(made(&|op| op.exps.fill(0)).is_err());
        assert!(made(&|op| op.factor = 0).is_err());
        assert!(made(&|op| op.factor = 1 << 40).is_err());
        assert!(made(&|op| op.log.pieces.clear()).is_err());
        assert!(made(&|op| op.log.pieces[1].start = op.log.pieces[0].start).is_err());
        assert!(made(&|op| op.log.pieces[0].start = op.exps[0] + 1).is_err());
        assert!(made(&|op| op.log.pieces[0].slope = -1).is_err());
        assert!(made(&|op| op.log.shift = 9).is_err());
        assert!(made(&|op| op.out = Steps::new(256, vec![]).unwrap()).is_err());
    }

    #[test]
    fn rejects_inputs_that_do_not_fit() {
        let op = softmax(1, 0.7, 4, (9, 2), 20);
        let refused = |fact: &Fact| op.facts(&[fact]).is_err();
        assert!(!refused(&Fact::any(DataType::U8, vec![2, 4])));
        assert!(refused(&Fact::any(DataType::U16, vec![2, 4])));
        assert!(refused(&Fact::any(DataType::U8, vec![4])));
        assert!(refused(&Fact::any(DataType::U8, vec![1, 5000])));
        assert!(op.facts(&[]).is_err());
        // Exponentials for 16 distances only.
        let mut short = op.clone();
        short.exps.truncate(16);
        assert!(
            short
                .facts(&[&Fact::any(DataType::U8, vec![2, 4])])
                .is_err()
        );
        assert!(short.facts(&[&bytes(vec![2, 4], 14)]).is_ok());
    }
}
