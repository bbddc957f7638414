//! Transparent parameters for verification.
//!
//! The generators come out of a hash, so nobody knows a relation between them; whoever did could prove anything. They
//! are therefore never taken from a file on trust: every way to obtain [`Params`] ends in comparing the digest of their
//! canonical bytes with one that is pinned in this crate.
//!
//! Verification needs G for the largest circuit (a smaller circuit uses a prefix of it), w and u, and for each size the
//! Lagrange points of the rows that hold public values. Points are stored uncompressed, so loading takes no square
//! roots.

use alloc::vec::Vec;

use pasta_curves::EqAffine;

use crate::claim::hash256;
use crate::codec::{Reader, Writer};
use crate::decompress::Roots;
use crate::digests::PARAMS_DIGESTS;
use crate::error::ParamsError;
use crate::field::{read_point, write_point};
use crate::shape::MIN_K;

/// The first bytes of encoded parameters.
pub const PARAMS_MAGIC: [u8; 4] = *b"zkxP";

/// The version of the parameter format.
pub const PARAMS_VERSION: u16 = 1;

/// Largest number of rows that the public values may take, and of the Lagrange points that are kept of each size.
pub const MAX_INSTANCE_ROWS: usize = 256;

const DIGEST_PERSONAL: &[u8; 16] = b"zkonnx params v1";

/// Generators for all circuits up to a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    k: u32,
    g: Vec<EqAffine>,
    w: EqAffine,
    u: EqAffine,
    /// For each size from `MIN_K` to `k`, the Lagrange points of the first rows.
    lagrange: Vec<Vec<EqAffine>>,
    /// What decompressing the points of a proof needs; made here because it is the same for all.
    roots: Roots,
}

impl Params {
    /// The parameters with these parts, if their digest is the pinned one.
    ///
    /// `g` has 2^k generators, and `lagrange` for each size from [`MIN_K`] to `k` the Lagrange points of the first
    /// [`Params::instance_rows`] rows.
    pub fn new(
        k: u32,
        g: Vec<EqAffine>,
        w: EqAffine,
        u: EqAffine,
        lagrange: Vec<Vec<EqAffine>>,
    ) -> Result<Self, ParamsError> {
        let params = Self::assemble(k, g, w, u, lagrange)?;
        check_digest(k, &params.encode())?;
        Ok(params)
    }

    fn assemble(
        k: u32,
        g: Vec<EqAffine>,
        w: EqAffine,
        u: EqAffine,
        lagrange: Vec<Vec<EqAffine>>,
    ) -> Result<Self, ParamsError> {
        let fits = k >= MIN_K
            && 1usize.checked_shl(k) == Some(g.len())
            && lagrange.len() == Self::sizes(k).count()
            && lagrange
                .iter()
                .zip(Self::sizes(k))
                .all(|(points, size)| points.len() == Self::instance_rows(size));
        if !fits {
            return Err(ParamsError::WrongLength { k });
        }
        Ok(Self {
            k,
            g,
            w,
            u,
            lagrange,
            roots: Roots::new(),
        })
    }

    fn sizes(k: u32) -> impl Iterator<Item = u32> {
        MIN_K..=k
    }

    /// The rows of a circuit of 2^k rows that public values may take.
    pub fn instance_rows(k: u32) -> usize {
        1usize
            .checked_shl(k)
            .unwrap_or(usize::MAX)
            .min(MAX_INSTANCE_ROWS)
    }

    /// The binary logarithm of the largest circuit.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// The generators of a circuit of 2^k rows.
    pub(crate) fn generators(&self, k: u32) -> Option<&[EqAffine]> {
        self.g.get(..1usize.checked_shl(k)?)
    }

    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    pub(crate) fn w(&self) -> EqAffine {
        self.w
    }

    pub(crate) fn u(&self) -> EqAffine {
        self.u
    }

    /// The Lagrange points of the first rows of a circuit of 2^k rows.
    pub(crate) fn lagrange(&self, k: u32) -> Option<&[EqAffine]> {
        let index = usize::try_from(k.checked_sub(MIN_K)?).ok()?;
        self.lagrange.get(index).map(Vec::as_slice)
    }

    /// The canonical bytes, as FORMATS.md lists them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_header(PARAMS_MAGIC, PARAMS_VERSION);
        // At most `MAX_K`.
        out.push(self.k as u8);
        for point in [&self.w, &self.u].into_iter().chain(&self.g) {
            write_point(point, &mut out);
        }
        for point in self.lagrange.iter().flatten() {
            write_point(point, &mut out);
        }
        out
    }

    /// The parameters with these bytes, if they have the pinned digest.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParamsError> {
        let mut reader = Reader::new(bytes);
        reader.header(PARAMS_MAGIC, PARAMS_VERSION)?;
        let k = u32::from(reader.u8()?);
        // First, so that nothing is allocated for bytes that were never ours.
        check_digest(k, bytes)?;
        let w = read_point(&mut reader)?;
        let u = read_point(&mut reader)?;
        let mut points = |count: usize| -> Result<Vec<_>, ParamsError> {
            Ok((0..count)
                .map(|_| read_point(&mut reader))
                .collect::<Result<_, _>>()?)
        };
        let g = points(
            1usize
                .checked_shl(k)
                .ok_or(ParamsError::WrongLength { k })?,
        )?;
        let lagrange = Self::sizes(k)
            .map(|size| points(Self::instance_rows(size)))
            .collect::<Result<_, _>>()?;
        reader.finish()?;
        Self::assemble(k, g, w, u, lagrange)
    }

    /// The digest of encoded parameters: BLAKE2b-256, personalized as `zkonnx params v1`.
    pub fn digest(bytes: &[u8]) -> [u8; 32] {
        hash256(DIGEST_PERSONAL, bytes)
    }

    /// The pinned digest of the parameters whose largest circuit has 2^k rows.
    pub fn pinned_digest(k: u32) -> Option<[u8; 32]> {
        let index = usize::try_from(k.checked_sub(MIN_K)?).ok()?;
        PARAMS_DIGESTS.get(index).copied()
    }
}

fn check_digest(k: u32, bytes: &[u8]) -> Result<(), ParamsError> {
    let pinned = Params::pinned_digest(k).ok_or(ParamsError::UnknownSize { k })?;
    match Params::digest(bytes) == pinned {
        true => Ok(()),
        false => Err(ParamsError::DigestMismatch { k }),
    }
}

/// Derivation of the parameters from their definition, without any file.
mod derive {
    use alloc::vec;
    use alloc::vec::Vec;

    use ff::{Field, PrimeField};
    use group::CurveAffine as _;
    use pasta_curves::arithmetic::CurveExt;
    use pasta_curves::glv::GlvParams;
    use pasta_curves::{Eq, EqAffine, Fp};

    use super::Params;
    use crate::error::ParamsError;

    const DOMAIN: &str = "Halo2-Parameters";

    impl Params {
        /// Derives the parameters from the hash that defines them, on one thread: about a second for 2^11 rows, twice
        /// that for each size more. Verifiers load a file, and derive it once.
        pub fn derive(k: u32) -> Result<Self, ParamsError> {
            // First, so that nothing is computed for a size that could only be refused.
            Self::pinned_digest(k).ok_or(ParamsError::UnknownSize { k })?;
            let hash = Eq::hash_to_curve(DOMAIN);
            let g: Vec<Eq> = (0..1u32 << k)
                .map(|index| {
                    let [a, b, c, d] = index.to_le_bytes();
                    hash(&[0, a, b, c, d])
                })
                .collect();
            let lagrange = Self::sizes(k)
                .map(|size| normalize(&lagrange_points(&g, size)))
                .collect();
            let (w, u) = (
                hash(&[1]).to_affine_vartime(),
                hash(&[2]).to_affine_vartime(),
            );
            Self::new(k, normalize(&g), w, u, lagrange)
        }
    }

    fn normalize(points: &[Eq]) -> Vec<EqAffine> {
        let mut affine = vec![EqAffine::identity(); points.len()];
        Eq::batch_normalize_vartime(points, &mut affine);
        affine
    }

    /// The commitments to the first Lagrange polynomials of the domain of 2^k rows: the inverse Fourier transform of the
    /// generators.
    fn lagrange_points(g: &[Eq], k: u32) -> Vec<Eq> {
        let (n, rows) = (1usize << k, Params::instance_rows(k));
        let mut points: Vec<Eq> = g.iter().take(n).copied().collect();
        let mut root = Fp::ROOT_OF_UNITY_INV;
        for _ in k..Fp::S {
            root = root.square();
        }
        // Decimation in frequency: halves are combined first, and block i of the result is the transform of the rows
        // that are i in bit-reversed order modulo the number of blocks.
        let mut size = n;
        while n / size < rows {
            let half = size / 2;
            for block in points.chunks_mut(size) {
                let (low, high) = block.split_at_mut(half);
                let mut twiddle = Fp::one();
                for (a, b) in low.iter_mut().zip(high) {
                    let difference = *a - *b;
                    *a += *b;
                    *b = match twiddle == Fp::one() {
                        true => difference,
                        false => difference.mul_glv(&twiddle),
                    };
                    twiddle *= root;
                }
            }
            root = root.square();
            size = half;
        }
        // Now there are as many blocks as rows, and a row is the first element of its block's transform: the sum.
        let scale = Fp::TWO_INV.pow_vartime([u64::from(k)]);
        let shift = usize::BITS - rows.ilog2();
        (0..rows)
            .filter_map(|row| {
                let block = row.reverse_bits() >> shift;
                points.get(block * size..(block + 1) * size)
            })
            .map(|block| block.iter().sum::<Eq>().mul_glv(&scale))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::stock_parts;
    use alloc::string::String;

    /// The parameters from the stock library's, unpinned.
    fn stock(k: u32) -> Params {
        let (g, w, u, lagrange) = stock_parts(k);
        Params::assemble(k, g, w, u, lagrange).unwrap()
    }

    #[test]
    fn accepts_the_same_bytes_derived_copied_and_decoded() {
        let derived = Params::derive(7).unwrap();
        assert_eq!(derived, stock(7));
        assert_eq!(Params::decode(&derived.encode()), Ok(derived));
    }

    #[test]
    fn rejects_other_generators_sizes_and_lengths() {
        let params = Params::derive(4).unwrap();
        let bytes = params.encode();
        for offset in [7, 100, bytes.len() - 1] {
            let mut bytes = bytes.clone();
            bytes[offset] ^= 1;
            let mismatch = Err(ParamsError::DigestMismatch { k: 4 });
            assert_eq!(Params::decode(&bytes), mismatch);
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(
            Params::decode(&longer),
            Err(ParamsError::DigestMismatch { k: 4 })
        );
        for k in [0, 3, 16, 255] {
            let mut bytes = bytes.clone();
            bytes[6] = k;
            let k = u32::from(k);
            assert_eq!(Params::decode(&bytes), Err(ParamsError::UnknownSize { k }));
        }
        assert_eq!(
            Params::decode(&bytes[..3]),
            Err(ParamsError::Decode(crate::DecodeError::Truncated))
        );
        assert_eq!(Params::derive(3), Err(ParamsError::UnknownSize { k: 3 }));
        let (g, w, u, lagrange) = stock_parts(4);
        assert_eq!(
            Params::new(4, g[..8].to_vec(), w, u, lagrange.clone()),
            Err(ParamsError::WrongLength { k: 4 })
        );
        assert_eq!(
            Params::new(4, g, u, w, lagrange),
            Err(ParamsError::DigestMismatch { k: 4 })
        );
    }

    #[test]
    fn accepts_the_list_of_digests_next_to_the_cache() {
        let list = include_str!("../../params/DIGESTS");
        let lines: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), PARAMS_DIGESTS.len());
        for (index, line) in lines.into_iter().enumerate() {
            let k = MIN_K + index as u32;
            let digest = Params::pinned_digest(k).unwrap();
            let text: String = digest
                .iter()
                .map(|byte| alloc::format!("{byte:02x}"))
                .collect();
            assert_eq!(line, alloc::format!("{k} {text}"));
        }
    }

    #[test]
    #[ignore = "prints the digests to pin"]
    fn print_digests() {
        for k in MIN_K..=crate::shape::MAX_K {
            let digest = Params::digest(&stock(k).encode());
            let text: String = digest
                .iter()
                .map(|byte| alloc::format!("{byte:02x}"))
                .collect();
            std::println!("{k} {text}");
        }
    }
}
