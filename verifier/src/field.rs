//! Field elements and curve points as bytes, canonical only.

use alloc::vec::Vec;

use ff::{Field, PrimeField};
use group::CurveAffine as _;
use pasta_curves::arithmetic::{Coordinates, CurveAffine, VartimeBatchInvert};
use pasta_curves::{EqAffine, Fp, Fq};

use crate::codec::Reader;
use crate::error::{DecodeError, VerifyError};
use crate::work::Work;

/// The coordinates of a point, which is not the identity.
pub(crate) fn coordinates(point: &EqAffine) -> Option<(Fq, Fq)> {
    let coordinates: Option<Coordinates<EqAffine>> = point.coordinates().into();
    coordinates.map(|c| (*c.x(), *c.y()))
}

/// Replaces every value by its inverse. They come from challenges, one of which is excluded if a value has none. The one
/// inversion is counted here, the three multiplications for each value where the caller counts its own.
pub(crate) fn invert_each(values: &mut [Fp], work: &mut Work) -> Result<(), VerifyError> {
    if values.iter().any(Field::is_zero_vartime) {
        return Err(VerifyError::DegenerateChallenge);
    }
    values.iter_mut().batch_invert_vartime();
    work.field_inversions += 1;
    Ok(())
}

pub(crate) fn write_fp(value: &Fp, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_repr());
}

pub(crate) fn read_fp(reader: &mut Reader<'_>) -> Result<Fp, DecodeError> {
    Option::from(Fp::from_repr(reader.array()?)).ok_or(DecodeError::NonCanonicalField)
}

/// Writes both coordinates, 64 bytes. The identity, which no format holds, would be zeros.
pub(crate) fn write_point(point: &EqAffine, out: &mut Vec<u8>) {
    let (x, y) = coordinates(point).unwrap_or((Fq::zero(), Fq::zero()));
    out.extend_from_slice(&x.to_repr());
    out.extend_from_slice(&y.to_repr());
}

/// Reads both coordinates, which are reduced and on the curve. No square root, hence fast to load, and never the
/// identity.
pub(crate) fn read_point(reader: &mut Reader<'_>) -> Result<EqAffine, DecodeError> {
    let mut coordinate = || -> Result<Fq, DecodeError> {
        Option::from(Fq::from_repr(reader.array()?)).ok_or(DecodeError::NonCanonicalField)
    };
    let (x, y) = (coordinate()?, coordinate()?);
    let point: Option<EqAffine> = EqAffine::from_xy(x, y).into();
    point
        .filter(|point| !bool::from(point.is_identity()))
        .ok_or(DecodeError::PointNotOnCurve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_a_zero_wherever_it_stands_among_values_to_invert() {
        let work = &mut Work::default();
        let honest = [2, 3, 5].map(Fp::from);
        let mut values = honest;
        assert_eq!(invert_each(&mut values, work), Ok(()));
        assert!(values.iter().zip(honest).all(|(a, b)| a * b == Fp::ONE));
        assert_eq!(work.field_inversions, 1);
        for at in 0..3 {
            let mut values = honest;
            values[at] = Fp::ZERO;
            let error = Err(VerifyError::DegenerateChallenge);
            assert_eq!(invert_each(&mut values, work), error, "{at}");
        }
    }
}
