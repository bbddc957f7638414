//! From a compiled program to keys and proofs, through the engine or through the stock prover.
//!
//! Both speak one protocol: their keys have the same id, and each verifies under the other's. The engine works from the
//! columns directly; the stock library runs the halo2 circuit and is the reference to compare with.

use ff::Field;
use halo2_proofs::plonk::{create_proof, keygen_pk, keygen_vk};
use halo2_proofs::transcript::{Blake2bWrite, Challenge255};
use pasta_curves::{EqAffine, Fp};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use zkonnx_circuits::circuit::{ModelCircuit, with_chips};
use zkonnx_circuits::compile::{Compiled, Inference};
use zkonnx_circuits::plan::Cell;
use zkonnx_engine::{self as engine, AdviceColumn, Options, ProvingKey, Tag};
use zkonnx_verifier::VerifyingKey;
use zkonnx_verifier::cs::{Column, ColumnKind};

use crate::error::Error;

/// A generator for one proof, seeded by the operating system.
pub fn random() -> Result<StdRng, Error> {
    StdRng::try_from_rng(&mut SysRng).map_err(|_| Error::Randomness)
}

/// The cells of a compiled program that have to be equal.
fn copies(compiled: &Compiled) -> Vec<(engine::Cell, engine::Cell)> {
    let assembly = &compiled.assembly;
    let column = |kind, index| Column { kind, index };
    let advice = |cell: &Cell| (column(ColumnKind::Advice, cell.column), cell.row as usize);
    let copies = assembly
        .copies
        .iter()
        .map(|(copy, original)| (advice(copy), advice(original)));
    let public = assembly.public.iter();
    let public = public.map(|(cell, row)| {
        (
            advice(cell),
            (column(ColumnKind::Instance, 0), *row as usize),
        )
    });
    copies.chain(public).collect()
}

/// Generates the proving key of a compiled program.
pub fn generate(params: &engine::Params, compiled: &Compiled) -> Result<ProvingKey, Error> {
    Ok(engine::keygen_columns(
        params,
        &compiled.assembly.chips.cs,
        compiled.assembly.fixed.clone(),
        &copies(compiled),
        Tag(compiled.program_id),
    )?)
}

/// Whether a key is the one that [`generate`] would generate; see [`ProvingKey::check`].
pub fn is_key_of(
    key: &ProvingKey,
    params: &engine::Params,
    compiled: &Compiled,
) -> Result<bool, Error> {
    let (cs, tag) = (&compiled.assembly.chips.cs, Tag(compiled.program_id));
    if key.circuit().cs() != cs || *key.tag() != tag {
        return Ok(false);
    }
    // Drawn after the key was read.
    let weight = Fp::random(&mut random()?);
    let fixed = compiled.assembly.fixed.clone();
    Ok(key.check(params, fixed, &copies(compiled), weight)?.is_ok())
}

/// The verifying key that belongs to a proving key.
pub fn verifying_key(key: &ProvingKey, compiled: &Compiled) -> Result<VerifyingKey, Error> {
    let circuit = key.circuit();
    Ok(VerifyingKey::new(
        circuit.k(),
        circuit.cs().clone(),
        circuit.fixed_commitments().to_vec(),
        circuit.permutation_commitments().to_vec(),
        compiled.public.clone(),
        compiled.program_id,
    )?)
}

/// Proves inferences with the engine, all in one proof.
pub fn prove(
    params: &engine::Params,
    key: &ProvingKey,
    compiled: &Compiled,
    inferences: &[Inference],
    rng: StdRng,
    options: Options<'_>,
) -> Result<Vec<u8>, Error> {
    let columns = |inference| {
        compiled
            .advice(inference)
            .columns
            .into_iter()
            .map(AdviceColumn::Full)
            .collect()
    };
    let witnesses = inferences.iter().map(columns).collect();
    let instances: Vec<Vec<Vec<Fp>>> = inferences
        .iter()
        .map(|inference| vec![inference.instance.clone()])
        .collect();
    Ok(engine::prove_witness(
        params, key, witnesses, &instances, rng, options,
    )?)
}

/// Proves inferences with the stock prover, which generates its keys each time.
pub fn prove_stock(
    params: &engine::Params,
    compiled: &Compiled,
    inferences: &[Inference],
    rng: StdRng,
) -> Result<StockProof, Error> {
    let params = params.to_halo2().map_err(|source| Error::Stored {
        path: "parameters".into(),
        source,
    })?;
    with_chips(&compiled.assembly.chips, || {
        let blank = ModelCircuit::blank(&compiled.assembly);
        let (keys, keygen_cpu_s) = crate::measure::timed(|| {
            let key = keygen_vk(&params, &blank)?;
            let digest = format!("{:?}", key.pinned());
            keygen_pk(&params, key, &blank).map(|key| (key, digest))
        });
        let (key, pinned) = keys.map_err(Error::Stock)?;
        let circuits: Vec<ModelCircuit> = inferences
            .iter()
            .map(|inference| compiled.circuit(inference))
            .collect();
        let columns: Vec<[&[Fp]; 1]> = inferences
            .iter()
            .map(|inference| [inference.instance.as_slice()])
            .collect();
        let instances: Vec<&[&[Fp]]> = columns.iter().map(<[&[Fp]; 1]>::as_slice).collect();
        let (proof, prove_cpu_s) = crate::measure::timed(|| {
            let mut transcript = Blake2bWrite::<_, EqAffine, Challenge255<_>>::init(Vec::new());
            create_proof(&params, &key, &circuits, &instances, rng, &mut transcript)?;
            Ok(transcript.finalize())
        });
        let proof = proof.map_err(Error::Stock)?;
        Ok(StockProof {
            proof,
            pinned,
            keygen_cpu_s,
            prove_cpu_s,
        })
    })
}

/// What the stock prover made.
#[derive(Clone, Debug)]
pub struct StockProof {
    /// The proof.
    pub proof: Vec<u8>,
    /// halo2's own description of its verifying key.
    pub pinned: String,
    /// CPU seconds for both keys.
    pub keygen_cpu_s: f64,
    /// CPU seconds for the proof.
    pub prove_cpu_s: f64,
}
