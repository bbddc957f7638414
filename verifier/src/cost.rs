//! What a verification will take, known from the key alone.

use crate::cs::ColumnKind;
use crate::key::{CircuitKey, VerifyingKey};
use crate::msm::msm_cost;
use crate::quotient::circuit_muls;
use crate::work::{Work, amount};

/// An upper bound of the work of verifying receipts under a key, whatever bytes they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    proof_bytes: [usize; 2],
    /// Reading a proof: what it takes once, and for each claim.
    read: [Work; 2],
    /// Terms of the final equation without the generators: once, and for each claim.
    terms: [usize; 2],
    generators: usize,
}

/// The cost of receipts under a key.
pub fn cost(key: &VerifyingKey) -> Cost {
    let mut cost = Cost::of(key.circuit(), key.layout().element_count());
    let [_, each] = &mut cost.read;
    each.field_muls = each.field_muls.saturating_add(key.layout().value_count());
    cost
}

impl Cost {
    /// The cost of proofs under a circuit whose instance columns have at most so many elements.
    pub fn of(key: &CircuitKey, instance_elements: usize) -> Self {
        let cs = key.cs();
        let (one, two) = (key.proof_size(1), key.proof_size(2));
        let own_points = two.points.saturating_sub(one.points);
        let own_scalars = two.scalars.saturating_sub(one.scalars);
        let shared_points = one.points.saturating_sub(own_points);
        let shared_scalars = one.scalars.saturating_sub(own_scalars);
        let columns = cs.columns(ColumnKind::Instance);
        let commitments = msm_cost(instance_elements.saturating_add(1)).times(amount(columns));
        let slots = |slots: &[crate::plan::Slot]| {
            slots
                .iter()
                .map(|slot| slot.values.len() + 1)
                .sum::<usize>()
        };
        let plan = key.plan();
        let k = u64::from(key.k());
        let own = Work {
            hashed_bytes: 65 * (own_points + amount(columns)) + 33 * own_scalars,
            decompressions: own_points,
            // The constraints, folding the slots, scaling them by their set, and by the coefficient of a batch.
            field_muls: circuit_muls(key)
                + amount(slots(&plan.own))
                + 2 * own_points
                + 2 * amount(columns),
            ..Work::default()
        };
        let key_terms = amount(key.fixed_commitments().len() + key.permutation_commitments().len());
        let blinding = u64::from(cs.blinding_factors());
        let shared = Work {
            hashed_bytes: 65 * shared_points
                + 33 * (shared_scalars + 1)
                // Twelve challenges, one for each round, and what makes a batch's coefficients.
                + 129 * (12 + k)
                + 512,
            decompressions: shared_points,
            field_muls: amount(slots(&plan.shared))
                + 2 * amount(plan.sets.len())
                + 3 * u64::from(key.degree())
                + plan.interpolation_muls()
                + amount(plan.rotations.len()) * (2 * k + 1)
                + 2 * (key_terms + shared_points)
                + 6 * (blinding + 2)
                + 8 * k
                + 64,
            field_inversions: 8,
            ..Work::default()
        };
        let usize_of = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let own_bytes = 32 * usize_of(own_points + own_scalars);
        Self {
            proof_bytes: [one.bytes().saturating_sub(own_bytes), own_bytes],
            read: [shared, own.plus(commitments)],
            terms: [
                usize_of(shared_points.saturating_add(key_terms)).saturating_add(2),
                usize_of(own_points).saturating_add(columns),
            ],
            generators: 1usize.checked_shl(key.k()).unwrap_or(usize::MAX),
        }
    }

    /// The exact length of a proof of so many claims, in bytes.
    pub fn proof_bytes(&self, claims: usize) -> usize {
        let [once, each] = self.proof_bytes;
        once.saturating_add(each.saturating_mul(claims))
    }

    /// A receipt of so many claims by itself.
    pub fn single(&self, claims: usize) -> Work {
        self.read(claims).plus(self.settle(claims))
    }

    /// Reading the proof of so many claims, without the final multiplication.
    fn read(&self, claims: usize) -> Work {
        let [once, each] = self.read;
        once.plus(each.times(amount(claims)))
    }

    /// The final multiplication of one receipt alone, and forming its terms.
    fn settle(&self, claims: usize) -> Work {
        msm_cost(self.terms(claims).saturating_add(self.generators)).plus(self.form(claims))
    }

    /// Scaling the terms and forming the scalars of the generators.
    fn form(&self, claims: usize) -> Work {
        Work {
            field_muls: amount(self.terms(claims))
                .saturating_add(amount(self.generators))
                .saturating_add(8),
            ..Work::default()
        }
    }

    fn terms(&self, claims: usize) -> usize {
        let [once, each] = self.terms;
        once.saturating_add(each.saturating_mul(claims))
    }
}

/// The most that a batch can take: the batch itself, and, since it may fail, every receipt alone. Each item is the cost
/// of its key and the number of its claims.
pub fn batch_cost(items: &[(&Cost, usize)]) -> Work {
    let mut work = Work {
        hashed_bytes: 256,
        ..Work::default()
    };
    let (mut terms, mut generators) = (0usize, 0usize);
    for (cost, claims) in items {
        work = work
            .plus(cost.read(*claims))
            .plus(cost.form(*claims))
            .plus(cost.settle(*claims));
        terms = terms.saturating_add(cost.terms(*claims));
        generators = generators.max(cost.generators);
    }
    work.plus(msm_cost(terms.saturating_add(generators)))
}
