//! Receipts over test circuits.

use super::{Setup, Spec, TestCircuit};
use zkonnx_verifier::{
    Claim, ClaimInput, DataType, InputVisibility, PortSpec, PublicLayout, Receipt, TensorData,
    VerifyingKey,
};

/// A circuit with one instance column, and a key for receipts about it.
pub(crate) struct Model {
    pub(crate) setup: Setup,
    pub(crate) key: VerifyingKey,
}

pub(crate) const PROGRAM: [u8; 32] = [0xaa; 32];

impl Model {
    /// A model whose circuit has the spec's shape, with an instance column for one small input and two outputs.
    pub(crate) fn new(mut spec: Spec, visibility: InputVisibility, program_id: [u8; 32]) -> Self {
        let layout = layout(visibility);
        spec.instances = vec![layout.element_count()];
        let setup = Setup::new(spec);
        let circuit = &setup.key;
        let key = VerifyingKey::new(
            circuit.k(),
            circuit.cs().clone(),
            circuit.fixed_commitments().to_vec(),
            circuit.permutation_commitments().to_vec(),
            layout,
            program_id,
        )
        .unwrap();
        Self { setup, key }
    }

    /// A small model, different for each seed.
    pub(crate) fn small(seed: u64, k: u32) -> Self {
        let mut spec = Spec::random(seed, k);
        spec.copies = spec.copies.max(1);
        let mut program = PROGRAM;
        program[0] = seed as u8;
        Self::new(spec, InputVisibility::Public, program)
    }

    /// Claims that say what the number says, and their proof.
    pub(crate) fn receipt(&self, claims: u8) -> Receipt {
        let claims: Vec<Claim> = (0..claims).map(|number| self.claim(number)).collect();
        self.prove(claims)
    }

    pub(crate) fn prove(&self, claims: Vec<Claim>) -> Receipt {
        let circuits = claims
            .iter()
            .enumerate()
            .map(|(number, claim)| {
                let instance = self.key.layout().instance(claim).unwrap();
                TestCircuit::with_instance(&self.setup.spec, number as u64, vec![instance])
            })
            .collect();
        let proof = self.setup.prove_circuits(circuits).proof;
        Receipt::new(*self.key.id(), claims, proof).unwrap()
    }

    pub(crate) fn claim(&self, number: u8) -> Claim {
        let tensor = |port: &PortSpec, start: i64| {
            let values = (0..port.len() as i64)
                .map(|index| (start + index) % 100)
                .collect();
            TensorData::with_spec(port.clone(), values).unwrap()
        };
        let layout = self.key.layout();
        let start = i64::from(number);
        let inputs = match layout.visibility() {
            InputVisibility::Private => ClaimInput::private(layout.inputs().len()),
            InputVisibility::Public => ClaimInput::public(
                layout
                    .inputs()
                    .iter()
                    .map(|port| tensor(port, start))
                    .collect(),
            ),
        };
        let outputs = layout
            .outputs()
            .iter()
            .map(|port| tensor(port, start + 1))
            .collect();
        let mut context = [number; 32];
        context[31] = 0xff;
        Claim::new(*self.key.program_id(), inputs, outputs, context).unwrap()
    }
}

pub(crate) fn layout(visibility: InputVisibility) -> PublicLayout {
    PublicLayout::new(
        visibility,
        vec![PortSpec::new(DataType::U8, vec![1, 5]).unwrap()],
        vec![
            PortSpec::new(DataType::I8, vec![3]).unwrap(),
            PortSpec::new(DataType::I32, vec![]).unwrap(),
        ],
    )
    .unwrap()
}
