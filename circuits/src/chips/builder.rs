//! Builds a [`ConstraintSystem`] the way halo2's `configure` would.
//!
//! Queries are numbered in order of first use, and a column under the permutation is queried where it stands, as in
//! halo2, so that the two descriptions can be compared byte by byte.

use ff::Field;
use pasta_curves::Fp;
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};

/// A polynomial under construction: a postfix list of nodes.
#[derive(Clone, Debug)]
pub(crate) struct Poly(Vec<Node>);

impl Poly {
    fn binary(mut self, other: Poly, node: Node) -> Poly {
        self.0.extend(other.0);
        self.0.push(node);
        self
    }

    /// `self + other`
    pub(crate) fn plus(self, other: Poly) -> Poly {
        self.binary(other, Node::Sum)
    }

    /// `self - other`
    pub(crate) fn minus(self, mut other: Poly) -> Poly {
        other.0.push(Node::Negated);
        self.plus(other)
    }

    /// `self · other`
    pub(crate) fn times(self, other: Poly) -> Poly {
        self.binary(other, Node::Product)
    }

    /// `self · 2^bits`
    pub(crate) fn shifted(mut self, bits: u32) -> Poly {
        if bits > 0 {
            self.0.push(Node::Scaled(power_of_two(bits)));
        }
        self
    }
}

/// `2^bits` in the field.
pub(crate) fn power_of_two(bits: u32) -> Fp {
    Fp::from(2).pow_vartime([u64::from(bits)])
}

/// Collects columns, queries, gates and lookups.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    cs: ConstraintSystem,
}

impl Builder {
    /// A new advice column.
    pub(crate) fn advice(&mut self) -> Column {
        self.cs.num_advice += 1;
        Column {
            kind: ColumnKind::Advice,
            index: self.cs.num_advice - 1,
        }
    }

    /// A new fixed column.
    pub(crate) fn fixed(&mut self) -> Column {
        self.cs.num_fixed += 1;
        Column {
            kind: ColumnKind::Fixed,
            index: self.cs.num_fixed - 1,
        }
    }

    /// A new instance column.
    pub(crate) fn instance(&mut self) -> Column {
        self.cs.num_instance += 1;
        Column {
            kind: ColumnKind::Instance,
            index: self.cs.num_instance - 1,
        }
    }

    /// The cell of `column`, `rotation` rows below the current one.
    pub(crate) fn query(&mut self, column: Column, rotation: i32) -> Poly {
        let query = Query { column, rotation };
        let (queries, node): (_, fn(u32) -> Node) = match column.kind {
            ColumnKind::Advice => (&mut self.cs.advice_queries, Node::Advice),
            ColumnKind::Fixed => (&mut self.cs.fixed_queries, Node::Fixed),
            ColumnKind::Instance => (&mut self.cs.instance_queries, Node::Instance),
        };
        let index = queries.iter().position(|q| *q == query).unwrap_or_else(|| {
            queries.push(query);
            queries.len() - 1
        });
        Poly(vec![node(index as u32)])
    }

    /// The cell of `column` in the current row.
    pub(crate) fn cell(&mut self, column: Column) -> Poly {
        self.query(column, 0)
    }

    /// Constrains `poly` to vanish on every row.
    pub(crate) fn gate(&mut self, poly: Poly) {
        self.cs.gates.push(Expression { nodes: poly.0 });
    }

    /// Constrains the tuple of inputs to be a row of the table columns.
    pub(crate) fn lookup(&mut self, pairs: Vec<(Poly, Column)>) {
        let mut lookup = Lookup::default();
        for (input, table) in pairs {
            let table = self.cell(table);
            lookup.inputs.push(Expression { nodes: input.0 });
            lookup.tables.push(Expression { nodes: table.0 });
        }
        self.cs.lookups.push(lookup);
    }

    /// Puts `column` under the permutation argument.
    pub(crate) fn permute(&mut self, column: Column) {
        self.cell(column);
        self.cs.permutation.push(column);
    }

    /// The finished system, of at least this degree.
    pub(crate) fn finish(mut self, minimum_degree: u32) -> ConstraintSystem {
        self.cs.minimum_degree = Some(minimum_degree);
        self.cs
    }
}
