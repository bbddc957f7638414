//! How far the quantized model is from the float one, measured on the samples.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::graph::constant::{Constant, Data};
use crate::graph::{Graph, ValueId};
use crate::head::FloatHead;
use crate::input::quantize_input;
use crate::quantize::error::QuantizeError;
use crate::quantize::layers::proved;
use crate::report::Imported;
use crate::run::{Values, run, run_known};
use crate::tail::TailData;
use crate::tail::TailTensor;
use crate::tail::real;
use zkonnx_circuits::program::Tensor;

/// Error of a quantized tensor against the float model, over all samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerError {
    /// Name of the tensor in the float model.
    pub tensor: String,
    /// The operator that makes it; `input` for an input of the model.
    pub op: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Mean absolute difference.
    pub mean_abs: f64,
    /// Root of the summed squared differences over that of the summed squared values; infinite if only the latter is 0.
    pub relative_rms: f64,
}

/// Error of an output of the model: what `run` and `prove` show, from the integers that are proved and the float nodes
/// after them, against the float model.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputError {
    /// The output's name and its errors.
    pub error: LayerError,
    /// Elements over all samples, and how many of them are another integer than in the float model; `None` for reals.
    pub differing: Option<(u64, u64)>,
    /// Elements that are compared with nothing, because the float model's are not finite.
    pub not_finite: u64,
    /// Why there is nothing to compare, for an output that the quantized model does not give.
    pub absent: Option<String>,
    /// For outputs that are a row of several reals: of how many samples the largest value is at the same place.
    pub same_argmax: Option<usize>,
    /// The place of the largest value of each sample: float, quantized. Empty unless the output is a row of reals.
    pub argmax: Vec<(usize, usize)>,
}

impl OutputError {
    /// The error as a share, to be held against a bound: of integers, the share that differs, and else the relative
    /// root mean square. Infinite where there is nothing to compare.
    pub fn share(&self) -> f64 {
        match (&self.absent, self.differing) {
            (Some(_), _) => f64::INFINITY,
            (None, Some((of, differ))) => differ as f64 / of.max(1) as f64,
            (None, None) => self.error.relative_rms,
        }
    }
}

/// A quantized tensor: the value in the float graph, its name in the quantized one, and the operator that makes it.
pub(crate) type Pair = (ValueId, String, String);

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    max: f64,
    absolute: f64,
    squared: f64,
    energy: f64,
    count: u64,
    differing: u64,
    not_finite: u64,
    integers: bool,
}

impl Sums {
    fn of(a: &Constant, b: &Constant) -> Self {
        let mut sums = Self::default();
        let mut add = |x: f64, y: f64| {
            // A float model's infinities have no distance to anything.
            if !x.is_finite() {
                sums.not_finite += 1;
                return;
            }
            let difference = (x - y).abs();
            sums.max = sums.max.max(difference);
            sums.absolute += difference;
            sums.squared += difference * difference;
            sums.energy += x * x;
            sums.count += 1;
            sums.differing += u64::from(x != y);
        };
        match (a.as_floats(), b.as_floats(), a.as_ints(), b.as_ints()) {
            (Some(a), Some(b), ..) => a
                .iter()
                .zip(b)
                .for_each(|(x, y)| add(f64::from(*x), f64::from(*y))),
            (_, _, Some(a), Some(b)) => {
                a.iter().zip(b).for_each(|(x, y)| add(*x as f64, *y as f64));
                sums.integers = true;
            }
            _ => {}
        }
        sums
    }

    fn join(self, other: Self) -> Self {
        Self {
            max: self.max.max(other.max),
            absolute: self.absolute + other.absolute,
            squared: self.squared + other.squared,
            energy: self.energy + other.energy,
            count: self.count + other.count,
            differing: self.differing + other.differing,
            not_finite: self.not_finite + other.not_finite,
            integers: self.integers || other.integers,
        }
    }

    fn error(self, tensor: &str, op: &str) -> LayerError {
        LayerError {
            tensor: tensor.into(),
            op: op.into(),
            max_abs: self.max,
            mean_abs: self.absolute / self.count.max(1) as f64,
            relative_rms: match (self.squared > 0.0, self.energy > 0.0) {
                (_, true) => (self.squared / self.energy).sqrt(),
                // Anything is infinitely far from zeros, relative to them.
                (true, false) => f64::INFINITY,
                (false, false) => 0.0,
            },
        }
    }
}

/// The place of the largest value of a row of several reals.
fn argmax(value: &Constant) -> Option<usize> {
    let data = value.as_floats()?;
    let row = data.len() > 1 && value.shape.last() == Some(&data.len());
    let best = data
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, &v)| {
            if v > best.1 { (i, v) } else { best }
        });
    Some(best.0).filter(|_| row)
}

/// Runs both models on all samples and compares the tensors between.
pub(crate) fn layers(
    float: &Graph,
    quantized: &Graph,
    pairs: &[Pair],
    samples: &[Values],
) -> Result<Vec<LayerError>, QuantizeError> {
    let values = quantized.values();
    let named: HashMap<&str, ValueId> = values.map(|v| (quantized.name(v), v)).collect();
    let inputs = float.inputs.iter().zip(&quantized.inputs);
    let inputs: Vec<(ValueId, ValueId)> = inputs.map(|(a, b)| (a.value, b.value)).collect();
    let measured: Vec<Vec<Sums>> = samples
        .par_iter()
        .map(|sample| {
            let given = inputs.iter();
            let given = given.filter_map(|(a, b)| Some((*b, sample.get(a)?.clone())));
            let b = run(quantized, given.collect(), proved)?;
            let a = run(float, sample.clone(), proved)?;
            let sums = |x: &ValueId, y: &str| match (a.get(x), b.get(named.get(y)?)) {
                (Some(x), Some(y)) => Some(Sums::of(x, y)),
                _ => None,
            };
            let sums = pairs.iter().map(|(x, y, _)| sums(x, y).unwrap_or_default());
            Ok(sums.collect())
        })
        .collect::<Result<_, QuantizeError>>()?;
    let errors = pairs
        .iter()
        .enumerate()
        .filter_map(|(layer, (value, _, op))| {
            let sums = measured.iter().map(|sample| sample[layer]);
            let sums = sums.fold(Sums::default(), Sums::join);
            // What was compared with nothing has no error, which is not an error of zero.
            let compared = sums.count > 0;
            compared.then(|| sums.error(float.name(*value), op))
        });
    Ok(errors.collect())
}

/// What is measured of one output and one sample: its error and the places of the largest values, or why nothing is.
type Measured = Result<(Sums, Option<(usize, usize)>), String>;

/// Compares the outputs that the proof and the float nodes after it give with those of the float model.
pub(crate) fn outputs(
    float: &Graph,
    imported: &Imported,
    samples: &[Values],
) -> Result<Vec<OutputError>, QuantizeError> {
    let head = FloatHead::of(&imported.program);
    let measured: Vec<Vec<Measured>> = samples
        .par_iter()
        .map(|sample| {
            let expected = run_known(float, sample.clone());
            let got = execute(imported, head.as_ref(), float, sample)?;
            let one = |value: &ValueId| -> Measured {
                let name = float.name(*value);
                // An output that depends on no input is the same in both.
                let constant = || float.constant(*value).cloned();
                let expected = expected.get(value).cloned().or_else(constant);
                let expected = expected.ok_or("the float model's value is not computed here")?;
                let got = match got.get(name) {
                    Some(Ok(got)) => got,
                    Some(Err(reason)) => return Err(reason.clone()),
                    None => return Err("the quantized model does not give it".into()),
                };
                if expected.len() != got.len() {
                    return Err("the quantized model gives another number of elements".into());
                }
                Ok((Sums::of(&expected, got), argmax(&expected).zip(argmax(got))))
            };
            Ok(float.outputs.iter().map(one).collect())
        })
        .collect::<Result<_, QuantizeError>>()?;
    let errors = float.outputs.iter().enumerate().map(|(output, value)| {
        let of_output = measured.iter().map(|sample| &sample[output]);
        output_error(float.name(*value), &of_output.collect::<Vec<_>>())
    });
    Ok(errors.collect())
}

fn output_error(name: &str, samples: &[&Measured]) -> OutputError {
    let known = samples.iter().filter_map(|sample| sample.as_ref().ok());
    let sums = known
        .clone()
        .map(|(sums, _)| *sums)
        .fold(Sums::default(), Sums::join);
    let argmax: Vec<(usize, usize)> = known.filter_map(|(_, places)| *places).collect();
    let same = argmax.iter().filter(|(a, b)| a == b).count();
    OutputError {
        error: sums.error(name, "output"),
        differing: sums.integers.then_some((sums.count, sums.differing)),
        not_finite: sums.not_finite,
        absent: samples
            .iter()
            .find_map(|sample| sample.as_ref().err().cloned()),
        same_argmax: (!argmax.is_empty()).then_some(same),
        argmax,
    }
}

/// The outputs of the model that is proved, by name: in reals where they stand for such.
fn execute(
    imported: &Imported,
    head: Option<&FloatHead>,
    float: &Graph,
    sample: &Values,
) -> Result<HashMap<String, Result<Constant, String>>, QuantizeError> {
    let program = &imported.program;
    let failed = |reason: String| QuantizeError::Measure { reason };
    let given = |name: &str| {
        let mut inputs = float.inputs.iter().map(|input| input.value);
        let value = inputs.find(|value| float.name(*value) == name);
        let value = value.and_then(|value| sample.get(&value));
        value.ok_or_else(|| failed(format!("no sample of input `{name}`")))
    };
    let mut derived: HashMap<usize, Tensor> = HashMap::new();
    if let Some(head) = head {
        let raw = head.inputs().iter().map(|input| {
            Ok(match &given(&input.name)?.data {
                Data::Float(values) => values.clone(),
                Data::Int(_, values) => values.iter().map(|v| *v as f32).collect(),
                _ => return Err(failed(format!("input `{}` is of another type", input.name))),
            })
        });
        let raw = raw.collect::<Result<Vec<Vec<f32>>, _>>()?;
        let raw: Vec<&[f32]> = raw.iter().map(Vec::as_slice).collect();
        let made = head.evaluate(program, &raw);
        let made = made.map_err(|error| failed(error.to_string()))?;
        derived.extend(made.into_iter().map(|made| (made.place, made.tensor)));
    }
    let inputs = program.inputs().iter().enumerate().map(|(place, port)| {
        if let Some(tensor) = derived.remove(&place) {
            return Ok(tensor);
        }
        let value = given(&port.name)?;
        let fact = program.fact(port.tensor);
        match &value.data {
            Data::Float(values) => {
                quantize_input(port, fact, values).map_err(|error| failed(error.to_string()))
            }
            Data::Int(_, values) => Ok(Tensor::new(fact.dtype, fact.shape.clone(), values.clone())),
            _ => Err(failed(format!("input `{}` is of another type", port.name))),
        }
    });
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let trace = program
        .execute(&inputs)
        .map_err(|error| failed(error.to_string()))?;
    let outputs = trace.outputs();
    let ports = program.outputs().iter().zip(&outputs);
    let mut values: HashMap<String, Result<Constant, String>> = ports
        .map(|(port, tensor)| {
            (
                port.name.clone(),
                Ok(real(tensor, port.quantization.as_ref())),
            )
        })
        .collect();
    let tail = imported.float_tail.as_ref();
    if let Some(tail) = tail {
        let computed = tail.evaluate(program, &outputs);
        for (name, output) in tail.outputs().iter().zip(computed) {
            let value = output.map(constant).map_err(|error| error.to_string());
            values.insert(name.clone(), value);
        }
    }
    Ok(values)
}

fn constant(tensor: TailTensor) -> Constant {
    Constant {
        shape: tensor.shape,
        data: match tensor.data {
            TailData::Floats(data) => Data::Float(data),
            TailData::Integers(dtype, data) => Data::Int(dtype, data),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zkonnx_circuits::program::DataType;

    fn floats(values: &[f32]) -> Constant {
        Constant::floats(vec![1, values.len()], values.to_vec())
    }

    #[test]
    fn accepts_a_row_of_several_reals_as_classes() {
        assert_eq!(argmax(&floats(&[1.0, 3.0, 3.0])), Some(1));
        assert_eq!(argmax(&floats(&[1.0])), None);
        assert_eq!(argmax(&Constant::floats(vec![2, 2], vec![0.0; 4])), None);
        let classes = Constant::ints(DataType::I64, vec![1, 3], vec![1, 2, 3]);
        assert_eq!(argmax(&classes), None);
    }

    #[test]
    fn rejects_what_is_far_from_zeros_and_from_what_is_finite() {
        let error = |a: &[f32], b: &[f32]| Sums::of(&floats(a), &floats(b));
        assert_eq!(error(&[0.0], &[0.0]).error("", "").relative_rms, 0.0);
        assert_eq!(
            error(&[0.0], &[0.1]).error("", "").relative_rms,
            f64::INFINITY
        );
        assert_eq!(
            error(&[2.0], &[f32::INFINITY]).error("", "").relative_rms,
            f64::INFINITY
        );
        let sums = error(&[f32::NAN, f32::INFINITY, 2.0], &[1.0, 1.0, 1.0]);
        assert_eq!((sums.not_finite, sums.count), (2, 1));
        assert_eq!(sums.error("", "").relative_rms, 0.5);
    }

    #[test]
    fn accepts_integers_by_how_many_differ() {
        let ints =
            |values: &[i64]| Constant::ints(DataType::I64, vec![values.len()], values.to_vec());
        let sums = Sums::of(&ints(&[7, 0, 9]), &ints(&[7, 1, 9]));
        let error = output_error("y", &[&Ok((sums, None))]);
        assert_eq!(error.differing, Some((3, 1)));
        assert!((error.share() - 1.0 / 3.0).abs() < 1e-12);
        let absent = output_error("y", &[&Err("gone".into())]);
        assert_eq!(absent.share(), f64::INFINITY);
    }
}
