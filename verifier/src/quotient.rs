//! What the quotient polynomial must be at x, from the evaluations that the proof claims.
//!
//! All constraints are folded with powers of y in halo2's order: for each circuit the gates, the permutation argument,
//! the lookup arguments. If the fold is (x^n - 1) times the quotient at a random x, every constraint holds on every row.

use alloc::vec::Vec;

use ff::{Field, PrimeField};
use pasta_curves::Fp;
use pasta_curves::arithmetic::VartimeField;

use crate::cs::{ColumnKind, ConstraintSystem, Expression, Lookup};
use crate::error::VerifyError;
use crate::field::invert_each;
use crate::key::CircuitKey;
use crate::proof::{Challenges, Evaluations, LookupEvals, Proof, SharedEvaluations};
use crate::work::{Work, amount};

/// The evaluation of the quotient, and x^n.
pub(crate) fn expected_quotient(
    key: &CircuitKey,
    proof: &Proof,
    work: &mut Work,
) -> Result<(Fp, Fp), VerifyError> {
    let x = proof.challenges.x;
    let mut xn = x;
    for _ in 0..key.k() {
        xn = xn.square();
    }
    let vanishing = (xn - Fp::one())
        .invert_vartime()
        .ok_or(VerifyError::DegenerateChallenge)?;
    let rows = Rows::at(key, x, xn, work)?;
    let mut fold = Fold {
        y: proof.challenges.y,
        value: Fp::zero(),
    };
    let mut stack = Vec::new();
    for evaluations in &proof.evaluations {
        let circuit = Circuit {
            key,
            cs: key.cs(),
            own: evaluations,
            shared: &proof.shared,
            challenges: &proof.challenges,
            rows: &rows,
        };
        circuit
            .fold(&mut fold, &mut stack)
            .ok_or(VerifyError::InconsistentKey)?;
        work.field_muls += circuit_muls(key);
    }
    work.field_muls += u64::from(key.k()) + 1;
    work.field_inversions += 1;
    Ok((fold.value * vanishing, xn))
}

/// The multiplications of folding the constraints of one circuit: at most one for each node and each power of y, and
/// what the arguments take.
pub(crate) fn circuit_muls(key: &CircuitKey) -> u64 {
    let cs = key.cs();
    let nodes: usize = cs
        .expressions()
        .map(|expression| expression.nodes.len())
        .sum();
    let tables: usize = cs
        .lookups
        .iter()
        .map(|lookup| 2 * lookup.inputs.len())
        .sum();
    let products = key.product_count();
    amount(
        nodes
            + tables
            + cs.gates.len()
            + 18 * cs.lookups.len()
            + 4 * cs.permutation.len()
            + 72 * products
            + 8,
    )
}

/// The Lagrange polynomials at x that the arguments need.
struct Rows {
    first: Fp,
    last: Fp,
    /// One on the rows that the circuit uses: 1 - (l_last + l_blind).
    active: Fp,
}

impl Rows {
    fn at(key: &CircuitKey, x: Fp, xn: Fp, work: &mut Work) -> Result<Self, VerifyError> {
        let blinding = u64::from(key.cs().blinding_factors());
        // From row -(blinding + 1), the last usable one, to row 0.
        let omega_inverse = key
            .omega()
            .invert_vartime()
            .ok_or(VerifyError::InconsistentKey)?;
        let mut root = omega_inverse.pow_vartime([blinding + 1]);
        let mut roots = Vec::new();
        let mut differences = Vec::new();
        for _ in 0..blinding + 2 {
            roots.push(root);
            differences.push(x - root);
            root *= key.omega();
        }
        invert_each(&mut differences, work)?;
        let scale = (xn - Fp::one()) * Fp::TWO_INV.pow_vartime([u64::from(key.k())]);
        let lagrange: Vec<Fp> = roots
            .iter()
            .zip(&differences)
            .map(|(root, inverse)| scale * root * inverse)
            .collect();
        work.field_muls += 6 * (blinding + 2) + 40;
        work.field_inversions += 1;
        let (Some((&last, rest)), Some(&first)) = (lagrange.split_first(), lagrange.last()) else {
            return Err(VerifyError::InconsistentKey);
        };
        let blind = rest.iter().take(rest.len().saturating_sub(1)).sum::<Fp>();
        Ok(Self {
            first,
            last,
            active: Fp::one() - (last + blind),
        })
    }
}

/// The running combination of constraints.
struct Fold {
    y: Fp,
    value: Fp,
}

impl Fold {
    fn push(&mut self, constraint: Fp) {
        self.value = self.value * self.y + constraint;
    }
}

/// One circuit of the proof, with all that its constraints read. Folding returns `None` if a query has no evaluation,
/// which the key's validation excludes.
struct Circuit<'a> {
    key: &'a CircuitKey,
    cs: &'a ConstraintSystem,
    own: &'a Evaluations,
    shared: &'a SharedEvaluations,
    challenges: &'a Challenges,
    rows: &'a Rows,
}

impl Circuit<'_> {
    fn fold(&self, fold: &mut Fold, stack: &mut Vec<Fp>) -> Option<()> {
        for gate in &self.cs.gates {
            fold.push(self.evaluate(gate, stack)?);
        }
        self.permutation(fold)?;
        for (argument, evals) in self.cs.lookups.iter().zip(&self.own.lookups) {
            self.lookup(argument, evals, fold, stack)?;
        }
        Some(())
    }

    fn evaluate(&self, expression: &Expression, stack: &mut Vec<Fp>) -> Option<Fp> {
        expression.evaluate(
            &self.shared.fixed,
            &self.own.advice,
            &self.own.instance,
            stack,
        )
    }

    fn current(&self, (kind, query): (ColumnKind, usize)) -> Option<Fp> {
        let values = match kind {
            ColumnKind::Instance => &self.own.instance,
            ColumnKind::Advice => &self.own.advice,
            ColumnKind::Fixed => &self.shared.fixed,
        };
        values.get(query).copied()
    }

    /// The products start at one, end at zero or one, continue each other, and multiply (value + β·position + γ) in
    /// and (value + β·permuted position + γ) out.
    fn permutation(&self, fold: &mut Fold) -> Option<()> {
        let products = &self.own.products;
        let (Some(first), Some(last)) = (products.first(), products.last()) else {
            return Some(());
        };
        fold.push(self.rows.first * (Fp::one() - first.current));
        fold.push((last.current.square() - last.current) * self.rows.last);
        for (product, previous) in products.iter().skip(1).zip(products) {
            fold.push((product.current - previous.last?) * self.rows.first);
        }
        let Challenges { beta, gamma, x, .. } = *self.challenges;
        let chunk = self.cs.permutation_chunk();
        let columns = self.key.permutation_values().chunks(chunk);
        let permuted = self.shared.permutation.chunks(chunk);
        let mut position = beta * x;
        for ((product, columns), permuted) in products.iter().zip(columns).zip(permuted) {
            let (mut left, mut right) = (product.next, product.current);
            for (&query, permuted) in columns.iter().zip(permuted) {
                let value = self.current(query)?;
                left *= value + beta * permuted + gamma;
                right *= value + position + gamma;
                position *= Fp::DELTA;
            }
            fold.push((left - right) * self.rows.active);
        }
        Some(())
    }

    fn lookup(
        &self,
        argument: &Lookup,
        evals: &LookupEvals,
        fold: &mut Fold,
        stack: &mut Vec<Fp>,
    ) -> Option<()> {
        let Challenges {
            theta, beta, gamma, ..
        } = *self.challenges;
        let mut compress = |expressions: &[Expression]| {
            expressions.iter().try_fold(Fp::zero(), |sum, expression| {
                Some(sum * theta + self.evaluate(expression, stack)?)
            })
        };
        let (input, table) = (compress(&argument.inputs)?, compress(&argument.tables)?);
        let left = evals.product_next * (evals.input + beta) * (evals.table + gamma);
        let right = evals.product * (input + beta) * (table + gamma);
        let unequal = evals.input - evals.table;
        fold.push(self.rows.first * (Fp::one() - evals.product));
        fold.push(self.rows.last * (evals.product.square() - evals.product));
        fold.push((left - right) * self.rows.active);
        fold.push(self.rows.first * unequal);
        fold.push(unequal * (evals.input - evals.input_previous) * self.rows.active);
        Some(())
    }
}
