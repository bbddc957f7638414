//! Where the values of a claim stand in the instance column.
//!
//! Element 0 and 1 are the halves of the context, 16 bytes little-endian each, so neither is reduced modulo p. Then
//! follow the inputs, if they are public, and the outputs. Each port starts a fresh element and packs
//! floor(248 / width) values to an element, lowest digit first: element = Σ_j (value_j + offset) · 2^(width · j), with
//! zero in the positions after the last value. Every element is below 2^248 < p, so the elements determine the values.

use alloc::vec::Vec;

use ff::PrimeField;
use pasta_curves::Fp;

use crate::claim::{Claim, ClaimInput, MAX_PORTS};
use crate::codec::Reader;
use crate::error::{DecodeError, LayoutError};
use crate::tensor::{PortSpec, TensorData};
use crate::work::amount;

/// The elements that hold the context.
pub const CONTEXT_ELEMENTS: usize = 2;

/// Whether a claim states the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputVisibility {
    /// The claim states the input's values.
    Public,
    /// The claim says nothing of the input.
    Private,
}

impl InputVisibility {
    fn code(self) -> u8 {
        match self {
            Self::Private => 0,
            Self::Public => 1,
        }
    }
}

/// The public values of a circuit: which there are, of which type and shape, in which order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicLayout {
    visibility: InputVisibility,
    inputs: Vec<PortSpec>,
    outputs: Vec<PortSpec>,
}

impl PublicLayout {
    /// A layout of at most [`MAX_PORTS`] inputs and 1 to [`MAX_PORTS`] outputs. Private inputs are listed as well:
    /// their types are part of the key, though their values take no elements.
    pub fn new(
        visibility: InputVisibility,
        inputs: Vec<PortSpec>,
        outputs: Vec<PortSpec>,
    ) -> Result<Self, LayoutError> {
        if inputs.len() > MAX_PORTS {
            return Err(LayoutError::TooManyInputs { got: inputs.len() });
        }
        match outputs.len() {
            0 => Err(LayoutError::NoOutputs),
            got if got > MAX_PORTS => Err(LayoutError::TooManyOutputs { got }),
            _ => Ok(Self {
                visibility,
                inputs,
                outputs,
            }),
        }
    }

    /// Whether a claim states the input.
    pub fn visibility(&self) -> InputVisibility {
        self.visibility
    }

    /// The inputs in the program's order.
    pub fn inputs(&self) -> &[PortSpec] {
        &self.inputs
    }

    /// The outputs in the program's order.
    pub fn outputs(&self) -> &[PortSpec] {
        &self.outputs
    }

    /// The ports whose values stand in the instance, in their order.
    pub fn public_ports(&self) -> impl Iterator<Item = &PortSpec> {
        let inputs = match self.visibility {
            InputVisibility::Public => self.inputs.as_slice(),
            InputVisibility::Private => &[],
        };
        inputs.iter().chain(&self.outputs)
    }

    /// The exact number of instance elements.
    pub fn element_count(&self) -> usize {
        self.public_ports().fold(CONTEXT_ELEMENTS, |count, port| {
            count.saturating_add(port.element_count())
        })
    }

    /// The number of values that the elements hold, each of which takes a multiplication to pack.
    pub(crate) fn value_count(&self) -> u64 {
        self.public_ports()
            .fold(0, |count, port| amount(port.len()).saturating_add(count))
    }

    /// The instance column that says what the claim says.
    pub fn instance(&self, claim: &Claim) -> Result<Vec<Fp>, LayoutError> {
        if claim.inputs().len() != self.inputs.len() {
            return Err(LayoutError::InputCount {
                expected: self.inputs.len(),
                got: claim.inputs().len(),
            });
        }
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for leaf in claim.inputs() {
            match (self.visibility, leaf) {
                (InputVisibility::Public, ClaimInput::Public(tensor)) => inputs.push(tensor),
                (InputVisibility::Private, ClaimInput::Private) => {}
                (expected, _) => return Err(LayoutError::VisibilityMismatch { expected }),
            }
        }
        if claim.outputs().len() != self.outputs.len() {
            return Err(LayoutError::OutputCount {
                expected: self.outputs.len(),
                got: claim.outputs().len(),
            });
        }
        let mut elements = Vec::with_capacity(self.element_count());
        elements.extend(context_elements(claim.context()));
        for (index, (tensor, port)) in inputs.iter().zip(&self.inputs).enumerate() {
            if tensor.spec() != port {
                return Err(LayoutError::InputSpec { index });
            }
            pack(tensor, &mut elements);
        }
        for (index, (tensor, port)) in claim.outputs().iter().zip(&self.outputs).enumerate() {
            if tensor.spec() != port {
                return Err(LayoutError::OutputSpec { index });
            }
            pack(tensor, &mut elements);
        }
        Ok(elements)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.visibility.code());
        for ports in [&self.inputs, &self.outputs] {
            // A layout has at most `MAX_PORTS` of each.
            out.push(ports.len() as u8);
            for port in ports {
                port.write(out);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let visibility = match reader.u8()? {
            0 => InputVisibility::Private,
            1 => InputVisibility::Public,
            tag => return Err(DecodeError::UnknownInputTag { tag }),
        };
        let mut ports = || -> Result<Vec<PortSpec>, DecodeError> {
            let count = reader.u8()?;
            (0..count).map(|_| PortSpec::read(reader)).collect()
        };
        let inputs = ports()?;
        let outputs = ports()?;
        Ok(Self::new(visibility, inputs, outputs)?)
    }
}

/// The two elements of a context: its first and its last 16 bytes, little-endian.
pub fn context_elements(context: &[u8; 32]) -> [Fp; CONTEXT_ELEMENTS] {
    let mut halves = context.chunks_exact(16).map(|half| {
        half.iter()
            .rev()
            .fold(0u128, |acc, &byte| (acc << 8) | u128::from(byte))
    });
    [
        Fp::from_u128(halves.next().unwrap_or(0)),
        Fp::from_u128(halves.next().unwrap_or(0)),
    ]
}

/// Appends the elements of one port.
fn pack(tensor: &TensorData, elements: &mut Vec<Fp>) {
    let dtype = tensor.dtype();
    let base = Fp::from_u128(1 << dtype.width());
    for chunk in tensor.values().chunks(dtype.per_element()) {
        elements.push(chunk.iter().rev().fold(Fp::zero(), |acc, &value| {
            acc * base + Fp::from(dtype.digit(value))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DataType;
    use alloc::vec;

    fn claim(inputs: Vec<ClaimInput>, context: [u8; 32]) -> Claim {
        let outputs = vec![TensorData::new(DataType::I8, vec![2], vec![-128, 127]).unwrap()];
        Claim::new([7; 32], inputs, outputs, context).unwrap()
    }

    #[test]
    fn accepts_a_claim_and_packs_it_as_written_down() {
        let values: Vec<i64> = (0..32).collect();
        let input = TensorData::new(DataType::U8, vec![4, 8], values).unwrap();
        let layout = PublicLayout::new(
            InputVisibility::Public,
            vec![input.spec().clone()],
            vec![PortSpec::new(DataType::I8, vec![2]).unwrap()],
        )
        .unwrap();
        let mut context = [0; 32];
        context[0] = 1;
        context[16] = 2;
        context[31] = 255;
        let elements = layout
            .instance(&claim(vec![ClaimInput::Public(input)], context))
            .unwrap();
        assert_eq!(elements.len(), layout.element_count());
        assert_eq!(elements.len(), 2 + 2 + 1);
        assert_eq!(elements[0], Fp::from(1));
        assert_eq!(elements[1], Fp::from_u128((255u128 << 120) + 2));
        let mut digits = [0u8; 32];
        for (index, digit) in digits.iter_mut().take(31).enumerate() {
            *digit = index as u8;
        }
        assert_eq!(elements[2].to_repr(), digits);
        assert_eq!(elements[3], Fp::from(31));
        assert_eq!(elements[4], Fp::from(255 << 8));
    }

    #[test]
    fn rejects_claims_of_another_shape() {
        let spec = |dtype, len| PortSpec::new(dtype, vec![len]).unwrap();
        let data = |dtype, len| TensorData::new(dtype, vec![len], vec![0; len as usize]).unwrap();
        let layout = PublicLayout::new(
            InputVisibility::Public,
            vec![spec(DataType::U8, 3)],
            vec![spec(DataType::I8, 2)],
        )
        .unwrap();
        let of = |input| layout.instance(&claim(input, [0; 32]));
        assert_eq!(
            of(ClaimInput::private(1)),
            Err(LayoutError::VisibilityMismatch {
                expected: InputVisibility::Public
            })
        );
        assert_eq!(
            of(vec![]),
            Err(LayoutError::InputCount {
                expected: 1,
                got: 0
            })
        );
        for wrong in [data(DataType::U8, 2), data(DataType::I8, 3)] {
            assert_eq!(
                of(vec![ClaimInput::Public(wrong)]),
                Err(LayoutError::InputSpec { index: 0 })
            );
        }
        let input = || vec![ClaimInput::Public(data(DataType::U8, 3))];
        let with =
            |outputs| layout.instance(&Claim::new([0; 32], input(), outputs, [0; 32]).unwrap());
        assert_eq!(
            with(vec![data(DataType::U8, 2)]),
            Err(LayoutError::OutputSpec { index: 0 })
        );
        assert_eq!(
            with(vec![data(DataType::I8, 2); 2]),
            Err(LayoutError::OutputCount {
                expected: 1,
                got: 2
            })
        );
        let private = PublicLayout::new(
            InputVisibility::Private,
            vec![],
            vec![spec(DataType::I8, 2)],
        )
        .unwrap();
        assert_eq!(private.element_count(), 3);
        assert!(private.instance(&claim(vec![], [0; 32])).is_ok());
        assert!(private.instance(&claim(input(), [0; 32])).is_err());
        assert_eq!(
            PublicLayout::new(InputVisibility::Public, vec![], vec![]),
            Err(LayoutError::NoOutputs)
        );
    }
}
