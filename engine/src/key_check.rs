//! Whether a stored key is the one that would be generated, without generating it.
//!
//! A key from a disk may be anybody's: its checksum finds damage, not intent. What it ought to hold follows from the
//! circuit's columns and copies, and one random combination of all columns is compared in place of each of them: the
//! commitments, and the values on each coset. A key that differs anywhere passes with a chance of less than 2^-240, as
//! long as the weight is drawn after the key is read. This takes a small part of the time of key generation, where each
//! column has a commitment and transforms of its own.

use ff::Field;
use group::Curve;
use pasta_curves::Fp;

use crate::arith::{add_combination, powers};
use crate::constraints::needs;
use crate::key::{Cell, KeygenError, ProvingKey, fixed_columns, labels, mapping};
use crate::msm::{Point, Term, Values, msm_points};
use crate::params::Params;

/// What of a stored key is not what the circuit gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyMismatch {
    /// The parameters are for another size.
    #[error("the size of the parameters")]
    Size,
    /// The cells that are equal.
    #[error("its copies")]
    Copies,
    /// The values of a fixed column on the rows.
    #[error("the values of a fixed column")]
    Values,
    /// The values of the columns on a coset.
    #[error("the values of its columns on coset {coset}")]
    Coset {
        /// Index of the coset.
        coset: usize,
    },
    /// The commitments to the columns.
    #[error("the commitments to its columns")]
    Commitments,
}

impl ProvingKey {
    /// Compares the key with the columns and copies that [`crate::keygen_columns`] would generate it from. `weight` has to
    /// be random, and unknown to whoever made the key.
    ///
    /// The constraint system and the tag are the caller's to compare.
    ///
    /// # Errors
    /// The outer error is that of columns or copies that no key can be generated from.
    pub fn check(
        &self,
        params: &Params,
        fixed: Vec<Vec<Fp>>,
        copies: &[(Cell, Cell)],
        weight: Fp,
    ) -> Result<Result<(), KeyMismatch>, KeygenError> {
        let cs = self.circuit.cs();
        let fixed = fixed_columns(cs, &self.shape, fixed)?;
        let mapping = mapping(cs, &self.shape, copies)?;
        Ok(self.compare(params, &fixed, &mapping, weight))
    }

    fn compare(
        &self,
        params: &Params,
        fixed: &[Vec<Fp>],
        mapping: &[u32],
        weight: Fp,
    ) -> Result<(), KeyMismatch> {
        let (cs, n) = (self.circuit.cs(), self.shape.n);
        if params.k() != self.shape.k {
            return Err(KeyMismatch::Size);
        }
        if mapping != self.mapping {
            return Err(KeyMismatch::Copies);
        }
        let needs = needs(cs, &self.shape);
        let kept = self.fixed.iter().zip(fixed).zip(&needs.fixed_values);
        for ((column, values), needed) in kept {
            if column.values.as_ref() != needed.then_some(values) {
                return Err(KeyMismatch::Values);
            }
        }
        let labels = labels(&self.domain, cs.permutation.len());
        let sigma: Vec<Vec<Fp>> = mapping
            .chunks(n)
            .map(|next| next.iter().map(|cell| labels[*cell as usize]).collect())
            .collect();
        let columns: Vec<&[Fp]> = fixed.iter().chain(&sigma).map(Vec::as_slice).collect();
        let weights = powers(weight, columns.len());
        let combined = |chosen: &dyn Fn(usize) -> bool| {
            let pairs = weights.iter().copied().zip(columns.iter().copied());
            let chosen: Vec<(Fp, &[Fp])> = pairs
                .enumerate()
                .filter(|(index, _)| chosen(*index))
                .map(|(_, pair)| pair)
                .collect();
            let mut sum = vec![Fp::ZERO; n];
            add_combination(&mut sum, &chosen);
            sum
        };
        let stored: Vec<&[Vec<Fp>]> = self
            .fixed
            .iter()
            .map(|column| column.cosets.as_slice())
            .chain(self.sigma.iter().map(Vec::as_slice))
            .collect();
        for coset in 0..stored.iter().map(|cosets| cosets.len()).max().unwrap_or(0) {
            let has = |index: usize| stored[index].len() > coset;
            let mut expected = combined(&has);
            self.domain.interpolate(&mut expected);
            let expected = self.domain.evaluate(&expected, coset);
            let own: Vec<(Fp, &[Fp])> = weights
                .iter()
                .zip(&stored)
                .filter_map(|(weight, cosets)| Some((*weight, cosets.get(coset)?.as_slice())))
                .collect();
            let mut sum = vec![Fp::ZERO; n];
            add_combination(&mut sum, &own);
            if sum != expected {
                return Err(KeyMismatch::Coset { coset });
            }
        }
        // Every commitment is blinded with one.
        let blind = weights.iter().sum::<Fp>();
        let expected = params.lagrange().msm(&[
            Term {
                first: 0,
                values: Values::Full(&combined(&|_| true)),
            },
            Term {
                first: params.w_index(),
                values: Values::Full(&[blind]),
            },
        ]);
        let commitments: Vec<Point> = self
            .circuit
            .fixed_commitments()
            .iter()
            .chain(self.circuit.permutation_commitments())
            .map(Point::from)
            .collect();
        match msm_points(&commitments, &weights).to_affine() == expected.to_affine() {
            true => Ok(()),
            false => Err(KeyMismatch::Commitments),
        }
    }
}
