//! Receipts: what is accepted, what is refused and by which name, alone, in batches and deferred.

mod common;

use common::claims::{Model, PROGRAM};
use common::{Spec, mix};
use zkonnx_verifier::cs::{Column, ColumnKind, ConstraintSystem, Query};
use zkonnx_verifier::{
    BatchError, Claim, ClaimInput, DataType, InputVisibility, LayoutError, Params, PortSpec,
    PublicLayout, Receipt, Rejected, TensorData, VerifyError, VerifyingKey, Work, batch_cost, cost,
    discharge_all, verify, verify_batch, verify_batch_counting, verify_counting, verify_deferred,
};

fn params() -> Params {
    common::params(7)
}

fn tensor(values: &[i64]) -> TensorData {
    TensorData::new(DataType::I8, vec![values.len() as u32], values.to_vec()).unwrap()
}

/// The receipt with its proof and other claims.
fn with_claims(receipt: &Receipt, claims: Vec<Claim>) -> Receipt {
    Receipt::new(*receipt.vk_id(), claims, receipt.proof().to_vec()).unwrap()
}

fn with_proof(receipt: &Receipt, proof: Vec<u8>) -> Receipt {
    Receipt::new(*receipt.vk_id(), receipt.claims().to_vec(), proof).unwrap()
}

#[test]
fn accepts_receipts_of_one_and_several_claims_and_refuses_all_else() {
    let params = params();
    let model = Model::small(1, 6);
    for claims in [1, 3] {
        let receipt = model.receipt(claims);
        assert_eq!(verify(&model.key, &params, &receipt), Ok(()));
        assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt.clone()));
        assert_eq!(
            receipt.proof().len(),
            cost(&model.key).proof_bytes(claims.into())
        );
    }
}

#[test]
fn rejects_every_other_claim_under_the_same_proof() {
    let params = params();
    let model = Model::small(2, 6);
    let receipt = model.receipt(2);
    let [first, second] = receipt.claims() else {
        panic!("two claims");
    };
    let rebuilt =
        |claim: &Claim, inputs: Vec<ClaimInput>, outputs: Vec<TensorData>, context: [u8; 32]| {
            let changed = Claim::new(*claim.program_id(), inputs, outputs, context).unwrap();
            verify(
                &model.key,
                &params,
                &with_claims(&receipt, vec![changed, second.clone()]),
            )
        };
    let (inputs, outputs, context) = (first.inputs(), first.outputs(), *first.context());
    assert_eq!(
        rebuilt(first, inputs.to_vec(), outputs.to_vec(), context),
        Ok(())
    );
    for byte in [0, 15, 16, 31] {
        let mut other = context;
        other[byte] ^= 0x80;
        assert_eq!(
            rebuilt(first, inputs.to_vec(), outputs.to_vec(), other),
            Err(VerifyError::InvalidProof)
        );
    }
    for position in 0..3 {
        let mut values = outputs[0].values().to_vec();
        values[position] -= 1;
        let other = vec![tensor(&values), outputs[1].clone()];
        assert_eq!(
            rebuilt(first, inputs.to_vec(), other, context),
            Err(VerifyError::InvalidProof)
        );
    }
    let [ClaimInput::Public(input)] = inputs else {
        panic!("a public input");
    };
    let mut values = input.values().to_vec();
    values[4] += 1;
    let other = TensorData::with_spec(input.spec().clone(), values).unwrap();
    assert_eq!(
        rebuilt(
            first,
            vec![ClaimInput::Public(other)],
            outputs.to_vec(),
            context
        ),
        Err(VerifyError::InvalidProof)
    );
    let swapped = with_claims(&receipt, vec![second.clone(), first.clone()]);
    assert_eq!(
        verify(&model.key, &params, &swapped),
        Err(VerifyError::InvalidProof)
    );
}

#[test]
fn rejects_receipts_of_other_keys_programs_and_shapes_by_name() {
    let params = params();
    let (model, other) = (Model::small(3, 6), Model::small(4, 6));
    let receipt = model.receipt(1);
    assert_eq!(
        verify(&other.key, &params, &receipt),
        Err(VerifyError::WrongKey)
    );
    let claim = &receipt.claims()[0];
    let renamed = Claim::new(
        [9; 32],
        claim.inputs().to_vec(),
        claim.outputs().to_vec(),
        *claim.context(),
    );
    assert_eq!(
        verify(
            &model.key,
            &params,
            &with_claims(&receipt, vec![renamed.unwrap()])
        ),
        Err(VerifyError::WrongProgram { claim: 0 })
    );
    let private = Claim::new(
        *claim.program_id(),
        ClaimInput::private(1),
        claim.outputs().to_vec(),
        *claim.context(),
    );
    assert_eq!(
        verify(
            &model.key,
            &params,
            &with_claims(&receipt, vec![private.unwrap()])
        ),
        Err(VerifyError::Layout {
            claim: 0,
            source: LayoutError::VisibilityMismatch {
                expected: InputVisibility::Public
            }
        })
    );
    // A claim more changes the length of the proof that there has to be.
    let twice = vec![claim.clone(), claim.clone()];
    assert!(matches!(
        verify(&model.key, &params, &with_claims(&receipt, twice)),
        Err(VerifyError::ProofLength { .. })
    ));
    let longer = [receipt.proof(), &[0]].concat();
    assert!(matches!(
        verify(&model.key, &params, &with_proof(&receipt, longer)),
        Err(VerifyError::ProofLength { .. })
    ));
}

#[test]
fn accepts_private_input_without_its_values() {
    let spec = Spec {
        seed: 5,
        k: 6,
        copies: 2,
        ..Spec::default()
    };
    let model = Model::new(spec, InputVisibility::Private, PROGRAM);
    let receipt = model.receipt(1);
    assert_eq!(receipt.claims()[0].inputs(), [ClaimInput::Private]);
    assert_eq!(verify(&model.key, &params(), &receipt), Ok(()));
}

/// Receipts of three models of two sizes.
fn many() -> (Vec<Model>, Vec<(usize, Receipt)>) {
    let models: Vec<Model> = vec![
        Model::small(10, 5),
        Model::small(11, 6),
        Model::small(12, 6),
    ];
    let mut receipts = Vec::new();
    for (index, model) in models.iter().enumerate() {
        for claims in 1..=2 {
            receipts.push((index, model.receipt(claims)));
        }
    }
    (models, receipts)
}

#[test]
fn accepts_batches_across_models_and_sizes_and_names_what_fails() {
    let params = params();
    let (models, mut receipts) = many();
    let check = |receipts: &[(usize, Receipt)]| {
        let items: Vec<_> = receipts
            .iter()
            .map(|(model, receipt)| (&models[*model].key, receipt))
            .collect();
        verify_batch(&items, &params)
    };
    assert_eq!(check(&receipts), Ok(()));
    assert_eq!(check(&[]), Ok(()));
    // Two that are wrong and one that is malformed.
    let spoil = |receipt: &Receipt, offset: usize, mask: u8| {
        let mut proof = receipt.proof().to_vec();
        proof[offset] ^= mask;
        with_proof(receipt, proof)
    };
    let len = receipts[1].1.proof().len();
    receipts[1].1 = spoil(&receipts[1].1, len - 1 - 31, 1);
    receipts[4].1 = spoil(&receipts[4].1, 31, 0x80);
    receipts[2].1 = with_proof(&receipts[2].1, vec![]);
    let Err(BatchError { failures }) = check(&receipts) else {
        panic!("three receipts are wrong");
    };
    let names: Vec<usize> = failures.iter().map(|&(index, _)| index).collect();
    assert_eq!(names, [1, 2, 4]);
    for (index, error) in failures {
        let (model, receipt) = &receipts[index];
        assert_eq!(verify(&models[*model].key, &params, receipt), Err(error));
    }
}

/// Two wrong proofs whose errors cancel under equal coefficients: c is changed up in one and down in the other.
#[test]
fn rejects_errors_that_would_cancel_in_a_plain_sum() {
    use ff::{Field, PrimeField};
    use pasta_curves::Fp;
    let params = params();
    let model = Model::small(13, 5);
    let receipt = model.receipt(1);
    let shifted = |delta: Fp| {
        let mut proof = receipt.proof().to_vec();
        // The last scalar is f, which only enters as -f · w.
        let at = proof.len() - 32;
        let mut repr = [0; 32];
        repr.copy_from_slice(&proof[at..]);
        let value = Fp::from_repr(repr).unwrap() + delta;
        proof[at..].copy_from_slice(&value.to_repr());
        with_proof(&receipt, proof)
    };
    let (up, down) = (shifted(Fp::ONE), shifted(-Fp::ONE));
    let error = verify_batch(&[(&model.key, &up), (&model.key, &down)], &params).unwrap_err();
    let wrong = |index| (index, VerifyError::InvalidProof);
    assert_eq!(error.failures, [wrong(0), wrong(1)]);
}

#[test]
fn accepts_deferred_receipts_only_once_discharged_and_names_what_fails() {
    let params = params();
    let (models, mut receipts) = many();
    let defer = |receipts: &[(usize, Receipt)]| -> Vec<_> {
        receipts
            .iter()
            .map(|(model, receipt)| verify_deferred(&models[*model].key, &params, receipt).unwrap())
            .collect()
    };
    let all = discharge_all(defer(&receipts), &params).unwrap();
    for ((model, receipt), verified) in receipts.iter().zip(&all) {
        let digests: Vec<_> = receipt.claims().iter().map(Claim::digest).collect();
        assert_eq!(verified.claims(), digests);
        assert_eq!(verified.vk_id(), models[*model].key.id());
        assert_eq!(verified.program_id(), models[*model].key.program_id());
    }
    let alone = defer(&receipts).swap_remove(3).discharge(&params);
    assert_eq!(alone.unwrap(), all[3]);
    assert_eq!(discharge_all(vec![], &params), Ok(vec![]));

    let (model, receipt) = &receipts[3];
    let mut claims = receipt.claims().to_vec();
    let first = &claims[0];
    let context = [1; 32];
    claims[0] = Claim::new(
        *first.program_id(),
        first.inputs().to_vec(),
        first.outputs().to_vec(),
        context,
    )
    .unwrap();
    let digests: Vec<_> = claims.iter().map(Claim::digest).collect();
    receipts[3] = (*model, with_claims(receipt, claims));
    let error = discharge_all(defer(&receipts), &params).unwrap_err();
    let wrong = Rejected {
        index: 3,
        claims: digests,
        error: VerifyError::InvalidProof,
    };
    assert_eq!(error.rejected, [wrong]);
    assert_eq!(error.verified.len(), receipts.len() - 1);
    assert_eq!(
        defer(&receipts).swap_remove(3).discharge(&params),
        Err(VerifyError::InvalidProof)
    );
}

/// The parameters of a discharge need not be those of the deferral.
#[test]
fn rejects_deferred_receipts_that_the_parameters_are_too_small_for() {
    let model = Model::small(16, 6);
    let receipt = model.receipt(1);
    let defer = || verify_deferred(&model.key, &params(), &receipt).unwrap();
    let small = common::params(5);
    let too_small = VerifyError::ParamsTooSmall {
        needed: 6,
        available: 5,
    };
    assert_eq!(defer().discharge(&small), Err(too_small));
    let error = discharge_all(vec![defer(), defer()], &small).unwrap_err();
    let claims: Vec<_> = receipt.claims().iter().map(Claim::digest).collect();
    let rejected = [0, 1].map(|index| Rejected {
        index,
        claims: claims.clone(),
        error: too_small,
    });
    assert_eq!(
        (error.rejected, error.verified),
        (rejected.to_vec(), vec![])
    );
}

#[test]
fn accepts_deferred_points_that_satisfy_the_stated_equation() {
    use ff::Field;
    use pasta_curves::{Eq, Fp};
    let params = params();
    let model = Model::small(14, 5);
    let deferred = verify_deferred(&model.key, &params, &model.receipt(1)).unwrap();
    assert_eq!(deferred.challenges().len(), 5);
    let mut s = vec![Fp::ONE];
    for challenge in deferred.challenges().iter().rev() {
        let upper: Vec<Fp> = s.iter().map(|value| value * challenge).collect();
        s.extend(upper);
    }
    let (g, _, _, _) = common::stock_parts(5);
    let sum: Eq = s.iter().zip(g).map(|(scalar, point)| point * scalar).sum();
    assert_eq!(Eq::from(*deferred.point()), sum * deferred.scalar());
}

#[test]
fn accepts_the_question_what_any_number_of_claims_costs() {
    let model = Model::small(15, 5);
    let cost = cost(&model.key);
    assert!(cost.single(1).within(&cost.single(2)));
    assert!(cost.single(64).within(&cost.single(usize::MAX)));
    assert_eq!(cost.proof_bytes(usize::MAX), usize::MAX);
    assert!(cost.single(3).within(&batch_cost(&[(&cost, 3)])));
}

#[test]
fn accepts_only_work_within_the_stated_cost() {
    let params = params();
    let (models, mut receipts) = many();
    let mut state = 1;
    for (model, receipt) in &receipts {
        let key = &models[*model].key;
        let bound = cost(key).single(receipt.claims().len());
        let mut done = Work::default();
        verify_counting(key, &params, receipt, &mut done).unwrap();
        assert!(done.within(&bound), "{done:?} in {bound:?}");
        // The bound is of use: below twice what an honest receipt takes. The rest is buckets that stay empty.
        assert!(
            done.group_additions * 2 > bound.group_additions,
            "{done:?} in {bound:?}"
        );
        assert_eq!(done.decompressions, bound.decompressions);
    }
    let items: Vec<_> = receipts
        .iter()
        .map(|(model, receipt)| (&models[*model].key, receipt))
        .collect();
    let costs: Vec<_> = items.iter().map(|(key, _)| cost(key)).collect();
    let priced: Vec<_> = costs
        .iter()
        .zip(&items)
        .map(|(cost, (_, receipt))| (cost, receipt.claims().len()))
        .collect();
    let bound = batch_cost(&priced);
    let mut done = Work::default();
    verify_batch_counting(&items, &params, &mut done).unwrap();
    assert!(done.within(&bound), "{done:?} in {bound:?}");
    // The worst case: everything is well-formed and wrong.
    for (_, receipt) in &mut receipts {
        let mut proof = receipt.proof().to_vec();
        let at = proof.len() - 32;
        proof[at] ^= 1 << (mix(&mut state) % 8);
        *receipt = with_proof(receipt, proof);
    }
    let items: Vec<_> = receipts
        .iter()
        .map(|(model, receipt)| (&models[*model].key, receipt))
        .collect();
    let mut done = Work::default();
    let error = verify_batch_counting(&items, &params, &mut done).unwrap_err();
    assert_eq!(error.failures.len(), items.len());
    assert!(done.within(&bound), "{done:?} in {bound:?}");
    assert!(
        done.group_additions * 2 > bound.group_additions,
        "{done:?} in {bound:?}"
    );
}

/// What is counted, to the last multiplication: contracts charge by it, so it does not change unnoticed.
#[test]
fn counts_the_same_work_as_ever() {
    let params = params();
    let (models, receipts) = many();
    let items: Vec<_> = receipts
        .iter()
        .map(|(model, receipt)| (&models[*model].key, receipt))
        .collect();
    let mut counted = Vec::new();
    for &(key, receipt) in &items {
        let mut done = Work::default();
        verify_counting(key, &params, receipt, &mut done).unwrap();
        counted.push(done);
    }
    let mut done = Work::default();
    verify_batch_counting(&items, &params, &mut done).unwrap();
    counted.push(done);
    let counted: Vec<_> = counted
        .iter()
        .map(|done| (done.hashed_bytes, done.field_muls, done.field_inversions))
        .collect();
    let singles = [
        (5953, 701, 6),
        (7948, 1027, 6),
        (6244, 677, 6),
        (8108, 937, 6),
        (5756, 971, 6),
        (7524, 1527, 6),
    ];
    let batch = [(42_813, 5840, 36)];
    assert_eq!(counted, [&singles[..], &batch].concat());
}

/// A key of a stranger that is nearly all opening points and public values: sixty columns, each read at sixty-one
/// rotations, and fifty elements of packed bytes.
#[test]
fn accepts_only_work_within_the_cost_of_a_key_with_thousands_of_points_and_values() {
    let query = |kind, index, rotation| Query {
        column: Column { kind, index },
        rotation,
    };
    let advice_queries = (0..60)
        .flat_map(|column| (0..62).map(move |rotation| (column, rotation)))
        .filter(|&(column, rotation)| rotation != column)
        .map(|(column, rotation)| query(ColumnKind::Advice, column as u32, rotation))
        .collect();
    let cs = ConstraintSystem {
        num_advice: 60,
        num_instance: 1,
        advice_queries,
        instance_queries: vec![query(ColumnKind::Instance, 0, 0)],
        ..ConstraintSystem::default()
    };
    let output = PortSpec::new(DataType::U8, vec![50, 31]).unwrap();
    let visibility = InputVisibility::Private;
    let layout = PublicLayout::new(visibility, vec![], vec![output.clone()]).unwrap();
    let key = VerifyingKey::new(8, cs, vec![], vec![], layout, PROGRAM).unwrap();
    let outputs = vec![TensorData::with_spec(output, vec![0; 1550]).unwrap()];
    let claim = Claim::new(PROGRAM, vec![], outputs, [0; 32]).unwrap();
    // One is a scalar, and the x of a point.
    let mut item = [0; 32];
    item[0] = 1;
    let proof = item.repeat(cost(&key).proof_bytes(1) / 32);
    let receipt = Receipt::new(*key.id(), vec![claim], proof).unwrap();
    let (mut done, bound) = (Work::default(), cost(&key).single(1));
    assert_eq!(
        verify_counting(&key, &common::params(8), &receipt, &mut done),
        Err(VerifyError::InvalidProof)
    );
    assert!(done.within(&bound), "{done:?} in {bound:?}");
    // What a field that counts its multiplications said of this receipt.
    assert!(done.field_muls >= 259_485, "{done:?}");
}
