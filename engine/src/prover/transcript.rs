//! The proof as it is written.

use halo2_proofs::transcript::{Blake2bWrite, Challenge255, Transcript as _, TranscriptWrite};
use pasta_curves::{EqAffine, Fp};

use super::ProveError;

/// halo2's transcript; the only failure is a point at infinity, since it writes to memory.
#[derive(Debug)]
pub(super) struct Transcript(Blake2bWrite<Vec<u8>, EqAffine, Challenge255<EqAffine>>);

impl Transcript {
    /// Starts with the digest of the key.
    pub(super) fn new(key: Fp) -> Result<Self, ProveError> {
        let mut transcript = Blake2bWrite::init(Vec::new());
        transcript
            .common_scalar(key)
            .map_err(|_| ProveError::Degenerate)?;
        Ok(Self(transcript))
    }

    /// Absorbs points that the verifier computes.
    pub(super) fn common_points(&mut self, points: &[EqAffine]) -> Result<(), ProveError> {
        let mut points = points.iter();
        points
            .try_for_each(|point| self.0.common_point(*point))
            .map_err(|_| ProveError::Degenerate)
    }

    /// Writes points.
    pub(super) fn points(&mut self, points: &[EqAffine]) -> Result<(), ProveError> {
        let mut points = points.iter();
        points
            .try_for_each(|point| self.0.write_point(*point))
            .map_err(|_| ProveError::Degenerate)
    }

    /// Writes scalars.
    pub(super) fn scalars(&mut self, scalars: &[Fp]) -> Result<(), ProveError> {
        let mut scalars = scalars.iter();
        scalars
            .try_for_each(|scalar| self.0.write_scalar(*scalar))
            .map_err(|_| ProveError::Degenerate)
    }

    /// Draws a challenge.
    pub(super) fn challenge(&mut self) -> Fp {
        *self.0.squeeze_challenge_scalar::<()>()
    }

    /// The proof.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0.finalize()
    }
}
