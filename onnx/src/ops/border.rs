//! A border of constants around a real that is quantized later.

use std::sync::Arc;

use super::super::real::{Base, Real};
use crate::error::NodeError;
use crate::graph::constant::Constant;
use zkonnx_circuits::program::elements;

/// The real between blocks of the constant, joined along one axis after the other. Each part is quantized like the
/// result, so that a border which the real's own quantization cannot hold stays what it is.
pub(crate) fn surround(
    real: &Real,
    value: f32,
    before: &[usize],
    after: &[usize],
) -> Result<Real, NodeError> {
    let mut inner = real.clone();
    for (axis, (&before, &after)) in before.iter().zip(after).enumerate() {
        let shape = inner.shape.clone();
        let extent = shape[axis];
        let sized = |extent: usize| {
            let sizes = shape.iter().enumerate();
            let sizes = sizes.map(|(d, &size)| if d == axis { extent } else { size });
            sizes.collect::<Vec<_>>()
        };
        let block = |extent: usize| {
            let shape = sized(extent);
            let floats = Constant::floats(shape.clone(), vec![value; elements(&shape)]);
            Real::new(Base::Constant(Arc::new(floats)), shape)
        };
        if before + after == 0 {
            continue;
        }
        let whole = sized(before + extent + after);
        let mut parts = Vec::with_capacity(3);
        parts.extend((before > 0).then(|| block(before)));
        parts.push(inner);
        parts.extend((after > 0).then(|| block(after)));
        let size = parts.iter().map(|part| part.size + 1).sum();
        inner = Real::new(Base::Concat(parts, axis), whole).grown(size)?;
    }
    Ok(inner)
}
