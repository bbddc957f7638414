//! The opening of all commitments at all points, as one opening at one point.

use std::collections::{BTreeMap, BTreeSet};

use ff::Field;
use pasta_curves::Fp;
use rand_core::Rng;

use super::evaluation::{Form, Name, Opened};
use super::run::{Polynomial, Work, fold};
use super::transcript::Transcript;
use super::{ProveError, draw, ipa};
use crate::arith::{add_combination, inner_product, powers};

/// Polynomials that are opened at the same points.
#[derive(Debug, Default)]
struct Group {
    points: Vec<Fp>,
    members: Vec<Name>,
}

/// Groups the polynomials by the set of points at which they are opened. Groups are numbered in the order of their first
/// member, and the points of a group are in the order of their first use.
fn groups(opened: &Opened<'_>, x: Fp) -> Vec<Group> {
    let mut points: Vec<Fp> = Vec::new();
    let mut names: Vec<Name> = Vec::new();
    let mut sets: BTreeMap<Name, BTreeSet<usize>> = BTreeMap::new();
    for (name, rotation) in opened.opened() {
        let point = opened.key.domain.rotate(x, rotation);
        let index = points
            .iter()
            .position(|known| *known == point)
            .unwrap_or_else(|| {
                points.push(point);
                points.len() - 1
            });
        let set = sets.entry(name).or_insert_with(|| {
            names.push(name);
            BTreeSet::new()
        });
        set.insert(index);
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut numbers: BTreeMap<&BTreeSet<usize>, usize> = BTreeMap::new();
    for name in names {
        let Some(set) = sets.get(&name) else { continue };
        let number = *numbers.entry(set).or_insert_with(|| {
            let points = set.iter().map(|index| points[*index]).collect();
            groups.push(Group {
                points,
                members: Vec::new(),
            });
            groups.len() - 1
        });
        groups[number].members.push(name);
    }
    groups
}

/// `Σ x_1^{m−1−i}·member_i`.
fn combine(opened: &Opened<'_>, group: &Group, x_1: Fp) -> Polynomial {
    let n = opened.key.shape.n;
    let weights = powers(x_1, group.members.len());
    let (mut blind, mut coefficients, mut cosets) = (Fp::ZERO, Vec::new(), Vec::new());
    for (name, weight) in group.members.iter().zip(weights.into_iter().rev()) {
        match opened.form(*name) {
            Form::Coefficients(polynomial) => {
                coefficients.push((weight, polynomial.coefficients.as_slice()));
                blind += weight * polynomial.blind;
            }
            Form::Coset(values) => {
                cosets.push((weight, values));
                blind += weight;
            }
        }
    }
    let mut sum = vec![Fp::ZERO; n];
    if !cosets.is_empty() {
        add_combination(&mut sum, &cosets);
        opened.key.domain.interpolate_coset(&mut sum, 0);
    }
    add_combination(&mut sum, &coefficients);
    Polynomial::of_coefficients(sum, blind)
}

/// The quotient of a polynomial by `Π (X − point)`, padded with zeros.
fn divide(polynomial: &[Fp], points: &[Fp]) -> Vec<Fp> {
    let mut quotient = polynomial.to_vec();
    for point in points {
        let mut next = Fp::ZERO;
        for coefficient in quotient.iter_mut().rev() {
            let value = *coefficient + next * point;
            *coefficient = next;
            next = value;
        }
    }
    quotient
}

/// Opens everything.
pub(super) fn open(
    work: Work<'_>,
    opened: &Opened<'_>,
    x: Fp,
    rng: &mut impl Rng,
    transcript: &mut Transcript,
) -> Result<(), ProveError> {
    use rayon::prelude::*;
    let params = work.params;
    let (x_1, x_2) = (transcript.challenge(), transcript.challenge());
    let groups = groups(opened, x);
    let combined: Vec<Polynomial> = groups
        .iter()
        .map(|group| combine(opened, group, x_1))
        .collect();
    let quotients: Vec<Polynomial> = combined
        .par_iter()
        .zip(&groups)
        .map(|(polynomial, group)| {
            let quotient = divide(&polynomial.coefficients, &group.points);
            Polynomial::of_coefficients(quotient, Fp::ZERO)
        })
        .rev()
        .collect();
    let mut quotient = fold(&quotients, x_2);
    drop(quotients);
    quotient.blind = Fp::random(&mut *rng);
    // The polynomial that blinds the opening is random but for its constant coefficient, which a challenge decides; its
    // commitment is computed before, along with that of the quotient, and corrected.
    let coefficients = draw(rng, opened.key.shape.n);
    let blinding = Polynomial::of_coefficients(coefficients, Fp::random(&mut *rng));
    let points = work.commit(
        params.monomial(),
        &[quotient.terms(params), blinding.terms(params)],
    );
    transcript.points(&points[..1])?;

    let x_3 = transcript.challenge();
    let at_x_3 = powers(x_3, opened.key.shape.n);
    let values: Vec<Fp> = combined
        .par_iter()
        .map(|p| inner_product(&p.coefficients, &at_x_3))
        .collect();
    transcript.scalars(&values)?;
    let x_4 = transcript.challenge();
    let mut all = combined;
    all.insert(0, quotient);
    all.reverse();
    let polynomial = fold(&all, x_4);
    ipa::open(
        params, polynomial, blinding, points[1], at_x_3, rng, transcript,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_division_by_roots() {
        // (X − 2)(X − 5)(X + 3) + 7 has the quotient X + 3 by (X − 2)(X − 5), up to the remainder.
        let [a, b, c] = [Fp::from(2), Fp::from(5), -Fp::from(3)];
        let polynomial = [
            -(a * b * c) + Fp::from(7),
            a * b + b * c + a * c,
            -(a + b + c),
            Fp::ONE,
        ];
        assert_eq!(
            divide(&polynomial, &[a, b]),
            [-c, Fp::ONE, Fp::ZERO, Fp::ZERO]
        );
    }
}
