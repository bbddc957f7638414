//! Whole models: what they become, and what is refused.

mod build;
mod edges;
mod eval;
mod fold;
mod groups;
mod head;
mod hostile;
mod identity;
mod index;
mod inlined;
mod kernels;
mod learning;
mod lookup;
mod masked;
mod old;
mod open;
mod outputs;
mod picked;
mod products;
mod restored;
mod short;
mod stacked;
mod tail;
mod totals;
mod trees;
mod vocabulary;
