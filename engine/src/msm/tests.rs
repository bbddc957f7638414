use ff::Field;
use group::Curve;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

fn bases(count: usize, rng: &mut StdRng) -> Vec<EqAffine> {
    (0..count).map(|_| Eq::random(rng).to_affine()).collect()
}

fn naive(bases: &[EqAffine], scalars: &[Fp]) -> Eq {
    bases
        .iter()
        .zip(scalars)
        .map(|(base, scalar)| *base * scalar)
        .sum()
}

fn check(bases: &[EqAffine], scalars: &[Fp]) {
    let expected = naive(bases, scalars);
    for bytes in [1 << 24, 64 * bases.len() * 3, 0] {
        let fixed = FixedBases::new(bases, Layout::new(bases.len(), bytes));
        let half = scalars.len() / 2;
        let whole = fixed.msm(&[Term {
            first: 0,
            values: Values::Full(scalars),
        }]);
        assert_eq!(whole, expected);
        let parts = fixed.msm(&[
            Term {
                first: half,
                values: Values::Full(&scalars[half..]),
            },
            Term {
                first: 0,
                values: Values::Full(&scalars[..half]),
            },
        ]);
        assert_eq!(parts, expected);
    }
}

#[test]
fn accepts_random_scalars() {
    let mut rng = StdRng::seed_from_u64(1);
    for count in [1, 2, 3, 17, 64, 130] {
        let bases = bases(count, &mut rng);
        let scalars: Vec<Fp> = (0..count).map(|_| Fp::random(&mut rng)).collect();
        check(&bases, &scalars);
    }
}

#[test]
fn accepts_edge_scalars() {
    let mut rng = StdRng::seed_from_u64(2);
    let half = Fp::TWO_INV;
    let mut scalars = vec![
        Fp::ZERO,
        Fp::ONE,
        -Fp::ONE,
        half,
        half - Fp::ONE,
        half + Fp::ONE,
        -half,
    ];
    for bit in [1u32, 3, 4, 7, 8, 12, 13, 63, 64, 128, 252, 253] {
        let power = Fp::from(2).pow_vartime([u64::from(bit)]);
        scalars.extend([power, -power, power - Fp::ONE, Fp::ONE - power]);
    }
    let bases = bases(scalars.len(), &mut rng);
    check(&bases, &scalars);
    check(&bases, &vec![Fp::ZERO; scalars.len()]);
    for scalar in scalars {
        check(&bases[..1], &[scalar]);
    }
}

#[test]
fn accepts_equal_and_opposite_bases() {
    let mut rng = StdRng::seed_from_u64(3);
    let one = Eq::random(&mut rng).to_affine();
    let mut bases = vec![one; 20];
    for base in bases.iter_mut().skip(10) {
        *base = -*base;
    }
    let same = vec![Fp::from(5); 20];
    check(&bases, &same);
    check(&bases[..13], &same[..13]);
    let random: Vec<Fp> = (0..20).map(|_| Fp::random(&mut rng)).collect();
    check(&bases, &random);
}

#[test]
fn accepts_small_values_of_both_signs() {
    let mut rng = StdRng::seed_from_u64(4);
    let bases = bases(300, &mut rng);
    let fixed = FixedBases::new(&bases, Layout::new(300, 1 << 24));
    let mut small: Vec<i64> = (0..298)
        .map(|_| (rng.next_u32() % 2000) as i64 - 1000)
        .collect();
    small.extend([i64::MIN, i64::MAX]);
    let scalars: Vec<Fp> = small
        .iter()
        .map(|v| {
            if *v < 0 {
                -Fp::from(v.unsigned_abs())
            } else {
                Fp::from(*v as u64)
            }
        })
        .collect();
    let sum = fixed.msm(&[Term {
        first: 0,
        values: Values::Small(&small),
    }]);
    assert_eq!(sum, naive(&bases, &scalars));
    assert_eq!(
        sum,
        fixed.msm(&[Term {
            first: 0,
            values: Values::Full(&scalars)
        }])
    );
}

#[test]
fn accepts_folded_bases() {
    let mut rng = StdRng::seed_from_u64(5);
    for (count, len) in [(64, 8), (256, 64), (70, 35)] {
        let bases = bases(count, &mut rng);
        let weights: Vec<Fp> = (0..count / len).map(|_| Fp::random(&mut rng)).collect();
        for bytes in [1 << 24, 64 * count * 5] {
            let folded = FixedBases::new(&bases, Layout::new(count, bytes)).fold(&weights, len);
            for (i, point) in folded.iter().enumerate() {
                let expected: Eq = weights
                    .iter()
                    .enumerate()
                    .map(|(b, weight)| bases[i + b * len] * weight)
                    .sum();
                assert_eq!(*point, Point::from(&expected.to_affine()));
            }
        }
    }
}

#[test]
fn accepts_sums_without_a_table() {
    let mut rng = StdRng::seed_from_u64(6);
    for count in [1, 2, 30, 200] {
        let bases = bases(count, &mut rng);
        let points: Vec<Point> = bases.iter().map(Point::from).collect();
        let scalars: Vec<Fp> = (0..count)
            .map(|i| {
                if i == 7 {
                    -Fp::ONE
                } else {
                    Fp::random(&mut rng)
                }
            })
            .collect();
        assert_eq!(msm_points(&points, &scalars), naive(&bases, &scalars));
    }
}
