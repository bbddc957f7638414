//! `zkonnx quantize`: a float model and samples become a quantized model that can be proved.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use zkonnx_onnx::quantize::{
    Byte, Classes, LayerError, Method, Options, OutputError, QuantizeError, Quantized,
    model_inputs, quantize_and_measure,
};
use zkonnx_onnx::{TailNode, open_inputs};

use super::Session;
use super::answer::Answer;
use super::args::DimArgs;
use super::calibration::{Split, bound_by_samples, read_samples};
use super::style::{bytes, plain, table};
use super::values::{nodes_json, nodes_text, real_json};
use crate::artifact::{Kind, MAX_MODEL_BYTES, hex};
use crate::error::{Error, Exit};
use crate::{files, places, report};

#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    /// A float ONNX model
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) dims: DimArgs,
    /// Samples to find ranges with, along a leading axis: .npz, .npy, JSON or an ONNX tensor
    #[arg(long, required = true, value_name = "SAMPLES")]
    pub(crate) calibrate: Vec<PathBuf>,
    /// Samples to measure the error on; without this, every fifth of 100 samples or more is kept from calibration for
    /// that
    #[arg(long, value_name = "SAMPLES")]
    pub(crate) validate: Vec<PathBuf>,
    /// Write the model though the error of an output is above 10 %, up to PERCENT; without a number, whatever the error,
    /// and also if nodes that compute something stay outside the proof
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "any", value_parser = parse_bound)]
    pub(crate) accept_error: Option<Bound>,
    /// Where to write the quantized model
    #[arg(long, short, value_name = "OUT.onnx")]
    pub(crate) output: PathBuf,
    /// List the layers with the largest errors first; with FILE.html, write that page too, also of a model that is not
    /// accepted
    #[arg(long, value_name = "FILE.html", num_args = 0..=1, require_equals = true)]
    pub(crate) report: Option<Option<PathBuf>>,
    /// One scale for all weights of a layer, where there is else one for each output channel
    #[arg(long)]
    pub(crate) per_tensor: bool,
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

/// Largest relative rms error of an output that is accepted by default, as a share.
const ERROR_BOUND: f64 = 0.1;

/// What may be wrong with a model that is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// The error of an output, as a share.
    Share(f64),
    /// Anything.
    Any,
}

impl Bound {
    fn share(self) -> Option<f64> {
        match self {
            Self::Share(share) => Some(share),
            Self::Any => None,
        }
    }
}

fn parse_bound(text: &str) -> Result<Bound, String> {
    if text == "any" {
        return Ok(Bound::Any);
    }
    match f64::from_str(text.strip_suffix('%').unwrap_or(text)) {
        Ok(percent) if percent >= 0.0 && percent.is_finite() => Ok(Bound::Share(percent / 100.0)),
        _ => Err(format!("expected a percentage such as 25, got `{text}`")),
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
        .chain(&args.validate)
        .map(PathBuf::as_path)
        .collect();
    let page = args.report.as_ref().and_then(Option::as_ref);
    let written: Vec<PathBuf> = page.into_iter().chain([&args.output]).cloned().collect();
    places::check(&written, &read)?;
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
    let open = open_inputs(&model).map_err(|source| failed(QuantizeError::Model(source)))?;
    let bindings = bound_by_samples(&args.calibrate, &open, &args.dims)?;
    let inputs = model_inputs(&model, &bindings).map_err(failed)?;
    let calibrate = read_samples(&args.calibrate, &inputs, session)?;
    let split = if args.validate.is_empty() {
        calibrate.split()
    } else {
        Split {
            measure: read_samples(&args.validate, &inputs, session)?,
            calibrate,
            held_out: true,
        }
    };
    session.progress.step(format!(
        "quantizing with {} samples",
        split.calibrate.feeds.len()
    ));
    let options = Options {
        per_channel: !args.per_tensor,
        method: args.method,
        activations: args.activations.into(),
        weights: args.weights.into(),
    };
    let (calibrate, measure) = (&split.calibrate.feeds, &split.measure.feeds);
    let quantized =
        quantize_and_measure(&model, &bindings, calibrate, measure, &options).map_err(failed)?;
    let bound = args.accept_error.unwrap_or(Bound::Share(ERROR_BOUND));
    let reasons = reasons(&quantized, bound);
    if let Some(path) = page {
        let title = format!("{} quantized", args.model.display());
        files::write(path, report::page(&title, &quantized, &reasons).as_bytes())?;
    }
    if reasons.is_empty() {
        files::write(&args.output, &quantized.model)?;
    }
    Ok(answer(args, session, &quantized, &split, &reasons))
}

/// Why a quantized model is not accepted, each with what to do.
fn reasons(quantized: &Quantized, bound: Bound) -> Vec<String> {
    let Some(bound) = bound.share() else {
        return Vec::new();
    };
    let mut reasons: Vec<String> = quantized
        .outputs
        .iter()
        .filter(|output| output.share() > bound)
        .map(|output| far(output, &quantized.layers, bound))
        .collect();
    let outside: Vec<String> = quantized
        .uncovered()
        .map(|node| format!("`{}` ({})", node.node, node.op))
        .collect();
    if !outside.is_empty() {
        reasons.push(format!(
            "{} would stay float and outside the proof, which then covers less than the model: express it by operators \
             of `zkonnx ops`, or cut the model before it",
            outside.join(", ")
        ));
    }
    reasons
}

/// Why an output is not accepted.
fn far(output: &OutputError, layers: &[LayerError], bound: f64) -> String {
    let name = &output.error.tensor;
    if let Some(reason) = &output.absent {
        return format!("output `{name}` cannot be compared with the float model: {reason}");
    }
    let what = match output.differing {
        Some((of, differ)) => {
            format!("{differ} of {of} integers of output `{name}` are not the float model's")
        }
        None => format!(
            "output `{name}` is {} from the float model",
            percent(output.error.relative_rms)
        ),
    };
    let first = layers.iter().position(|layer| layer.relative_rms > bound);
    // What the inputs are scaled with comes too late for features of very different size.
    let scaled = first.is_some_and(|first| {
        let before = layers.iter().take(first);
        let scales = ["Add", "Sub", "Mul", "Div", "BatchNormalization"];
        layers
            .get(first)
            .is_some_and(|layer| scales.contains(&layer.op.as_str()))
            && before.into_iter().all(|layer| layer.op == "input")
    });
    let remedy = if scaled {
        "the values of the input differ much in size and share one 8-bit scale: do this scaling outside of the model, and \
         cut it from the model"
    } else {
        "calibrate with more samples of the kind that will be proved, or try --method percentile=99.99"
    };
    let first = first.and_then(|first| layers.get(first));
    let place = first.map_or(String::new(), |layer| {
        format!(", first at tensor `{}` ({})", layer.tensor, layer.op)
    });
    format!("{what}, above {}{place}: {remedy}", percent(bound))
}

fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{:.3} %", 100.0 * share)
    } else {
        "infinitely far".to_owned()
    }
}

fn answer(
    args: &QuantizeArgs,
    session: &Session,
    quantized: &Quantized,
    split: &Split,
    reasons: &[String],
) -> Answer {
    let outputs = quantized.outputs.len();
    let (samples, measured) = (split.calibrate.feeds.len(), split.measure.feeds.len());
    let accuracy: Vec<Option<(usize, usize)>> = quantized
        .outputs
        .iter()
        .map(|output| accuracy(output, &split.measure.labels, outputs))
        .collect();
    let id = hex(&quantized.imported.program.id());
    let layers: Vec<&LayerError> = match args.report {
        Some(_) => report::worst_first(&quantized.layers),
        None => quantized.layers.iter().collect(),
    };
    let mut text = layers_text(&layers);
    for (output, accuracy) in quantized.outputs.iter().zip(&accuracy) {
        text.push_str(&output_text(output, measured, *accuracy));
    }
    text.push_str(&nodes_text(&quantized.imported.tail));
    if !quantized.restored.is_empty() {
        text.push_str(&format!(
            "the file is of {}; it was restored to the float32 model that it \
             stands for, and that is what errors are measured against\n",
            quantized.restored.join(", ")
        ));
    }
    for classes in &quantized.classes {
        text.push_str(&classes_text(classes));
    }
    let on = if split.held_out {
        format!("{measured} others")
    } else {
        "the same, as there are no others (--validate)".to_owned()
    };
    text.push_str(&format!(
        "calibrated with {samples} samples, measured on {on}\n"
    ));
    let accepted = reasons.is_empty();
    if accepted {
        text.push_str(&format!(
            "{} {} ({})\nprogram {id}\n",
            session.style.good("quantized model in"),
            args.output.display(),
            bytes(quantized.model.len() as u64),
        ));
    } else {
        for reason in reasons {
            text.push_str(&format!(
                "{} {}\n",
                session.style.bad("not accepted:"),
                plain(reason)
            ));
        }
        text.push_str("nothing was written; --accept-error writes the model as it is\n");
    }
    let bound = args.accept_error.unwrap_or(Bound::Share(ERROR_BOUND));
    let uncovered: Vec<TailNode> = quantized.uncovered().cloned().collect();
    let json = json!({
        "accepted": accepted,
        "reasons": reasons,
        "output": accepted.then(|| args.output.display().to_string()),
        "report": args.report.as_ref().and_then(Option::as_ref).map(|path| path.display().to_string()),
        "model_bytes": quantized.model.len(),
        "program_id": id,
        "samples": samples,
        "measured_samples": measured,
        "held_out": split.held_out,
        "restored": quantized.restored,
        "classes": quantized.classes.iter().map(classes_json).collect::<Vec<_>>(),
        "reference": if quantized.against_original { "float_model" } else { "rewritten_float_model" },
        "error_bound": bound.share(),
        "layers": quantized.layers.iter().map(layer_json).collect::<Vec<_>>(),
        "outputs": quantized.outputs.iter().zip(&accuracy).map(|(o, a)| output_json(o, *a)).collect::<Vec<_>>(),
        "not_proved": nodes_json(&quantized.imported.tail),
        "not_covered": nodes_json(&uncovered),
    });
    Answer::new(json, text, if accepted { Exit::Yes } else { Exit::No })
}

/// Most names that are shown; the file has all.
const NAMES: usize = 16;

/// What an output says by integers or columns.
fn classes_text(classes: &Classes) -> String {
    let shown = classes.names.iter().take(NAMES).enumerate();
    let shown = shown.map(|(place, name)| format!("{place} is {}", plain(name)));
    let mut shown: Vec<String> = shown.collect();
    if classes.names.len() > NAMES {
        shown.push(format!("and so on to {}", classes.names.len() - 1));
    }
    let what = match classes.columns {
        true => "a row of numbers, no map: column",
        false => "an integer for each label:",
    };
    let (output, names) = (plain(&classes.output), shown.join(", "));
    format!("output {output} is {what} {names} (metadata of the file)\n")
}

fn classes_json(classes: &Classes) -> Value {
    json!({
        "output": classes.output,
        "names": *classes.names,
        "columns": classes.columns,
    })
}

fn layers_text(layers: &[&LayerError]) -> String {
    let head = ["tensor", "operator", "max abs", "mean abs", "relative rms"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(layers.iter().map(|layer| {
        vec![
            layer.tensor.clone(),
            layer.op.clone(),
            format!("{:.3e}", layer.max_abs),
            format!("{:.3e}", layer.mean_abs),
            percent(layer.relative_rms),
        ]
    }));
    table(&rows)
}

fn output_text(output: &OutputError, samples: usize, accuracy: Option<(usize, usize)>) -> String {
    let error = &output.error;
    let mut text = format!("output {}: ", plain(&error.tensor));
    match (&output.absent, output.differing) {
        (Some(reason), _) => text.push_str(&plain(reason)),
        (None, Some((of, differ))) => text.push_str(&format!("{differ} of {of} integers differ")),
        (None, None) => text.push_str(&format!(
            "max abs {:.3e}, mean abs {:.3e}, relative rms {}",
            error.max_abs,
            error.mean_abs,
            percent(error.relative_rms)
        )),
    }
    if output.not_finite > 0 {
        text.push_str(&format!(
            ", {} elements are not finite in the float model and not compared",
            output.not_finite
        ));
    }
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
        "max_abs": real_json(layer.max_abs),
        "mean_abs": real_json(layer.mean_abs),
        "relative_rms": real_json(layer.relative_rms),
    })
}

fn output_json(output: &OutputError, accuracy: Option<(usize, usize)>) -> Value {
    let mut value = layer_json(&output.error);
    let differing = |(of, elements): (u64, u64)| json!({"elements": elements, "of": of});
    value["differing"] = json!(output.differing.map(differing));
    value["not_finite"] = json!(output.not_finite);
    value["absent"] = json!(output.absent);
    value["same_argmax"] = json!(output.same_argmax);
    value["labels_right"] =
        json!(accuracy.map(|(float, quantized)| json!({"float": float, "quantized": quantized})));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn accepts_bounds_in_percent() {
        assert_eq!(parse_bound("25"), Ok(Bound::Share(0.25)));
        assert_eq!(parse_bound("0.5%"), Ok(Bound::Share(0.005)));
        assert_eq!(parse_bound("any"), Ok(Bound::Any));
        for text in ["", "-1", "inf", "NaN", "much"] {
            assert!(parse_bound(text).is_err(), "{text}");
        }
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
}
