//! What cannot be proved is refused, by name.

mod common;

use common::random::{Kind, RandomCircuit, Spec, with};
use ff::Field;
use pasta_curves::Fp;
use rand::SeedableRng;
use rand::rngs::StdRng;
use zkonnx_engine::{
    AdviceColumn, KeygenError, Options, Params, ProveError, ProvingKey, Stage, Tag,
    constraint_system, keygen, keygen_columns, prove, prove_witness,
};
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Expression, Lookup, Node, Query};

const K: u32 = 5;

fn column(kind: ColumnKind, index: u32) -> Column {
    Column { kind, index }
}

/// One gate `q·(a − b) = 0`, one lookup of `a` in a table, copies between `a`, `b` and an instance column.
fn system() -> ConstraintSystem {
    let query = |column| Query {
        column,
        rotation: 0,
    };
    let expression = |nodes: &[Node]| Expression {
        nodes: nodes.to_vec(),
    };
    ConstraintSystem {
        num_fixed: 2,
        num_advice: 2,
        num_instance: 1,
        gates: vec![expression(&[
            Node::Fixed(0),
            Node::Advice(0),
            Node::Advice(1),
            Node::Negated,
            Node::Sum,
            Node::Product,
        ])],
        advice_queries: (0..2)
            .map(|i| query(column(ColumnKind::Advice, i)))
            .collect(),
        instance_queries: vec![query(column(ColumnKind::Instance, 0))],
        fixed_queries: (0..2)
            .map(|i| query(column(ColumnKind::Fixed, i)))
            .collect(),
        permutation: vec![
            column(ColumnKind::Advice, 0),
            column(ColumnKind::Instance, 0),
        ],
        lookups: vec![Lookup {
            inputs: vec![expression(&[Node::Advice(0)])],
            tables: vec![expression(&[Node::Fixed(1)])],
        }],
        minimum_degree: Some(5),
    }
}

fn key(params: &Params) -> ProvingKey {
    let table = (0..20).map(Fp::from).collect();
    let copy = (
        (column(ColumnKind::Advice, 0), 3),
        (column(ColumnKind::Instance, 0), 0),
    );
    keygen_columns(
        params,
        &system(),
        vec![vec![Fp::ONE; 10], table],
        &[copy],
        Tag::default(),
    )
    .unwrap()
}

fn prove_values(
    params: &Params,
    key: &ProvingKey,
    columns: Vec<AdviceColumn>,
    public: Vec<Fp>,
) -> Result<Vec<u8>, ProveError> {
    prove_witness(
        params,
        key,
        vec![columns],
        &[vec![public]],
        StdRng::seed_from_u64(1),
        Options::default(),
    )
}

fn small(values: &[i64]) -> AdviceColumn {
    AdviceColumn::Small(values.to_vec())
}

#[test]
fn accepts_a_witness_and_rejects_lies() {
    let params = Params::derive(K).unwrap();
    let key = key(&params);
    let good = [1, 2, 3, 4];
    let prove = |a: &[i64], b: &[i64], public| {
        prove_values(&params, &key, vec![small(a), small(b)], vec![public])
    };
    assert!(prove(&good, &good, Fp::from(4)).is_ok());
    assert!(matches!(
        prove(&good, &[1, 2, 3, 5], Fp::from(4)),
        Err(ProveError::NotSatisfied)
    ));
    assert!(matches!(
        prove(&good, &good, Fp::from(5)),
        Err(ProveError::NotSatisfied)
    ));
    let outside = [1, 20, 3, 4];
    let error = prove(&outside, &outside, Fp::from(4)).unwrap_err();
    assert!(matches!(
        error,
        ProveError::NotInTable {
            circuit: 0,
            lookup: 0
        }
    ));
}

#[test]
fn rejects_witnesses_of_another_shape() {
    let params = Params::derive(K).unwrap();
    let key = key(&params);
    let long = vec![0; 27];
    let error = prove_values(&params, &key, vec![small(&[1])], vec![]).unwrap_err();
    assert!(matches!(
        error,
        ProveError::Columns {
            kind: "advice",
            expected: 2,
            got: 1,
            ..
        }
    ));
    let error = prove_values(&params, &key, vec![small(&[1]), small(&long)], vec![]).unwrap_err();
    assert!(matches!(
        error,
        ProveError::Rows {
            kind: "advice",
            column: 1,
            rows: 26,
            got: 27,
            ..
        }
    ));
    let error = prove_values(
        &params,
        &key,
        vec![small(&[1]), small(&[1])],
        vec![Fp::ONE; 27],
    )
    .unwrap_err();
    assert!(matches!(
        error,
        ProveError::Rows {
            kind: "instance",
            column: 0,
            rows: 26,
            got: 27,
            ..
        }
    ));
    let witness = vec![small(&[1]), small(&[1])];
    let call = |witnesses, instances: &[Vec<Vec<Fp>>]| {
        prove_witness(
            &params,
            &key,
            witnesses,
            instances,
            StdRng::seed_from_u64(1),
            Options::default(),
        )
        .unwrap_err()
    };
    assert!(matches!(call(vec![], &[]), ProveError::NoCircuit));
    assert!(matches!(
        call(vec![witness.clone()], &[]),
        ProveError::InstanceCount {
            circuits: 1,
            instances: 0
        }
    ));
    let error = call(vec![witness.clone()], &[vec![]]);
    assert!(matches!(
        error,
        ProveError::Columns {
            kind: "instance",
            expected: 1,
            got: 0,
            ..
        }
    ));
    let other = Params::derive(K + 1).unwrap();
    let error = prove_values(&other, &key, witness, vec![]).unwrap_err();
    assert!(matches!(error, ProveError::Size { key: K, params: 6 }));
}

#[test]
fn rejects_keys_that_cannot_be() {
    let params = Params::derive(K).unwrap();
    let fixed = || vec![vec![Fp::ONE; 10], vec![]];
    let keygen = |cs: &ConstraintSystem, fixed, copies: &[_]| {
        keygen_columns(&params, cs, fixed, copies, Tag::default())
            .map(|_| ())
            .unwrap_err()
    };
    let error = keygen(&system(), vec![vec![]], &[]);
    assert!(matches!(
        error,
        KeygenError::FixedColumns {
            columns: 2,
            rows: 26
        }
    ));
    let error = keygen(&system(), vec![vec![Fp::ONE; 27], vec![]], &[]);
    assert!(matches!(error, KeygenError::FixedColumns { .. }));
    let a = (column(ColumnKind::Advice, 0), 0);
    let outside = (column(ColumnKind::Advice, 1), 0);
    assert!(matches!(
        keygen(&system(), fixed(), &[(a, outside)]),
        KeygenError::Copy(_)
    ));
    let hidden = (column(ColumnKind::Advice, 0), 26);
    assert!(matches!(
        keygen(&system(), fixed(), &[(a, hidden)]),
        KeygenError::Copy(_)
    ));
    let mut broken = system();
    broken.gates[0].nodes.pop();
    assert!(matches!(
        keygen(&broken, fixed(), &[]),
        KeygenError::ConstraintSystem(_)
    ));
}

#[test]
fn rejects_a_circuit_that_configures_something_else() {
    let spec = Spec::random_of_size(K, &mut StdRng::seed_from_u64(3));
    let params = Params::derive(K).unwrap();
    let circuit = RandomCircuit::random(&spec, 1, 2);
    with(&spec, || {
        let mut cs = constraint_system::<RandomCircuit>().unwrap();
        cs.minimum_degree = Some(cs.degree() + 1);
        let error = keygen(&params, &cs, &circuit, Tag::default())
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, KeygenError::OtherConstraintSystem));
    });
}

#[test]
fn rejects_a_changed_witness_of_a_circuit_and_names_the_stages() {
    let wanted = |seed: &u64| {
        let spec = Spec::random_of_size(K, &mut StdRng::seed_from_u64(*seed));
        let copied = spec
            .copies
            .iter()
            .find(|(a, b)| a != b && a.0 == Kind::Advice);
        copied.is_some()
    };
    let seed = (0..).find(wanted).unwrap();
    let spec = Spec::random_of_size(K, &mut StdRng::seed_from_u64(seed));
    let params = Params::derive(K).unwrap();
    let mut circuit = RandomCircuit::random(&spec, 1, 2);
    with(&spec, || {
        let cs = constraint_system::<RandomCircuit>().unwrap();
        let key = keygen(&params, &cs, &circuit, Tag::default()).unwrap();
        let stages = std::sync::Mutex::new(vec![]);
        let progress = |stage| stages.lock().unwrap().push(stage);
        let run = |circuit: &RandomCircuit| {
            let options = Options {
                progress: Some(&progress),
                ..Options::default()
            };
            let rng = StdRng::seed_from_u64(1);
            prove(
                &params,
                &key,
                std::slice::from_ref(circuit),
                std::slice::from_ref(&circuit.instance),
                rng,
                options,
            )
        };
        run(&circuit).unwrap();
        let expected = [
            Stage::Synthesis,
            Stage::Witness,
            Stage::Lookups,
            Stage::Products,
            Stage::Quotient,
            Stage::Evaluations,
            Stage::Opening,
        ];
        assert_eq!(*stages.lock().unwrap(), expected);
        let (cell, _) = spec
            .copies
            .iter()
            .find(|(a, b)| a != b && a.0 == Kind::Advice)
            .unwrap();
        circuit.advice[cell.1][cell.2] += Fp::ONE;
        assert!(matches!(run(&circuit), Err(ProveError::NotSatisfied)));
    });
}
