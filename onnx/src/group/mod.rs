//! Groups: what stays pending between a DequantizeLinear and the next QuantizeLinear, and the integer rules that close it.

pub(crate) mod bias;
pub(crate) mod close;
pub(crate) mod derived;
pub(crate) mod doubt;
pub(crate) mod exactness;
pub(crate) mod expr;
pub(crate) mod fit;
pub(crate) mod importer;
pub(crate) mod integer;
pub(crate) mod kernel;
pub(crate) mod movement;
pub(crate) mod operands;
pub(crate) mod pair;
pub(crate) mod params;
pub(crate) mod pointwise;
pub(crate) mod real;
pub(crate) mod routes;
pub(crate) mod rules;
pub(crate) mod softmax;
pub(crate) mod sums;
pub(crate) mod three;
pub(crate) mod totals;
pub(crate) mod weighted;
