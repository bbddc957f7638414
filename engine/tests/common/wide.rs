//! The synthetic circuit of the benchmark: value columns times fixed weight columns, summed in accumulators, and range
//! lookups.
