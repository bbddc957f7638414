//! Receipts: claims with the proof that they hold.

use alloc::vec::Vec;

use crate::claim::Claim;
use crate::codec::{Reader, Writer};
use crate::error::{DecodeError, ReceiptError};

/// The first bytes of an encoded receipt.
pub const RECEIPT_MAGIC: [u8; 4] = *b"zkxR";

/// The version of the receipt format.
pub const RECEIPT_VERSION: u16 = 2;

/// Largest number of claims under one proof.
pub const MAX_CLAIMS: usize = 64;

/// Largest proof, in bytes.
pub const MAX_PROOF_BYTES: usize = 1 << 20;

/// One to [`MAX_CLAIMS`] claims, the verifying key that they are proved under, and one proof of all of them.
///
/// A receipt holds nothing that its proof does not bind, apart from the id of the key to check it with. What was not
/// proved of a model (float operators behind the last integer one) is a property of the model, and is shown from the
/// program, never from a receipt, where anybody could edit it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    vk_id: [u8; 32],
    claims: Vec<Claim>,
    proof: Vec<u8>,
}

impl Receipt {
    /// A receipt with 1 to [`MAX_CLAIMS`] claims and a proof of at most [`MAX_PROOF_BYTES`].
    pub fn new(vk_id: [u8; 32], claims: Vec<Claim>, proof: Vec<u8>) -> Result<Self, ReceiptError> {
        if claims.is_empty() {
            return Err(ReceiptError::NoClaims);
        }
        if claims.len() > MAX_CLAIMS {
            return Err(ReceiptError::TooManyClaims { got: claims.len() });
        }
        if proof.len() > MAX_PROOF_BYTES {
            return Err(ReceiptError::ProofTooLong { got: proof.len() });
        }
        Ok(Self {
            vk_id,
            claims,
            proof,
        })
    }

    /// The id of the verifying key to check the proof with.
    pub fn vk_id(&self) -> &[u8; 32] {
        &self.vk_id
    }

    /// The claims, in the order in which they were proved.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The proof's bytes.
    pub fn proof(&self) -> &[u8] {
        &self.proof
    }

    /// The canonical bytes, as FORMATS.md lists them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_header(RECEIPT_MAGIC, RECEIPT_VERSION);
        out.extend_from_slice(&self.vk_id);
        // A receipt has at most `MAX_CLAIMS` of them.
        out.push(self.claims.len() as u8);
        for claim in &self.claims {
            claim.write(&mut out);
        }
        out.put_count(self.proof.len());
        out.extend_from_slice(&self.proof);
        out
    }

    /// The receipt with these bytes, which have to be canonical and complete.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.header(RECEIPT_MAGIC, RECEIPT_VERSION)?;
        let vk_id = reader.array()?;
        let count = usize::from(reader.u8()?);
        if count > MAX_CLAIMS {
            return Err(ReceiptError::TooManyClaims { got: count }.into());
        }
        let claims = (0..count)
            .map(|_| Claim::read(&mut reader))
            .collect::<Result<_, _>>()?;
        let len = reader.count(1)?;
        let proof = reader.take(len)?.to_vec();
        reader.finish()?;
        Ok(Self::new(vk_id, claims, proof)?)
    }
}
