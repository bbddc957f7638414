//! The Fiat–Shamir transcript of halo2 over BLAKE2b-512, reading the proof as it goes.

use blake2b_simd::{Params, State};
use ff::{FromUniformBytes, PrimeField};
use pasta_curves::{EqAffine, Fp};

use crate::decompress::{Decompressed, Roots};
use crate::error::VerifyError;
use crate::field::coordinates;
use crate::work::Work;

const PREFIX_CHALLENGE: u8 = 0;
const PREFIX_POINT: u8 = 1;
const PREFIX_SCALAR: u8 = 2;

/// The running hash and the unread rest of the proof.
pub(crate) struct Transcript<'a> {
    state: State,
    proof: &'a [u8],
    offset: usize,
    roots: &'a Roots,
}

impl<'a> Transcript<'a> {
    pub(crate) fn new(proof: &'a [u8], roots: &'a Roots) -> Self {
        Self {
            state: Params::new()
                .hash_length(64)
                .personal(b"Halo2-Transcript")
                .to_state(),
            proof,
            offset: 0,
            roots,
        }
    }

    /// Absorbs a scalar that both sides know.
    pub(crate) fn absorb_scalar(&mut self, scalar: &Fp, work: &mut Work) {
        self.state
            .update(&[PREFIX_SCALAR])
            .update(&scalar.to_repr());
        work.hashed_bytes += 33;
    }

    /// Absorbs a point. The identity has no coordinates to absorb and is refused, as halo2 refuses it.
    pub(crate) fn absorb_point(
        &mut self,
        point: &EqAffine,
        work: &mut Work,
    ) -> Result<(), VerifyError> {
        let (x, y) = coordinates(point).ok_or(VerifyError::IdentityPoint {
            offset: self.offset,
        })?;
        self.state
            .update(&[PREFIX_POINT])
            .update(&x.to_repr())
            .update(&y.to_repr());
        work.hashed_bytes += 65;
        Ok(())
    }

    /// Reads a compressed point and absorbs it.
    pub(crate) fn read_point(&mut self, work: &mut Work) -> Result<EqAffine, VerifyError> {
        let offset = self.offset;
        let bytes = self.read()?;
        work.decompressions += 1;
        let point = match self.roots.decompress(&bytes) {
            Decompressed::Point(point) => point,
            Decompressed::Identity => return Err(VerifyError::IdentityPoint { offset }),
            Decompressed::Invalid => return Err(VerifyError::InvalidPoint { offset }),
        };
        self.absorb_point(&point, work)?;
        Ok(point)
    }

    /// Reads a scalar and absorbs it.
    pub(crate) fn read_scalar(&mut self, work: &mut Work) -> Result<Fp, VerifyError> {
        let offset = self.offset;
        let bytes = self.read()?;
        let scalar: Option<Fp> = Fp::from_repr(bytes).into();
        let scalar = scalar.ok_or(VerifyError::InvalidScalar { offset })?;
        self.absorb_scalar(&scalar, work);
        Ok(scalar)
    }

    /// The next challenge, uniform in the scalar field.
    pub(crate) fn challenge(&mut self, work: &mut Work) -> Fp {
        Fp::from_uniform_bytes(&self.challenge_bytes(work))
    }

    /// The 64 bytes that a challenge is reduced from; they depend on everything absorbed so far.
    pub(crate) fn challenge_bytes(&mut self, work: &mut Work) -> [u8; 64] {
        self.state.update(&[PREFIX_CHALLENGE]);
        // Finishing the hash compresses one more block.
        work.hashed_bytes += 129;
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(self.state.finalize().as_bytes()) {
            *to = *from;
        }
        bytes
    }

    /// Whether the whole proof has been read.
    pub(crate) fn is_finished(&self) -> bool {
        self.proof.is_empty()
    }

    fn read(&mut self) -> Result<[u8; 32], VerifyError> {
        let (head, rest) =
            self.proof
                .split_first_chunk::<32>()
                .ok_or(VerifyError::ProofTruncated {
                    offset: self.offset,
                })?;
        self.proof = rest;
        self.offset += 32;
        Ok(*head)
    }
}
