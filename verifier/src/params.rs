//! Transparent parameters for verification.

/// Largest number of rows that the public values may take.
pub const MAX_INSTANCE_ROWS: usize = 256;
