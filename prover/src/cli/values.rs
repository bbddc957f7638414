//! Showing tensors, claims and ids; and finding what a command works on.

use std::path::Path;

use serde_json::{Value, json};
use zkonnx_circuits::program::{Port, Program, Quantization, Range, Tensor};
use zkonnx_onnx::{TailData, TailError, TailNode, TailTensor};
use zkonnx_verifier::{Claim, ClaimInput, TensorData};

use super::Session;
use super::answer::Warning;
use super::args::{ContextArgs, DimArgs, InputArgs};
use super::style::plain;
use crate::artifact::hex;
use crate::error::Error;
use crate::input::{InputError, InputNote, Samples, Saturation, array_names, read_inputs};
use crate::keys;
use crate::model::Model;
use crate::real::Scale;

/// Values that a line of text shows of a tensor.
const SHOWN: usize = 12;

/// Why `--dim` says nothing of a program.
pub(super) const FIXED: &str = "the shapes of a program are fixed; give the ONNX model";

/// A model from a file, or the program of a folder of keys.
pub(super) fn load_model(path: &Path, dims: &DimArgs) -> Result<Model, Error> {
    if path.is_dir() {
        dims.absent(FIXED)?;
        let (manifest, program) = keys::load_program(path)?;
        return Ok(Model {
            program: program.into(),
            import: None,
            stored_tail: manifest.not_proved(),
        });
    }
    load_file(path, dims)
}

/// A model from a file, for commands that plan its circuit: that of a folder of keys is planned already.
pub(super) fn load_model_to_plan(path: &Path, dims: &DimArgs) -> Result<Model, Error> {
    if path.is_dir() {
        keys::load_program(path)?;
        return Err(Error::PlannedAlready { path: path.into() });
    }
    load_file(path, dims)
}

fn load_file(path: &Path, dims: &DimArgs) -> Result<Model, Error> {
    let model = Model::load(path, &dims.bindings()?)?;
    if model.import.is_none() {
        dims.absent(FIXED)?;
    }
    Ok(model)
}

/// The samples of all input files, or the one that was chosen. Says what is used otherwise than it may be meant.
pub(super) fn load_samples(
    program: &Program,
    args: &InputArgs,
    session: &Session,
) -> Result<Samples, Error> {
    let samples = read_samples(program, args)?;
    for note in samples.notes() {
        session.warn(note_warning(note));
    }
    for saturation in samples.saturations() {
        let mut ports = program.inputs().iter();
        let port = ports.find(|port| port.name == saturation.input);
        if let Some(port) = port {
            session.warn(saturation_warning(&saturation, port, program));
        }
    }
    Ok(samples)
}

pub(super) fn note_warning(note: &InputNote) -> Warning {
    let (kind, array) = match note {
        InputNote::Renamed { array, .. } => ("input_renamed", array),
        InputNote::Labels { array, .. } => ("labels_unused", array),
    };
    let mut facts = serde_json::Map::new();
    facts.insert("array".into(), json!(array));
    Warning {
        kind,
        message: note.to_string(),
        facts,
    }
}

/// Elements beyond what the integers of an input represent.
fn saturation_warning(saturation: &Saturation, port: &Port, program: &Program) -> Warning {
    let Saturation {
        input,
        elements,
        of,
        values: (least, greatest),
    } = saturation;
    let fact = program.fact(port.tensor);
    let range = Range::of(fact.dtype);
    let mut facts = serde_json::Map::new();
    facts.insert("input".into(), json!(input));
    facts.insert("elements".into(), json!(elements));
    facts.insert("of".into(), json!(of));
    facts.insert("least".into(), real_json(*least));
    facts.insert("greatest".into(), real_json(*greatest));
    let reals = port.quantization.as_ref().map(|quantization| {
        let scale = Scale::new(quantization, &fact.shape);
        let lanes = quantization.scale_bits.len();
        let stride = fact.len() / lanes.max(1);
        // With several scales, what the widest of them represents.
        let ends = |end: i64, pick: fn(f32, f32) -> f32| {
            let ends = (0..fact.len()).step_by(stride.max(1));
            ends.map(|index| scale.dequantize(end, index)).reduce(pick)
        };
        (ends(range.lo, f32::min), ends(range.hi, f32::max))
    });
    let message = match reals {
        Some((Some(lo), Some(hi))) => {
            facts.insert("range".into(), json!([real_json(lo), real_json(hi)]));
            format!(
                "input `{input}`: {elements} of {of} elements ({least} to {greatest}) lie outside {lo} to {hi}, which \
                 the model's integers represent, and were set to the nearest end"
            )
        }
        _ => format!(
            "input `{input}`: {elements} of {of} elements were set to the nearest end of their range"
        ),
    };
    Warning {
        kind: "saturated",
        message,
        facts,
    }
}

/// The samples of all input files, or the one that was chosen.
fn read_samples(program: &Program, args: &InputArgs) -> Result<Samples, Error> {
    let names = array_names(program, args.meaning());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut all: Option<Samples> = None;
    for path in &args.input {
        let inputs = read_inputs(path, &names)?;
        let samples =
            Samples::new(program, inputs, args.meaning()).map_err(|source| InputError::Sample {
                path: path.clone(),
                source,
            })?;
        match &mut all {
            None => all = Some(samples),
            Some(all) => all.append(samples),
        }
    }
    let all = all.ok_or(Error::Usage("an input is needed"))?;
    match args.sample {
        None => Ok(all),
        Some(wanted) => {
            let available = all.len();
            all.only(wanted)
                .ok_or(Error::NoSuchSample { wanted, available })
        }
    }
}

/// The context of each sample: zeros, one for all, or one each.
pub(super) fn contexts(args: &ContextArgs, samples: usize) -> Result<Vec<[u8; 32]>, Error> {
    match args.context.as_slice() {
        [] => Ok(vec![[0; 32]; samples]),
        [one] => Ok(vec![*one; samples]),
        each if each.len() == samples => Ok(each.to_vec()),
        each => Err(Error::Contexts {
            got: each.len(),
            samples,
        }),
    }
}

/// The type and shape of a tensor, as `u8[1,10]`.
pub(super) fn type_name(dtype: zkonnx_verifier::DataType, shape: &[u32]) -> String {
    let shape = shape
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(",");
    format!("{}[{shape}]", format!("{dtype:?}").to_lowercase())
}

fn port_type(tensor: &Tensor) -> String {
    let shape: Vec<u32> = tensor.shape.iter().map(|&extent| extent as u32).collect();
    type_name(tensor.dtype, &shape)
}

/// The position of the largest value along the last axis, if there is one vector of several values.
pub(super) fn argmax(tensor: &Tensor) -> Option<usize> {
    let vector = tensor
        .shape
        .last()
        .is_some_and(|&last| last > 1 && last == tensor.data.len());
    // The first of equals, as NumPy has it.
    let best = tensor
        .data
        .iter()
        .enumerate()
        .rev()
        .max_by_key(|(_, value)| **value);
    best.filter(|_| vector).map(|(index, _)| index)
}

/// A real number for programs: JSON has no infinities and no NaN, so they are words.
pub(super) fn real_json(value: impl Into<f64>) -> Value {
    let value: f64 = value.into();
    if value.is_finite() {
        json!(value)
    } else if value.is_nan() {
        json!("NaN")
    } else if value > 0.0 {
        json!("Infinity")
    } else {
        json!("-Infinity")
    }
}

/// Scales and zero points for programs.
pub(super) fn quantization_json(quantization: Option<&Quantization>) -> Value {
    quantization.map_or(Value::Null, |quantization| {
        let scales = quantization.scale_bits.iter();
        json!({
            "scale": scales.map(|&bits| real_json(f32::from_bits(bits))).collect::<Vec<_>>(),
            "zero_point": quantization.zero_point,
            "axis": quantization.axis,
        })
    })
}

fn reals(tensor: &Tensor, quantization: Option<&Quantization>) -> Option<Vec<f32>> {
    let scale = Scale::new(quantization?, &tensor.shape);
    Some(
        tensor
            .data
            .iter()
            .enumerate()
            .map(|(index, value)| scale.dequantize(*value, index))
            .collect(),
    )
}

/// An output for programs.
pub(super) fn output_json(port: &Port, tensor: &Tensor) -> Value {
    let mut value = json!({
        "name": port.name,
        "dtype": format!("{:?}", tensor.dtype).to_lowercase(),
        "shape": tensor.shape,
        "values": tensor.data,
    });
    if let Some(reals) = reals(tensor, port.quantization.as_ref()) {
        value["real"] = reals.into_iter().map(real_json).collect();
    }
    if let Some(index) = argmax(tensor) {
        value["argmax"] = json!(index);
    }
    value
}

/// The outputs of one inference for programs.
pub(super) fn outputs_json(program: &Program, outputs: &[&Tensor]) -> Value {
    program
        .outputs()
        .iter()
        .zip(outputs)
        .map(|(port, tensor)| output_json(port, tensor))
        .collect()
}

fn list<T: ToString>(values: impl ExactSizeIterator<Item = T>) -> String {
    let more = values.len().saturating_sub(SHOWN);
    let mut text = values
        .take(SHOWN)
        .map(|value| value.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    if more > 0 {
        text.push_str(&format!(" … ({more} more)"));
    }
    text
}

/// An output for people: one or two lines.
pub(super) fn output_text(port: &Port, tensor: &Tensor) -> String {
    let largest = argmax(tensor).map_or(String::new(), |index| format!("  (largest at {index})"));
    let mut text = format!(
        "output  {} {} = {}{largest}\n",
        plain(&port.name),
        port_type(tensor),
        list(tensor.data.iter().copied())
    );
    if let Some(reals) = reals(tensor, port.quantization.as_ref()) {
        text.push_str(&format!(
            "        in reals: {}\n",
            list(reals.iter().map(|value| format!("{value:.4}")))
        ));
    }
    text
}

fn data_json(tensor: &TensorData) -> Value {
    json!({
        "dtype": format!("{:?}", tensor.dtype()).to_lowercase(),
        "shape": tensor.shape(),
        "values": tensor.values(),
    })
}

/// A claim for programs.
pub(super) fn claim_json(claim: &Claim) -> Value {
    let inputs = claim.inputs();
    let hidden = |input: &ClaimInput| input.values().is_none();
    let input = if !inputs.is_empty() && inputs.iter().all(hidden) {
        Value::Null
    } else {
        let one = |input: &ClaimInput| input.values().map_or(Value::Null, data_json);
        inputs.iter().map(one).collect()
    };
    json!({
        "claim_digest": hex(&claim.digest()),
        "program_id": hex(claim.program_id()),
        "context": hex(claim.context()),
        "inputs": input,
        "outputs": claim.outputs().iter().map(data_json).collect::<Vec<_>>(),
    })
}

/// A claim for people.
pub(super) fn claim_text(claim: &Claim) -> String {
    let data = |kind: &str, tensor: &TensorData| {
        format!(
            "  {kind}  {} = {}\n",
            type_name(tensor.dtype(), tensor.shape()),
            list(tensor.values().iter())
        )
    };
    let mut text = format!("claim     {}\n", hex(&claim.digest()));
    text.push_str(&format!("  program {}\n", hex(claim.program_id())));
    for input in claim.inputs() {
        match input.values() {
            None => text.push_str("  input   private\n"),
            Some(tensor) => text.push_str(&data("input ", tensor)),
        }
    }
    claim
        .outputs()
        .iter()
        .for_each(|tensor| text.push_str(&data("output", tensor)));
    text.push_str(&format!("  context {}\n", hex(claim.context())));
    text
}

/// What is not proved of a model, for people; empty if everything is.
pub(super) fn tail_text(model: &Model) -> String {
    nodes_text(model.tail())
}

/// The same for nodes. Operators of unknown domains are named apart: whoever reads a receipt cannot look them up.
pub(super) fn nodes_text(nodes: &[TailNode]) -> String {
    let (before, after): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.before);
    let (known, unknown): (Vec<_>, Vec<_>) = after.into_iter().partition(|node| node.is_known());
    let join = |names: Vec<String>| plain(&names.join(", "));
    let mut text = String::new();
    if !before.is_empty() {
        let names = before.iter().map(|n| format!("{} ({})", n.node, n.op));
        text.push_str(&format!(
            "not proved: {}, float arithmetic before the first integer tensor\n",
            join(names.collect())
        ));
    }
    if !known.is_empty() {
        let names = known
            .iter()
            .map(|n| format!("{} ({})", n.node, n.op))
            .collect();
        text.push_str(&format!(
            "not proved: {}, float arithmetic after the last integer tensor\n",
            join(names)
        ));
    }
    if !unknown.is_empty() {
        let names = unknown
            .iter()
            .map(|n| format!("{} ({}.{})", n.node, n.domain, n.op))
            .collect();
        text.push_str(&format!(
            "not proved and unknown: {}; what it computes after the last integer tensor, this program cannot say\n",
            join(names)
        ));
    }
    text
}

/// What is not proved of a model, for programs.
pub(super) fn tail_json(model: &Model) -> Value {
    nodes_json(model.tail())
}

/// The same for nodes.
pub(super) fn nodes_json(nodes: &[TailNode]) -> Value {
    nodes
        .iter()
        .map(|node| {
            json!({
                "node": node.node,
                "op": node.op,
                "domain": node.domain,
                "known": node.is_known(),
                "before": node.before,
            })
        })
        .collect()
}

/// An output of the model that is computed outside of the proof: its name, and its value or why there is none.
pub(super) type FloatOutput = (String, Result<TailTensor, TailError>);

/// What is computed outside of the proof from the outputs of one inference: empty if everything is proved.
pub(super) fn float_outputs(model: &Model, outputs: &[&Tensor]) -> Vec<FloatOutput> {
    let Some(tail) = model.float_tail() else {
        return Vec::new();
    };
    let values = tail.evaluate(&model.program, outputs);
    tail.outputs().iter().cloned().zip(values).collect()
}

/// The position of the largest value, as [`argmax`] has it.
fn float_argmax(tensor: &TailTensor) -> Option<usize> {
    let TailData::Floats(data) = &tensor.data else {
        return None;
    };
    let vector = tensor
        .shape
        .last()
        .is_some_and(|&last| last > 1 && last == data.len());
    let best = data
        .iter()
        .enumerate()
        .rev()
        .max_by(|a, b| a.1.total_cmp(b.1));
    best.filter(|_| vector).map(|(index, _)| index)
}

/// An output of the float tail for people.
pub(super) fn float_text((name, output): &FloatOutput) -> String {
    let tensor = match output {
        Ok(tensor) => tensor,
        Err(reason) => {
            return format!("float   {}: {}\n", plain(name), plain(&reason.to_string()));
        }
    };
    let shape: Vec<u32> = tensor.shape.iter().map(|&extent| extent as u32).collect();
    let (kind, values) = match &tensor.data {
        TailData::Floats(data) => {
            let shape = shape.iter().map(u32::to_string).collect::<Vec<_>>();
            let kind = format!("f32[{}]", shape.join(","));
            (kind, list(data.iter().map(|value| format!("{value:.4}"))))
        }
        TailData::Integers(dtype, data) => (type_name(*dtype, &shape), list(data.iter().copied())),
    };
    let largest =
        float_argmax(tensor).map_or(String::new(), |index| format!("  (largest at {index})"));
    format!(
        "float   {} {kind} = {values}{largest}, not proved\n",
        plain(&tensor.name)
    )
}

/// The outputs of the float tail of one inference for programs.
pub(super) fn floats_json(outputs: &[FloatOutput]) -> Value {
    let one = |(name, output): &FloatOutput| match output {
        Err(reason) => json!({"name": name, "proved": false, "reason": reason.to_string()}),
        Ok(tensor) => {
            let (dtype, values) = match &tensor.data {
                TailData::Floats(data) => {
                    let values: Vec<Value> = data.iter().copied().map(real_json).collect();
                    ("f32".to_owned(), json!(values))
                }
                TailData::Integers(dtype, data) => {
                    (format!("{dtype:?}").to_lowercase(), json!(data))
                }
            };
            let mut value = json!({
                "name": tensor.name,
                "proved": false,
                "dtype": dtype,
                "shape": tensor.shape,
                "values": values,
            });
            if let Some(index) = float_argmax(tensor) {
                value["argmax"] = json!(index);
            }
            value
        }
    };
    outputs.iter().map(one).collect()
}
