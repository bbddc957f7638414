//! Claims: this program, this input, this output, in this context.
//!
//! A claim is the coordinate that an executor without keys, an attestation and a proof share. Its digest needs no
//! verifying key, so all three form the same 32 bytes.
//!
//! Inputs and outputs are typed leaves, each with a digest of its own, and the claim's digest is over these: a new kind of
//! leaf changes no claim that exists, and whoever knows a leaf's digest need not hold its values.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{ClaimError, DecodeError};
use crate::tensor::TensorData;

/// The first bytes of an encoded claim.
pub const CLAIM_MAGIC: [u8; 4] = *b"zkxC";

/// The version of the claim format.
pub const CLAIM_VERSION: u16 = 2;

/// Largest number of inputs, and of outputs.
pub const MAX_PORTS: usize = 64;

const DIGEST_PERSONAL: &[u8; 16] = b"zkonnx claim v2.";
const LEAF_PERSONAL: &[u8; 16] = b"zkonnx leaf v1..";

/// Leaf of an input that stays with the prover.
const PRIVATE: u8 = 0;
/// Leaf of public values.
const PUBLIC: u8 = 1;
/// Tags that are reserved for leaves that no circuit proves today, and what they are for.
const RESERVED: [(u8, &str); 3] = [
    (2, "the digest of an input"),
    (3, "a commitment to an input"),
    (4, "an attestation of an input"),
];

/// What a claim says of one input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClaimInput {
    /// The input's values.
    Public(TensorData),
    /// Some input exists; its values stay with the prover.
    Private,
}

impl ClaimInput {
    /// Private leaves for a program of so many inputs.
    pub fn private(inputs: usize) -> Vec<Self> {
        alloc::vec![Self::Private; inputs]
    }

    /// Public leaves.
    pub fn public(inputs: Vec<TensorData>) -> Vec<Self> {
        inputs.into_iter().map(Self::Public).collect()
    }

    /// The values, if they are public.
    pub fn values(&self) -> Option<&TensorData> {
        match self {
            Self::Public(tensor) => Some(tensor),
            Self::Private => None,
        }
    }

    /// BLAKE2b-256 of the leaf's bytes, personalized as `zkonnx leaf v1..`.
    pub fn digest(&self) -> [u8; 32] {
        let mut out = Vec::new();
        self.write(&mut out);
        hash256(LEAF_PERSONAL, &out)
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Private => out.push(PRIVATE),
            Self::Public(tensor) => {
                out.push(PUBLIC);
                tensor.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            PRIVATE => Ok(Self::Private),
            PUBLIC => Ok(Self::Public(TensorData::read(reader)?)),
            tag => match RESERVED.iter().find(|(reserved, _)| *reserved == tag) {
                Some((_, meaning)) => Err(DecodeError::ReservedInputTag { tag, meaning }),
                None => Err(DecodeError::UnknownInputTag { tag }),
            },
        }
    }
}

/// The digest of public values as a leaf, as the claim's digest has it of outputs and of public inputs.
pub fn leaf_digest(tensor: &TensorData) -> [u8; 32] {
    let mut out = alloc::vec![PUBLIC];
    tensor.write(&mut out);
    hash256(LEAF_PERSONAL, &out)
}

/// A statement about one inference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    program_id: [u8; 32],
    inputs: Vec<ClaimInput>,
    outputs: Vec<TensorData>,
    context: [u8; 32],
}

impl Claim {
    /// A claim with at most [`MAX_PORTS`] inputs and 1 to [`MAX_PORTS`] outputs.
    ///
    /// `context` is the caller's: a request, a nonce, a chain id. A settlement refuses contexts it did not issue.
    pub fn new(
        program_id: [u8; 32],
        inputs: Vec<ClaimInput>,
        outputs: Vec<TensorData>,
        context: [u8; 32],
    ) -> Result<Self, ClaimError> {
        if inputs.len() > MAX_PORTS {
            return Err(ClaimError::TooManyInputs { got: inputs.len() });
        }
        match outputs.len() {
            0 => Err(ClaimError::NoOutputs),
            got if got > MAX_PORTS => Err(ClaimError::TooManyOutputs { got }),
            _ => Ok(Self {
                program_id,
                inputs,
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

    /// What is said of each input, in the program's order.
    pub fn inputs(&self) -> &[ClaimInput] {
        &self.inputs
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

    /// BLAKE2b-256, personalized as `zkonnx claim v2.`, of the program id, the context, and the digests of the leaves of
    /// inputs and outputs, each after their number.
    pub fn digest(&self) -> [u8; 32] {
        let mut out = Vec::new();
        out.extend_from_slice(&self.program_id);
        out.extend_from_slice(&self.context);
        // A claim has at most `MAX_PORTS` of each.
        out.push(self.inputs.len() as u8);
        for input in &self.inputs {
            out.extend_from_slice(&input.digest());
        }
        out.push(self.outputs.len() as u8);
        for output in &self.outputs {
            out.extend_from_slice(&leaf_digest(output));
        }
        hash256(DIGEST_PERSONAL, &out)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_header(CLAIM_MAGIC, CLAIM_VERSION);
        out.extend_from_slice(&self.program_id);
        out.extend_from_slice(&self.context);
        // A claim has at most `MAX_PORTS` of each.
        out.push(self.inputs.len() as u8);
        self.inputs.iter().for_each(|input| input.write(out));
        out.push(self.outputs.len() as u8);
        self.outputs.iter().for_each(|output| output.write(out));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.header(CLAIM_MAGIC, CLAIM_VERSION)?;
        let program_id = reader.array()?;
        let context = reader.array()?;
        let count = reader.u8()?;
        let inputs = (0..count)
            .map(|_| ClaimInput::read(reader))
            .collect::<Result<_, _>>()?;
        let count = reader.u8()?;
        let outputs = (0..count)
            .map(|_| TensorData::read(reader))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(program_id, inputs, outputs, context)?)
    }
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
