//! The text that halo2 hashes of a verifying key.
//!
//! halo2 binds a proof to its key by absorbing a digest of `format!("{:?}", vk.pinned())`. The verifier trusts no stored
//! digest: it writes the same text from the key's contents and hashes that. A key whose contents differ in anything
//! from the one that was proved with therefore derives other challenges, and its proofs fail.
//!
//! The text is never held in memory: one pass measures it, for halo2 hashes its length first, and one hashes it.

use alloc::vec::Vec;

use blake2b_simd::{Params, State};
use ff::{FromUniformBytes, PrimeField};
use pasta_curves::arithmetic::CurveAffine;
use pasta_curves::{EqAffine, Fp, Fq};

use crate::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};

/// Receives the text piece by piece.
pub(crate) trait Sink {
    fn push(&mut self, text: &[u8]);
}

struct Length(u64);

impl Sink for Length {
    fn push(&mut self, text: &[u8]) {
        self.0 = self.0.saturating_add(text.len() as u64);
    }
}

impl Sink for State {
    fn push(&mut self, text: &[u8]) {
        self.update(text);
    }
}

impl Sink for Vec<u8> {
    fn push(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }
}

/// What the text describes.
pub(crate) struct Pinned<'a> {
    pub(crate) k: u32,
    pub(crate) extended_k: u32,
    pub(crate) omega: Fp,
    pub(crate) cs: &'a ConstraintSystem,
    pub(crate) fixed_commitments: &'a [EqAffine],
    pub(crate) permutation_commitments: &'a [EqAffine],
}

impl Pinned<'_> {
    /// The element that stands for the key in a transcript, and the number of bytes that were hashed for it.
    pub(crate) fn digest(&self) -> (Fp, u64) {
        let mut length = Length(0);
        self.render(&mut length);
        let mut state = Params::new()
            .hash_length(64)
            .personal(b"Halo2-Verify-Key")
            .to_state();
        state.update(&length.0.to_le_bytes());
        self.render(&mut state);
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(state.finalize().as_bytes()) {
            *to = *from;
        }
        (Fp::from_uniform_bytes(&bytes), length.0)
    }

    pub(crate) fn render<S: Sink>(&self, out: &mut S) {
        out.push(b"PinnedVerificationKey { base_modulus: \"");
        out.push(Fq::MODULUS.as_bytes());
        out.push(b"\", scalar_modulus: \"");
        out.push(Fp::MODULUS.as_bytes());
        out.push(b"\", domain: PinnedEvaluationDomain { k: ");
        decimal(u64::from(self.k), out);
        out.push(b", extended_k: ");
        decimal(u64::from(self.extended_k), out);
        out.push(b", omega: ");
        hex(&self.omega.to_repr(), out);
        out.push(b" }, cs: ");
        self.constraint_system(out);
        out.push(b", fixed_commitments: ");
        list(self.fixed_commitments, out, point);
        out.push(b", permutation: VerifyingKey { commitments: ");
        list(self.permutation_commitments, out, point);
        out.push(b" } }");
    }

    fn constraint_system<S: Sink>(&self, out: &mut S) {
        let cs = self.cs;
        let counts: [(&[u8], u32); 3] = [
            (
                b"PinnedConstraintSystem { num_fixed_columns: ",
                cs.num_fixed,
            ),
            (b", num_advice_columns: ", cs.num_advice),
            (b", num_instance_columns: ", cs.num_instance),
        ];
        for (name, count) in counts {
            out.push(name);
            decimal(u64::from(count), out);
        }
        out.push(b", num_selectors: 0, gates: ");
        list(&cs.gates, out, |gate, out| expression(gate, cs, out));
        out.push(b", advice_queries: ");
        list(&cs.advice_queries, out, query);
        out.push(b", instance_queries: ");
        list(&cs.instance_queries, out, query);
        out.push(b", fixed_queries: ");
        list(&cs.fixed_queries, out, query);
        out.push(b", permutation: Argument { columns: ");
        list(&cs.permutation, out, column);
        out.push(b" }, lookups: ");
        list(&cs.lookups, out, |argument, out| lookup(argument, cs, out));
        out.push(b", constants: [], minimum_degree: ");
        match cs.minimum_degree {
            None => out.push(b"None"),
            Some(degree) => {
                out.push(b"Some(");
                decimal(u64::from(degree), out);
                out.push(b")");
            }
        }
        out.push(b" }");
    }
}

fn list<T, S: Sink>(items: &[T], out: &mut S, mut item: impl FnMut(&T, &mut S)) {
    out.push(b"[");
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            out.push(b", ");
        }
        item(value, out);
    }
    out.push(b"]");
}

fn lookup<S: Sink>(argument: &Lookup, cs: &ConstraintSystem, out: &mut S) {
    out.push(b"Argument { input_expressions: ");
    list(&argument.inputs, out, |input, out| {
        expression(input, cs, out)
    });
    out.push(b", table_expressions: ");
    list(&argument.tables, out, |table, out| {
        expression(table, cs, out)
    });
    out.push(b" }");
}

fn query<S: Sink>(query: &Query, out: &mut S) {
    out.push(b"(");
    column(&query.column, out);
    out.push(b", Rotation(");
    signed(query.rotation, out);
    out.push(b"))");
}

fn column<S: Sink>(column: &Column, out: &mut S) {
    out.push(b"Column { index: ");
    decimal(u64::from(column.index), out);
    out.push(b", column_type: ");
    out.push(kind_name(column.kind));
    out.push(b" }");
}

fn kind_name(kind: ColumnKind) -> &'static [u8] {
    match kind {
        ColumnKind::Instance => b"Instance",
        ColumnKind::Advice => b"Advice",
        ColumnKind::Fixed => b"Fixed",
    }
}

fn point<S: Sink>(point: &EqAffine, out: &mut S) {
    let coordinates = Option::from(point.coordinates());
    let Some((x, y)) =
        coordinates.map(|c: pasta_curves::arithmetic::Coordinates<EqAffine>| (*c.x(), *c.y()))
    else {
        return out.push(b"Infinity");
    };
    out.push(b"(");
    hex(&x.to_repr(), out);
    out.push(b", ");
    hex(&y.to_repr(), out);
    out.push(b")");
}

/// What is still to be written of an expression. Small, because a nested sum leaves three of them per level.
enum Task {
    /// The node at this position, with its operands.
    Node(u32),
    /// The factor of the scaled expression at this position, and the closing parenthesis.
    Factor(u32),
    /// What stands between two operands.
    Comma,
    /// What stands after the last operand.
    Close,
}

/// Writes an expression in halo2's prefix form.
///
/// In a postfix list the right operand of node i ends at i - 1 and the left one before the right one starts, so the
/// starts of all operands, found in one pass, replace the tree.
fn expression<S: Sink>(expression: &Expression, cs: &ConstraintSystem, out: &mut S) {
    let starts = operand_starts(&expression.nodes);
    let at = |position: u32| usize::try_from(position).unwrap_or(usize::MAX);
    let mut tasks: Vec<Task> = Vec::new();
    // A validated key has far fewer than 2^32 nodes.
    let last = u32::try_from(expression.nodes.len())
        .unwrap_or(0)
        .checked_sub(1);
    tasks.extend(last.map(Task::Node));
    while let Some(task) = tasks.pop() {
        let position = match task {
            Task::Comma => {
                out.push(b", ");
                continue;
            }
            Task::Close => {
                out.push(b")");
                continue;
            }
            Task::Factor(position) => {
                if let Some(Node::Scaled(factor)) = expression.nodes.get(at(position)) {
                    out.push(b", ");
                    hex(&factor.to_repr(), out);
                    out.push(b")");
                }
                continue;
            }
            Task::Node(position) => position,
        };
        let Some(node) = expression.nodes.get(at(position)) else {
            continue;
        };
        let right = position.saturating_sub(1);
        let left = || {
            starts
                .get(at(right))
                .copied()
                .unwrap_or(0)
                .saturating_sub(1)
        };
        node_text(node, cs, out);
        match node {
            Node::Constant(_) | Node::Fixed(_) | Node::Advice(_) | Node::Instance(_) => {}
            Node::Negated => tasks.extend([Task::Close, Task::Node(right)]),
            Node::Scaled(_) => tasks.extend([Task::Factor(position), Task::Node(right)]),
            Node::Sum | Node::Product => tasks.extend([
                Task::Close,
                Task::Node(right),
                Task::Comma,
                Task::Node(left()),
            ]),
        }
    }
}

/// Writes a node without operands, or what stands before the first operand.
fn node_text<S: Sink>(node: &Node, cs: &ConstraintSystem, out: &mut S) {
    match *node {
        Node::Constant(value) => {
            out.push(b"Constant(");
            hex(&value.to_repr(), out);
            out.push(b")");
        }
        Node::Fixed(index) => cell(ColumnKind::Fixed, index, cs, out),
        Node::Advice(index) => cell(ColumnKind::Advice, index, cs, out),
        Node::Instance(index) => cell(ColumnKind::Instance, index, cs, out),
        Node::Negated => out.push(b"Negated("),
        Node::Scaled(_) => out.push(b"Scaled("),
        Node::Sum => out.push(b"Sum("),
        Node::Product => out.push(b"Product("),
    }
}

/// For each node, the position where the first of the nodes it stands on is.
fn operand_starts(nodes: &[Node]) -> Vec<u32> {
    let mut starts: Vec<u32> = Vec::with_capacity(nodes.len());
    for (position, node) in (0u32..).zip(nodes) {
        let mut start = position;
        for _ in 0..node.arity() {
            let operand = usize::try_from(start.saturating_sub(1)).unwrap_or(usize::MAX);
            start = starts.get(operand).copied().unwrap_or(0);
        }
        starts.push(start);
    }
    starts
}

fn cell<S: Sink>(kind: ColumnKind, index: u32, cs: &ConstraintSystem, out: &mut S) {
    let query = usize::try_from(index)
        .ok()
        .and_then(|index| cs.queries(kind).get(index));
    let Some(query) = query else {
        return;
    };
    out.push(kind_name(kind));
    out.push(b" { query_index: ");
    decimal(u64::from(index), out);
    out.push(b", column_index: ");
    decimal(u64::from(query.column.index), out);
    out.push(b", rotation: Rotation(");
    signed(query.rotation, out);
    out.push(b") }");
}

fn signed<S: Sink>(value: i32, out: &mut S) {
    if value < 0 {
        out.push(b"-");
    }
    decimal(u64::from(value.unsigned_abs()), out);
}

fn decimal<S: Sink>(value: u64, out: &mut S) {
    let mut digits = [0u8; 20];
    let mut rest = value;
    let mut len = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        len += 1;
        if rest == 0 {
            break;
        }
    }
    out.push(digits.split_at(digits.len() - len).1);
}

/// A field element as halo2 prints it: big-endian, all digits.
fn hex<S: Sink>(repr: &[u8; 32], out: &mut S) {
    let mut text = [0u8; 66];
    let prefix = b"0x".iter().copied();
    let nibbles = repr
        .iter()
        .rev()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| {
            if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + (nibble - 10)
            }
        });
    for (to, from) in text.iter_mut().zip(prefix.chain(nibbles)) {
        *to = from;
    }
    out.push(&text);
}
