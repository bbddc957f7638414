//! Types of results, from the types of the operands and the values of those that are known.
//!
//! Where the work of an operator is linear in its elements, its own rule says what becomes of zeros of the same shape;
//! products and windows have rules of their own, as have the integer kernels, which are not evaluated.

use crate::eval::conv::{Geometry, conv_geometry, image, transposed_extents};
use crate::eval::pool::pool_geometry;
use crate::graph::constant::{Constant, Data, Element};
use crate::graph::{NodeView, Type};
use zkonnx_circuits::ops::broadcast;
use zkonnx_circuits::program::{DataType, elements};

/// An operand: its type, and its value where that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    pub(crate) ty: &'a Type,
    pub(crate) constant: Option<&'a Constant>,
}

/// How the types of an operator's results follow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TypeRule {
    /// That of the first operand.
    First,
    /// The operands broadcast against each other.
    Broadcast,
    /// The same, to booleans.
    Truth,
    /// What the rule makes of zeros, where all operands but the first so many are known.
    Zeros(usize),
    /// A rule of its own for several results.
    Several(fn(&NodeView<'_>, &Operands<'_>) -> Option<Vec<Type>>),
    /// A rule of its own.
    Own(fn(&NodeView<'_>, &Operands<'_>) -> Option<Type>),
}

/// The operands of a node; `None` where one is left out.
#[derive(Debug)]
pub(crate) struct Operands<'a>(pub(crate) Vec<Option<Operand<'a>>>);

impl<'a> Operands<'a> {
    pub(crate) fn get(&self, index: usize) -> Option<Operand<'a>> {
        self.0.get(index).copied().flatten()
    }

    /// Type of the first operand.
    pub(crate) fn first(&self) -> Option<&'a Type> {
        self.get(0).map(|operand| operand.ty)
    }

    pub(crate) fn shape(&self, index: usize) -> Option<&'a [usize]> {
        self.get(index).map(|operand| operand.ty.shape.as_slice())
    }

    /// The element type of an operand, or another where it is left out.
    pub(crate) fn element(&self, index: usize, missing: Element) -> Element {
        self.get(index)
            .map_or(missing, |operand| operand.ty.element)
    }

    pub(crate) fn broadcast(&self, mut indices: impl Iterator<Item = usize>) -> Option<Vec<usize>> {
        let first = self.shape(indices.next()?)?.to_vec();
        indices.try_fold(first, |all, i| broadcast(&all, self.shape(i)?))
    }
}

/// Zeros of a type.
pub(crate) fn zeros(ty: &Type) -> Constant {
    let n = elements(&ty.shape);
    Constant {
        shape: ty.shape.clone(),
        data: match ty.element {
            Element::Float => Data::Float(vec![0.0; n]),
            Element::Double => Data::Double(vec![0.0; n]),
            Element::Half(half) => Data::Half(half, vec![0; n]),
            Element::Int(dtype) => Data::Int(dtype, vec![0; n]),
            Element::Long => Data::Long(vec![0; n]),
            Element::Short(dtype) => Data::Short(dtype, vec![0; n]),
        },
    }
}

fn float(shape: Vec<usize>) -> Type {
    let element = Element::Float;
    Type { element, shape }
}

/// `Conv` of two shapes.
fn convolved(node: &NodeView<'_>, x: &[usize], w: &[usize]) -> Option<Vec<usize>> {
    let (_, Geometry { out, .. }) = conv_geometry(node, x, w).ok()?;
    let ((batch, ..), (outputs, ..)) = (image(x).ok()?, image(w).ok()?);
    Some([&[batch, outputs], out.as_slice()].concat())
}

pub(crate) fn conv(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    convolved(node, operands.shape(0)?, operands.shape(1)?).map(float)
}

pub(crate) fn conv_transpose(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    transposed_extents(node, operands.shape(0)?, operands.shape(1)?)
        .ok()
        .map(float)
}

pub(crate) fn pool(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    let first = operands.get(0)?;
    let (batch, channels, spatial) = image(&first.ty.shape).ok()?;
    let out = match node.op().contains("Global") {
        true => vec![1; spatial.len()],
        false => pool_geometry(node, spatial).ok()?.out,
    };
    let shape = [&[batch, channels], out.as_slice()].concat();
    let element = first.ty.element;
    Some(Type { element, shape })
}

/// The product of two shapes, leading axes broadcast.
fn multiplied(x: &[usize], y: &[usize]) -> Option<Vec<usize>> {
    let a = if x.len() == 1 { &[1, x[0]] } else { x };
    let b = if y.len() == 1 { &[y[0], 1] } else { y };
    let ([lead_a @ .., m, k], [lead_b @ .., rows, n]) = (a, b) else {
        return None;
    };
    let mut shape = broadcast(lead_a, lead_b).filter(|_| k == rows)?;
    shape.extend((x.len() > 1).then_some(*m));
    shape.extend((y.len() > 1).then_some(*n));
    Some(shape)
}

pub(crate) fn matmul(_: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: operands.get(0)?.ty.element,
        shape: multiplied(operands.shape(0)?, operands.shape(1)?)?,
    })
}

fn product_of(node: &NodeView<'_>, a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let turn = |shape: &[usize], name| match (shape, node.flag(name, false).ok()?) {
        (&[rows, columns], false) => Some((rows, columns)),
        (&[rows, columns], true) => Some((columns, rows)),
        _ => None,
    };
    let ((m, k), (rows, n)) = (turn(a, "transA")?, turn(b, "transB")?);
    (k == rows).then(|| vec![m, n])
}

pub(crate) fn gemm(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: operands.get(0)?.ty.element,
        shape: product_of(node, operands.shape(0)?, operands.shape(1)?)?,
    })
}

/// The type of integers that a code of ONNX names, or that of the zero point, or u8.
pub(crate) fn quantized(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    let named = i32::try_from(node.int("output_dtype", 0).ok()?).ok();
    let named = named.and_then(crate::proto::tensor::element_type);
    Some(Type {
        element: named.unwrap_or(operands.element(2, Element::Int(DataType::U8))),
        shape: operands.shape(0)?.to_vec(),
    })
}

pub(crate) fn dequantized(_: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    operands.shape(0).map(|shape| float(shape.to_vec()))
}

const BYTE: Element = Element::Int(DataType::U8);

/// `QLinearConv`.
pub(crate) fn qlinear_conv(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: operands.element(7, BYTE),
        shape: convolved(node, operands.shape(0)?, operands.shape(3)?)?,
    })
}

/// `QLinearMatMul`.
pub(crate) fn qlinear_matmul(_: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: operands.element(7, BYTE),
        shape: multiplied(operands.shape(0)?, operands.shape(3)?)?,
    })
}

/// `ConvInteger`.
pub(crate) fn conv_integer(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: Element::Int(DataType::I32),
        shape: convolved(node, operands.shape(0)?, operands.shape(1)?)?,
    })
}

/// `MatMulInteger`.
pub(crate) fn matmul_integer(_: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: Element::Int(DataType::I32),
        shape: multiplied(operands.shape(0)?, operands.shape(1)?)?,
    })
}

/// `DynamicQuantizeLinear`: integers, their scale and their zero point.
pub(crate) fn dynamic(_: &NodeView<'_>, operands: &Operands<'_>) -> Option<Vec<Type>> {
    let ty = |element, shape| Type { element, shape };
    let shape = operands.shape(0)?.to_vec();
    Some(vec![
        ty(BYTE, shape),
        ty(Element::Float, vec![]),
        ty(BYTE, vec![]),
    ])
}

/// `QGemm`.
pub(crate) fn qgemm(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    let element = match operands.get(7) {
        Some(_) => operands.element(8, BYTE),
        None => Element::Float,
    };
    let shape = product_of(node, operands.shape(0)?, operands.shape(3)?)?;
    Some(Type { element, shape })
}

/// `QLinearAdd`, `QLinearMul`.
pub(crate) fn qlinear_pair(_: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: operands.element(7, operands.get(0)?.ty.element),
        shape: broadcast(operands.shape(0)?, operands.shape(3)?)?,
    })
}

/// `QLinearWhere`.
pub(crate) fn qlinear_where(_: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: operands.element(8, operands.get(1)?.ty.element),
        shape: operands.broadcast([0, 1, 4].into_iter())?,
    })
}

/// `QLinearSigmoid`, `QLinearLeakyRelu`, `QLinearSoftmax`.
pub(crate) fn qlinear_function(_: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    Some(Type {
        element: operands.element(4, operands.get(0)?.ty.element),
        shape: operands.shape(0)?.to_vec(),
    })
}

/// `QLinearAveragePool`, `QLinearGlobalAveragePool`, with channels before the places.
pub(crate) fn qlinear_pool(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    if node.flag("channels_last", false).ok()? {
        return None;
    }
    let ty = pool(node, operands)?;
    Some(Type {
        element: operands.element(4, ty.element),
        shape: ty.shape,
    })
}

/// `QLinearConcat`.
pub(crate) fn qlinear_concat(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Type> {
    let parts = (2..operands.0.len()).step_by(3);
    let parts: Option<Vec<&[usize]>> = parts.map(|i| operands.shape(i)).collect();
    let parts = parts?;
    let mut whole = parts.first()?.to_vec();
    let axis = node.int("axis", 0).ok()?;
    let axis = node.axis("axis", axis, whole.len()).ok()?;
    let along: Option<Vec<usize>> = parts.iter().map(|p| p.get(axis).copied()).collect();
    whole[axis] = along?.iter().sum();
    Some(Type {
        element: operands.element(1, BYTE),
        shape: whole,
    })
}
