//! Several integers in one equation of the field.
//!
//! A chain of rows proves one equation `Σ cells · weights + constant = 0` an accumulator. The weights make it say
//! something of several integers at once: lane `t`, shifted to bit position `pos_t`, states `V_t = D_t`, where `V_t`
//! is a linear form of earlier cells and `D_t` of the cells that the chain introduces.
//!
//! # Soundness
//!
//! Let `B_t = 2^{bits_t}` and `pos_{t+1} = pos_t + bits_t`. Suppose that for every lane both `V_t` and `D_t` are
//! integers in `[0, B_t)` whatever the prover does, and `Σ bits_t ≤ 254`. Then both sides of
//!
//! ```text
//! Σ_t 2^{pos_t} · V_t = Σ_t 2^{pos_t} · D_t
//! ```
//!
//! are integers below `2^254`, which is below the modulus, so equality in the field is equality of integers, and the
//! digits of a mixed-radix number are unique: `V_t = D_t` for every `t`.
//!
//! The two bounds are enforced as follows. `V_t`: its inputs are cells that lookups bound, and interval arithmetic
//! over the actual coefficients gives its range, which the planner compares with the window. `D_t`: the cells that
//! the chain introduces are a step's start and limbs; they may be *anything the table admits*, not only what this
//! lane reaches, so the window of a step lane is the whole domain of its table.

/// Bits of a packed equation: `2^254` is below the modulus of the field.
pub const CAPACITY_BITS: u32 = 254;

/// Bits of a window of `size` values.
pub fn window_bits(size: u128) -> u32 {
    u128::BITS - size.saturating_sub(1).leading_zeros()
}

/// How many lanes of `bits` one equation takes.
pub fn lanes_per_equation(bits: u32) -> usize {
    (CAPACITY_BITS / bits.max(1)) as usize
}

/// How many of `n` lanes each of `parts` parts takes: evenly, so that no part waits for units.
pub(crate) fn share(n: usize, parts: usize) -> impl Iterator<Item = usize> {
    (0..parts).map(move |c| (n * (c + 1)).div_ceil(parts) - (n * c).div_ceil(parts))
}

/// Where a lane stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanePlace {
    /// The class of its equations: all of them have the same number modulo the number of classes.
    pub class: usize,
    /// Equation and bit position of each of its forms.
    pub forms: Vec<(usize, u32)>,
}

/// Places lanes of so many forms and bits a form in equations `0..equations`. Equations are equal for units and slots
/// if they are equal modulo `classes`, and a lane's forms are in equal equations. The lanes are dealt out evenly where
/// they fit, else each class is filled before the next; `None` if they fit neither way.
pub fn positions(
    lanes: &[(usize, u32)],
    equations: usize,
    classes: usize,
) -> Option<Vec<LanePlace>> {
    let shares: Vec<usize> = share(lanes.len(), classes).collect();
    let greedy = || fill(lanes, equations, &vec![usize::MAX; classes]);
    fill(lanes, equations, &shares).or_else(greedy)
}

fn fill(lanes: &[(usize, u32)], equations: usize, most: &[usize]) -> Option<Vec<LanePlace>> {
    let (mut class, mut count) = (0, 0);
    let (mut equation, mut position) = (0, 0);
    let mut out = Vec::with_capacity(lanes.len());
    for &(forms, bits) in lanes {
        loop {
            let mut end = (equation, position);
            let mut placed = Vec::with_capacity(forms);
            for _ in 0..forms {
                if end.1 + bits > CAPACITY_BITS {
                    end = (end.0 + most.len(), 0);
                }
                placed.push(end);
                end.1 += bits;
            }
            let fits = count < *most.get(class)? && placed.last().is_none_or(|p| p.0 < equations);
            if fits && bits <= CAPACITY_BITS {
                (equation, position) = end;
                count += 1;
                out.push(LanePlace {
                    class,
                    forms: placed,
                });
                break;
            }
            class += 1;
            count = 0;
            (equation, position) = (class, 0);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_count_their_bits() {
        assert_eq!(window_bits(1), 0);
        assert_eq!(window_bits(2), 1);
        assert_eq!(window_bits(256), 8);
        assert_eq!(window_bits(257), 9);
    }

    fn place(
        lanes: &[(usize, u32)],
        equations: usize,
        classes: usize,
    ) -> Option<Vec<Vec<(usize, u32)>>> {
        let placed = positions(lanes, equations, classes)?;
        for lane in &placed {
            assert!(lane.forms.iter().all(|form| form.0 % classes == lane.class));
        }
        Some(placed.into_iter().map(|lane| lane.forms).collect())
    }

    #[test]
    fn equations_never_exceed_the_capacity() {
        let lanes = |bits: &[u32]| bits.iter().map(|&b| (1, b)).collect::<Vec<_>>();
        let placed = place(&lanes(&[100, 100, 100, 54]), 2, 2).unwrap_or_default();
        assert_eq!(placed.concat(), [(0, 0), (0, 100), (1, 0), (1, 100)]);
        // Not in even shares, but they fit.
        let placed = place(&lanes(&[10, 254, 20, 20]), 3, 3).unwrap_or_default();
        assert_eq!(placed.concat(), [(0, 0), (1, 0), (2, 0), (2, 20)]);
        assert_eq!(place(&lanes(&[200, 200, 200]), 2, 2), None);
        assert_eq!(place(&lanes(&[255]), 2, 2), None);
    }

    #[test]
    fn forms_of_a_lane_stay_in_their_class() {
        let lanes = [(4, 80), (1, 80), (4, 80)];
        let placed = place(&lanes, 4, 2).unwrap_or_default();
        assert_eq!(placed[0], [(0, 0), (0, 80), (0, 160), (2, 0)]);
        assert_eq!(placed[1], [(2, 80)]);
        assert_eq!(placed[2], [(1, 0), (1, 80), (1, 160), (3, 0)]);
        assert_eq!(place(&lanes, 2, 2), None);
    }

    #[test]
    fn shares_differ_by_at_most_one() {
        assert_eq!(share(7, 3).collect::<Vec<_>>(), [3, 2, 2]);
        assert_eq!(share(2, 4).sum::<usize>(), 2);
    }
}
