//! The public harness, under the name that the tests of this folder use.

pub(crate) use crate::testing::check_operator as check;
