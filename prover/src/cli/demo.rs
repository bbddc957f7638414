//! `zkonnx demo`: one digit, from pixels to a verified proof.

use std::path::{Path, PathBuf};

use serde_json::json;
use zkonnx_circuits::plan::PlanOptions;
use zkonnx_circuits::program::Tensor;
use zkonnx_verifier::{InputVisibility, Receipt, VerifyingKey, verify};

use super::Session;
use super::answer::Answer;
use super::args::DemoArgs;
use super::style::{bytes, seconds};
use super::values::argmax;
use crate::artifact::hex;
use crate::error::Error;
use crate::input::{InputError, Samples, read_inputs_from};
use crate::keys::Keys;
use crate::measure::{peak_rss_bytes, timed};
use crate::model::Model;
use crate::prover::{How, prove};
use crate::{demo_model, files, places};

/// Names of the files that are kept.
const RECEIPT: &str = "receipt";
const KEY: &str = "vk";
/// Width and height of a digit.
const SIDE: usize = 8;

pub(super) fn demo(args: &DemoArgs, session: &Session) -> Result<Answer, Error> {
    if let Some(folder) = &args.output {
        places::check_folder(folder, &[RECEIPT, KEY], &[])?;
    }
    let model = Model::import(
        Path::new(demo_model::NAME),
        demo_model::MODEL,
        &zkonnx_onnx::Bindings::default(),
    )?;
    let samples = samples(&model)?;
    let available = samples.len();
    let wanted = args.sample;
    let sample = samples
        .only(wanted)
        .ok_or(Error::NoSuchSample { wanted, available })?;
    let output = &model.program.outputs()[0];
    let label = sample
        .labels(&output.name, 1)
        .and_then(|labels| labels.first().copied());
    let inputs: Vec<&[Tensor]> = sample.iter().collect();
    let keys = Keys::generate(
        model.program.clone(),
        InputVisibility::Public,
        &PlanOptions::default(),
        &session.cache,
        &session.progress,
    )?;
    let proved = prove(
        &keys,
        &inputs,
        &[[0; 32]],
        How::default(),
        &session.cache,
        &session.progress,
    )?;
    // What travels is bytes: the other side decodes both and knows nothing else.
    let (receipt, vk) = (proved.receipt.encode(), keys.verifying.encode());
    let malformed = |source| Error::Decode {
        path: PathBuf::from("demo"),
        what: "receipt",
        source,
    };
    let key = VerifyingKey::decode(&vk).map_err(malformed)?;
    let params = session
        .cache
        .verifier(key.circuit().k(), &session.progress)?;
    let received = Receipt::decode(&receipt).map_err(malformed)?;
    let (verdict, verify_cpu_s) = timed(|| verify(&key, &params, &received));
    verdict.map_err(Error::SelfCheck)?;
    if let Some(folder) = &args.output {
        files::create_folder(folder)?;
        files::write(&folder.join(RECEIPT), &receipt)?;
        files::write(&folder.join(KEY), &vk)?;
    }
    let digit = proved.inferences[0]
        .trace
        .outputs()
        .first()
        .and_then(|tensor| argmax(tensor));
    let mut text = picture(&inputs[0][0]);
    let said = digit.map_or("nothing".to_owned(), |digit| digit.to_string());
    let label_text = label.map_or(String::new(), |label| format!(" (labelled {label})"));
    text.push_str(&format!(
        "the model says {}{label_text}\n\n",
        session.style.bold(&said)
    ));
    text.push_str(&format!(
        "{} {} of proof for 6,464 multiplications, proved in {} of CPU (keys: {}, once)\n{} in {} of CPU, under a key of {}\n",
        session.style.good("proved  "),
        bytes(proved.receipt.proof().len() as u64),
        seconds(proved.prove_cpu_s),
        seconds(proved.keygen_cpu_s),
        session.style.good("verified"),
        seconds(verify_cpu_s),
        bytes(vk.len() as u64),
    ));
    text.push_str(&format!(
        "program {}\nclaim   {}\n",
        hex(key.program_id()),
        hex(&received.claims()[0].digest())
    ));
    let json = json!({
        "accepted": true,
        "digit": digit,
        "label": label,
        "k": key.circuit().k(),
        "program_id": hex(key.program_id()),
        "vk_id": hex(key.id()),
        "claim_digest": hex(&received.claims()[0].digest()),
        "keygen_cpu_s": proved.keygen_cpu_s,
        "prove_cpu_s": proved.prove_cpu_s,
        "verify_cpu_s": verify_cpu_s,
        "proof_bytes": proved.receipt.proof().len(),
        "vk_bytes": vk.len(),
        "peak_rss_bytes": peak_rss_bytes(),
    });
    Ok(Answer::yes(json, text))
}

fn samples(model: &Model) -> Result<Samples, Error> {
    let path = Path::new("the built-in samples");
    let names: Vec<&str> = model
        .program
        .inputs()
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    let inputs = read_inputs_from(path, demo_model::SAMPLES, &names)?;
    let samples = Samples::new(&model.program, inputs, crate::input::Meaning::Model);
    Ok(samples.map_err(|source| InputError::Sample {
        path: path.into(),
        source,
    })?)
}

/// The digit, two characters to a pixel, darker for larger values.
fn picture(image: &Tensor) -> String {
    const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];
    let lo = image.data.iter().copied().min().unwrap_or(0);
    let span = (image.data.iter().copied().max().unwrap_or(0) - lo).max(1);
    let mut text = String::new();
    for row in image.data.chunks(SIDE) {
        text.push_str("    ");
        for value in row {
            let shade = ((value - lo) * (SHADES.len() as i64 - 1) + span / 2) / span;
            text.push_str(SHADES.get(shade as usize).unwrap_or(&""));
        }
        text.push('\n');
    }
    text
}
