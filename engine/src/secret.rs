//! Memory that is wiped before it is freed.
//!
//! Field elements are another crate's type, so what they are overwritten with is written here, and `zeroize` keeps the
//! compiler from leaving it out. All of a vector's capacity is overwritten, not only its length.

use std::ops::{Deref, DerefMut};

use ff::Field;
use pasta_curves::Fp;
use zeroize::optimization_barrier;

/// Overwrites field elements, with what the vector held beyond its length.
pub(crate) fn wipe(values: &mut Vec<Fp>) {
    values.fill(Fp::ZERO);
    // Up to the capacity nothing moves.
    values.resize(values.capacity(), Fp::ZERO);
    optimization_barrier(values.as_slice());
}

/// Overwrites what was computed of a secret on the way.
pub(crate) fn wipe_with<T: Copy>(values: &mut [T], nothing: T) {
    values.fill(nothing);
    optimization_barrier(values);
}

/// Field elements that are wiped when they are dropped.
#[derive(Debug)]
pub(crate) struct Secret(pub(crate) Vec<Fp>);

impl Deref for Secret {
    type Target = Vec<Fp>;

    fn deref(&self) -> &Vec<Fp> {
        &self.0
    }
}

impl DerefMut for Secret {
    fn deref_mut(&mut self) -> &mut Vec<Fp> {
        &mut self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_vectors_and_wipes_all_of_their_capacity_in_place() {
        let mut values = vec![Fp::from(7); 9];
        values.reserve(100);
        values.truncate(2);
        let (place, capacity) = (values.as_ptr(), values.capacity());
        wipe(&mut values);
        assert_eq!((values.as_ptr(), values.len()), (place, capacity));
        assert!(values.iter().all(|value| *value == Fp::ZERO));
        let mut words = [3u32; 5];
        wipe_with(&mut words[1..], 0);
        assert_eq!(words, [3, 0, 0, 0, 0]);
    }
}
