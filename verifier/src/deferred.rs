//! Deferred verification: everything but the one long multiplication now, that one later, for many at once.
//!
//! What remains of a proof after its short part is P = c · ⟨s(u), G⟩, with P computed here from the proof, never taken
//! from a prover. Until it is discharged nothing has been proved: a [`Deferred`] only says which claims it is
//! about, and a [`Verified`], which says that they hold, comes from a discharge only.

use alloc::vec::Vec;

use ff::Field;
use pasta_curves::{EqAffine, Fp};

use crate::error::VerifyError;
use crate::key::VerifyingKey;
use crate::msm::{msm, to_affine};
use crate::params::Params;
use crate::receipt::Receipt;
use crate::verify::{Combination, coefficients, open_receipt};
use crate::work::Work;

/// A receipt whose proof has been read and reduced to P = c · ⟨s(u), G⟩, which is still to be checked.
#[must_use = "nothing is verified until this is discharged"]
#[derive(Clone, Debug)]
pub struct Deferred {
    point: EqAffine,
    c: Fp,
    challenges: Vec<Fp>,
    seal: [u8; 64],
    verdict: Verified,
}

/// Claims that a proof was found to prove.
#[must_use = "these are the claims that hold"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    vk_id: [u8; 32],
    program_id: [u8; 32],
    claims: Vec<[u8; 32]>,
}

/// The outcome of a discharge in which something failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of the deferred receipts are rejected", rejected.len())]
pub struct DischargeError {
    /// Those that fail, in ascending order of their positions.
    pub rejected: Vec<Rejected>,
    /// Those that hold.
    pub verified: Vec<Verified>,
}

/// A receipt that a discharge rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its position among the deferred receipts.
    pub index: usize,
    /// The digests of the claims that it does not prove.
    pub claims: Vec<[u8; 32]>,
    /// [`VerifyError::InvalidProof`], or [`VerifyError::ParamsTooSmall`], which says nothing about the proof.
    pub error: VerifyError,
}

impl Verified {
    /// The id of the key that the claims were proved under.
    pub fn vk_id(&self) -> &[u8; 32] {
        &self.vk_id
    }

    /// The program that the key claims to be of.
    pub fn program_id(&self) -> &[u8; 32] {
        &self.program_id
    }

    /// The digests of the claims, in the receipt's order.
    pub fn claims(&self) -> &[[u8; 32]] {
        &self.claims
    }
}

/// Does everything that [`crate::verify`] does but the long multiplication.
pub fn verify_deferred(
    key: &VerifyingKey,
    params: &Params,
    receipt: &Receipt,
) -> Result<Deferred, VerifyError> {
    verify_deferred_counting(key, params, receipt, &mut Work::default())
}

/// As [`verify_deferred`], adding to `work` what was done, but for hashing the claims, which takes as many bytes as they
/// have.
pub fn verify_deferred_counting(
    key: &VerifyingKey,
    params: &Params,
    receipt: &Receipt,
    work: &mut Work,
) -> Result<Deferred, VerifyError> {
    let opening = open_receipt(key, params, receipt, work)?;
    let mut left = Combination::new();
    left.add_left(key.circuit(), &opening, Fp::ONE, work);
    let point = to_affine(&msm(&left.into_terms(params), work));
    Ok(Deferred {
        point,
        c: opening.c,
        challenges: opening.challenges,
        seal: opening.seal,
        verdict: Verified {
            vk_id: *key.id(),
            program_id: *key.program_id(),
            claims: receipt
                .claims()
                .iter()
                .map(|claim| claim.digest())
                .collect(),
        },
    })
}

impl Deferred {
    /// The point P.
    pub fn point(&self) -> &EqAffine {
        &self.point
    }

    /// The scalar c.
    pub fn scalar(&self) -> &Fp {
        &self.c
    }

    /// The challenges u_1 to u_k.
    pub fn challenges(&self) -> &[Fp] {
        &self.challenges
    }

    /// The digests of the claims that hold if the discharge succeeds. Until then they are assertions of a stranger.
    pub fn pending_claims(&self) -> &[[u8; 32]] {
        &self.verdict.claims
    }

    /// Does the long multiplication and turns into a verdict.
    pub fn discharge(self, params: &Params) -> Result<Verified, VerifyError> {
        self.check(params, &mut Work::default())?;
        Ok(self.verdict)
    }

    fn check(&self, params: &Params, work: &mut Work) -> Result<(), VerifyError> {
        let mut sum = Combination::new();
        sum.add_point(self.point, Fp::ONE);
        sum.add_right(&self.challenges, self.c, params, work)?;
        match sum.vanishes(params, work) {
            true => Ok(()),
            false => Err(VerifyError::InvalidProof),
        }
    }
}

/// Discharges many in one long multiplication; if that fails, each alone, and the error names those that fail.
pub fn discharge_all(
    deferred: Vec<Deferred>,
    params: &Params,
) -> Result<Vec<Verified>, DischargeError> {
    discharge_all_counting(deferred, params, &mut Work::default())
}

/// As [`discharge_all`], adding to `work` what was done.
fn discharge_all_counting(
    deferred: Vec<Deferred>,
    params: &Params,
    work: &mut Work,
) -> Result<Vec<Verified>, DischargeError> {
    let coefficients = coefficients(deferred.iter().map(|item| &item.seal), work);
    let mut sum = Combination::new();
    // The parameters may be smaller than those that an item was made with.
    let mut equations = deferred.iter().zip(coefficients);
    let added = equations.try_for_each(|(item, coefficient)| {
        sum.add_point(item.point, coefficient);
        sum.add_right(&item.challenges, coefficient * item.c, params, work)
    });
    if added.is_ok() && sum.vanishes(params, work) {
        return Ok(deferred.into_iter().map(|item| item.verdict).collect());
    }
    let mut error = DischargeError {
        rejected: Vec::new(),
        verified: Vec::new(),
    };
    for (index, item) in deferred.into_iter().enumerate() {
        match item.check(params, work) {
            Ok(()) => error.verified.push(item.verdict),
            Err(reason) => error.rejected.push(Rejected {
                index,
                claims: item.verdict.claims,
                error: reason,
            }),
        }
    }
    // The sum can only be wrong if an item is; should all hold alone, all are verified.
    match error.rejected.is_empty() {
        true => Ok(error.verified),
        false => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What discharging receipts of the vectors takes: one long multiplication if all hold, and one for each besides if
    /// not. The verdicts would be the same without the first.
    #[test]
    fn accepts_all_at_once_in_exactly_the_pinned_work() {
        let params = Params::decode(include_bytes!("../vectors/params-6.bin")).unwrap();
        let a = VerifyingKey::decode(include_bytes!("../vectors/key-a.bin")).unwrap();
        let b = VerifyingKey::decode(include_bytes!("../vectors/key-b.bin")).unwrap();
        let receipt = |bytes: &[u8]| Receipt::decode(bytes).unwrap();
        let a1 = receipt(include_bytes!("../vectors/receipt-a1.bin"));
        let b3 = receipt(include_bytes!("../vectors/receipt-b3.bin"));
        let wrong = receipt(include_bytes!("../vectors/receipt-flipped.bin"));
        let discharge = |items: &[(&VerifyingKey, &Receipt)], holds: bool| {
            let deferred = items
                .iter()
                .map(|(key, receipt)| verify_deferred(key, &params, receipt).unwrap())
                .collect();
            let mut work = Work::default();
            let result = discharge_all_counting(deferred, &params, &mut work);
            assert_eq!(result.is_ok(), holds);
            work
        };
        let all = discharge(&[(&a, &a1), (&b, &b3)], true);
        let each = discharge(&[(&a, &a1), (&b, &b3), (&a, &wrong)], false);
        let counts = [all, each].map(|work| {
            [
                work.hashed_bytes,
                work.field_muls,
                work.group_additions,
                work.group_doublings,
            ]
        });
        assert_eq!(counts, [[512, 96, 4473, 252], [704, 256, 14483, 1008]]);
    }
}
