//! What a claim says, by name and in reals.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Interface, OpenError, Quantization, Source};
use crate::claim::{Claim, ClaimInput};
use crate::tensor::TensorData;

/// A claim with the interface of its program.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    interface: &'a Interface,
    claim: &'a Claim,
}

/// A tensor of a claim, and the reals that it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The integers.
    pub tensor: &'a TensorData,
    /// Scale and zero point, if the integers stand for reals.
    pub quantization: Option<&'a Quantization>,
}

impl<'a> Opened<'a> {
    /// The claim, if interface and body are those of its program. Whether the claim holds is another question.
    pub fn new(
        interface: &'a Interface,
        body_hash: &[u8; 32],
        claim: &'a Claim,
    ) -> Result<Self, OpenError> {
        if interface.program_id(body_hash) != *claim.program_id() {
            return Err(OpenError::OtherProgram);
        }
        let outputs = interface.outputs().iter().map(|output| &output.spec);
        if !outputs.eq(claim.outputs().iter().map(TensorData::spec)) {
            return Err(OpenError::Tensors { what: "outputs" });
        }
        let fits =
            |(leaf, (_, shape, integers)): (&ClaimInput, (_, &[u32], &super::InputIntegers))| {
                match leaf {
                    ClaimInput::Private => true,
                    ClaimInput::Public(tensor) => {
                        tensor.dtype() == integers.dtype && tensor.shape() == shape
                    }
                }
            };
        let inputs = claim.inputs();
        if inputs.len() != interface.proved_inputs().count()
            || !inputs.iter().zip(interface.proved_inputs()).all(fits)
        {
            return Err(OpenError::Tensors { what: "inputs" });
        }
        Ok(Self { interface, claim })
    }

    /// An output of the model by its name.
    pub fn output(&self, name: &str) -> Result<Shown<'a>, OpenError> {
        let what = "output";
        let mut outputs = self.interface.model_outputs().iter();
        let output = outputs.find(|output| output.name == name);
        let outside = || OpenError::Outside {
            what,
            name: name.to_string(),
        };
        let place = match output.map(|output| output.source) {
            None => {
                let name = name.to_string();
                return Err(OpenError::Unknown { what, name });
            }
            Some(Source::Output(place)) => usize::try_from(place).map_err(|_| outside())?,
            Some(_) => return Err(outside()),
        };
        let tensor = self.claim.outputs().get(place).ok_or_else(outside)?;
        let output = self.interface.outputs().get(place).ok_or_else(outside)?;
        Ok(Shown {
            tensor,
            quantization: output.quantization.as_ref(),
        })
    }

    /// An input of the model by its name.
    pub fn input(&self, name: &str) -> Result<Shown<'a>, OpenError> {
        let what = "input";
        let pairs = self.interface.proved_inputs().zip(self.claim.inputs());
        for ((known, _, integers), leaf) in pairs {
            match leaf {
                _ if known != name => {}
                ClaimInput::Private => {
                    let name = name.to_string();
                    return Err(OpenError::Private { name });
                }
                ClaimInput::Public(tensor) => {
                    return Ok(Shown {
                        tensor,
                        quantization: integers.head.as_ref().map(|head| &head.quantization),
                    });
                }
            }
        }
        let mut inputs = self.interface.parts().inputs.iter();
        let name = name.to_string();
        Err(if inputs.any(|input| input.name == name) {
            OpenError::Outside { what, name }
        } else {
            OpenError::Unknown { what, name }
        })
    }
}

impl Shown<'_> {
    /// The reals as binary32 bit patterns, those of DequantizeLinear; `None` if the integers stand for nothing else.
    pub fn reals(&self) -> Option<Vec<u32>> {
        let quantization = self.quantization?;
        let shape = self.tensor.shape();
        // Elements between neighbours along the axis.
        let inner = match quantization.axis {
            None => 1,
            Some(axis) => shape
                .iter()
                .skip(axis.saturating_add(1))
                .fold(1usize, |n, &dim| n.saturating_mul(dim as usize)),
        };
        let lanes = quantization.scale_bits.len().max(1);
        let real = |(index, &value): (usize, &i64)| {
            let lane = index / inner.max(1) % lanes;
            let scale = quantization.scale_bits.get(lane)?;
            let zero = quantization.zero_point.get(lane)?;
            Some(dequantize_binary32(value, *zero, *scale))
        };
        self.tensor.values().iter().enumerate().map(real).collect()
    }

    /// The reals as floats.
    #[cfg(feature = "std")]
    pub fn floats(&self) -> Option<Vec<f32>> {
        Some(self.reals()?.into_iter().map(f32::from_bits).collect())
    }
}

/// `f32(f32(value − zero) · scale)` for the bits of a normal positive scale, in integer arithmetic.
pub fn dequantize_binary32(value: i64, zero: i64, scale_bits: u32) -> u32 {
    let difference = i128::from(value) - i128::from(zero);
    if difference == 0 {
        return 0;
    }
    let negative = difference < 0;
    let (a, at) = split(round_binary32(negative, difference.unsigned_abs(), 0));
    let (b, bt) = split(scale_bits);
    round_binary32(negative, u128::from(a) * u128::from(b), at + bt)
}

/// Significand and exponent of the bits of a normal number.
fn split(bits: u32) -> (u32, i32) {
    let significand = (bits & 0x7f_ffff) | 0x80_0000;
    (significand, ((bits >> 23) & 0xff) as i32 - 150)
}

/// The bits of `significand · 2^exponent`, rounded half to even, for a significand of 1 to 66 bits. The result is never
/// subnormal: it is a whole number, or one times a normal scale.
fn round_binary32(negative: bool, significand: u128, exponent: i32) -> u32 {
    let sign = u32::from(negative) << 31;
    let bits = (128 - significand.leading_zeros()) as i32;
    // The result has 24 bits, and this is the exponent of the last one.
    let mut place = exponent + bits - 24;
    let drop = bits - 24;
    let mut rounded = if drop <= 0 {
        significand << drop.unsigned_abs().min(24)
    } else {
        let drop = drop.unsigned_abs();
        let (kept, half) = (significand >> drop, 1u128 << (drop - 1));
        let rest = significand - (kept << drop);
        kept + u128::from(rest > half || (rest == half && kept % 2 == 1))
    } as u32;
    if rounded == 1 << 24 {
        rounded >>= 1;
        place += 1;
    }
    match u32::try_from(place + 150) {
        Ok(biased) if biased < 0xff => sign | (biased << 23) | (rounded & 0x7f_ffff),
        _ => sign | 0x7f80_0000,
    }
}

#[cfg(test)]
mod tests {
    use super::dequantize_binary32;

    #[test]
    fn accepts_the_reals_of_the_float_unit() {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 1
        };
        for round in 0..200_000u32 {
            let width = round % 63 + 1;
            let value = (next() as i64) >> (63 - width);
            let zero = (next() as i64) >> (63 - next() % 16);
            let scale = (next() as u32 & 0x7f_ffff) | (((next() % 254) as u32 + 1) << 23);
            let got = dequantize_binary32(value, zero, scale);
            let expected = (value - zero) as f32 * f32::from_bits(scale);
            assert_eq!(got, expected.to_bits(), "{value} {zero} {scale:08x}");
        }
        assert_eq!(
            dequantize_binary32(i64::MAX, i64::MIN, 0x7f00_0000),
            0x7f80_0000
        );
    }
}
