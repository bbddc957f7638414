//! The bytes of a verifying key, field by field as FORMATS.md lists them.
//!
//! A key may be hostile, so every cap is looked at when its count is read and before anything is kept for it: what decoding
//! holds is bounded by the caps, however large the input is.

use alloc::vec::Vec;

use pasta_curves::Fp;

use crate::codec::{Reader, Writer};
use crate::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};
use crate::error::{DecodeError, KeyError};
use crate::field::{read_fp, read_point, write_fp, write_point};
use crate::key::VerifyingKey;
use crate::layout::PublicLayout;
use crate::shape::{
    MAX_COLUMNS, MAX_GATES, MAX_K, MAX_LOOKUP_WIDTH, MAX_LOOKUPS, MAX_NODES, MAX_QUERIES, MIN_K,
};

/// The first bytes of an encoded verifying key.
pub const KEY_MAGIC: [u8; 4] = *b"zkxV";

/// The version of the verifying key format.
pub const KEY_VERSION: u16 = 2;

pub(crate) fn encode(key: &VerifyingKey) -> Vec<u8> {
    let circuit = key.circuit();
    let cs = circuit.cs();
    let mut out = Vec::new();
    out.put_header(KEY_MAGIC, KEY_VERSION);
    out.extend_from_slice(key.program_id());
    key.layout().write(&mut out);
    // At most `MAX_K`.
    out.push(circuit.k() as u8);
    // At most `MAX_DEGREE`; zero is no minimum.
    out.push(cs.minimum_degree.unwrap_or(0) as u8);
    for count in [cs.num_fixed, cs.num_advice, cs.num_instance] {
        put_index(count, &mut out);
    }
    for kind in [ColumnKind::Advice, ColumnKind::Instance, ColumnKind::Fixed] {
        write_queries(cs.queries(kind), &mut out);
    }
    put_len(cs.permutation.len(), &mut out);
    for column in &cs.permutation {
        out.push(kind_tag(column.kind));
        put_index(column.index, &mut out);
    }
    out.put_count(cs.gates.len());
    for gate in &cs.gates {
        write_expression(gate, &mut out);
    }
    out.put_count(cs.lookups.len());
    for lookup in &cs.lookups {
        put_len(lookup.inputs.len(), &mut out);
        for expression in lookup.inputs.iter().chain(&lookup.tables) {
            write_expression(expression, &mut out);
        }
    }
    for point in circuit
        .fixed_commitments()
        .iter()
        .chain(circuit.permutation_commitments())
    {
        write_point(point, &mut out);
    }
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<VerifyingKey, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.header(KEY_MAGIC, KEY_VERSION)?;
    let program_id = reader.array()?;
    let layout = PublicLayout::read(&mut reader)?;
    let k = u32::from(reader.u8()?);
    if !(MIN_K..=MAX_K).contains(&k) {
        return Err(KeyError::SizeOutOfRange { k }.into());
    }
    let cs = read_constraint_system(&mut reader)?;
    let mut points = |count: usize| -> Result<Vec<_>, DecodeError> {
        (0..count).map(|_| read_point(&mut reader)).collect()
    };
    let fixed = points(cs.columns(ColumnKind::Fixed))?;
    let permutation = points(cs.permutation.len())?;
    reader.finish()?;
    Ok(VerifyingKey::new(
        k,
        cs,
        fixed,
        permutation,
        layout,
        program_id,
    )?)
}

fn read_constraint_system(reader: &mut Reader<'_>) -> Result<ConstraintSystem, DecodeError> {
    let minimum_degree = match reader.u8()? {
        0 => None,
        degree => Some(u32::from(degree)),
    };
    let num_fixed = read_columns(ColumnKind::Fixed, reader)?;
    let num_advice = read_columns(ColumnKind::Advice, reader)?;
    let num_instance = read_columns(ColumnKind::Instance, reader)?;
    let advice_queries = read_queries(ColumnKind::Advice, reader)?;
    let instance_queries = read_queries(ColumnKind::Instance, reader)?;
    let fixed_queries = read_queries(ColumnKind::Fixed, reader)?;
    let count = usize::from(reader.u16()?);
    let permutation = (0..count)
        .map(|_| {
            Ok(Column {
                kind: read_kind(reader)?,
                index: u32::from(reader.u16()?),
            })
        })
        .collect::<Result<_, DecodeError>>()?;
    let mut nodes = Nodes { left: MAX_NODES };
    let got = reader.count(4)?;
    if got > MAX_GATES {
        return Err(KeyError::TooManyGates { got }.into());
    }
    let gates = (0..got)
        .map(|_| nodes.read_expression(reader))
        .collect::<Result<_, _>>()?;
    let got = reader.count(10)?;
    if got > MAX_LOOKUPS {
        return Err(KeyError::TooManyLookups { got }.into());
    }
    let lookups = (0..got)
        .map(|lookup| read_lookup(lookup, &mut nodes, reader))
        .collect::<Result<_, _>>()?;
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

/// Writes an index or count below 2^16, as the caps of a validated key ensure.
fn put_index(value: u32, out: &mut Vec<u8>) {
    out.put_u16(u16::try_from(value).unwrap_or(u16::MAX));
}

fn put_len(value: usize, out: &mut Vec<u8>) {
    out.put_u16(u16::try_from(value).unwrap_or(u16::MAX));
}

fn read_columns(kind: ColumnKind, reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let count = reader.u16()?;
    let got = usize::from(count);
    if got > MAX_COLUMNS {
        return Err(KeyError::TooManyColumns { kind, got }.into());
    }
    Ok(u32::from(count))
}

fn write_queries(queries: &[Query], out: &mut Vec<u8>) {
    put_len(queries.len(), out);
    for query in queries {
        put_index(query.column.index, out);
        // A fixed column is read on the current row only.
        if query.column.kind != ColumnKind::Fixed {
            out.extend_from_slice(&query.rotation.to_le_bytes());
        }
    }
}

fn read_queries(kind: ColumnKind, reader: &mut Reader<'_>) -> Result<Vec<Query>, DecodeError> {
    let got = usize::from(reader.u16()?);
    if got > MAX_QUERIES {
        return Err(KeyError::TooManyQueries { kind, got }.into());
    }
    (0..got)
        .map(|_| {
            let index = u32::from(reader.u16()?);
            let rotation = match kind {
                ColumnKind::Fixed => 0,
                _ => reader.i32()?,
            };
            Ok(Query {
                column: Column { kind, index },
                rotation,
            })
        })
        .collect()
}

fn kind_tag(kind: ColumnKind) -> u8 {
    match kind {
        ColumnKind::Instance => 0,
        ColumnKind::Advice => 1,
        ColumnKind::Fixed => 2,
    }
}

fn read_kind(reader: &mut Reader<'_>) -> Result<ColumnKind, DecodeError> {
    match reader.u8()? {
        0 => Ok(ColumnKind::Instance),
        1 => Ok(ColumnKind::Advice),
        2 => Ok(ColumnKind::Fixed),
        tag => Err(DecodeError::UnknownColumnKind { tag }),
    }
}

fn read_lookup(
    lookup: usize,
    nodes: &mut Nodes,
    reader: &mut Reader<'_>,
) -> Result<Lookup, DecodeError> {
    let width = usize::from(reader.u16()?);
    if width > MAX_LOOKUP_WIDTH {
        return Err(KeyError::LookupArity {
            lookup,
            inputs: width,
            tables: width,
        }
        .into());
    }
    let mut expressions = || -> Result<Vec<_>, DecodeError> {
        (0..width).map(|_| nodes.read_expression(reader)).collect()
    };
    Ok(Lookup {
        inputs: expressions()?,
        tables: expressions()?,
    })
}

fn write_expression(expression: &Expression, out: &mut Vec<u8>) {
    out.put_count(expression.nodes.len());
    for node in &expression.nodes {
        let mut with_query = |tag: u8, query: u32| {
            out.push(tag);
            put_index(query, out);
        };
        match *node {
            Node::Constant(value) => {
                out.push(0);
                write_fp(&value, out);
            }
            Node::Fixed(query) => with_query(1, query),
            Node::Advice(query) => with_query(2, query),
            Node::Instance(query) => with_query(3, query),
            Node::Negated => out.push(4),
            Node::Sum => out.push(5),
            Node::Product => out.push(6),
            Node::Scaled(factor) => {
                out.push(7);
                write_fp(&factor, out);
            }
        }
    }
}

/// The expression nodes that a key may still have. One byte can be a node that takes 40 in memory.
struct Nodes {
    left: usize,
}

impl Nodes {
    fn read_expression(&mut self, reader: &mut Reader<'_>) -> Result<Expression, DecodeError> {
        let count = reader.count(1)?;
        self.left = self.left.checked_sub(count).ok_or(KeyError::TooManyNodes)?;
        let mut nodes = Vec::with_capacity(count);
        for _ in 0..count {
            nodes.push(read_node(reader)?);
        }
        Ok(Expression { nodes })
    }
}

fn read_node(reader: &mut Reader<'_>) -> Result<Node, DecodeError> {
    let query =
        |reader: &mut Reader<'_>| -> Result<u32, DecodeError> { Ok(u32::from(reader.u16()?)) };
    let scalar = |reader: &mut Reader<'_>| -> Result<Fp, DecodeError> { read_fp(reader) };
    match reader.u8()? {
        0 => Ok(Node::Constant(scalar(reader)?)),
        1 => Ok(Node::Fixed(query(reader)?)),
        2 => Ok(Node::Advice(query(reader)?)),
        3 => Ok(Node::Instance(query(reader)?)),
        4 => Ok(Node::Negated),
        5 => Ok(Node::Sum),
        6 => Ok(Node::Product),
        7 => Ok(Node::Scaled(scalar(reader)?)),
        tag => Err(DecodeError::UnknownNode { tag }),
    }
}
