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

/// How many of `n` lanes each of `parts` parts takes, if they are dealt out one by one.
pub(crate) fn share(n: usize, parts: usize) -> impl Iterator<Item = usize> {
    (0..parts).map(move |c| n / parts + usize::from(c < n % parts))
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
/// if they are equal modulo `classes`, and a lane's forms are in equal equations. The lanes are dealt out to the
/// classes one by one, so that no unit waits while another works; `None` if there is no room.
pub fn positions(
    lanes: &[(usize, u32)],
    equations: usize,
    classes: usize,
) -> Option<Vec<LanePlace>> {
    // Where the next form of each class would stand.
    let mut next: Vec<(usize, u32)> = (0..classes).map(|class| (class, 0)).collect();
    let mut place = |(i, &(forms, bits)): (usize, &(usize, u32))| {
        (0..classes).map(|c| (i + c) % classes).find_map(|class| {
            let (mut equation, mut position) = next[class];
            let mut placed = Vec::with_capacity(forms);
            for _ in 0..forms {
                if position + bits > CAPACITY_BITS {
                    (equation, position) = (equation + classes, 0);
                }
                if equation >= equations || bits > CAPACITY_BITS {
                    return None;
                }
                placed.push((equation, position));
                position += bits;
            }
            next[class] = (equation, position);
            let forms = placed;
            Some(LanePlace { class, forms })
        })
    };
    lanes.iter().enumerate().map(&mut place).collect()
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

    #[test]
    fn an_equation_takes_as_many_lanes_as_have_room() {
        let of = [0, 1, 2, 127, 128, 254, 255].map(lanes_per_equation);
        assert_eq!(of, [254, 254, 127, 2, 1, 1, 0]);
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
        assert_eq!(placed.concat(), [(0, 0), (1, 0), (0, 100), (1, 100)]);
        // Not in turns, but they fit.
        let placed = place(&lanes(&[10, 254, 254, 20]), 3, 3).unwrap_or_default();
        assert_eq!(placed.concat(), [(0, 0), (1, 0), (2, 0), (0, 10)]);
        let placed = place(&lanes(&[254, 10, 20, 20]), 2, 2).unwrap_or_default();
        assert_eq!(placed.concat(), [(0, 0), (1, 0), (1, 10), (1, 30)]);
        assert_eq!(place(&lanes(&[200, 200, 200]), 2, 2), None);
        assert_eq!(place(&lanes(&[255]), 2, 2), None);
        assert!(place(&lanes(&[200, 54]), 1, 1).is_some());
        assert_eq!(place(&lanes(&[200, 55]), 1, 1), None);
    }

    #[test]
    fn forms_of_a_lane_stay_in_their_class() {
        let lanes = [(4, 80), (4, 80), (1, 80)];
        let placed = place(&lanes, 4, 2).unwrap_or_default();
        assert_eq!(placed[0], [(0, 0), (0, 80), (0, 160), (2, 0)]);
        assert_eq!(placed[1], [(1, 0), (1, 80), (1, 160), (3, 0)]);
        assert_eq!(placed[2], [(2, 80)]);
        assert_eq!(place(&lanes, 2, 2), None);
    }

    #[test]
    fn shares_differ_by_at_most_one() {
        assert_eq!(share(7, 3).collect::<Vec<_>>(), [3, 2, 2]);
        assert_eq!(share(2, 4).sum::<usize>(), 2);
    }
}
