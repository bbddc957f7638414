//! `zkonnx inspect`: what a file is.

use std::path::Path;

use serde_json::{Value, json};
use zkonnx_verifier::interface::Source;
use zkonnx_verifier::{Claim, Params, PortSpec, Receipt, VerifyingKey, cost};

use super::answer::Answer;
use super::args::InspectArgs;
use super::assumed;
use super::style::bytes;
use super::values::{
    FIXED, claim_json, claim_text, nodes_json, nodes_text, quantization_json, tail_json, tail_text,
    type_name,
};
use crate::artifact::{Kind, MAX_MODEL_BYTES, hex};
use crate::error::Error;
use crate::keys::{self, Manifest, ManifestPort, visibility_name};
use crate::model::Model;
use crate::{files, model};

pub(super) fn inspect(args: &InspectArgs) -> Result<Answer, Error> {
    let path = args.artifact.as_path();
    if path.is_dir() {
        args.dims.absent(FIXED)?;
        return folder(path);
    }
    let read = files::read(path, MAX_MODEL_BYTES, "an artifact")?;
    let kind = Kind::of(&read);
    if kind != Kind::Model {
        args.dims.absent(FIXED)?;
    }
    let malformed = |source| Error::Decode {
        path: path.into(),
        what: "artifact",
        source,
    };
    let (mut json, text) = match kind {
        Kind::Receipt => receipt(&Receipt::decode(&read).map_err(malformed)?),
        Kind::Claim => {
            let claim = Claim::decode(&read).map_err(malformed)?;
            (claim_json(&claim), claim_text(&claim))
        }
        Kind::VerifyingKey => verifying_key(&VerifyingKey::decode(&read).map_err(malformed)?),
        Kind::Program => program(&model::program(path, &read)?),
        Kind::Model => onnx(&Model::import(path, &read, &args.dims.bindings()?)?),
        Kind::Params => {
            let params = Params::decode(&read)?;
            let text = format!(
                "parameters for up to 2^{} rows, digest as pinned\n",
                params.k()
            );
            (
                json!({"k": params.k(), "digest": hex(&Params::digest(&read))}),
                text,
            )
        }
        Kind::ProverParams => {
            let params = zkonnx_engine::Params::read(read.as_slice());
            let params = params.map_err(|source| Error::Stored {
                path: path.into(),
                source,
            })?;
            (
                json!({"k": params.k()}),
                format!("parameters for 2^{} rows\n", params.k()),
            )
        }
        Kind::ProvingKey => {
            let key = zkonnx_engine::ProvingKey::read(read.as_slice(), None);
            let key = key.map_err(|source| Error::Stored {
                path: path.into(),
                source,
            })?;
            let program = key.tag().to_string();
            let text = format!("program   {program}\nrows      2^{}\n", key.circuit().k());
            (json!({"program_id": program, "k": key.circuit().k()}), text)
        }
    };
    json["kind"] = json!(kind.name());
    json["file_bytes"] = json!(read.len());
    let what = if kind == Kind::Model {
        "an ONNX model".to_owned()
    } else {
        kind.to_string()
    };
    Ok(Answer::yes(
        json,
        format!(
            "{}: {what}, {}\n{text}",
            path.display(),
            bytes(read.len() as u64)
        ),
    ))
}

fn receipt(receipt: &Receipt) -> (Value, String) {
    let mut text = format!(
        "key       {}\nproof     {}\n",
        hex(receipt.vk_id()),
        bytes(receipt.proof().len() as u64)
    );
    receipt
        .claims()
        .iter()
        .for_each(|claim| text.push_str(&claim_text(claim)));
    text.push_str("Nothing of this has been checked; `zkonnx verify` does.\n");
    let json = json!({
        "vk_id": hex(receipt.vk_id()),
        "proof_bytes": receipt.proof().len(),
        "claims": receipt.claims().iter().map(claim_json).collect::<Vec<_>>(),
    });
    (json, text)
}

fn ports_json(ports: &[PortSpec]) -> Value {
    ports.iter().map(|port| json!({"dtype": format!("{:?}", port.dtype()).to_lowercase(), "shape": port.shape()})).collect()
}

fn verifying_key(key: &VerifyingKey) -> (Value, String) {
    let (circuit, layout) = (key.circuit(), key.layout());
    let proof_bytes = cost(key).proof_bytes(1);
    let types = |ports: &[PortSpec]| {
        ports
            .iter()
            .map(|port| type_name(port.dtype(), port.shape()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let text = format!(
        "id        {}\nprogram   {} (as the key claims)\ninput     {}, {}\noutput    {}\nrows      2^{}\n\
         columns   {} advice, {} fixed\nproof     {} for one claim\n",
        hex(key.id()),
        hex(key.program_id()),
        types(layout.inputs()),
        visibility_name(layout.visibility()),
        types(layout.outputs()),
        circuit.k(),
        circuit.cs().num_advice,
        circuit.cs().num_fixed,
        bytes(proof_bytes as u64),
    );
    let json = json!({
        "vk_id": hex(key.id()),
        "program_id": hex(key.program_id()),
        "visibility": visibility_name(layout.visibility()),
        "inputs": ports_json(layout.inputs()),
        "outputs": ports_json(layout.outputs()),
        "k": circuit.k(),
        "advice_columns": circuit.cs().num_advice,
        "fixed_columns": circuit.cs().num_fixed,
        "proof_bytes": proof_bytes,
    });
    (json, text)
}

/// The outputs of the model in its order: their names, and their places among the proved ones.
fn named_outputs(program: &zkonnx_circuits::program::Program) -> Value {
    let outputs = program.interface().model_outputs().iter();
    outputs
        .map(|output| {
            let place = match output.source {
                Source::Output(place) => json!(place),
                _ => Value::Null,
            };
            json!({"name": output.name, "output": place})
        })
        .collect()
}

fn program(program: &zkonnx_circuits::program::Program) -> (Value, String) {
    let port = |port: &zkonnx_circuits::program::Port| {
        let fact = program.fact(port.tensor);
        json!({
            "name": port.name,
            "dtype": format!("{:?}", fact.dtype).to_lowercase(),
            "shape": fact.shape,
            "quantization": quantization_json(port.quantization.as_ref()),
        })
    };
    let (assumptions, assumed) = assumed::of_program(program);
    let listing = format!("{program}{assumed}");
    let json = json!({
        "assumptions": assumptions,
        "program_id": hex(&program.id()),
        "interface_hash": hex(&program.interface().hash()),
        "body_hash": hex(&program.body_hash()),
        "inputs": program.inputs().iter().map(port).collect::<Vec<_>>(),
        "outputs": program.outputs().iter().map(port).collect::<Vec<_>>(),
        "named_outputs": named_outputs(program),
        "node_count": program.nodes().len(),
        "listing": program.to_string(),
    });
    (json, listing)
}

fn onnx(model: &Model) -> (Value, String) {
    let (mut json, listing) = program(&model.program);
    json["not_proved"] = tail_json(model);
    (
        json,
        format!("its integer program:\n{listing}{}", tail_text(model)),
    )
}

fn folder(path: &Path) -> Result<Answer, Error> {
    let (manifest, program) = keys::load_program(path)?;
    let mut text = format!(
        "{}: keys made by `zkonnx setup`\nprogram   {}\nkey       {}\nrows      2^{}, {} input\nsizes     program {}, pk {}, vk {}\n{program}",
        path.display(),
        manifest.program_id,
        manifest.vk_id,
        manifest.k,
        manifest.input,
        bytes(manifest.program_bytes),
        bytes(manifest.pk_bytes),
        bytes(manifest.vk_bytes),
    );
    let (assumptions, assumed) = assumed::of_program(&program);
    text.push_str(&assumed);
    text.push_str(&nodes_text(&manifest.not_proved()));
    let mut json = manifest_json(&manifest);
    json["assumptions"] = assumptions;
    json["kind"] = json!("keys");
    Ok(Answer::yes(json, text))
}

/// What a folder of keys says of itself, in the words of the other answers.
pub(super) fn manifest_json(manifest: &Manifest) -> Value {
    let ports = |ports: &[ManifestPort]| -> Value {
        let port = |port: &ManifestPort| json!({"name": port.name, "dtype": port.dtype, "shape": port.shape});
        ports.iter().map(port).collect()
    };
    json!({
        "setup_version": manifest.version,
        "program_id": manifest.program_id,
        "vk_id": manifest.vk_id,
        "visibility": manifest.input,
        "k": manifest.k,
        "inputs": ports(&manifest.inputs),
        "outputs": ports(&manifest.outputs),
        "program_bytes": manifest.program_bytes,
        "program_digest": manifest.program_digest,
        "pk_bytes": manifest.pk_bytes,
        "vk_bytes": manifest.vk_bytes,
        "vk_digest": manifest.vk_digest,
        "not_proved": nodes_json(&manifest.not_proved()),
    })
}
