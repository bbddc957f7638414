//! The constraint system of an ordinary halo2 circuit, as data.
//!
//! halo2 keeps its description private but prints all of it, in the form that it hashes: `ConstraintSystem::pinned`.
//! Reading that text back gives the data. Circuits with selectors are not supported: halo2 replaces selectors by fixed
//! columns of its own choice during key generation, and prints the result only in the verifying key. Neither are
//! columns for global constants, which the data has no place for.

use ff::PrimeField;
use halo2_proofs::plonk::{Circuit, ConstraintSystem as Halo2System};
use pasta_curves::Fp;
use thiserror::Error;
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};

/// Why the description of a circuit cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinnedError {
    /// The text is not what this version of halo2 prints.
    #[error("expected `{expected}` at byte {position} of the pinned constraint system")]
    Unexpected {
        /// What should be there.
        expected: &'static str,
        /// Where in the text.
        position: usize,
    },
    /// The circuit has selectors.
    #[error("the circuit has {count} selectors; use fixed columns instead")]
    Selectors {
        /// How many.
        count: u32,
    },
}

/// The constraint system that `C::configure` describes.
pub fn constraint_system<C: Circuit<Fp>>() -> Result<ConstraintSystem, PinnedError> {
    let mut meta = Halo2System::default();
    C::configure(&mut meta);
    parse(&format!("{:?}", meta.pinned()))
}

/// Reads the text of `halo2_proofs::plonk::ConstraintSystem::pinned`.
pub fn parse(text: &str) -> Result<ConstraintSystem, PinnedError> {
    let mut parser = Parser { text, position: 0 };
    let cs = parser.constraint_system()?;
    if parser.position < text.len() {
        return Err(parser.expected("end of text"));
    }
    Ok(cs)
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

/// An operation whose operands are being read.
enum Open {
    Left(Node),
    Right(Node),
    Negated,
    Scaled,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    fn expected(&self, expected: &'static str) -> PinnedError {
        PinnedError::Unexpected {
            expected,
            position: self.position,
        }
    }

    fn eat(&mut self, token: &'static str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.position += token.len();
        }
        found
    }

    fn expect(&mut self, token: &'static str) -> Result<(), PinnedError> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.expected(token))
        }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, PinnedError> {
        let digits = |c: char| !(c.is_ascii_digit() || c == '-');
        let len = self.rest().find(digits).unwrap_or(self.rest().len());
        let value = self.rest()[..len]
            .parse()
            .map_err(|_| self.expected("a number"))?;
        self.position += len;
        Ok(value)
    }

    fn element(&mut self) -> Result<Fp, PinnedError> {
        self.expect("0x")?;
        let hex = self
            .rest()
            .get(..64)
            .ok_or_else(|| self.expected("64 hexadecimal digits"))?;
        let mut repr = [0; 32];
        for (i, byte) in repr.iter_mut().rev().enumerate() {
            let pair = hex.get(2 * i..2 * i + 2).unwrap_or("");
            *byte =
                u8::from_str_radix(pair, 16).map_err(|_| self.expected("64 hexadecimal digits"))?;
        }
        let value = Option::from(Fp::from_repr(repr))
            .ok_or_else(|| self.expected("a canonical element"))?;
        self.position += 64;
        Ok(value)
    }

    fn list<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, PinnedError>,
    ) -> Result<Vec<T>, PinnedError> {
        let mut items = Vec::new();
        self.expect("[")?;
        while !self.eat("]") {
            if !items.is_empty() {
                self.expect(", ")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn constraint_system(&mut self) -> Result<ConstraintSystem, PinnedError> {
        self.expect("PinnedConstraintSystem { num_fixed_columns: ")?;
        let num_fixed = self.number()?;
        self.expect(", num_advice_columns: ")?;
        let num_advice = self.number()?;
        self.expect(", num_instance_columns: ")?;
        let num_instance = self.number()?;
        self.expect(", num_selectors: ")?;
        let count = self.number()?;
        if count > 0 {
            return Err(PinnedError::Selectors { count });
        }
        self.expect(", gates: ")?;
        let gates = self.list(Self::expression)?;
        self.expect(", advice_queries: ")?;
        let advice_queries = self.list(Self::query)?;
        self.expect(", instance_queries: ")?;
        let instance_queries = self.list(Self::query)?;
        self.expect(", fixed_queries: ")?;
        let fixed_queries = self.list(Self::query)?;
        self.expect(", permutation: Argument { columns: ")?;
        let permutation = self.list(Self::column)?;
        self.expect(" }, lookups: ")?;
        let lookups = self.list(Self::lookup)?;
        self.expect(", constants: [], minimum_degree: ")?;
        let minimum_degree = if self.eat("None") {
            None
        } else {
            self.expect("Some(")?;
            let degree = self.number()?;
            self.expect(")")?;
            Some(degree)
        };
        self.expect(" }")?;
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

    fn column(&mut self) -> Result<Column, PinnedError> {
        self.expect("Column { index: ")?;
        let index = self.number()?;
        self.expect(", column_type: ")?;
        let kind = if self.eat("Advice") {
            ColumnKind::Advice
        } else if self.eat("Fixed") {
            ColumnKind::Fixed
        } else {
            self.expect("Instance")?;
            ColumnKind::Instance
        };
        self.expect(" }")?;
        Ok(Column { kind, index })
    }

    fn query(&mut self) -> Result<Query, PinnedError> {
        self.expect("(")?;
        let column = self.column()?;
        self.expect(", Rotation(")?;
        let rotation = self.number()?;
        self.expect("))")?;
        Ok(Query { column, rotation })
    }

    fn lookup(&mut self) -> Result<Lookup, PinnedError> {
        self.expect("Argument { input_expressions: ")?;
        let inputs = self.list(Self::expression)?;
        self.expect(", table_expressions: ")?;
        let tables = self.list(Self::expression)?;
        self.expect(" }")?;
        Ok(Lookup { inputs, tables })
    }

    /// Reads an expression without recursion: its depth is the number of terms of its longest sum.
    fn expression(&mut self) -> Result<Expression, PinnedError> {
        let mut nodes = Vec::new();
        let mut open = Vec::new();
        loop {
            if self.eat("Sum(") {
                open.push(Open::Left(Node::Sum));
            } else if self.eat("Product(") {
                open.push(Open::Left(Node::Product));
            } else if self.eat("Negated(") {
                open.push(Open::Negated);
            } else if self.eat("Scaled(") {
                open.push(Open::Scaled);
            } else {
                nodes.push(self.leaf()?);
                if self.close(&mut nodes, &mut open)? {
                    return Ok(Expression { nodes });
                }
            }
        }
    }

    /// Closes what ends after an operand. Whether the whole expression has ended.
    fn close(&mut self, nodes: &mut Vec<Node>, open: &mut Vec<Open>) -> Result<bool, PinnedError> {
        while let Some(operation) = open.pop() {
            match operation {
                Open::Left(node) => {
                    self.expect(", ")?;
                    open.push(Open::Right(node));
                    return Ok(false);
                }
                Open::Right(node) => nodes.push(node),
                Open::Negated => nodes.push(Node::Negated),
                Open::Scaled => {
                    self.expect(", ")?;
                    nodes.push(Node::Scaled(self.element()?));
                }
            }
            self.expect(")")?;
        }
        Ok(true)
    }

    fn leaf(&mut self) -> Result<Node, PinnedError> {
        if self.eat("Constant(") {
            let value = self.element()?;
            self.expect(")")?;
            return Ok(Node::Constant(value));
        }
        let node: fn(u32) -> Node = if self.eat("Fixed") {
            Node::Fixed
        } else if self.eat("Advice") {
            Node::Advice
        } else {
            self.expect("Instance")?;
            Node::Instance
        };
        self.expect(" { query_index: ")?;
        let index = self.number()?;
        self.expect(", column_index: ")?;
        self.number::<u32>()?;
        self.expect(", rotation: Rotation(")?;
        self.number::<i32>()?;
        self.expect(") }")?;
        Ok(node(index))
    }
}
