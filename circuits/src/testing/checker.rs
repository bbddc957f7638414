//! Checks single cells of a circuit against every constraint that reads them.
//!
//! MockProver checks a whole circuit, which takes about a second on a wide one; a mutation run asks a thousand times
//! what one changed cell breaks. The checker reads the same constraint system and the same assembly; tests compare
//! its verdicts with MockProver's.

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
    /// Allowed rows of each lookup.
    tables: Vec<HashSet<Key>>,
    /// Cells that must equal a cell.
    equal: HashMap<Cell, Vec<Cell>>,
    /// Public elements that a cell must equal.
    public: HashMap<Cell, u32>,
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
        let mut tables = Vec::new();
        for (i, lookup) in cs.lookups.iter().enumerate() {
            for input in &lookup.inputs {
                for query in advice_queries(input, &cs.advice_queries) {
                    let of = &mut lookups_of[query.column.index as usize];
                    if !of.contains(&i) {
                        of.push(i);
                    }
                }
            }
            tables.push(table_rows(assembly, &lookup.tables));
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
        let chips = &self.assembly.chips;
        let mut out = BTreeSet::new();
        let mut gates = BTreeSet::new();
        let mut lookups = BTreeSet::new();
        for cell in cells {
            for &(gate, rotation) in &self.gates_of[cell.column as usize] {
                gates.insert((gate, i64::from(cell.row) - i64::from(rotation)));
            }
            lookups.extend(
                self.lookups_of[cell.column as usize]
                    .iter()
                    .map(|&l| (l, cell.row)),
            );
            let value = self.advice(advice, cell.column, i64::from(cell.row));
            let others = self.equal.get(cell).into_iter().flatten();
            let mut unequal = others
                .map(|o| self.advice(advice, o.column, i64::from(o.row)))
                .any(|other| other != value);
            if let Some(&element) = self.public.get(cell) {
                unequal |= public.get(element as usize) != Some(&value);
            }
            if unequal {
                out.insert(ConstraintName::Copy);
            }
        }
        for (gate, row) in gates {
            if !bool::from(self.evaluate(&chips.cs.gates[gate], advice, row).is_zero()) {
                out.insert(chips.gate_names[gate]);
            }
        }
        for (lookup, row) in lookups {
            let inputs = chips.cs.lookups[lookup].inputs.iter();
            let key: Key = inputs
                .map(|e| self.evaluate(e, advice, i64::from(row)).to_repr())
                .collect();
            if !self.tables[lookup].contains(&key) {
                out.insert(chips.lookup_names[lookup]);
            }
        }
        out
    }

    /// All constraints that `advice` violates.
    pub fn violated_anywhere(&self, advice: &Advice, public: &[Fp]) -> BTreeSet<ConstraintName> {
        self.violated(advice, public, &self.assembly.assigned)
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
            let mut pop = || stack.pop().unwrap_or(Fp::ZERO);
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
        stack.pop().unwrap_or(Fp::ZERO)
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
        .filter_map(|e| match e.nodes.first() {
            Some(Node::Fixed(i)) => Some(cs.fixed_queries[*i as usize].column),
            _ => None,
        })
        .inspect(|c| debug_assert_eq!(c.kind, ColumnKind::Fixed))
        .map(|c| &assembly.fixed[c.index as usize])
        .collect();
    let rows = columns.iter().map(|c| c.len()).max().unwrap_or(0);
    (0..rows)
        .map(|r| columns.iter().map(|c| c[r].to_repr()).collect())
        .collect()
}
