//! `zkonnx quantize`: a float model and samples become a quantized model that can be proved.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use zkonnx_circuits::onnx::quantize::{
    Byte, Feed, LayerError, Method, ModelInput, Options, OutputError, Quantized, model_inputs,
    quantize as quantize_model,
};

use super::Session;
use super::answer::Answer;
use super::style::{bytes, table};
use super::values::{nodes_json, nodes_text};
use crate::artifact::{Kind, MAX_MODEL_BYTES, hex};
use crate::error::Error;
use crate::input::{InputError, Inputs, SampleError, read_inputs};
use crate::numpy::{Array, Elements};
use crate::{files, places};

#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    /// A float ONNX model
    pub(crate) model: PathBuf,
    /// Samples to find ranges with, along a leading axis: .npz, .npy, JSON or an ONNX tensor
    #[arg(long, required = true, value_name = "SAMPLES")]
    pub(crate) calibrate: Vec<PathBuf>,
    /// Where to write the quantized model
    #[arg(long, short, value_name = "OUT.onnx")]
    pub(crate) output: PathBuf,
    /// A scale for each output channel of weights (opset 13 or later)
    #[arg(long)]
    pub(crate) per_channel: bool,
    /// How ranges are found: `min-max`, `percentile` (99.9) or `percentile=P`
    #[arg(long, default_value = "min-max", value_name = "METHOD", value_parser = parse_method)]
    pub(crate) method: Method,
    /// Type of activations, asymmetric
    #[arg(long, value_enum, default_value = "u8")]
    pub(crate) activations: ByteArg,
    /// Type of weights: i8 is symmetric, u8 is not (with i8 activations, ONNX Runtime has no integer kernel for u8)
    #[arg(long, value_enum, default_value = "i8")]
    pub(crate) weights: ByteArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ByteArg {
    /// 0 to 255
    U8,
    /// −128 to 127
    I8,
}

impl From<ByteArg> for Byte {
    fn from(byte: ByteArg) -> Self {
        match byte {
            ByteArg::U8 => Self::U8,
            ByteArg::I8 => Self::I8,
        }
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    let wrong = || format!("expected min-max, percentile or percentile=99.9, got `{text}`");
    match text.split_once('=') {
        None if text == "min-max" => Ok(Method::MinMax),
        None if text == "percentile" => Ok(Method::Percentile(99.9)),
        Some(("percentile", value)) => match f64::from_str(value) {
            Ok(p) if p > 50.0 && p <= 100.0 => Ok(Method::Percentile(p)),
            _ => Err("a percentile lies above 50 and is at most 100".into()),
        },
        _ => Err(wrong()),
    }
}

pub(super) fn quantize(args: &QuantizeArgs, session: &Session) -> Result<Answer, Error> {
    let read: Vec<&Path> = std::iter::once(&args.model)
        .chain(&args.calibrate)
        .map(PathBuf::as_path)
        .collect();
    places::check(std::slice::from_ref(&args.output), &read)?;
    let model = files::read(&args.model, MAX_MODEL_BYTES, "a model")?;
    let got = Kind::of(&model);
    if got != Kind::Model {
        return Err(Error::Kind {
            path: args.model.clone(),
            expected: Kind::Model,
            got,
        });
    }
    let failed = |source| Error::Quantize {
        path: args.model.clone(),
        source: Box::new(source),
    };
    let inputs = model_inputs(&model).map_err(failed)?;
    let mut samples = Vec::new();
    let mut labels = Vec::new();
    for path in &args.calibrate {
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        let file = read_inputs(path, &names)?;
        samples.extend(feeds(&inputs, &file).map_err(|source| InputError::Sample {
            path: path.clone(),
            source,
        })?);
        labels = file.labels;
    }
    session
        .progress
        .step(format!("quantizing with {} samples", samples.len()));
    let options = Options {
        per_channel: args.per_channel,
        method: args.method,
        activations: args.activations.into(),
        weights: args.weights.into(),
    };
    let quantized = quantize_model(&model, &samples, &options).map_err(failed)?;
    files::write(&args.output, &quantized.model)?;
    let single = args.calibrate.len() == 1;
    labels.retain(|(_, labels)| single && labels.len() == samples.len());
    Ok(answer(args, session, &quantized, samples.len(), &labels))
}

fn answer(
    args: &QuantizeArgs,
    session: &Session,
    quantized: &Quantized,
    samples: usize,
    labels: &[(String, Vec<i64>)],
) -> Answer {
    let outputs = quantized.outputs.len();
    let accuracy: Vec<Option<(usize, usize)>> = quantized
        .outputs
        .iter()
        .map(|output| accuracy(output, labels, outputs))
        .collect();
    let id = hex(&quantized.imported.program.id());
    let mut text = layers_text(&quantized.layers);
    for (output, accuracy) in quantized.outputs.iter().zip(&accuracy) {
        text.push_str(&output_text(output, samples, *accuracy));
    }
    text.push_str(&nodes_text(&quantized.imported.tail));
    text.push_str(&format!(
        "{} {} ({}), calibrated with {samples} samples\nprogram {id}\n",
        session.style.good("quantized model in"),
        args.output.display(),
        bytes(quantized.model.len() as u64),
    ));
    let json = json!({
        "output": args.output.display().to_string(),
        "model_bytes": quantized.model.len(),
        "program_id": id,
        "samples": samples,
        "layers": quantized.layers.iter().map(layer_json).collect::<Vec<_>>(),
        "outputs": quantized.outputs.iter().zip(&accuracy).map(|(o, a)| output_json(o, *a)).collect::<Vec<_>>(),
        "not_proved": nodes_json(&quantized.imported.tail),
    });
    Answer::yes(json, text)
}

fn layers_text(layers: &[LayerError]) -> String {
    let head = ["tensor", "operator", "max abs", "mean abs", "relative rms"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(layers.iter().map(|layer| {
        vec![
            layer.tensor.clone(),
            layer.op.clone(),
            format!("{:.3e}", layer.max_abs),
            format!("{:.3e}", layer.mean_abs),
            format!("{:.3} %", 100.0 * layer.relative_rms),
        ]
    }));
    table(&rows)
}

fn output_text(output: &OutputError, samples: usize, accuracy: Option<(usize, usize)>) -> String {
    let error = &output.error;
    let mut text = format!(
        "output {}: max abs {:.3e}, mean abs {:.3e}, relative rms {:.3} %",
        error.tensor,
        error.max_abs,
        error.mean_abs,
        100.0 * error.relative_rms
    );
    if let Some(same) = output.same_argmax {
        text.push_str(&format!(", argmax as float for {same} of {samples}"));
    }
    if let Some((float, quantized)) = accuracy {
        let share = |right: usize| 100.0 * right as f64 / samples as f64;
        text.push_str(&format!(
            "; labels right: float {:.2} %, quantized {:.2} %",
            share(float),
            share(quantized)
        ));
    }
    text.push('\n');
    text
}

/// How many samples of an output are right by its labels: in the float model, in the quantized one.
fn accuracy(
    output: &OutputError,
    labels: &[(String, Vec<i64>)],
    outputs: usize,
) -> Option<(usize, usize)> {
    let own = format!("y_{}", output.error.tensor);
    let (_, labels) = labels
        .iter()
        .find(|(name, _)| *name == own || outputs == 1 && name == "y")?;
    if output.argmax.len() != labels.len() {
        return None;
    }
    let right = |pick: fn(&(usize, usize)) -> usize| {
        let pairs = output.argmax.iter().zip(labels);
        pairs
            .filter(|(places, label)| i64::try_from(pick(places)) == Ok(**label))
            .count()
    };
    Some((right(|p| p.0), right(|p| p.1)))
}

fn layer_json(layer: &LayerError) -> Value {
    json!({
        "tensor": layer.tensor,
        "op": layer.op,
        "max_abs": layer.max_abs,
        "mean_abs": layer.mean_abs,
        "relative_rms": layer.relative_rms,
    })
}

fn output_json(output: &OutputError, accuracy: Option<(usize, usize)>) -> Value {
    let mut value = layer_json(&output.error);
    value["same_argmax"] = json!(output.same_argmax);
    value["labels_right"] =
        json!(accuracy.map(|(float, quantized)| json!({"float": float, "quantized": quantized})));
    value
}

/// The samples of a file: every input has one shape, or that shape with a leading axis (or a batch) of samples.
fn feeds(inputs: &[ModelInput], file: &Inputs) -> Result<Vec<Vec<Feed>>, SampleError> {
    let named = |input: &ModelInput| {
        let found = |(name, _): &&(Option<String>, Array)| name.as_deref() == Some(&input.name);
        file.arrays.iter().find(found).map(|(_, array)| array)
    };
    let any = inputs.iter().any(|i| named(i).is_some());
    if !any && inputs.len() != file.arrays.len() {
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        return Err(SampleError::Count {
            expected: inputs.len(),
            got: file.arrays.len(),
            names: names.join(", "),
        });
    }
    let mut samples: Vec<Vec<Feed>> = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        let by_place = file.arrays.get(i).map(|(_, array)| array);
        let array = if any { named(input) } else { by_place };
        let array = array.ok_or_else(|| SampleError::Missing {
            name: input.name.clone(),
            got: file
                .arrays
                .iter()
                .filter_map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        let column = split(input, array)?;
        if i == 0 {
            samples = vec![Vec::new(); column.len()];
        }
        if column.len() != samples.len() {
            return Err(SampleError::SampleCount {
                name: input.name.clone(),
                expected: samples.len(),
                got: column.len(),
            });
        }
        for (sample, feed) in samples.iter_mut().zip(column) {
            sample.push(feed);
        }
    }
    match samples.is_empty() {
        true => Err(SampleError::NoSample),
        false => Ok(samples),
    }
}

/// The samples of one input.
fn split(input: &ModelInput, array: &Array) -> Result<Vec<Feed>, SampleError> {
    let size = input.shape.iter().product::<usize>().max(1);
    let stacked = array.shape.get(1..) == Some(input.shape.as_slice());
    // The batch of one may also be where the samples are.
    let batch = input.shape.first() == Some(&1) && array.shape.get(1..) == input.shape.get(1..);
    // JSON for one sample is one flat list for each input.
    let flat = array.shape == [size];
    let fits = array.shape == input.shape || stacked || batch || flat;
    if !fits || array.elements.is_empty() {
        return Err(SampleError::Shape {
            name: input.name.clone(),
            expected: input.shape.clone(),
            got: array.shape.clone(),
        });
    }
    Ok(match (&array.elements, input.integers) {
        (Elements::F32(values), None) => values
            .chunks(size)
            .map(|v| Feed::Floats(v.to_vec()))
            .collect(),
        (Elements::Int(_, values), None) => values
            .chunks(size)
            .map(|v| Feed::Floats(v.iter().map(|&v| v as f32).collect()))
            .collect(),
        (Elements::Int(_, values), Some(_)) => values
            .chunks(size)
            .map(|v| Feed::Integers(v.to_vec()))
            .collect(),
        (Elements::F32(values), Some(_)) => values
            .chunks(size)
            .map(|v| Feed::Integers(v.iter().map(|&v| v as i64).collect()))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(shape: &[usize]) -> ModelInput {
        ModelInput {
            name: "x".into(),
            shape: shape.to_vec(),
            integers: None,
        }
    }

    fn array(shape: &[usize]) -> Array {
        Array {
            shape: shape.to_vec(),
            elements: Elements::F32(vec![0.5; shape.iter().product()]),
        }
    }

    #[test]
    fn accepts_methods() {
        let methods = ["min-max", "percentile", "percentile=99.99"].map(parse_method);
        let expected = [
            Method::MinMax,
            Method::Percentile(99.9),
            Method::Percentile(99.99),
        ];
        assert_eq!(methods, expected.map(Ok));
    }

    #[test]
    fn rejects_other_methods() {
        for text in [
            "",
            "max",
            "percentile=",
            "percentile=101",
            "percentile=NaN",
            "min-max=3",
        ] {
            assert!(parse_method(text).is_err(), "{text}");
        }
    }

    #[test]
    fn accepts_samples_along_a_new_axis_or_the_batch_and_a_flat_one() {
        let count = |shape: &[usize]| split(&input(&[1, 4]), &array(shape)).map(|s| s.len());
        assert_eq!(count(&[1, 4]), Ok(1));
        assert_eq!(count(&[7, 4]), Ok(7));
        assert_eq!(count(&[7, 1, 4]), Ok(7));
        assert_eq!(count(&[4]), Ok(1));
    }

    #[test]
    fn rejects_samples_of_another_shape() {
        for shape in [&[8][..], &[7, 5], &[0, 4], &[2, 2, 4]] {
            let result = split(&input(&[1, 4]), &array(shape));
            assert!(
                matches!(result, Err(SampleError::Shape { .. })),
                "{shape:?}"
            );
        }
    }
}
