//! Types of results, from the types of the operands and the values of those that are known.
//!
//! Where the work of an operator is linear in its elements, its own rule says what becomes of zeros of the same shape;
//! products and windows have rules of their own, as have the integer kernels, which are not evaluated.

use crate::eval::conv::{Geometry, conv_geometry, image, transposed_extents};
use crate::eval::inputs::Inputs;
use crate::eval::pool::pool_geometry;
use crate::eval::{evaluate, find};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data, Element};
use crate::graph::{MICROSOFT, STANDARD, Type};
use zkonnx_circuits::ops::broadcast;
use zkonnx_circuits::program::{DataType, MAX_ELEMENTS, MAX_RANK, elements};

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
    fn get(&self, index: usize) -> Option<Operand<'a>> {
        self.0.get(index).copied().flatten()
    }

    /// Type of the first operand.
    pub(crate) fn first(&self) -> Option<&'a Type> {
        self.get(0).map(|operand| operand.ty)
    }

    fn shape(&self, index: usize) -> Option<&'a [usize]> {
        self.get(index).map(|operand| operand.ty.shape.as_slice())
    }

    /// The element type of an operand, or another where it is left out.
    fn element(&self, index: usize, missing: Element) -> Element {
        self.get(index)
            .map_or(missing, |operand| operand.ty.element)
    }

    fn broadcast(&self, mut indices: impl Iterator<Item = usize>) -> Option<Vec<usize>> {
        let first = self.shape(indices.next()?)?.to_vec();
        indices.try_fold(first, |all, i| broadcast(&all, self.shape(i)?))
    }
}

/// Types of the results of a node, if they follow. Where they are found by computing, as many elements are taken from
/// `spare` as operands have; no type follows where fewer are left.
pub(crate) fn types(
    node: &NodeView<'_>,
    operands: &Operands<'_>,
    spare: &mut usize,
) -> Option<Vec<Type>> {
    let types = match find(node.domain(), node.op()) {
        Some(rule) => match rule.results {
            TypeRule::First => vec![operands.get(0)?.ty.clone()],
            TypeRule::Broadcast => vec![Type {
                element: operands.get(usize::from(node.op() == "Where"))?.ty.element,
                shape: operands.broadcast(0..operands.0.len())?,
            }],
            TypeRule::Truth => vec![Type {
                element: Element::Int(DataType::Bool),
                shape: operands.broadcast(0..operands.0.len())?,
            }],
            TypeRule::Zeros(open) => of_zeros(node, operands, open, spare)?,
            TypeRule::Several(own) => own(node, operands)?,
            TypeRule::Own(own) => vec![own(node, operands)?],
        },
        None => kernel(node, operands)?,
    };
    let fits = |ty: &Type| elements(&ty.shape) <= MAX_ELEMENTS && ty.shape.len() <= MAX_RANK;
    types.iter().all(fits).then_some(types)
}

/// Types of what an operator makes of zeros.
fn of_zeros(
    node: &NodeView<'_>,
    operands: &Operands<'_>,
    open: usize,
    spare: &mut usize,
) -> Option<Vec<Type>> {
    let known = |(i, operand): (usize, &Option<Operand<'_>>)| {
        i < open || operand.is_none_or(|operand| operand.constant.is_some())
    };
    if !operands.0.iter().enumerate().all(known) {
        return None;
    }
    let count = operands.0.iter().flatten();
    let count = count.fold(0usize, |n, operand| {
        n.saturating_add(elements(&operand.ty.shape))
    });
    *spare = spare.checked_sub(count)?;
    let zeros = |operand: &Option<Operand<'_>>| match operand {
        Some(operand) if operand.constant.is_none() => Some(zeros(operand.ty)),
        _ => None,
    };
    let zeros: Vec<Option<Constant>> = operands.0.iter().map(zeros).collect();
    let values = operands.0.iter().zip(&zeros).map(|(operand, zeros)| {
        let constant = operand.and_then(|operand| operand.constant);
        zeros.as_ref().or(constant)
    });
    let results = evaluate(node, &Inputs::new(values.collect())).ok()?;
    Some(results.iter().map(Constant::ty).collect())
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

/// Types of the results of integer kernels.
fn kernel(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Vec<Type>> {
    let byte = Element::Int(DataType::U8);
    let sum = Element::Int(DataType::I32);
    let shape = |i: usize| operands.shape(i);
    let (element, shape) = match (node.domain(), node.op()) {
        (STANDARD, "QLinearConv") => {
            let shape = convolved(node, shape(0)?, shape(3)?)?;
            (operands.element(7, byte), shape)
        }
        (STANDARD, "QLinearMatMul") => {
            let shape = multiplied(shape(0)?, shape(3)?)?;
            (operands.element(7, byte), shape)
        }
        (STANDARD, "ConvInteger") => (sum, convolved(node, shape(0)?, shape(1)?)?),
        (STANDARD, "MatMulInteger") => (sum, multiplied(shape(0)?, shape(1)?)?),
        (STANDARD, "DynamicQuantizeLinear") => {
            let scalar = |element| Type {
                element,
                shape: vec![],
            };
            let shape = shape(0)?.to_vec();
            let first = Type {
                element: byte,
                shape,
            };
            return Some(vec![first, scalar(Element::Float), scalar(byte)]);
        }
        (MICROSOFT, "QGemm") => {
            let element = match operands.get(7) {
                Some(_) => operands.element(8, byte),
                None => Element::Float,
            };
            (element, product_of(node, shape(0)?, shape(3)?)?)
        }
        (MICROSOFT, "QLinearAdd" | "QLinearMul") => {
            let shape = broadcast(shape(0)?, shape(3)?)?;
            (operands.element(7, operands.get(0)?.ty.element), shape)
        }
        (MICROSOFT, "QLinearWhere") => {
            let shape = operands.broadcast([0, 1, 4].into_iter())?;
            (operands.element(8, operands.get(1)?.ty.element), shape)
        }
        (MICROSOFT, "QLinearSigmoid" | "QLinearLeakyRelu" | "QLinearSoftmax") => {
            let element = operands.element(4, operands.get(0)?.ty.element);
            (element, shape(0)?.to_vec())
        }
        (MICROSOFT, "QLinearAveragePool" | "QLinearGlobalAveragePool")
            if !node.flag("channels_last", false).ok()? =>
        {
            let ty = pool(node, operands)?;
            (operands.element(4, ty.element), ty.shape)
        }
        (MICROSOFT, "QLinearConcat") => {
            let parts: Option<Vec<&[usize]>> =
                (2..operands.0.len()).step_by(3).map(shape).collect();
            let parts = parts?;
            let mut whole = parts.first()?.to_vec();
            let axis = node.int("axis", 0).ok()?;
            let axis = node.axis("axis", axis, whole.len()).ok()?;
            let along: Option<Vec<usize>> = parts.iter().map(|p| p.get(axis).copied()).collect();
            whole[axis] = along?.iter().sum();
            (operands.element(1, byte), whole)
        }
        _ => return None,
    };
    Some(vec![Type { element, shape }])
}
