//! Field elements and curve points as bytes, canonical only.

use alloc::vec::Vec;

use ff::PrimeField;
use group::CurveAffine as _;
use pasta_curves::arithmetic::{Coordinates, CurveAffine};
use pasta_curves::{EqAffine, Fp, Fq};

use crate::codec::Reader;
use crate::error::DecodeError;

/// The coordinates of a point, which is not the identity.
pub(crate) fn coordinates(point: &EqAffine) -> Option<(Fq, Fq)> {
    let coordinates: Option<Coordinates<EqAffine>> = point.coordinates().into();
    coordinates.map(|c| (*c.x(), *c.y()))
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
