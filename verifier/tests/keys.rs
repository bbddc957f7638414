//! Every reason to refuse a verifying key, by name.

use ff::Field;
use group::{Curve, CurveAffine, Group};
use pasta_curves::{Eq, EqAffine, Fp};
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};
use zkonnx_verifier::{
    CircuitKey, DataType, DecodeError, ExpressionError, InputVisibility, KeyError, LayoutError,
    MAX_COLUMNS, MAX_DEGREE, MAX_GATES, MAX_K, MAX_LOOKUPS, MAX_NODES, MAX_QUERIES, MAX_STACK,
    MIN_K, Params, ParamsError, PortSpec, PublicLayout, VerifyingKey,
};

const K: u32 = 6;

fn query(kind: ColumnKind, index: u32, rotation: i32) -> Query {
    Query {
        column: Column { kind, index },
        rotation,
    }
}

/// One fixed, one advice and one instance column, a gate, a lookup and a permutation.
fn system() -> ConstraintSystem {
    let cell = |nodes: &[Node]| Expression {
        nodes: nodes.to_vec(),
    };
    ConstraintSystem {
        num_fixed: 1,
        num_advice: 1,
        num_instance: 1,
        gates: vec![cell(&[Node::Fixed(0), Node::Advice(0), Node::Product])],
        advice_queries: vec![query(ColumnKind::Advice, 0, 0)],
        instance_queries: vec![query(ColumnKind::Instance, 0, 0)],
        fixed_queries: vec![query(ColumnKind::Fixed, 0, 0)],
        permutation: vec![
            Column {
                kind: ColumnKind::Advice,
                index: 0,
            },
            Column {
                kind: ColumnKind::Instance,
                index: 0,
            },
        ],
        lookups: vec![Lookup {
            inputs: vec![cell(&[Node::Advice(0)])],
            tables: vec![cell(&[Node::Fixed(0)])],
        }],
        minimum_degree: None,
    }
}

fn point(scalar: u64) -> EqAffine {
    (Eq::generator() * Fp::from(scalar)).to_affine()
}

fn layout(elements: u32) -> PublicLayout {
    let output = PortSpec::new(DataType::U8, vec![31 * (elements - 2)]).unwrap();
    PublicLayout::new(InputVisibility::Private, vec![], vec![output]).unwrap()
}

fn key_of(k: u32, cs: ConstraintSystem) -> Result<VerifyingKey, KeyError> {
    VerifyingKey::new(
        k,
        cs,
        vec![point(1)],
        vec![point(2), point(3)],
        layout(3),
        [0; 32],
    )
}

/// The error of a system that one change makes wrong.
fn error_of(change: impl FnOnce(&mut ConstraintSystem)) -> KeyError {
    let mut cs = system();
    change(&mut cs);
    key_of(K, cs).unwrap_err()
}

#[test]
fn accepts_the_system_that_the_other_tests_break() {
    for k in [MIN_K, K, MAX_K] {
        let key = key_of(k, system()).unwrap();
        assert_eq!(VerifyingKey::decode(&key.encode()), Ok(key));
    }
}

/// As FORMATS.md has it under *Expression*.
#[test]
fn accepts_every_node_under_its_tag() {
    let nodes = vec![
        Node::Constant(Fp::from(9)),
        Node::Fixed(0),
        Node::Advice(0),
        Node::Instance(0),
        Node::Negated,
        Node::Sum,
        Node::Product,
        Node::Scaled(Fp::from(8)),
        Node::Sum,
    ];
    let scalar = |tag: u8, value: u8| {
        let mut bytes = vec![0; 33];
        (bytes[0], bytes[1]) = (tag, value);
        bytes
    };
    let expected = [
        vec![9, 0, 0, 0],
        scalar(0, 9),
        vec![1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 5, 6],
        scalar(7, 8),
        vec![5],
    ];
    let expected = expected.concat();
    let mut cs = system();
    cs.gates[0] = Expression { nodes };
    let key = key_of(K, cs).unwrap();
    let bytes = key.encode();
    assert!(bytes.windows(expected.len()).any(|part| part == expected));
    assert_eq!(VerifyingKey::decode(&bytes), Ok(key));
}

/// The bytes of a key up to its size.
fn head() -> Vec<u8> {
    let [bytes, next] = [K, K + 1].map(|k| key_of(k, system()).unwrap().encode());
    let at = (0..bytes.len()).find(|&at| bytes[at] != next[at]).unwrap();
    bytes[..=at].to_vec()
}

/// What comes after a count that is refused is not looked at, so that nothing is kept for it.
#[test]
fn rejects_counts_above_the_caps_when_they_are_read() {
    let head = head();
    let decode = |counts: &[usize], rest: &[u8]| {
        let counts = counts.iter().flat_map(|&n| (n as u16).to_le_bytes());
        // The minimum degree comes first.
        let bytes = head.iter().copied().chain([0]).chain(counts);
        VerifyingKey::decode(&bytes.chain(rest.iter().copied()).collect::<Vec<_>>()).unwrap_err()
    };
    let kinds = [ColumnKind::Fixed, ColumnKind::Advice, ColumnKind::Instance];
    for (before, kind) in kinds.into_iter().enumerate() {
        let with = |got| decode(&[&[0; 2][..before], &[got]].concat(), &[]);
        let got = MAX_COLUMNS + 1;
        assert_eq!(with(got), KeyError::TooManyColumns { kind, got }.into());
        assert_eq!(with(MAX_COLUMNS), DecodeError::Truncated);
    }
    let kinds = [ColumnKind::Advice, ColumnKind::Instance, ColumnKind::Fixed];
    for (before, kind) in kinds.into_iter().enumerate() {
        let with = |got| decode(&[&[0; 5][..3 + before], &[got]].concat(), &[]);
        let got = MAX_QUERIES + 1;
        assert_eq!(with(got), KeyError::TooManyQueries { kind, got }.into());
        assert_eq!(with(MAX_QUERIES), DecodeError::Truncated);
    }
    // Columns, queries and the permutation are empty. What is read to its end lacks an instance column.
    let list = |parts: &[&[u8]]| decode(&[0; 7], &parts.concat());
    let count = |count: usize| (count as u32).to_le_bytes();
    let whole = DecodeError::Key(KeyError::InstanceColumns { got: 0 });
    let empty = [0; 4];
    let one_wide = [&[1, 0], &empty[..], &empty].concat();
    let got = MAX_GATES + 1;
    let gates = vec![0; 4 * got];
    let none = count(0);
    assert_eq!(
        list(&[&count(got), &gates]),
        KeyError::TooManyGates { got }.into()
    );
    // More gates than there are bytes for.
    assert_eq!(list(&[&count(got), &gates[1..]]), DecodeError::Truncated);
    assert_eq!(list(&[&count(MAX_GATES), &gates[4..], &none]), whole);
    let got = MAX_LOOKUPS + 1;
    let lookups = one_wide.repeat(got);
    assert_eq!(
        list(&[&none, &count(got), &lookups]),
        KeyError::TooManyLookups { got }.into()
    );
    assert_eq!(
        list(&[&none, &count(got), &lookups[1..]]),
        DecodeError::Truncated
    );
    assert_eq!(list(&[&none, &count(MAX_LOOKUPS), &lookups[10..]]), whole);
    let wide = |width: u8, bytes: usize| {
        let expressions = vec![0; bytes];
        list(&[&none, &count(1), &[width, 0], &expressions])
    };
    let arity = KeyError::LookupArity {
        lookup: 0,
        inputs: 65,
        tables: 65,
    };
    assert_eq!(wide(65, 8), arity.into());
    assert_eq!(wide(64, 2 * 64 * 4), whole);
}

#[test]
fn rejects_sizes_columns_and_rows() {
    for k in [0, 3, MAX_K + 1, 18, 255] {
        assert_eq!(key_of(k, system()), Err(KeyError::SizeOutOfRange { k }));
    }
    // From bytes too, and at once: parameters of that size would be asked for otherwise.
    for k in [MIN_K - 1, MAX_K + 1, 255] {
        let mut bytes = head();
        *bytes.last_mut().unwrap() = k as u8;
        assert_eq!(
            VerifyingKey::decode(&bytes),
            Err(DecodeError::Key(KeyError::SizeOutOfRange { k }))
        );
    }
    assert!((MIN_K..=MAX_K).all(|k| Params::pinned_digest(k).is_some()));
    assert_eq!(Params::pinned_digest(MAX_K + 1), None);
    let k = MAX_K + 1;
    assert_eq!(Params::derive(k), Err(ParamsError::UnknownSize { k }));
    let got = MAX_COLUMNS + 1;
    let kind = ColumnKind::Advice;
    assert_eq!(
        error_of(|cs| cs.num_advice = got as u32),
        KeyError::TooManyColumns { kind, got }
    );
    assert_eq!(
        error_of(|cs| cs.num_instance = 2),
        KeyError::InstanceColumns { got: 2 }
    );
    // Fourteen queries of one column take sixteen blinding rows, and there are no more.
    let mut cs = system();
    cs.advice_queries = (-7..7).map(|rotation| query(kind, 0, rotation)).collect();
    assert_eq!(
        key_of(4, cs),
        Err(KeyError::NotEnoughRows {
            k: 4,
            blinding_factors: 16
        })
    );
}

#[test]
fn rejects_queries() {
    let kind = ColumnKind::Advice;
    assert_eq!(
        error_of(|cs| cs.advice_queries = vec![query(kind, 0, 0); MAX_QUERIES + 1]),
        KeyError::TooManyQueries {
            kind,
            got: MAX_QUERIES + 1
        }
    );
    assert_eq!(
        error_of(|cs| cs.advice_queries.push(query(ColumnKind::Fixed, 0, 0))),
        KeyError::QueryKind { kind, index: 1 }
    );
    assert_eq!(
        error_of(|cs| cs.advice_queries.push(query(kind, 1, 0))),
        KeyError::QueryColumn { kind, index: 1 }
    );
    for rotation in [32, -32, i32::MIN] {
        assert_eq!(
            error_of(|cs| cs.advice_queries.push(query(kind, 0, rotation))),
            KeyError::QueryRotation {
                kind,
                index: 1,
                rotation
            }
        );
    }
    let fixed = ColumnKind::Fixed;
    assert_eq!(
        error_of(|cs| cs.fixed_queries.push(query(fixed, 0, 1))),
        KeyError::QueryRotation {
            kind: fixed,
            index: 1,
            rotation: 1
        }
    );
    assert_eq!(
        error_of(|cs| cs.advice_queries.push(query(kind, 0, 0))),
        KeyError::DuplicateQuery { kind }
    );
}

#[test]
fn rejects_too_many_rotations_and_sets_of_them() {
    let kind = ColumnKind::Instance;
    let mut cs = system();
    let rotations = (1..=64).map(|rotation| query(kind, 0, rotation));
    cs.instance_queries.extend(rotations);
    assert_eq!(key_of(8, cs), Err(KeyError::TooManyRotations));
    let mut cs = system();
    cs.num_advice = 100;
    let pairs = (1..100).flat_map(|column| {
        let rotations = [column as i32 / 10, 10 + column as i32 % 10];
        rotations.map(|rotation| query(ColumnKind::Advice, column, rotation))
    });
    cs.advice_queries.extend(pairs);
    assert_eq!(key_of(8, cs), Err(KeyError::TooManyPointSets));
}

#[test]
fn rejects_gates_and_lookups() {
    let got = MAX_GATES + 1;
    assert_eq!(
        error_of(|cs| cs.gates = vec![Expression::default(); got]),
        KeyError::TooManyGates { got }
    );
    let got = MAX_LOOKUPS + 1;
    assert_eq!(
        error_of(|cs| cs.lookups = vec![Lookup::default(); got]),
        KeyError::TooManyLookups { got }
    );
    let arity = |inputs, tables| KeyError::LookupArity {
        lookup: 0,
        inputs,
        tables,
    };
    assert_eq!(
        error_of(|cs| cs.lookups[0] = Lookup::default()),
        arity(0, 0)
    );
    assert_eq!(error_of(|cs| cs.lookups[0].tables.clear()), arity(1, 0));
    let wide = |cs: &mut ConstraintSystem| {
        let lookup = &mut cs.lookups[0];
        lookup.inputs = vec![lookup.inputs[0].clone(); 65];
        lookup.tables = vec![lookup.tables[0].clone(); 65];
    };
    assert_eq!(error_of(wide), arity(65, 65));
    let nodes = vec![Node::Negated; MAX_NODES];
    assert_eq!(
        error_of(|cs| cs.gates.push(Expression { nodes })),
        KeyError::TooManyNodes
    );
}

#[test]
fn rejects_what_is_no_expression() {
    let gate = |nodes: Vec<Node>| match error_of(|cs| cs.gates[0] = Expression { nodes }) {
        KeyError::Gate { gate: 0, source } => source,
        error => panic!("{error:?}"),
    };
    assert_eq!(gate(vec![]), ExpressionError::Empty);
    assert_eq!(
        gate(vec![Node::Fixed(0), Node::Sum]),
        ExpressionError::MissingOperand { node: 1 }
    );
    assert_eq!(
        gate(vec![Node::Fixed(0), Node::Fixed(0)]),
        ExpressionError::LeftoverOperands { count: 1 }
    );
    assert_eq!(
        gate(vec![Node::Advice(1)]),
        ExpressionError::UnknownQuery {
            node: 0,
            kind: ColumnKind::Advice,
            query: 1
        }
    );
    assert_eq!(
        gate(vec![Node::Fixed(0); MAX_STACK + 1]),
        ExpressionError::TooDeep { node: MAX_STACK }
    );
    assert_eq!(
        error_of(|cs| cs.lookups[0].tables[0].nodes.clear()),
        KeyError::Lookup {
            lookup: 0,
            source: ExpressionError::Empty
        }
    );
}

#[test]
fn accepts_sums_as_deep_as_the_caps_allow_without_recursion() {
    let mut nodes = vec![Node::Advice(0)];
    for _ in 0..60_000 {
        nodes.extend([Node::Fixed(0), Node::Sum, Node::Negated]);
    }
    let mut cs = system();
    cs.gates[0] = Expression { nodes };
    let key = key_of(K, cs).unwrap();
    assert_eq!(VerifyingKey::decode(&key.encode()), Ok(key));
}

#[test]
fn rejects_permutations() {
    let column = |kind, index| Column { kind, index };
    assert_eq!(
        error_of(|cs| cs.permutation[0] = column(ColumnKind::Advice, 1)),
        KeyError::PermutationColumn { index: 0 }
    );
    assert_eq!(
        error_of(|cs| cs.permutation[1] = cs.permutation[0]),
        KeyError::DuplicatePermutationColumn
    );
    assert_eq!(
        error_of(|cs| cs.instance_queries[0].rotation = 1),
        KeyError::PermutationNotQueried { index: 1 }
    );
}

#[test]
fn rejects_degrees() {
    let factors = |degree: u32| {
        let mut nodes = vec![Node::Fixed(0)];
        for _ in 1..degree {
            nodes.extend([Node::Fixed(0), Node::Product]);
        }
        Expression { nodes }
    };
    let degree = MAX_DEGREE + 1;
    assert_eq!(
        error_of(|cs| cs.gates[0] = factors(degree)),
        KeyError::DegreeTooLarge { degree }
    );
    assert_eq!(
        error_of(|cs| cs.minimum_degree = Some(degree)),
        KeyError::DegreeTooLarge { degree }
    );
    assert_eq!(
        error_of(|cs| cs.minimum_degree = Some(0)),
        KeyError::ZeroMinimumDegree
    );
    let mut cs = system();
    cs.gates[0] = factors(MAX_DEGREE);
    assert_eq!(key_of(K, cs).unwrap().circuit().degree(), MAX_DEGREE);
}

#[test]
fn rejects_commitments() {
    let new = |fixed: Vec<EqAffine>, permutation: Vec<EqAffine>| {
        CircuitKey::new(K, system(), fixed, permutation)
    };
    assert_eq!(
        new(vec![], vec![point(1); 2]),
        Err(KeyError::FixedCommitments {
            expected: 1,
            got: 0
        })
    );
    assert_eq!(
        new(vec![point(1)], vec![point(1)]),
        Err(KeyError::PermutationCommitments {
            expected: 2,
            got: 1
        })
    );
    assert_eq!(
        new(vec![EqAffine::identity()], vec![point(1); 2]),
        Err(KeyError::IdentityCommitment)
    );
}

#[test]
fn rejects_public_values_that_do_not_fit_the_rows() {
    let new = |k, elements| {
        let commitments = (vec![point(1)], vec![point(2), point(3)]);
        VerifyingKey::new(
            k,
            system(),
            commitments.0,
            commitments.1,
            layout(elements),
            [0; 32],
        )
    };
    // Sixty-four rows, five of them blinding, one the last.
    assert!(new(6, 58).is_ok());
    assert_eq!(
        new(6, 59),
        Err(KeyError::InstanceTooLong { got: 59, max: 58 })
    );
    let key = new(12, 256).unwrap();
    let rows = (key.circuit().usable_rows(), key.circuit().instance_rows());
    assert_eq!(rows, (4090, 256));
    assert_eq!(
        new(12, 257),
        Err(KeyError::InstanceTooLong { got: 257, max: 256 })
    );
}

#[test]
fn rejects_layouts_beyond_the_caps() {
    let port = || PortSpec::new(DataType::U8, vec![1]).unwrap();
    let new = |inputs, outputs| {
        PublicLayout::new(
            InputVisibility::Public,
            vec![port(); inputs],
            vec![port(); outputs],
        )
    };
    assert_eq!(new(65, 1), Err(LayoutError::TooManyInputs { got: 65 }));
    assert_eq!(new(1, 65), Err(LayoutError::TooManyOutputs { got: 65 }));
    assert_eq!(new(1, 0), Err(LayoutError::NoOutputs));
}

#[test]
fn accepts_expressions_and_evaluates_them_in_postfix_order() {
    // (2 - a) · 3 + f
    let expression = Expression {
        nodes: vec![
            Node::Constant(Fp::from(2)),
            Node::Advice(0),
            Node::Negated,
            Node::Sum,
            Node::Scaled(Fp::from(3)),
            Node::Fixed(0),
            Node::Sum,
        ],
    };
    let mut stack = Vec::new();
    let value = expression.evaluate(&[Fp::from(7)], &[Fp::from(5)], &[], &mut stack);
    assert_eq!(value, Some(-Fp::from(2)));
    assert_eq!(expression.evaluate(&[Fp::ONE], &[], &[], &mut stack), None);
    assert_eq!(expression.degree(), 1);
}
