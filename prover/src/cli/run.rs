//! `zkonnx run`: the integer execution, without a proof.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zkonnx_circuits::compile::claim;
use zkonnx_circuits::program::{DataType, Program, Tensor, TensorId, Trace};
use zkonnx_verifier::Claim;

use super::Session;
use super::answer::Answer;
use super::args::RunArgs;
use super::style::plain;
use super::values::{
    argmax, contexts, float_outputs, float_text, floats_json, load_model, load_samples,
    note_warning, output_text, outputs_json, tail_json, tail_text,
};
use crate::artifact::hex;
use crate::error::Error;
use crate::files;
use crate::input::{InputNote, Samples};
use crate::model::Model;
use crate::numpy::{Array, Elements, write_npz};
use crate::places;

/// Samples whose outputs are shown to people.
const SAMPLES_SHOWN: usize = 10;

pub(super) fn run(args: &RunArgs, session: &Session) -> Result<Answer, Error> {
    places::check(&outputs(args), &inputs(args))?;
    let model = load_model(&args.model, &args.dims)?;
    let program = &model.program;
    let samples = load_samples(program, &args.input, session)?;
    let contexts = contexts(&args.context, samples.len())?;
    if args.claim.is_some() && samples.len() > 1 {
        return Err(Error::TooManySamples {
            got: samples.len(),
            max: 1,
            place: "with --claim",
        });
    }
    session
        .progress
        .step(format!("executing {} samples", samples.len()));
    let mut dump = args
        .dump_tensors
        .as_ref()
        .map(|_| Dump::new(model.tensors()));
    let mut results = Results::default();
    for (sample, context) in samples.iter().zip(&contexts) {
        let trace = program.execute(sample)?;
        let claim = claim(
            program,
            args.visibility.visibility(),
            sample,
            &trace,
            *context,
        )?;
        if let Some(dump) = &mut dump {
            dump.add(&trace);
        }
        results.add(&model, &trace, claim);
    }
    if let (Some(dump), Some(path)) = (dump, &args.dump_tensors) {
        session.progress.step("writing tensors");
        files::write(path, &dump.archive()?)?;
    }
    if let (Some(path), [claim]) = (&args.claim, results.claims.as_slice()) {
        files::write(path, &claim.encode())?;
    }
    let accuracy = accuracies(program, &samples, &results.predicted);
    let mut text = String::new();
    if let [one] = results.texts.as_slice() {
        text.push_str(one);
        text.push_str(&format!("program {}\n", hex(&program.id())));
        text.push_str(&format!("claim   {}\n", hex(&results.claims[0].digest())));
    } else {
        text.push_str(&samples_text(&results.texts));
        text.push_str(&format!(
            "{} samples executed\nprogram {}\n",
            samples.len(),
            hex(&program.id())
        ));
    }
    unused_labels(program, &samples, session);
    for (output, right, count) in &accuracy {
        let share = 100.0 * *right as f64 / *count as f64;
        text.push_str(&format!(
            "labels  {}: {right} of {count} right ({share:.1} %)\n",
            plain(output)
        ));
    }
    text.push_str(&tail_text(&model));
    let accuracy = accuracy
        .into_iter()
        .map(|(output, right, count)| json!({"output": output, "right": right, "samples": count}));
    let json = json!({
        "program_id": hex(&program.id()),
        "samples": samples.len(),
        "results": results.json,
        "accuracy": accuracy.collect::<Vec<_>>(),
        "not_proved": tail_json(&model),
    });
    Ok(Answer::yes(json, text))
}

fn outputs(args: &RunArgs) -> Vec<PathBuf> {
    args.dump_tensors
        .iter()
        .chain(&args.claim)
        .cloned()
        .collect()
}

fn inputs(args: &RunArgs) -> Vec<&Path> {
    let inputs = args.input.input.iter().map(PathBuf::as_path);
    std::iter::once(args.model.as_path())
        .chain(inputs)
        .collect()
}

/// The outputs of the first samples of several.
pub(super) fn samples_text(texts: &[String]) -> String {
    let mut text = String::new();
    for (number, one) in texts.iter().take(SAMPLES_SHOWN).enumerate() {
        text.push_str(&format!("sample {number}\n{one}"));
    }
    if texts.len() > SAMPLES_SHOWN {
        let more = texts.len() - SAMPLES_SHOWN;
        text.push_str(&format!(
            "… and {more} more samples, all of them with --json\n"
        ));
    }
    text
}

/// Says which labels were compared with nothing.
fn unused_labels(program: &Program, samples: &Samples, session: &Session) {
    let outputs = program.outputs();
    let used = |label: &str| {
        outputs.len() == 1 && label == "y"
            || outputs
                .iter()
                .any(|port| label == format!("y_{}", port.name))
    };
    for array in samples.label_names().filter(|label| !used(label)) {
        session.warn(note_warning(&InputNote::Labels {
            array: array.to_owned(),
            why: "the model has no output of that name",
        }));
    }
}

/// What is shown of each sample.
#[derive(Default)]
struct Results {
    claims: Vec<Claim>,
    texts: Vec<String>,
    json: Vec<Value>,
    /// For each sample and output, the position of the largest value.
    predicted: Vec<Vec<Option<usize>>>,
}

impl Results {
    fn add(&mut self, model: &Model, trace: &Trace, claim: Claim) {
        let program = &model.program;
        let outputs = trace.outputs();
        let floats = float_outputs(model, &outputs);
        let pairs = program.outputs().iter().zip(&outputs);
        self.texts.push(
            pairs
                .map(|(port, tensor)| output_text(port, tensor))
                .chain(floats.iter().map(float_text))
                .collect(),
        );
        self.json.push(json!({
            "outputs": outputs_json(program, &outputs),
            "float_outputs": floats_json(&floats),
            "claim_digest": hex(&claim.digest()),
            "context": hex(claim.context()),
        }));
        self.predicted
            .push(outputs.iter().map(|tensor| argmax(tensor)).collect());
        self.claims.push(claim);
    }
}

/// For each output with labels: its name, how many predictions are right, and of how many.
fn accuracies(
    program: &Program,
    samples: &Samples,
    predicted: &[Vec<Option<usize>>],
) -> Vec<(String, usize, usize)> {
    let ports = program.outputs().iter().enumerate();
    let counted = ports.filter_map(|(output, port)| {
        let labels = samples.labels(&port.name, program.outputs().len())?;
        let right = predicted.iter().zip(labels).filter(|(predicted, label)| {
            predicted[output].is_some_and(|index| i64::try_from(index) == Ok(**label))
        });
        Some((port.name.clone(), right.count(), labels.len()))
    });
    counted.collect()
}

/// Every quantized tensor of every sample, along a leading axis.
struct Dump {
    tensors: Vec<(String, TensorId)>,
    values: Vec<Vec<i64>>,
    facts: Vec<Option<(DataType, Vec<usize>)>>,
    samples: usize,
}

impl Dump {
    fn new(tensors: Vec<(String, TensorId)>) -> Self {
        let count = tensors.len();
        Self {
            tensors,
            values: vec![Vec::new(); count],
            facts: vec![None; count],
            samples: 0,
        }
    }

    fn add(&mut self, trace: &Trace) {
        self.samples += 1;
        for (i, (_, id)) in self.tensors.iter().enumerate() {
            let Tensor { dtype, shape, data } = trace.tensor(*id);
            self.values[i].extend(data);
            self.facts[i].get_or_insert_with(|| (*dtype, shape.clone()));
        }
    }

    fn archive(self) -> Result<Vec<u8>, Error> {
        let Self {
            tensors,
            values,
            facts,
            samples,
        } = self;
        let arrays =
            tensors
                .iter()
                .zip(values)
                .zip(facts)
                .filter_map(|(((name, _), values), fact)| {
                    let (dtype, shape) = fact?;
                    let shape = std::iter::once(samples).chain(shape).collect();
                    Some((
                        name.as_str(),
                        Array {
                            shape,
                            elements: Elements::Int(descr(dtype), values),
                        },
                    ))
                });
        Ok(write_npz(arrays)?)
    }
}

/// NumPy's name of a type.
fn descr(dtype: DataType) -> &'static str {
    match dtype {
        DataType::U8 => "|u1",
        DataType::I8 => "|i1",
        DataType::U16 => "<u2",
        DataType::I16 => "<i2",
        DataType::U32 => "<u4",
        DataType::I32 => "<i4",
        DataType::Bool => "|b1",
        _ => "<i8",
    }
}
