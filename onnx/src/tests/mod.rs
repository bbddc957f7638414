//! Whole models: what they become, and what is refused.

mod build;
mod edges;
mod fold;
mod groups;
mod head;
mod hostile;
mod identity;
mod inlined;
mod kernels;
mod learning;
mod lookup;
mod old;
mod open;
mod outputs;
mod picked;
mod restored;
mod tail;
mod trees;
mod vocabulary;
