//! Points from their compressed form.
//!
//! A proof is mostly compressed points, and each takes a square root in a field whose order is one above a multiple of
//! 2^32, the worst case for the usual algorithm. Tables of the 2^32-nd roots of unity, eight bits at a time, bring it
//! down to a power and a few multiplications. What comes out is checked against the curve, so a mistake here could refuse
//! a point but never admit one.

use alloc::vec::Vec;

use ff::{Field, PrimeField};
use pasta_curves::arithmetic::CurveAffine;
use pasta_curves::{EqAffine, Fq};

/// (t - 1) / 2, where q - 1 = 2^32 · t.
const T_MINUS_ONE_OVER_TWO: [u64; 4] = [0x04ca_546e_c623_7590, 0x1123_4c7e, 0, 0x2000_0000];

/// Powers of the 2^32-nd root of unity g.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    /// For each byte position j, g^(-d · 2^(8j)) for each byte d.
    inverses: [Vec<Fq>; 4],
    /// g^(d · 2^24) for each byte d, as its lowest 8 bytes and d, sorted.
    logarithms: Vec<(u64, u8)>,
}

/// What 32 bytes encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decompressed {
    Point(EqAffine),
    Identity,
    Invalid,
}

impl Roots {
    pub(crate) fn new() -> Self {
        let powers = |base: Fq| -> Vec<Fq> {
            let mut power = Fq::ONE;
            let next = |_| {
                let current = power;
                power *= base;
                current
            };
            (0..256).map(next).collect()
        };
        let raise = |mut base: Fq, squarings: usize| {
            for _ in 0..squarings {
                base = base.square();
            }
            base
        };
        let inverse = Fq::ROOT_OF_UNITY_INV;
        let top = powers(raise(Fq::ROOT_OF_UNITY, 24));
        let mut logarithms: Vec<(u64, u8)> = top.iter().map(low_bytes).zip(0..=u8::MAX).collect();
        logarithms.sort_unstable();
        Self {
            inverses: [0, 8, 16, 24].map(|squarings| powers(raise(inverse, squarings))),
            logarithms,
        }
    }

    /// The point that the bytes encode: x, and in the topmost bit whether y is odd. The identity is all zero.
    pub(crate) fn decompress(&self, bytes: &[u8; 32]) -> Decompressed {
        if *bytes == [0; 32] {
            return Decompressed::Identity;
        }
        let mut repr = *bytes;
        let [.., last] = &mut repr;
        let odd = *last >> 7 == 1;
        *last &= 0x7f;
        let x: Option<Fq> = Fq::from_repr(repr).into();
        let point = x.and_then(|x| {
            let y = self.square_root(x.square() * x + EqAffine::b())?;
            let y = if bool::from(y.is_odd()) == odd { y } else { -y };
            Option::from(EqAffine::from_xy(x, y))
        });
        point.map_or(Decompressed::Invalid, Decompressed::Point)
    }

    /// A square root, if there is one.
    ///
    /// With w = a^((t-1)/2), a·w is a root but for the square root of b = a·w² = a^t, which is g^e for some e below 2^32.
    /// The bytes of e are found one by one, from the lowest: raised to 2^24, b is g^(2^24 · e_0), and so on with what is
    /// known of e divided out. An odd e means that a is no square.
    fn square_root(&self, a: Fq) -> Option<Fq> {
        let w = a.pow_vartime(T_MINUS_ONE_OVER_TWO);
        let root = a * w;
        let b = root * w;
        let raise = |base: Fq| (0..8).fold(base, |power, _| power.square());
        let b8 = raise(b);
        let b16 = raise(b8);
        let b24 = raise(b16);
        let [low, second, third, _] = &self.inverses;
        let at = |table: &[Fq], byte: u8| table.get(usize::from(byte)).copied();
        let e0 = self.logarithm(b24)?;
        let e1 = self.logarithm(b16 * at(third, e0)?)?;
        let e2 = self.logarithm(b8 * at(second, e0)? * at(third, e1)?)?;
        let e3 = self.logarithm(b * at(low, e0)? * at(second, e1)? * at(third, e2)?)?;
        let e = u32::from_le_bytes([e0, e1, e2, e3]);
        if e & 1 == 1 {
            return None;
        }
        let half = (e / 2).to_le_bytes();
        let factors = self.inverses.iter().zip(half);
        factors
            .into_iter()
            .try_fold(root, |root, (table, byte)| Some(root * at(table, byte)?))
    }

    /// The byte d with value = g^(d · 2^24).
    fn logarithm(&self, value: Fq) -> Option<u8> {
        let low = low_bytes(&value);
        let found = self.logarithms.binary_search_by_key(&low, |&(low, _)| low);
        found
            .ok()
            .and_then(|index| self.logarithms.get(index))
            .map(|&(_, d)| d)
    }
}

fn low_bytes(value: &Fq) -> u64 {
    let repr = value.to_repr();
    repr.first_chunk().map_or(0, |low| u64::from_le_bytes(*low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::mix;
    use group::GroupEncoding;

    #[test]
    fn accepts_and_rejects_the_encodings_that_the_curve_library_does() {
        use group::CurveAffine as _;
        let roots = Roots::new();
        let mut state = 9;
        let mut counts = [0; 3];
        let check = |bytes: [u8; 32], counts: &mut [usize; 3]| {
            let library: Option<EqAffine> = EqAffine::from_bytes(&bytes).into();
            let (expected, count) = match library {
                None => (Decompressed::Invalid, 0),
                Some(point) if bool::from(point.is_identity()) => (Decompressed::Identity, 1),
                Some(point) => (Decompressed::Point(point), 2),
            };
            counts[count] += 1;
            assert_eq!(roots.decompress(&bytes), expected, "{bytes:?}");
        };
        for _ in 0..600 {
            let mut bytes = [0; 32];
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&mix(&mut state).to_le_bytes());
            }
            check(bytes, &mut counts);
            // A quarter of all random strings are below the modulus; these are, but for the sign.
            bytes[31] &= 0xbf;
            check(bytes, &mut counts);
        }
        for low in 0..64 {
            for high in [0, 0x40, 0x7f, 0x80, 0xc0, 0xff] {
                let mut bytes = [0; 32];
                (bytes[0], bytes[31]) = (low, high);
                check(bytes, &mut counts);
            }
        }
        assert_eq!(counts[1], 1);
        assert!(counts[0] > 300 && counts[2] > 300, "{counts:?}");
    }

    #[test]
    fn accepts_roots_of_all_orders() {
        let roots = Roots::new();
        let mut power = Fq::ROOT_OF_UNITY;
        for _ in 0..32 {
            // The square of a root of unity has its roots, and the generator of the group of each order has none
            // unless it is itself a square.
            let root = roots.square_root(power.square()).unwrap();
            assert_eq!(root.square(), power.square());
            power = power.square();
        }
        assert_eq!(roots.square_root(Fq::ROOT_OF_UNITY), None);
        assert_eq!(roots.square_root(Fq::ZERO), None);
    }
}
