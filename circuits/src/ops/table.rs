//! `table`: an elementwise function of a small integer, as the list of its values.
//!
//! `y[i] = tables[lane(i)][x[i] − lowest]`, where `lowest` is the smallest value of the input's type. Any function of
//! an 8-bit (or 16-bit) value is such a table, computed at import; the table is part of the program and hashed with it.
//!
//! # Circuit
//!
//! A step function whose pieces are the runs of equal values. **Assumes** nothing about monotony. **Guarantees** one
//! `y` for each `x` in the type's range. **Needs** the bounds of the input cell, which keep `x` in that range.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lanes, hull, only, wire_range};
use crate::lower::{LowerError, Lowering, StepError, StepRule, Wires};
use crate::program::{
    DataType, DecodeError, Decoder, Encoder, Fact, OpError, OpId, Operator, Range, Tensor,
};

pub(super) const ID: OpId = super::id("table");
const NAME: &str = ID.name;

/// An elementwise function of an 8-bit or 16-bit integer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    input: DataType,
    output: DataType,
    tables: Vec<Vec<i64>>,
    lanes: Lanes,
}

impl Table {
    /// Tables with one entry for each value of the input type, in order.
    pub fn new(
        input: DataType,
        output: DataType,
        tables: Vec<Vec<i64>>,
        lanes: Lanes,
    ) -> Result<Self, OpError> {
        lanes.check(NAME, tables.len())?;
        if input.width() > 16 {
            return Err(OpError::Type {
                op: NAME,
                got: input,
            });
        }
        let (domain, range) = (Range::of(input), Range::of(output));
        let len = (domain.hi - domain.lo + 1) as usize;
        if tables
            .iter()
            .any(|t| t.len() != len || !t.iter().all(|v| range.contains(*v)))
        {
            return Err(OpError::Parameter {
                op: NAME,
                parameter: "the number or range of entries",
            });
        }
        Ok(Self {
            input,
            output,
            tables,
            lanes,
        })
    }

    /// Types of input and output (their codes), tables (`ints` each, after their number), lanes.
    pub fn decode(reader: &mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError> {
        let mut dtype =
            || DataType::from_code(reader.u8()?).ok_or(DecodeError::Malformed("element type"));
        let (input, output) = (dtype()?, dtype()?);
        let len = reader.count_of(1)?;
        let tables = (0..len).map(|_| reader.ints()).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self::new(
            input,
            output,
            tables,
            Lanes::decode(reader)?,
        )?))
    }

    fn lowest(&self) -> i64 {
        Range::of(self.input).lo
    }

    /// The entries for the values of a range, as far as there are entries.
    fn entries(&self, table: usize, range: Range) -> impl Iterator<Item = i64> + '_ {
        let places = self.tables[table].iter().zip(self.lowest()..);
        let within = places.filter(move |&(_, place)| range.contains(place));
        within.map(|(&entry, _)| entry)
    }
}

impl Operator for Table {
    fn id(&self) -> OpId {
        ID
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, OpError> {
        let x = only(NAME, inputs)?;
        if x.dtype != self.input {
            return Err(OpError::Type {
                op: NAME,
                got: x.dtype,
            });
        }
        self.lanes.check_shape(NAME, &x.shape)?;
        let range = hull((0..self.tables.len()).flat_map(|t| self.entries(t, x.range)));
        Ok(vec![Fact {
            dtype: self.output,
            shape: x.shape.clone(),
            range,
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, OpError> {
        let x = only(NAME, inputs)?;
        self.lanes.check_shape(NAME, &x.shape)?;
        let rule_of = self.lanes.rule_of(&x.shape);
        let value = |(i, &v): (usize, &i64)| {
            let place = usize::try_from(v - self.lowest()).ok();
            let entry = place.and_then(|place| self.tables[rule_of(i)].get(place));
            entry.copied().ok_or(OpError::Value {
                op: NAME,
                value: v,
                range: Range::of(self.input),
            })
        };
        let data = x
            .data
            .iter()
            .enumerate()
            .map(value)
            .collect::<Result<_, _>>()?;
        Ok(vec![Tensor::new(self.output, x.shape.clone(), data)])
    }

    fn describe(&self) -> String {
        let first: Vec<String> = self.tables[0].iter().take(4).map(i64::to_string).collect();
        let len = self.tables[0].len();
        format!(
            "{} of {len} entries{}, from {}: {}, …",
            plural(self.tables.len()),
            self.lanes.describe(),
            self.lowest(),
            first.join(", ")
        )
    }

    fn encode(&self, out: &mut Encoder) {
        out.u8(self.input.code());
        out.u8(self.output.code());
        out.count(self.tables.len());
        self.tables.iter().for_each(|table| out.ints(table));
        self.lanes.encode(out);
    }

    fn lower(
        &self,
        cx: &mut Lowering,
        inputs: &[Wires],
        facts: &[&Fact],
    ) -> Result<Vec<Wires>, LowerError> {
        let rule_of = self.lanes.rule_of(&facts[0].shape);
        let of = Range::of(self.input);
        let mut domains: BTreeMap<usize, Range> = BTreeMap::new();
        for (i, wire) in inputs[0].iter().enumerate() {
            let range = wire_range(cx, NAME, *wire)?;
            if !of.covers(&range) {
                let value = if range.lo < of.lo { range.lo } else { range.hi };
                return Err(StepError::Domain {
                    value,
                    lo: of.lo,
                    hi: of.hi,
                }
                .into());
            }
            domains
                .entry(rule_of(i))
                .and_modify(|d| *d = d.union(&range))
                .or_insert(range);
        }
        let numbers: BTreeMap<usize, usize> = domains
            .keys()
            .enumerate()
            .map(|(new, &old)| (old, new))
            .collect();
        let rule = |(&table, &domain): (&usize, &Range)| {
            StepRule::table(domain, |x| self.tables[table][(x - of.lo) as usize]).map(Arc::new)
        };
        let rules = domains.iter().map(rule).collect::<Result<_, _>>()?;
        Ok(vec![cx.steps(&inputs[0], rules, |i| numbers[&rule_of(i)])?])
    }
}

fn plural(n: usize) -> String {
    if n == 1 {
        "one table".to_owned()
    } else {
        format!("{n} tables")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing;

    fn table(f: impl Fn(i64) -> i64) -> Vec<i64> {
        (-128..128).map(f).collect()
    }

    #[test]
    fn accepts_any_function_along_an_axis() {
        let tables = [
            table(|x| x * x / 100),
            table(|x| 255 - (x + 128)),
            table(|x| x * x / 100),
        ];
        let (tables, lanes) = Lanes::along_axis(0, &tables);
        let op = Table::new(DataType::I8, DataType::U8, tables, lanes).unwrap();
        testing::check(
            &op,
            &[Fact::any(DataType::I8, vec![3, 50])],
            Table::decode,
            12,
        );
    }

    #[test]
    fn rejects_short_tables_wide_inputs_and_values_outside_the_type() {
        let one = |t| Table::new(DataType::I8, DataType::U8, vec![t], Lanes::Tensor);
        assert!(one(vec![0; 255]).is_err());
        assert!(one(table(|x| x)).is_err());
        assert!(Table::new(DataType::I32, DataType::U8, vec![vec![0]], Lanes::Tensor).is_err());
        let op = one(table(|_| 1)).unwrap();
        assert!(op.facts(&[&Fact::any(DataType::U8, vec![1])]).is_err());
        let x = Tensor::new(DataType::I8, vec![1], vec![200]);
        assert!(matches!(op.eval(&[&x]), Err(OpError::Value { .. })));
    }
}
