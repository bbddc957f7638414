//! The public harness, under the names that the tests of this folder use.

pub(crate) use crate::testing::{Rng, check_operator as check};
