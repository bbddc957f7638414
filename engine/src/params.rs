//! The parameters of the commitment scheme, with what a prover precomputes from them.
//!
//! The generators are those of halo2: points hashed to the curve, with no secret behind them, and the same points in the
//! Lagrange basis. A file holds them uncompressed, so that reading takes no square roots, and holds multiples of them
//! for the multi-scalar multiplication. The points themselves are checked to be on the curve and have a digest that can
//! be pinned; the tabulated multiples are vouched for by the checksum alone, because a wrong one makes proofs fail and
//! nothing else.

use std::io::{Read, Write};

use blake2b_simd::Params as Blake2b;
use ff::{Field, PrimeField};
use group::{Curve, CurveAffine as _, Group, GroupEncoding};
use halo2_proofs::arithmetic::best_fft;
use halo2_proofs::poly::commitment::Params as Halo2Params;
use pasta_curves::arithmetic::CurveExt;
use pasta_curves::{Eq, EqAffine, Fp};

use crate::file::{FileError, Reader, Writer};
use crate::msm::{FixedBases, Layout, Point};

const MAGIC: &[u8; 8] = b"zkoparam";
const VERSION: u32 = 1;

/// The largest supported binary logarithm of the number of rows.
pub const MAX_K: u32 = zkonnx_verifier::MAX_K;

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
    /// Derives the parameters; takes about a second at `k = 11`. `None` if `k` is above [`MAX_K`].
    #[must_use]
    pub fn derive(k: u32) -> Option<Self> {
        use rayon::prelude::*;
        if k > MAX_K {
            return None;
        }
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
        Some(Self::from_points(k, &g, &lagrange, w, u))
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

    /// BLAKE2b-256 of `k` and of all generators, uncompressed: what a published digest pins.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut state = Blake2b::new()
            .hash_length(32)
            .personal(b"zkonnx params v1")
            .to_state();
        state.update(&self.k.to_le_bytes());
        for point in self.monomial.bases().iter().chain(self.lagrange.bases()) {
            state.update(&point.x.to_repr());
            state.update(&point.y.to_repr());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(state.finalize().as_bytes());
        digest
    }

    /// Writes a file that [`Self::read`] reads.
    pub fn write(&self, out: impl Write) -> Result<(), FileError> {
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
    pub fn read(input: impl Read) -> Result<Self, FileError> {
        let mut input = Reader::new(input, MAGIC, "parameter", VERSION)?;
        let k = input.bounded("k", MAX_K)? as u32;
        let layout = layout(k);
        let mut table = || {
            let mut table = input.points(layout.bases)?;
            table.extend(input.points_unchecked(layout.points() - layout.bases)?);
            Ok::<_, FileError>(FixedBases::from_table(layout, table))
        };
        let (monomial, lagrange) = (table()?, table()?);
        input.finish()?;
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

    /// The parameters of halo2, tabulated.
    pub fn from_halo2(params: &Halo2Params<EqAffine>) -> Result<Self, FileError> {
        let mut bytes = Vec::new();
        params.write(&mut bytes)?;
        let (k, points) = bytes.split_at(4);
        let k = k
            .iter()
            .rev()
            .fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        if k > MAX_K {
            return Err(FileError::Range {
                what: "k",
                value: k.into(),
            });
        }
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
                Ok(Self::from_points(k, &rest[..n], &rest[n..], *w, *u))
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
