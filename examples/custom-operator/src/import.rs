//! The ONNX operator `org.example.Quorum`: floats end here.
//!
//! `Quorum(x; level, quorum)` is true where at least `quorum` elements along the last axis are `level` or more. In a
//! quantized model `x` is `scale · (q − zero)`, so the level is one integer: the smallest `q` whose real, computed in
//! binary32 as DequantizeLinear computes it, is not below `level`.

use zkonnx_circuits::program::Range;
use zkonnx_onnx::{Context, Extension, NodeError, NodeView, Output};

use crate::Quorum;

/// The entry of the registry.
pub(crate) const QUORUM: Extension = Extension {
    domain: "org.example",
    name: "Quorum",
    min_opset: 1,
    max_opset: 1,
    rule: "Quorum",
    import,
};

fn import(cx: &mut Context<'_, '_>, node: &NodeView<'_>) -> Result<Vec<Output>, NodeError> {
    let x = cx.activation(node, 0, "x")?;
    let level = node.float("level", 0.0)?;
    let quorum = node.int("quorum", 1)?;
    let quorum = usize::try_from(quorum).map_err(|_| NodeError::Attribute {
        name: "quorum",
        reason: "it is negative",
    })?;
    let Range { lo, hi } = Range::of(cx.fact(x.tensor).dtype);
    // Past the largest value nobody votes.
    let threshold = (lo..=hi)
        .find(|q| (q - x.zero) as f32 * x.scale >= level)
        .unwrap_or(hi + 1);
    let y = cx.push1(node, Quorum::new(threshold, quorum), &[x.tensor])?;
    Ok(vec![Output::Int(y)])
}
