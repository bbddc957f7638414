//! Drives halo2's `configure` from a constraint system that is data.
//!
//! `Circuit::configure` has no `self`, but our columns depend on the model. [`with_chips`] sets the constraint system
//! for the calls made inside it, on the calling thread; halo2 calls `configure` there and nowhere else. Scopes nest.

use std::cell::RefCell;
use std::sync::Arc;

use halo2_proofs::plonk::{
    Advice, Column, ConstraintSystem, Expression, Fixed, Instance, TableColumn,
};
use halo2_proofs::poly::Rotation;
use pasta_curves::Fp;
use zkonnx_verifier::cs::{self, Node};

use crate::chips::Chips;

thread_local! {
    static SCOPES: RefCell<Vec<Arc<Chips>>> = const { RefCell::new(Vec::new()) };
}

struct Scope;

impl Drop for Scope {
    fn drop(&mut self) {
        SCOPES.with_borrow_mut(|scopes| {
            scopes.pop();
        });
    }
}

/// Runs `f`; circuits that are configured meanwhile on this thread have the columns of `chips`.
pub fn with_chips<T>(chips: &Arc<Chips>, f: impl FnOnce() -> T) -> T {
    SCOPES.with_borrow_mut(|scopes| scopes.push(chips.clone()));
    let _scope = Scope;
    f()
}

/// halo2's columns for a constraint system.
#[derive(Clone, Debug)]
pub struct Columns {
    pub(crate) advice: Vec<Column<Advice>>,
    pub(crate) fixed: Vec<Column<Fixed>>,
    pub(crate) tables: Vec<TableColumn>,
    pub(crate) instance: Column<Instance>,
}

/// What is there by construction.
///
/// # Panics
///
/// halo2's `configure` cannot fail, so what only a bug leaves out panics; a default would be another constraint.
#[allow(
    clippy::expect_used,
    reason = "configure has no way to return an error"
)]
fn whole<T>(part: Option<T>, why: &str) -> T {
    part.expect(why)
}

/// The columns of the innermost scope, with all constraints.
pub(crate) fn configure(meta: &mut ConstraintSystem<Fp>) -> Arc<Columns> {
    let chips = SCOPES.with_borrow(|scopes| scopes.last().cloned());
    let chips = whole(
        chips,
        "keygen, proving and mocking happen inside with_chips",
    );
    let cs = &chips.cs;
    let instance = meta.instance_column();
    let advice: Vec<_> = (0..cs.num_advice).map(|_| meta.advice_column()).collect();
    let tables = chips.table_columns().count();
    let fixed: Vec<_> = (0..cs.num_fixed as usize - tables)
        .map(|_| meta.fixed_column())
        .collect();
    let tables: Vec<_> = (0..tables).map(|_| meta.lookup_table_column()).collect();
    let columns = Columns {
        advice,
        fixed,
        tables,
        instance,
    };
    gates(meta, &chips, &columns);
    lookups(meta, cs, &columns);
    for column in &cs.permutation {
        match column.kind {
            cs::ColumnKind::Advice => meta.enable_equality(columns.advice[column.index as usize]),
            cs::ColumnKind::Instance => meta.enable_equality(columns.instance),
            cs::ColumnKind::Fixed => meta.enable_equality(columns.fixed[column.index as usize]),
        }
    }
    if let Some(degree) = cs.minimum_degree {
        meta.set_minimum_degree(degree as usize);
    }
    Arc::new(columns)
}

/// One halo2 gate for each polynomial, so that gate numbers agree.
fn gates(meta: &mut ConstraintSystem<Fp>, chips: &Chips, columns: &Columns) {
    for (poly, name) in chips.cs.gates.iter().zip(&chips.gate_names) {
        let name = match name {
            crate::chips::ConstraintName::Max(_) => "max",
            _ => "dot",
        };
        meta.create_gate(name, |cells| {
            let queries = Queries::new(cells, &chips.cs, columns, poly);
            vec![(name, queries.expression(poly))]
        });
    }
}

fn lookups(meta: &mut ConstraintSystem<Fp>, cs: &cs::ConstraintSystem, columns: &Columns) {
    let first_table = columns.fixed.len();
    for lookup in &cs.lookups {
        meta.lookup(|cells| {
            let mut pairs = Vec::new();
            for (input, table) in lookup.inputs.iter().zip(&lookup.tables) {
                let expression = Queries::new(cells, cs, columns, input).expression(input);
                let column = match table.nodes.as_slice() {
                    [Node::Fixed(query)] => Some(cs.fixed_queries[*query as usize].column),
                    _ => None,
                };
                let column = whole(column, "a table is a fixed column").index as usize;
                pairs.push((expression, columns.tables[column - first_table]));
            }
            pairs
        });
    }
}

/// The queried cells of one polynomial as halo2 expressions, by node.
struct Queries(Vec<Option<Expression<Fp>>>);

impl Queries {
    fn new(
        cells: &mut halo2_proofs::plonk::VirtualCells<'_, Fp>,
        cs: &cs::ConstraintSystem,
        columns: &Columns,
        poly: &cs::Expression,
    ) -> Self {
        let mut query = |node: &Node| match *node {
            Node::Fixed(i) => {
                let query = cs.fixed_queries[i as usize];
                Some(cells.query_fixed(columns.fixed[query.column.index as usize]))
            }
            Node::Advice(i) => {
                let query = cs.advice_queries[i as usize];
                let column = columns.advice[query.column.index as usize];
                Some(cells.query_advice(column, Rotation(query.rotation)))
            }
            Node::Instance(i) => {
                let query = cs.instance_queries[i as usize];
                Some(cells.query_instance(columns.instance, Rotation(query.rotation)))
            }
            _ => None,
        };
        Self(poly.nodes.iter().map(&mut query).collect())
    }

    fn expression(mut self, poly: &cs::Expression) -> Expression<Fp> {
        let mut stack: Vec<Expression<Fp>> = Vec::new();
        for (i, node) in poly.nodes.iter().enumerate() {
            let mut pop = || whole(stack.pop(), "an operation has its operands");
            let next = match *node {
                Node::Constant(c) => Expression::Constant(c),
                Node::Fixed(_) | Node::Advice(_) | Node::Instance(_) => {
                    whole(self.0[i].take(), "each cell is queried once")
                }
                Node::Negated => -pop(),
                Node::Sum => {
                    let right = pop();
                    pop() + right
                }
                Node::Product => {
                    let right = pop();
                    pop() * right
                }
                Node::Scaled(by) => pop() * by,
            };
            stack.push(next);
        }
        whole(stack.pop(), "a polynomial has a value")
    }
}
