//! One function for each ONNX operator (or family): from a node to values.

pub(crate) mod accumulators;
pub(crate) mod activation;
pub(crate) mod blocks;
pub(crate) mod border;
pub(crate) mod einsum;
pub(crate) mod elementwise;
pub(crate) mod fold;
pub(crate) mod integer;
pub(crate) mod limits;
pub(crate) mod linear;
pub(crate) mod logic;
pub(crate) mod lookup;
pub(crate) mod masked;
pub(crate) mod matrices;
pub(crate) mod movement;
pub(crate) mod pool;
pub(crate) mod quantization;
pub(crate) mod ranking;
pub(crate) mod reduction;
pub(crate) mod resize;
pub(crate) mod selection;
pub(crate) mod softmax;
pub(crate) mod stacked;
pub(crate) mod transposed;
pub(crate) mod trees;
