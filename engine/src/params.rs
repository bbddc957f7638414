//! The parameters of the commitment scheme, with what a prover precomputes from them.
//!
//! The generators are those of halo2: points hashed to the curve, with no secret behind them, and the same points in the
//! Lagrange basis. A file holds them uncompressed, with the multiples of them that the multi-scalar multiplication reads,
//! so that loading it takes no arithmetic on the curve.
//!
//! Key generation commits with these points and multiples: whoever could choose one of them could give the circuit of one
//! model the key of another. Every way to obtain [`Params`] therefore ends in comparing the digest of all that a file
//! holds with the one that is compiled in for its size.

use std::io::{Read, Write};

use ff::{Field, PrimeField};
use group::{Curve, CurveAffine as _, Group, GroupEncoding};
use halo2_proofs::arithmetic::best_fft;
use halo2_proofs::poly::commitment::Params as Halo2Params;
use pasta_curves::arithmetic::CurveExt;
use pasta_curves::{Eq, EqAffine, Fp};
use zkonnx_verifier::{MAX_K, MIN_K, ParamsError};

use crate::digests::PARAMS_DIGESTS;
use crate::file::{FileError, Reader, Writer};
use crate::msm::{FixedBases, Layout, Point};

const MAGIC: &[u8; 8] = b"zkoparam";
const VERSION: u32 = 2;

/// Memory for the tabulated multiples of one basis.
const TABLE_BYTES: usize = 64 << 20;

/// Public parameters for circuits of `2^k` rows.
#[derive(Clone, Debug)]
pub struct Params {
    k: u32,
    /// Monomial basis, then `w` and `u`.
    monomial: FixedBases,
    /// Lagrange basis, then `w` and `u`.
    lagrange: FixedBases,
}

impl Params {
    /// Derives the parameters from the hash that defines them; takes about a second at `k = 11`.
    ///
    /// # Errors
    /// [`ParamsError::UnknownSize`] for a size that has no pinned digest, before anything is computed, and
    /// [`ParamsError::DigestMismatch`] if the machine computes other points than those that were pinned.
    pub fn derive(k: u32) -> Result<Self, ParamsError> {
        let pinned = Self::pinned_digest(k).ok_or(ParamsError::UnknownSize { k })?;
        let params = Self::derive_unpinned(k);
        match params.digest() {
            Ok(digest) if digest == pinned => Ok(params),
            _ => Err(ParamsError::DigestMismatch { k }),
        }
    }

    /// As [`Self::derive`], before the digest is compared.
    fn derive_unpinned(k: u32) -> Self {
        use rayon::prelude::*;
        let hasher = || Eq::hash_to_curve("Halo2-Parameters");
        let g: Vec<Eq> = (0..1u32 << k)
            .into_par_iter()
            .map_init(hasher, |hasher, i| {
                let mut message = [0; 5];
                message[1..].copy_from_slice(&i.to_le_bytes());
                hasher(&message)
            })
            .collect();
        let mut lagrange = g.clone();
        let mut omega_inverse = Fp::ROOT_OF_UNITY_INV;
        for _ in k..Fp::S {
            omega_inverse = omega_inverse.square();
        }
        best_fft(&mut lagrange, omega_inverse, k);
        let n_inverse = Fp::TWO_INV.pow_vartime([u64::from(k)]);
        lagrange
            .par_iter_mut()
            .for_each(|point| *point *= n_inverse);
        let (w, u) = (hasher()(&[1]), hasher()(&[2]));
        Self::from_points(k, &g, &lagrange, w, u)
    }

    /// The pinned digest of the file with the parameters for circuits of `2^k` rows.
    #[must_use]
    pub fn pinned_digest(k: u32) -> Option<[u8; 32]> {
        let index = usize::try_from(k.checked_sub(MIN_K)?).ok()?;
        PARAMS_DIGESTS.get(index).copied()
    }

    fn from_points(k: u32, g: &[Eq], lagrange: &[Eq], w: Eq, u: Eq) -> Self {
        let table = |points: &[Eq]| {
            let all: Vec<Eq> = points.iter().copied().chain([w, u]).collect();
            let mut affine = vec![EqAffine::identity(); all.len()];
            Eq::batch_normalize_vartime(&all, &mut affine);
            FixedBases::new(&affine, layout(k))
        };
        Self {
            k,
            monomial: table(g),
            lagrange: table(lagrange),
        }
    }

    /// Binary logarithm of the number of rows.
    #[must_use]
    pub fn k(&self) -> u32 {
        self.k
    }

    /// The generators of the monomial basis.
    pub fn g(&self) -> impl ExactSizeIterator<Item = EqAffine> + '_ {
        self.monomial.bases()[..1 << self.k]
            .iter()
            .map(Point::affine)
    }

    /// The generators of the Lagrange basis.
    pub fn g_lagrange(&self) -> impl ExactSizeIterator<Item = EqAffine> + '_ {
        self.lagrange.bases()[..1 << self.k]
            .iter()
            .map(Point::affine)
    }

    /// The generator that blinds.
    #[must_use]
    pub fn w(&self) -> EqAffine {
        self.monomial.bases()[self.w_index()].affine()
    }

    /// The generator that binds inner products.
    #[must_use]
    pub fn u(&self) -> EqAffine {
        self.monomial.bases()[self.u_index()].affine()
    }

    pub(crate) fn w_index(&self) -> usize {
        1 << self.k
    }

    pub(crate) fn u_index(&self) -> usize {
        (1 << self.k) + 1
    }

    pub(crate) fn monomial(&self) -> &FixedBases {
        &self.monomial
    }

    pub(crate) fn lagrange(&self) -> &FixedBases {
        &self.lagrange
    }

    /// The digest that is pinned for each size: BLAKE2bp of a stored file up to its checksum, so of every point and every
    /// multiple.
    fn digest(&self) -> Result<[u8; 32], FileError> {
        self.write_hashed(std::io::sink())
    }

    /// Writes a file that [`Self::read`] reads.
    pub fn write(&self, out: impl Write) -> Result<(), FileError> {
        self.write_hashed(out).map(|_| ())
    }

    fn write_hashed(&self, out: impl Write) -> Result<[u8; 32], FileError> {
        let mut out = Writer::new(out, MAGIC, VERSION)?;
        out.u32(self.k)?;
        for bases in [&self.monomial, &self.lagrange] {
            bases
                .table()
                .iter()
                .try_for_each(|point| out.point(point))?;
        }
        out.finish()
    }

    /// Reads a file that [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`FileError::NotPinned`] for whole files that hold anything else than the parameters of their size.
    pub fn read(input: impl Read) -> Result<Self, FileError> {
        let mut input = Reader::new(input, MAGIC, "parameter", VERSION)?;
        // Before the points, so that nothing is allocated for a size that was never ours.
        let k = input.bounded("k", MAX_K)? as u32;
        let pinned = Self::pinned_digest(k).ok_or(FileError::NotPinned { k })?;
        let layout = layout(k);
        let mut table = || {
            let table = input.points_unchecked(layout.points())?;
            Ok::<_, FileError>(FixedBases::from_table(layout, table))
        };
        let (monomial, lagrange) = (table()?, table()?);
        if input.finish()? != pinned {
            return Err(FileError::NotPinned { k });
        }
        Ok(Self {
            k,
            monomial,
            lagrange,
        })
    }

    /// The parameters as halo2 has them.
    pub fn to_halo2(&self) -> Result<Halo2Params<EqAffine>, FileError> {
        let mut bytes = self.k.to_le_bytes().to_vec();
        let points = self
            .g()
            .chain(self.g_lagrange())
            .chain([self.w(), self.u()]);
        points.for_each(|point| bytes.extend_from_slice(&point.to_bytes()));
        Ok(Halo2Params::read(&mut bytes.as_slice())?)
    }

    /// The parameters of halo2, tabulated, if they are the pinned ones.
    pub fn from_halo2(params: &Halo2Params<EqAffine>) -> Result<Self, FileError> {
        let mut bytes = Vec::new();
        params.write(&mut bytes)?;
        let (k, points) = bytes.split_at(4);
        let k = k
            .iter()
            .rev()
            .fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        let pinned = Self::pinned_digest(k).ok_or(FileError::NotPinned { k })?;
        let decoded: Result<Vec<Eq>, FileError> = points
            .chunks_exact(32)
            .map(|chunk| {
                let mut repr = [0; 32];
                repr.copy_from_slice(chunk);
                let point: Option<EqAffine> = EqAffine::from_bytes(&repr).into();
                point.map(|point| point.to_curve()).ok_or(FileError::Point)
            })
            .collect();
        let points = decoded?;
        let n = 1usize << k;
        match &points[..] {
            [rest @ .., w, u] if rest.len() == 2 * n => {
                let params = Self::from_points(k, &rest[..n], &rest[n..], *w, *u);
                match params.digest()? == pinned {
                    true => Ok(params),
                    false => Err(FileError::NotPinned { k }),
                }
            }
            _ => Err(FileError::Range {
                what: "number of points",
                value: points.len() as u64,
            }),
        }
    }
}

pub(crate) fn layout(k: u32) -> Layout {
    Layout::new((1 << k) + 2, TABLE_BYTES)
}

/// The sum of a multi-scalar multiplication as an affine point.
pub(crate) fn affine(point: &Eq) -> EqAffine {
    debug_assert!(!bool::from(point.is_identity()));
    point.to_affine()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_list_of_digests_next_to_the_verifiers() {
        let list = include_str!("../../params/PROVER_DIGESTS");
        let lines = list.lines().filter(|line| !line.starts_with('#'));
        let expected: Vec<String> = (MIN_K..=MAX_K)
            .zip(PARAMS_DIGESTS)
            .map(|(k, digest)| {
                let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{k} {text}")
            })
            .collect();
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    /// The larger sizes are derived, and compared, whenever a cache is filled.
    #[test]
    fn accepts_the_small_sizes_as_they_are_pinned() {
        for k in MIN_K..=9 {
            assert!(Params::derive(k).is_ok(), "{k}");
        }
    }

    #[test]
    #[ignore = "prints the digests to pin; minutes"]
    fn print_digests() {
        for k in MIN_K..=MAX_K {
            let digest = Params::derive_unpinned(k).digest().unwrap();
            let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{k} {text}");
        }
    }
}
