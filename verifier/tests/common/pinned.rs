//! Reads halo2's description of a key back from its printed form, so that tests can use any circuit.

use halo2_proofs::plonk;
use pasta_curves::arithmetic::CurveAffine;
use pasta_curves::{EqAffine, Fp, Fq};
use zkonnx_verifier::CircuitKey;
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};

use super::parse_field;

/// A printed value: a name and its parts, each perhaps with a field name.
#[derive(Debug)]
pub(crate) struct Tree {
    name: String,
    parts: Vec<(String, Tree)>,
}

impl Tree {
    fn field(&self, name: &str) -> &Tree {
        let part = self.parts.iter().find(|(field, _)| field == name);
        &part
            .unwrap_or_else(|| panic!("no field {name} in {}", self.name))
            .1
    }

    fn items(&self) -> impl Iterator<Item = &Tree> {
        self.parts.iter().map(|(_, tree)| tree)
    }

    fn item(&self, index: usize) -> &Tree {
        &self.parts[index].1
    }

    fn number<T: std::str::FromStr>(&self) -> T
    where
        T::Err: std::fmt::Debug,
    {
        self.name.parse().unwrap()
    }
}

fn parse<'a>(text: &mut &'a str) -> Tree {
    let end = text
        .find([' ', ',', '(', '[', '{', ')', ']', '}', ':'])
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    *text = rest;
    let mut tree = Tree {
        name: name.to_string(),
        parts: Vec::new(),
    };
    let close = match text.chars().next() {
        Some('(') => ')',
        Some('[') => ']',
        Some(' ') if text.starts_with(" {") => '}',
        _ => return tree,
    };
    *text = text.trim_start_matches(' ');
    *text = &text[1..];
    loop {
        *text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix(close) {
            *text = rest;
            return tree;
        }
        let field: &'a str = if close == '}' {
            let (field, rest) = text.split_once(": ").unwrap();
            *text = rest;
            field
        } else {
            ""
        };
        let part = parse(text);
        tree.parts.push((field.to_string(), part));
    }
}

/// Our key with the contents of a stock key.
pub(crate) fn key_of(vk: &plonk::VerifyingKey<EqAffine>) -> CircuitKey {
    let text = format!("{:?}", vk.pinned());
    let (k, cs, fixed, permutation) = parts_of(&text);
    CircuitKey::new(k, cs, fixed, permutation).unwrap()
}

/// The contents of a printed key.
pub(crate) fn parts_of(text: &str) -> (u32, ConstraintSystem, Vec<EqAffine>, Vec<EqAffine>) {
    let tree = parse(&mut &*text);
    let points = |tree: &Tree| tree.items().map(point).collect::<Vec<_>>();
    (
        tree.field("domain").field("k").number(),
        constraint_system(tree.field("cs")),
        points(tree.field("fixed_commitments")),
        points(tree.field("permutation").field("commitments")),
    )
}

fn point(tree: &Tree) -> EqAffine {
    let coordinate = |index| parse_field::<Fq>(&tree.item(index).name);
    EqAffine::from_xy(coordinate(0), coordinate(1)).unwrap()
}

fn constraint_system(tree: &Tree) -> ConstraintSystem {
    assert_eq!(tree.field("num_selectors").name, "0");
    assert!(tree.field("constants").parts.is_empty());
    let list = |name: &str| tree.field(name).items();
    ConstraintSystem {
        num_fixed: tree.field("num_fixed_columns").number(),
        num_advice: tree.field("num_advice_columns").number(),
        num_instance: tree.field("num_instance_columns").number(),
        gates: list("gates").map(expression).collect(),
        advice_queries: list("advice_queries").map(query).collect(),
        instance_queries: list("instance_queries").map(query).collect(),
        fixed_queries: list("fixed_queries").map(query).collect(),
        permutation: tree
            .field("permutation")
            .field("columns")
            .items()
            .map(column)
            .collect(),
        lookups: list("lookups")
            .map(|lookup| Lookup {
                inputs: lookup
                    .field("input_expressions")
                    .items()
                    .map(expression)
                    .collect(),
                tables: lookup
                    .field("table_expressions")
                    .items()
                    .map(expression)
                    .collect(),
            })
            .collect(),
        minimum_degree: tree
            .field("minimum_degree")
            .items()
            .next()
            .map(Tree::number),
    }
}

fn query(tree: &Tree) -> Query {
    Query {
        column: column(tree.item(0)),
        rotation: tree.item(1).item(0).number(),
    }
}

fn column(tree: &Tree) -> Column {
    Column {
        kind: match tree.field("column_type").name.as_str() {
            "Instance" => ColumnKind::Instance,
            "Advice" => ColumnKind::Advice,
            _ => ColumnKind::Fixed,
        },
        index: tree.field("index").number(),
    }
}

fn expression(tree: &Tree) -> Expression {
    let mut nodes = Vec::new();
    push(tree, &mut nodes);
    Expression { nodes }
}

fn push(tree: &Tree, nodes: &mut Vec<Node>) {
    let scalar = |index: usize| parse_field::<Fp>(&tree.item(index).name);
    let index = || tree.field("query_index").number();
    match tree.name.as_str() {
        "Constant" => nodes.push(Node::Constant(scalar(0))),
        "Fixed" => nodes.push(Node::Fixed(index())),
        "Advice" => nodes.push(Node::Advice(index())),
        "Instance" => nodes.push(Node::Instance(index())),
        "Scaled" => {
            push(tree.item(0), nodes);
            nodes.push(Node::Scaled(scalar(1)));
        }
        name => {
            tree.items().for_each(|operand| push(operand, nodes));
            nodes.push(match name {
                "Negated" => Node::Negated,
                "Sum" => Node::Sum,
                _ => Node::Product,
            });
        }
    }
}
