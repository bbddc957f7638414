//! Claims: this program, this input, this output, in this context.
//!
//! A claim is the coordinate that an executor without keys, an attestation and a proof share. Its digest needs no
//! verifying key, so all three form the same 32 bytes.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{ClaimError, DecodeError};
use crate::tensor::TensorData;

/// The first bytes of an encoded claim.
pub const CLAIM_MAGIC: [u8; 4] = *b"zkxC";

/// The version of the claim format.
pub const CLAIM_VERSION: u16 = 1;

/// Largest number of inputs, and of outputs.
pub const MAX_PORTS: usize = 64;

const DIGEST_PERSONAL: &[u8; 16] = b"zkonnx claim v1.";

/// What a claim says of the input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClaimInput {
    /// The input's values, in the program's order.
    Public(Vec<TensorData>),
    /// Some input exists; its values stay with the prover.
    Private,
}

/// A statement about one inference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    program_id: [u8; 32],
    input: ClaimInput,
    outputs: Vec<TensorData>,
    context: [u8; 32],
}

impl Claim {
    /// A claim with at most [`MAX_PORTS`] inputs and 1 to [`MAX_PORTS`] outputs.
    ///
    /// `context` is the caller's: a request, a nonce, a chain id. A settlement refuses contexts it did not issue.
    pub fn new(
        program_id: [u8; 32],
        input: ClaimInput,
        outputs: Vec<TensorData>,
        context: [u8; 32],
    ) -> Result<Self, ClaimError> {
        if let ClaimInput::Public(inputs) = &input {
            if inputs.len() > MAX_PORTS {
                return Err(ClaimError::TooManyInputs { got: inputs.len() });
            }
        }
        match outputs.len() {
            0 => Err(ClaimError::NoOutputs),
            got if got > MAX_PORTS => Err(ClaimError::TooManyOutputs { got }),
            _ => Ok(Self {
                program_id,
                input,
                outputs,
                context,
            }),
        }
    }

    /// The version of the claim's format.
    pub fn version(&self) -> u16 {
        CLAIM_VERSION
    }

    /// The digest of the integer program that was executed.
    pub fn program_id(&self) -> &[u8; 32] {
        &self.program_id
    }

    /// What is said of the input.
    pub fn input(&self) -> &ClaimInput {
        &self.input
    }

    /// The outputs, in the program's order.
    pub fn outputs(&self) -> &[TensorData] {
        &self.outputs
    }

    /// The caller's 32 bytes.
    pub fn context(&self) -> &[u8; 32] {
        &self.context
    }

    /// The canonical bytes, as FORMATS.md lists them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The claim with these bytes, which have to be canonical and complete.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let claim = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(claim)
    }

    /// BLAKE2b-256 of the canonical bytes, personalized as `zkonnx claim v1.`.
    pub fn digest(&self) -> [u8; 32] {
        hash256(DIGEST_PERSONAL, &self.encode())
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_header(CLAIM_MAGIC, CLAIM_VERSION);
        out.extend_from_slice(&self.program_id);
        out.extend_from_slice(&self.context);
        match &self.input {
            ClaimInput::Private => out.push(0),
            ClaimInput::Public(inputs) => {
                out.push(1);
                write_tensors(inputs, out);
            }
        }
        write_tensors(&self.outputs, out);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.header(CLAIM_MAGIC, CLAIM_VERSION)?;
        let program_id = reader.array()?;
        let context = reader.array()?;
        let input = match reader.u8()? {
            0 => ClaimInput::Private,
            1 => ClaimInput::Public(read_tensors(reader)?),
            tag => return Err(DecodeError::UnknownInputTag { tag }),
        };
        let outputs = read_tensors(reader)?;
        Ok(Self::new(program_id, input, outputs, context)?)
    }
}

fn write_tensors(tensors: &[TensorData], out: &mut Vec<u8>) {
    // A claim has at most `MAX_PORTS` of them.
    out.push(tensors.len() as u8);
    for tensor in tensors {
        tensor.write(out);
    }
}

fn read_tensors(reader: &mut Reader<'_>) -> Result<Vec<TensorData>, DecodeError> {
    let count = reader.u8()?;
    (0..count).map(|_| TensorData::read(reader)).collect()
}

/// BLAKE2b-256 with a personalization of exactly 16 bytes.
pub(crate) fn hash256(personal: &[u8; 16], bytes: &[u8]) -> [u8; 32] {
    let hash = blake2b_simd::Params::new()
        .hash_length(32)
        .personal(personal)
        .hash(bytes);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    out
}
