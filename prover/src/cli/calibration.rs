//! Samples to quantize with: read, fitted to the inputs of a float model, and divided into those that it is calibrated
//! with and those that the error is measured on.

use std::path::PathBuf;

use zkonnx_onnx::quantize::{Feed, ModelInput};
use zkonnx_onnx::{Bindings, OpenInput};

use super::Session;
use super::args::DimArgs;
use super::values::note_warning;
use crate::error::Error;
use crate::input::{InputError, Inputs, SampleError, read_inputs};
use crate::numpy::{Array, Elements};

/// Samples from which on some are kept from calibration, and how many of them.
const ENOUGH_SAMPLES: usize = 100;
const HELD_OUT: usize = 5;

/// The samples of files, and their labels.
pub(super) struct Samples {
    pub(super) feeds: Vec<Vec<Feed>>,
    pub(super) labels: Vec<(String, Vec<i64>)>,
}

/// Samples to calibrate with, and samples to measure on.
pub(super) struct Split {
    pub(super) calibrate: Samples,
    pub(super) measure: Samples,
    /// Whether they are different ones.
    pub(super) held_out: bool,
}

impl Samples {
    /// Keeps some samples from calibration if there are enough.
    pub(super) fn split(self) -> Split {
        let pick = |held_out: bool| {
            let chosen = move |i: usize| (i % HELD_OUT == HELD_OUT - 1) == held_out;
            fn of<T: Clone>(all: &[T], chosen: impl Fn(usize) -> bool) -> Vec<T> {
                let chosen = all.iter().enumerate().filter(|(i, _)| chosen(*i));
                chosen.map(|(_, one)| one.clone()).collect()
            }
            let labels = self.labels.iter();
            Self {
                feeds: of(&self.feeds, chosen),
                labels: labels
                    .map(|(name, all)| (name.clone(), of(all, chosen)))
                    .collect(),
            }
        };
        if self.feeds.len() < ENOUGH_SAMPLES {
            let measure = Self {
                feeds: self.feeds.clone(),
                labels: self.labels.clone(),
            };
            return Split {
                calibrate: self,
                measure,
                held_out: false,
            };
        }
        Split {
            calibrate: pick(false),
            measure: pick(true),
            held_out: true,
        }
    }
}

/// What open dimensions are bound to: what the command line says, and else the shapes of the first file of samples.
pub(super) fn bound_by_samples(
    paths: &[PathBuf],
    open: &[OpenInput],
    dims: &DimArgs,
) -> Result<Bindings, Error> {
    let mut bindings = dims.bindings()?;
    let (Some(path), false) = (paths.first(), open.is_empty()) else {
        return Ok(bindings);
    };
    let names: Vec<&str> = open.iter().map(|input| input.input.as_str()).collect();
    let file = read_inputs(path, &names)?;
    for input in open {
        let named = |(name, _): &&(Option<String>, Array)| name.as_deref() == Some(&input.input);
        // An array without a name is the only input's.
        let only = || file.arrays.first().filter(|_| file.arrays.len() == 1);
        let array = file.arrays.iter().find(named).or_else(only);
        let Some((_, array)) = array else { continue };
        let rank = input.shape.len();
        let shape = match array.shape.len() {
            n if n == rank + 1 => array.shape[1..].to_vec(),
            // The first axis counts samples, or is that of the only one.
            n if n == rank && input.shape.first() == Some(&None) => {
                let rest = array.shape.iter().skip(1).copied();
                std::iter::once(1).chain(rest).collect()
            }
            _ => array.shape.clone(),
        };
        bindings.shapes.insert(input.input.clone(), shape);
    }
    Ok(bindings)
}

pub(super) fn read_samples(
    paths: &[PathBuf],
    inputs: &[ModelInput],
    session: &Session,
) -> Result<Samples, Error> {
    let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
    let mut samples = Vec::new();
    let mut labels = Vec::new();
    for path in paths {
        let file = read_inputs(path, &names)?;
        file.notes
            .iter()
            .for_each(|note| session.warn(note_warning(note)));
        samples.extend(feeds(inputs, &file).map_err(|source| InputError::Sample {
            path: path.clone(),
            source,
        })?);
        labels = file.labels;
    }
    labels.retain(|(_, labels)| paths.len() == 1 && labels.len() == samples.len());
    Ok(Samples {
        feeds: samples,
        labels,
    })
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
    fn accepts_every_fifth_of_enough_samples_for_the_report_alone() {
        let samples = |count: usize| Samples {
            feeds: (0..count)
                .map(|i| vec![Feed::Integers(vec![i as i64])])
                .collect(),
            labels: vec![("y".into(), (0..count as i64).collect())],
        };
        let split = samples(99).split();
        assert!(
            !split.held_out && split.calibrate.feeds.len() == 99 && split.measure.feeds.len() == 99
        );
        let split = samples(102).split();
        assert!(
            split.held_out && split.calibrate.feeds.len() == 82 && split.measure.feeds.len() == 20
        );
        assert_eq!(split.measure.feeds[1], [Feed::Integers(vec![9])]);
        assert_eq!(split.measure.labels[0].1[..3], [4, 9, 14]);
        assert!(!split.calibrate.feeds.contains(&split.measure.feeds[7]));
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
