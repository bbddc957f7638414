//! Checks single cells of a circuit against every constraint that reads them.
//!
//! MockProver checks a whole circuit, which takes about a second on a wide one; a mutation run asks a thousand times
//! what one changed cell breaks. The checker reads the same constraint system and the same assembly; tests compare
//! its verdicts with MockProver's.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a constraint system that is malformed is a bug, where the test that reads it stands"
)]

use std::collections::{BTreeSet, HashMap, HashSet};

use ff::{Field, PrimeField};
use pasta_curves::Fp;
use zkonnx_verifier::cs::{ColumnKind, Expression, Node, Query};

use crate::chips::ConstraintName;
use crate::circuit::{Advice, Assembly};
use crate::plan::Cell;

type Key = Vec<[u8; 32]>;

/// An assembly prepared for checking.
#[derive(Debug)]
pub struct Checker<'a> {
    assembly: &'a Assembly,
    /// For each advice column, the gates that read it and at which rotation.
    gates_of: Vec<Vec<(usize, i32)>>,
    /// For each advice column, the lookups that read it.
    lookups_of: Vec<Vec<usize>>,
    /// Sets of allowed rows.
    tables: Vec<HashSet<Key>>,
    /// The set of each lookup.
    table_of: Vec<usize>,
    /// Cells that must equal a cell.
    equal: HashMap<Cell, Vec<Cell>>,
    /// Public elements that a cell must equal.
    public: HashMap<Cell, u32>,
}

/// The constraints that read some cells, gates and lookups with the rows where they do.
struct Readers {
    lookups: BTreeSet<(usize, u32)>,
    /// By row, since the last row of a chain is the one that says whether its sum is zero.
    gates: BTreeSet<(i64, usize)>,
}

impl<'a> Checker<'a> {
    /// Prepares an assembly.
    pub fn new(assembly: &'a Assembly) -> Self {
        let cs = &assembly.chips.cs;
        let columns = cs.num_advice as usize;
        let (mut gates_of, mut lookups_of) = (vec![Vec::new(); columns], vec![Vec::new(); columns]);
        for (i, gate) in cs.gates.iter().enumerate() {
            for query in advice_queries(gate, &cs.advice_queries) {
                gates_of[query.column.index as usize].push((i, query.rotation));
            }
        }
        // Many lookups read one table.
        let (mut tables, mut table_of) = (Vec::new(), Vec::new());
        let mut known: Vec<&Vec<Expression>> = Vec::new();
        for (i, lookup) in cs.lookups.iter().enumerate() {
            for input in &lookup.inputs {
                for query in advice_queries(input, &cs.advice_queries) {
                    let of = &mut lookups_of[query.column.index as usize];
                    if !of.contains(&i) {
                        of.push(i);
                    }
                }
            }
            let place = known.iter().position(|&t| *t == lookup.tables);
            table_of.push(place.unwrap_or_else(|| {
                known.push(&lookup.tables);
                tables.push(table_rows(assembly, &lookup.tables));
                known.len() - 1
            }));
        }
        let mut equal: HashMap<Cell, Vec<Cell>> = HashMap::new();
        for &(a, b) in &assembly.copies {
            equal.entry(a).or_default().push(b);
            equal.entry(b).or_default().push(a);
        }
        let public = assembly.public.iter().copied().collect();
        Self {
            assembly,
            gates_of,
            lookups_of,
            tables,
            table_of,
            equal,
            public,
        }
    }

    /// The constraints that `cells` of `advice` violate, given the public elements.
    pub fn violated(
        &self,
        advice: &Advice,
        public: &[Fp],
        cells: &[Cell],
    ) -> BTreeSet<ConstraintName> {
        let mut out = BTreeSet::new();
        if self.unequal(advice, public, cells) {
            out.insert(ConstraintName::Copy);
        }
        let Readers { lookups, gates } = self.readers(cells);
        let lookups = lookups.into_iter();
        out.extend(lookups.filter_map(|(lookup, row)| self.missed(advice, lookup, row)));
        let gates = gates.into_iter();
        out.extend(gates.filter_map(|(row, gate)| self.unsatisfied(advice, gate, row)));
        out
    }

    /// A gate or a lookup that `cells` of `advice` violate. Which one it is, if there are several, is not specified.
    pub fn objection(&self, advice: &Advice, cells: &[Cell]) -> Option<ConstraintName> {
        let Readers { lookups, gates } = self.readers(cells);
        let mut lookups = lookups.into_iter();
        let mut gates = gates.into_iter().rev();
        lookups
            .find_map(|(lookup, row)| self.missed(advice, lookup, row))
            .or_else(|| gates.find_map(|(row, gate)| self.unsatisfied(advice, gate, row)))
    }

    /// A lookup that `cell` of `advice` violates and that reads no other column.
    pub(super) fn missed_alone(&self, advice: &Advice, cell: Cell) -> Option<ConstraintName> {
        let cs = &self.assembly.chips.cs;
        let alone = |l: &&usize| {
            let mut read = cs.lookups[**l].inputs.iter();
            let own = |q: Query| q.column.index == cell.column;
            read.all(|e| advice_queries(e, &cs.advice_queries).all(own))
        };
        let mut lookups = self.lookups_of[cell.column as usize].iter().filter(alone);
        lookups.find_map(|&l| self.missed(advice, l, cell.row))
    }

    /// Whether some of `cells` differ from a cell or a public element that they must equal.
    pub fn unequal(&self, advice: &Advice, public: &[Fp], cells: &[Cell]) -> bool {
        cells.iter().any(|cell| {
            let value = self.advice(advice, cell.column, i64::from(cell.row));
            let mut others = self.equal.get(cell).into_iter().flatten();
            let differs = |o: &Cell| self.advice(advice, o.column, i64::from(o.row)) != value;
            let element = self.public.get(cell);
            others.any(differs) || element.is_some_and(|&e| public.get(e as usize) != Some(&value))
        })
    }

    /// All constraints that `advice` violates.
    pub fn violated_anywhere(&self, advice: &Advice, public: &[Fp]) -> BTreeSet<ConstraintName> {
        self.violated(advice, public, &self.assembly.assigned)
    }

    fn readers(&self, cells: &[Cell]) -> Readers {
        let mut out = Readers {
            lookups: BTreeSet::new(),
            gates: BTreeSet::new(),
        };
        for cell in cells {
            for &(gate, rotation) in &self.gates_of[cell.column as usize] {
                out.gates
                    .insert((i64::from(cell.row) - i64::from(rotation), gate));
            }
            let lookups = self.lookups_of[cell.column as usize].iter();
            out.lookups.extend(lookups.map(|&l| (l, cell.row)));
        }
        out
    }

    fn unsatisfied(&self, advice: &Advice, gate: usize, row: i64) -> Option<ConstraintName> {
        let chips = &self.assembly.chips;
        let value = self.evaluate(&chips.cs.gates[gate], advice, row);
        (!bool::from(value.is_zero())).then(|| chips.gate_names[gate])
    }

    fn missed(&self, advice: &Advice, lookup: usize, row: u32) -> Option<ConstraintName> {
        let chips = &self.assembly.chips;
        let inputs = chips.cs.lookups[lookup].inputs.iter();
        let key: Key = inputs
            .map(|e| self.evaluate(e, advice, i64::from(row)).to_repr())
            .collect();
        let table = &self.tables[self.table_of[lookup]];
        (!table.contains(&key)).then(|| chips.lookup_names[lookup])
    }

    fn advice(&self, advice: &Advice, column: u32, row: i64) -> Fp {
        let column = &advice.columns[column as usize];
        usize::try_from(row)
            .ok()
            .and_then(|r| column.get(r))
            .copied()
            .unwrap_or(Fp::ZERO)
    }

    fn evaluate(&self, expression: &Expression, advice: &Advice, row: i64) -> Fp {
        let cs = &self.assembly.chips.cs;
        let mut stack: Vec<Fp> = Vec::new();
        for node in &expression.nodes {
            let mut pop = || stack.pop().expect("an operation has its operands");
            let value = match *node {
                Node::Constant(c) => c,
                Node::Fixed(i) => {
                    let column = cs.fixed_queries[i as usize].column.index as usize;
                    let at = usize::try_from(row).ok();
                    at.and_then(|r| self.assembly.fixed[column].get(r))
                        .copied()
                        .unwrap_or(Fp::ZERO)
                }
                Node::Advice(i) => {
                    let query = cs.advice_queries[i as usize];
                    self.advice(advice, query.column.index, row + i64::from(query.rotation))
                }
                Node::Instance(_) => Fp::ZERO,
                Node::Negated => -pop(),
                Node::Sum => pop() + pop(),
                Node::Product => pop() * pop(),
                Node::Scaled(by) => pop() * by,
            };
            stack.push(value);
        }
        stack.pop().expect("a polynomial has a value")
    }
}

fn advice_queries<'e>(e: &'e Expression, queries: &'e [Query]) -> impl Iterator<Item = Query> + 'e {
    e.nodes.iter().filter_map(|node| match node {
        Node::Advice(i) => Some(queries[*i as usize]),
        _ => None,
    })
}

fn table_rows(assembly: &Assembly, tables: &[Expression]) -> HashSet<Key> {
    let cs = &assembly.chips.cs;
    let columns: Vec<_> = tables
        .iter()
        .map(|e| match e.nodes.as_slice() {
            [Node::Fixed(i)] => cs.fixed_queries[*i as usize].column,
            other => panic!("{other:?} is no table column"),
        })
        .inspect(|c| debug_assert_eq!(c.kind, ColumnKind::Fixed))
        .map(|c| &assembly.fixed[c.index as usize])
        .collect();
    let rows = columns.iter().map(|c| c.len()).max().unwrap_or(0);
    (0..rows)
        .map(|r| columns.iter().map(|c| c[r].to_repr()).collect())
        .collect()
}
