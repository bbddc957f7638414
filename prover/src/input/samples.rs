//! Arrays fitted to the inputs of a program: one sample, or several along a leading axis.

use zkonnx_circuits::program::{Fact, Port, Program, Range, Tensor};
use zkonnx_onnx::{FloatHead, HeadError, InputError, quantize_input, saturated};

use super::{InputNote, Inputs};
use crate::numpy::{Array, Elements};

/// Why arrays do not fit a program.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// Another number of tensors than the program has inputs.
    #[error(
        "the model has {expected} inputs ({names}), the file has {got}; name the tensors after the inputs"
    )]
    Count {
        /// Inputs of the program.
        expected: usize,
        /// Tensors of the file.
        got: usize,
        /// Names of the inputs.
        names: String,
    },
    /// An input without a tensor.
    #[error("there is no tensor for input `{name}`; the file has {got}")]
    Missing {
        /// The input.
        name: String,
        /// What the file has.
        got: String,
    },
    /// A tensor that is neither one sample nor several.
    #[error(
        "input `{name}` has shape {expected:?}, the file has {got:?}: give one sample or a leading axis of samples"
    )]
    Shape {
        /// The input.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
        /// The shape in the file.
        got: Vec<usize>,
    },
    /// Inputs with different numbers of samples.
    #[error("input `{name}` has {got} samples, the inputs before it {expected}")]
    SampleCount {
        /// The input.
        name: String,
        /// Samples of the other inputs.
        expected: usize,
        /// Samples of this one.
        got: usize,
    },
    /// There is no sample at all.
    #[error("there is not a single sample in the file")]
    NoSample,
    /// Real numbers that are no input of the program.
    #[error(transparent)]
    Real(#[from] InputError),
    /// Reals that the model makes no integers of.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// An integer outside the type.
    #[error("input `{name}` has {value} at position {index}, outside {} to {}", range.lo, range.hi)]
    Value {
        /// The input.
        name: String,
        /// Position of the value, row-major.
        index: usize,
        /// The value.
        value: i64,
        /// What it may be.
        range: Range,
    },
}

/// How the numbers of a file are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meaning {
    /// As the model takes them: real numbers where it has real inputs.
    #[default]
    Model,
    /// As the integers that the program computes with.
    Integers,
}

/// Real numbers of an input that lie beyond what its integers represent: the nearest end of the range stands for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Saturation {
    /// The input.
    pub input: String,
    /// How many elements.
    pub elements: usize,
    /// Of how many.
    pub of: usize,
    /// The smallest and the largest of those elements.
    pub values: (f32, f32),
}

/// One sample: its tensors, and what was saturated in them.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    tensors: Vec<Tensor>,
    saturations: Vec<Saturation>,
}

/// Inputs of one or more inferences.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    samples: Vec<Sample>,
    labels: Vec<(String, Vec<i64>)>,
    notes: Vec<InputNote>,
}

impl Samples {
    /// The samples of a file.
    pub fn new(program: &Program, inputs: Inputs, meaning: Meaning) -> Result<Self, SampleError> {
        let head = FloatHead::of(program);
        let wanted = wanted(program, head.as_ref(), meaning);
        let arrays = matched(&wanted, &inputs.arrays)?;
        let mut count = None;
        for (wanted, array) in wanted.iter().zip(&arrays) {
            let got = sample_count(&array.shape, &wanted.shape);
            let got = got.ok_or_else(|| SampleError::Shape {
                name: wanted.name.clone(),
                expected: wanted.shape.clone(),
                got: array.shape.clone(),
            })?;
            if let Some(expected) = count.replace(got).filter(|expected| *expected != got) {
                return Err(SampleError::SampleCount {
                    name: wanted.name.clone(),
                    expected,
                    got,
                });
            }
        }
        let count = count.unwrap_or(0);
        let head = head.filter(|_| meaning == Meaning::Model);
        let one = |i: usize| sample(program, head.as_ref(), (&wanted, &arrays), i, meaning);
        let samples = (0..count).map(one).collect::<Result<Vec<Sample>, _>>()?;
        if samples.is_empty() {
            return Err(SampleError::NoSample);
        }
        let mut notes = inputs.notes;
        let (labels, others): (Vec<_>, Vec<_>) = inputs
            .labels
            .into_iter()
            .partition(|(_, labels)| labels.len() == count);
        notes.extend(others.into_iter().map(|(array, _)| InputNote::Labels {
            array,
            why: "they are not one for each sample",
        }));
        Ok(Self {
            samples,
            labels,
            notes,
        })
    }

    /// The inputs of each sample.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Tensor]> {
        self.samples.iter().map(|sample| sample.tensors.as_slice())
    }

    /// Their number, at least one.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none, which [`Samples::new`] refuses.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// One sample alone, or `None` if there are not as many.
    pub fn only(mut self, index: usize) -> Option<Self> {
        if index >= self.samples.len() {
            return None;
        }
        self.samples = vec![self.samples.swap_remove(index)];
        self.labels
            .iter_mut()
            .for_each(|(_, labels)| *labels = vec![labels[index]]);
        Some(self)
    }

    /// These samples and then those.
    pub fn append(&mut self, mut other: Self) {
        self.samples.append(&mut other.samples);
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        // Labels of some of the samples only would be compared with the wrong ones.
        self.labels.retain_mut(|(name, labels)| {
            let same = other.labels.iter().find(|(other, _)| other == name);
            same.is_some_and(|(_, more)| {
                labels.extend(more);
                true
            })
        });
    }

    /// What is used otherwise than it may have been meant.
    pub fn notes(&self) -> &[InputNote] {
        &self.notes
    }

    /// The inputs with elements that were saturated, over all samples.
    pub fn saturations(&self) -> Vec<Saturation> {
        let mut all: Vec<Saturation> = Vec::new();
        for one in self.samples.iter().flat_map(|sample| &sample.saturations) {
            match all.iter_mut().find(|known| known.input == one.input) {
                None => all.push(one.clone()),
                Some(known) => {
                    known.elements += one.elements;
                    known.values.0 = known.values.0.min(one.values.0);
                    known.values.1 = known.values.1.max(one.values.1);
                }
            }
        }
        for saturation in &mut all {
            saturation.of *= self.samples.len();
        }
        all
    }

    /// The names of the arrays of labels.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|(name, _)| name.as_str())
    }

    /// Labels that the file holds for an output, one for each sample: the array `y_<output>`, or `y` for the only one.
    pub fn labels(&self, output: &str, outputs: usize) -> Option<&[i64]> {
        let own = format!("y_{output}");
        let found = self
            .labels
            .iter()
            .find(|(name, _)| *name == own || (outputs == 1 && name == "y"));
        found.map(|(_, labels)| labels.as_slice())
    }
}

/// An array that is needed: of an input of the program, of one of its float head, or of both at once.
#[derive(Debug)]
struct Wanted {
    name: String,
    shape: Vec<usize>,
    /// Place among the inputs of the program.
    port: Option<usize>,
    /// Place among those of the float head.
    head: Option<usize>,
}

/// The arrays that inferences need.
fn wanted(program: &Program, head: Option<&FloatHead>, meaning: Meaning) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut ports = 0..program.inputs().len();
    for input in &program.interface().parts().inputs {
        let integers = input.integers.as_ref();
        let port = integers.and_then(|_| ports.next());
        let derived = integers.is_some_and(|integers| integers.source.is_some());
        let (port, head) = match meaning {
            Meaning::Integers => (port, None),
            Meaning::Model => (
                port.filter(|_| !derived),
                head.and_then(|head| {
                    let mut inputs = head.inputs().iter();
                    inputs.position(|known| known.name == input.name)
                }),
            ),
        };
        if port.is_some() || head.is_some() {
            wanted.push(Wanted {
                name: input.name.clone(),
                shape: input.shape.iter().map(|&extent| extent as usize).collect(),
                port,
                head,
            });
        }
    }
    wanted
}

/// The names of the arrays that inferences of a program need.
pub fn array_names(program: &Program, meaning: Meaning) -> Vec<String> {
    let wanted = wanted(program, FloatHead::of(program).as_ref(), meaning);
    wanted.into_iter().map(|wanted| wanted.name).collect()
}

/// The array of each input.
fn matched<'a>(
    wanted: &[Wanted],
    arrays: &'a [(Option<String>, Array)],
) -> Result<Vec<&'a Array>, SampleError> {
    let named = |wanted: &Wanted| {
        arrays
            .iter()
            .find(|(name, _)| name.as_deref() == Some(&wanted.name))
    };
    if wanted.iter().any(|wanted| named(wanted).is_some()) {
        let missing = |wanted: &Wanted| SampleError::Missing {
            name: wanted.name.clone(),
            got: arrays
                .iter()
                .filter_map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
                .join(", "),
        };
        return wanted
            .iter()
            .map(|wanted| {
                named(wanted)
                    .map(|(_, array)| array)
                    .ok_or_else(|| missing(wanted))
            })
            .collect();
    }
    if arrays.len() != wanted.len() {
        let names = wanted
            .iter()
            .map(|wanted| wanted.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(SampleError::Count {
            expected: wanted.len(),
            got: arrays.len(),
            names,
        });
    }
    Ok(arrays.iter().map(|(_, array)| array).collect())
}

/// Sample `i` of some arrays.
fn sample(
    program: &Program,
    head: Option<&FloatHead>,
    (wanted, arrays): (&[Wanted], &[&Array]),
    i: usize,
    meaning: Meaning,
) -> Result<Sample, SampleError> {
    let ports = program.inputs();
    let mut tensors: Vec<Option<Tensor>> = vec![None; ports.len()];
    let mut saturations = Vec::new();
    let mut raw: Vec<Vec<f32>> = vec![Vec::new(); head.map_or(0, |head| head.inputs().len())];
    for (wanted, array) in wanted.iter().zip(arrays) {
        let len: usize = wanted.shape.iter().product();
        let place = i * len..(i + 1) * len;
        if let Some(index) = wanted.head {
            raw[index] = floats(&array.elements, place.clone());
        }
        let Some(index) = wanted.port else { continue };
        let port = &ports[index];
        let fact = program.fact(port.tensor);
        let real = meaning == Meaning::Model && port.quantization.is_some();
        tensors[index] = Some(match (&array.elements, real) {
            (Elements::Int(_, values), false) => integers(port, fact, &values[place])?,
            (elements, true) => {
                let values = floats(elements, place);
                saturations.extend(saturation(port, fact, &values));
                quantize_input(port, fact, &values)?
            }
            (elements, false) => {
                let port = Port {
                    quantization: None,
                    ..port.clone()
                };
                quantize_input(&port, fact, &floats(elements, place))?
            }
        });
    }
    if let Some(head) = head {
        let raw: Vec<&[f32]> = raw.iter().map(Vec::as_slice).collect();
        for made in head.evaluate(program, &raw)? {
            let port = &ports[made.place];
            let fact = program.fact(port.tensor);
            if !made.floats.is_empty() {
                saturations.extend(saturation(port, fact, &made.floats));
            }
            tensors[made.place] = Some(made.tensor);
        }
    }
    let missing = |place: usize| HeadError::Missing {
        name: ports[place].name.clone(),
    };
    let tensors = tensors.into_iter().enumerate();
    let tensors = tensors.map(|(place, tensor)| tensor.ok_or_else(|| missing(place)));
    Ok(Sample {
        tensors: tensors.collect::<Result<_, _>>()?,
        saturations,
    })
}

/// Numbers as binary32.
fn floats(elements: &Elements, place: std::ops::Range<usize>) -> Vec<f32> {
    match elements {
        Elements::F32(values) => values[place].to_vec(),
        Elements::Int(_, values) => values[place].iter().map(|value| *value as f32).collect(),
    }
}

/// The reals of an input that lie beyond its integers, if there are any.
fn saturation(port: &Port, fact: &Fact, values: &[f32]) -> Option<Saturation> {
    let beyond = saturated(port, fact, values);
    let pick = |pick: fn(f32, f32) -> f32| beyond.iter().map(|&i| values[i]).reduce(pick);
    let extremes = pick(f32::min).zip(pick(f32::max))?;
    Some(Saturation {
        input: port.name.clone(),
        elements: beyond.len(),
        of: values.len(),
        values: extremes,
    })
}

fn integers(port: &Port, fact: &Fact, values: &[i64]) -> Result<Tensor, SampleError> {
    match values.iter().position(|value| !fact.range.contains(*value)) {
        None => Ok(Tensor::new(fact.dtype, fact.shape.clone(), values.to_vec())),
        Some(index) => Err(SampleError::Value {
            name: port.name.clone(),
            index,
            value: values[index],
            range: fact.range,
        }),
    }
}

/// How many samples of shape `wanted` an array of shape `got` holds. Axes of extent 1 may come and go, and a sample may
/// be flat.
fn sample_count(got: &[usize], wanted: &[usize]) -> Option<usize> {
    let strip = |shape: &[usize]| {
        shape
            .iter()
            .copied()
            .filter(|&extent| extent != 1)
            .collect::<Vec<_>>()
    };
    let len: usize = wanted.iter().product();
    let fits = |shape: &[usize]| strip(shape) == strip(wanted) || *shape == [len];
    if fits(got) {
        return Some(1);
    }
    match got {
        [samples, sample @ ..] if fits(sample) => Some(*samples),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_samples_in_the_shapes_people_use() {
        for (got, wanted, count) in [
            (&[1, 64][..], &[1, 64][..], Some(1)),
            (&[64], &[1, 64], Some(1)),
            (&[450, 64], &[1, 64], Some(450)),
            (&[450, 1, 64], &[1, 64], Some(450)),
            (&[1, 1, 8, 8], &[1, 1, 8, 8], Some(1)),
            (&[8, 8], &[1, 1, 8, 8], Some(1)),
            (&[64], &[1, 1, 8, 8], Some(1)),
            (&[5, 64], &[1, 1, 8, 8], Some(5)),
            (&[5, 1, 8, 8], &[1, 1, 8, 8], Some(5)),
            (&[5], &[1, 1], Some(5)),
            (&[], &[1, 1], Some(1)),
            (&[0, 64], &[1, 64], Some(0)),
            (&[4, 16], &[1, 64], None),
            (&[8, 4, 2], &[1, 8, 8], None),
            (&[63], &[1, 64], None),
            (&[5, 3, 64], &[1, 64], None),
        ] {
            assert_eq!(sample_count(got, wanted), count, "{got:?} as {wanted:?}");
        }
    }
}
