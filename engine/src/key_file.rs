//! The stored form of a proving key.
//!
//! What is stored is what is dear to recompute: reading and checking an element takes a fraction of the time of
//! transforming it, so the values on all needed cosets are stored. The permutation is stored as the cell that follows
//! each cell, from which its values on the rows take one multiplication each. The digest of the key is not stored: it is
//! derived from the contents, so a key never claims to be another.

use std::io::{Read, Write};

use ff::PrimeField;
use pasta_curves::{EqAffine, Fp};
use zkonnx_verifier::CircuitKey;
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};

use crate::constraints::needs;
use crate::domain::Domain;
use crate::file::{FileError, Reader, Tag, Writer};
use crate::key::{KeyColumn, ProvingKey};
use crate::msm::Point;
use crate::shape::Shape;

const MAGIC: &[u8; 8] = b"zkoprove";
const VERSION: u32 = 2;

/// Bounds that hold for every key that can be generated, and that keep allocations in proportion to the file.
const MAX_ITEMS: u32 = 1 << 18;

impl ProvingKey {
    /// Writes the key in the form that [`Self::read`] reads.
    ///
    /// # Errors
    /// [`FileError::Io`] if writing fails; what has been written is then not a key.
    pub fn write(&self, out: impl Write) -> Result<(), FileError> {
        let mut out = Writer::new(out, MAGIC, VERSION)?;
        out.bytes(&self.tag.0)?;
        out.u32(self.shape.k)?;
        write_system(&mut out, self.circuit.cs())?;
        let commitments = self
            .circuit
            .fixed_commitments()
            .iter()
            .chain(self.circuit.permutation_commitments());
        for point in commitments {
            out.point(&Point::from(point))?;
        }
        for column in &self.fixed {
            column
                .values
                .iter()
                .try_for_each(|values| out.elements(values))?;
            column
                .cosets
                .iter()
                .try_for_each(|values| out.elements(values))?;
        }
        for values in self.sigma.iter().flatten() {
            out.elements(values)?;
        }
        self.mapping.iter().try_for_each(|cell| out.u32(*cell))?;
        out.finish().map(|_| ())
    }

    /// Reads a key, which must be of `owner` if that is given.
    ///
    /// # Errors
    /// Another kind of file, version, byte order or owner is named before the bulk is read; damage is found before the
    /// key is returned.
    pub fn read(input: impl Read, owner: Option<&Tag>) -> Result<Self, FileError> {
        let mut input = Reader::new(input, MAGIC, "proving key", VERSION)?;
        let tag = Tag(input.array()?);
        if let Some(owner) = owner.filter(|owner| **owner != tag) {
            return Err(FileError::Owner {
                expected: *owner,
                got: tag,
            });
        }
        let k = input.bounded("k", zkonnx_verifier::MAX_K)? as u32;
        let cs = read_system(&mut input)?;
        let shape = Shape::new(&cs, k)?;
        let mut commitments = |count: usize| -> Result<Vec<EqAffine>, FileError> {
            Ok(input.points(count)?.iter().map(Point::affine).collect())
        };
        let fixed_commitments = commitments(cs.num_fixed as usize)?;
        let sigma_commitments = commitments(cs.permutation.len())?;
        let needs = needs(&cs, &shape);
        let mut columns = |count: usize| -> Result<Vec<Vec<Fp>>, FileError> {
            (0..count).map(|_| input.elements(shape.n)).collect()
        };
        let fixed = needs
            .fixed
            .iter()
            .zip(&needs.fixed_values)
            .map(|(cosets, values)| {
                Ok(KeyColumn {
                    values: columns(usize::from(*values))?.pop(),
                    cosets: columns(*cosets)?,
                })
            });
        let fixed: Vec<KeyColumn> = fixed.collect::<Result<_, FileError>>()?;
        let sigma: Vec<_> = needs
            .sigma
            .iter()
            .map(|cosets| columns(*cosets))
            .collect::<Result<_, _>>()?;
        let cells = cs.permutation.len() * shape.n;
        let mapping = input.words(cells)?;
        input.finish()?;
        if let Some(cell) = mapping.iter().find(|cell| **cell as usize >= cells) {
            return Err(FileError::Range {
                what: "cell",
                value: (*cell).into(),
            });
        }
        let circuit = CircuitKey::new(k, cs, fixed_commitments, sigma_commitments)?;
        let domain = Domain::new(k, shape.pieces());
        Ok(Self {
            shape,
            circuit,
            tag,
            domain,
            fixed,
            sigma,
            mapping,
        })
    }
}

fn write_list<W: Write, T>(
    out: &mut Writer<W>,
    items: &[T],
    mut item: impl FnMut(&mut Writer<W>, &T) -> Result<(), FileError>,
) -> Result<(), FileError> {
    out.u32(u32::try_from(items.len()).unwrap_or(u32::MAX))?;
    items.iter().try_for_each(|value| item(out, value))
}

fn read_list<R: Read, T>(
    input: &mut Reader<R>,
    what: &'static str,
    mut item: impl FnMut(&mut Reader<R>) -> Result<T, FileError>,
) -> Result<Vec<T>, FileError> {
    let count = input.bounded(what, MAX_ITEMS)?;
    (0..count).map(|_| item(input)).collect()
}

fn write_system<W: Write>(out: &mut Writer<W>, cs: &ConstraintSystem) -> Result<(), FileError> {
    [cs.num_fixed, cs.num_advice, cs.num_instance]
        .into_iter()
        .try_for_each(|count| out.u32(count))?;
    write_list(out, &cs.gates, write_expression)?;
    for queries in [&cs.advice_queries, &cs.instance_queries, &cs.fixed_queries] {
        write_list(out, queries, |out, query| {
            write_column(out, &query.column)?;
            out.bytes(&query.rotation.to_le_bytes())
        })?;
    }
    write_list(out, &cs.permutation, write_column)?;
    write_list(out, &cs.lookups, |out, lookup| {
        write_list(out, &lookup.inputs, write_expression)?;
        write_list(out, &lookup.tables, write_expression)
    })?;
    // A degree of zero is not acceptable, so it can stand for none.
    out.u32(cs.minimum_degree.unwrap_or(0))
}

fn read_system<R: Read>(input: &mut Reader<R>) -> Result<ConstraintSystem, FileError> {
    let mut count = |what| Ok::<_, FileError>(input.bounded(what, MAX_ITEMS)? as u32);
    let (num_fixed, num_advice, num_instance) = (
        count("fixed columns")?,
        count("advice columns")?,
        count("instance columns")?,
    );
    let gates = read_list(input, "gates", read_expression)?;
    let mut queries = || {
        read_list(input, "queries", |input| {
            Ok(Query {
                column: read_column(input)?,
                rotation: i32::from_le_bytes(input.array()?),
            })
        })
    };
    let (advice_queries, instance_queries, fixed_queries) = (queries()?, queries()?, queries()?);
    let permutation = read_list(input, "permutation columns", read_column)?;
    let lookups = read_list(input, "lookups", |input| {
        Ok(Lookup {
            inputs: read_list(input, "lookup inputs", read_expression)?,
            tables: read_list(input, "lookup tables", read_expression)?,
        })
    })?;
    let minimum_degree = Some(input.u32()?).filter(|degree| *degree > 0);
    Ok(ConstraintSystem {
        num_fixed,
        num_advice,
        num_instance,
        gates,
        advice_queries,
        instance_queries,
        fixed_queries,
        permutation,
        lookups,
        minimum_degree,
    })
}

fn write_column<W: Write>(out: &mut Writer<W>, column: &Column) -> Result<(), FileError> {
    out.u32(match column.kind {
        ColumnKind::Instance => 0,
        ColumnKind::Advice => 1,
        ColumnKind::Fixed => 2,
    })?;
    out.u32(column.index)
}

fn read_column<R: Read>(input: &mut Reader<R>) -> Result<Column, FileError> {
    let kind = match input.bounded("kind of column", 2)? {
        0 => ColumnKind::Instance,
        1 => ColumnKind::Advice,
        _ => ColumnKind::Fixed,
    };
    Ok(Column {
        kind,
        index: input.u32()?,
    })
}

fn write_expression<W: Write>(
    out: &mut Writer<W>,
    expression: &Expression,
) -> Result<(), FileError> {
    write_list(out, &expression.nodes, |out, node| match node {
        Node::Constant(value) => write_node(out, 0, &value.to_repr()),
        Node::Fixed(index) => write_node(out, 1, &index.to_le_bytes()),
        Node::Advice(index) => write_node(out, 2, &index.to_le_bytes()),
        Node::Instance(index) => write_node(out, 3, &index.to_le_bytes()),
        Node::Negated => write_node(out, 4, &[]),
        Node::Sum => write_node(out, 5, &[]),
        Node::Product => write_node(out, 6, &[]),
        Node::Scaled(value) => write_node(out, 7, &value.to_repr()),
    })
}

fn write_node<W: Write>(out: &mut Writer<W>, kind: u8, operand: &[u8]) -> Result<(), FileError> {
    out.bytes(&[kind])?;
    out.bytes(operand)
}

fn read_expression<R: Read>(input: &mut Reader<R>) -> Result<Expression, FileError> {
    let element = |input: &mut Reader<R>| {
        Option::from(Fp::from_repr(input.array()?)).ok_or(FileError::Element)
    };
    let nodes = read_list(input, "expression nodes", |input| {
        let [kind] = input.array()?;
        Ok(match kind {
            0 => Node::Constant(element(input)?),
            1 => Node::Fixed(input.u32()?),
            2 => Node::Advice(input.u32()?),
            3 => Node::Instance(input.u32()?),
            4 => Node::Negated,
            5 => Node::Sum,
            6 => Node::Product,
            7 => Node::Scaled(element(input)?),
            _ => {
                return Err(FileError::Range {
                    what: "kind of node",
                    value: kind.into(),
                });
            }
        })
    })?;
    Ok(Expression { nodes })
}
