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

/// The bit positions of consecutive lanes, broken into equations: `(equation, position)` for each lane.
pub fn positions(bits: impl IntoIterator<Item = u32>) -> Vec<(usize, u32)> {
    let (mut equation, mut position) = (0, 0);
    let mut out = Vec::new();
    for bits in bits {
        if position + bits > CAPACITY_BITS {
            equation += 1;
            position = 0;
        }
        out.push((equation, position));
        position += bits;
    }
    out
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
    fn equations_never_exceed_the_capacity() {
        let placed = positions([100, 100, 100, 54, 254, 1]);
        assert_eq!(placed, [(0, 0), (0, 100), (1, 0), (1, 100), (2, 0), (3, 0)]);
    }
}
