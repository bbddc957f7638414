//! Tree ensembles on floats.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, bad};
use crate::eval::types::Operands;
use crate::graph::constant::{Constant, Data, Element};
use crate::graph::{NodeView, Type};
use crate::trees::Forest;
use zkonnx_circuits::program::DataType;

/// Rows and features of an input.
fn extents(shape: &[usize]) -> Result<(usize, usize), NodeError> {
    match shape {
        &[rows, features] => Ok((rows, features)),
        _ => Err(bad(0, "x", "it is not a matrix of rows of features")),
    }
}

/// The rows of the input, as floats.
fn rows(inputs: &Inputs<'_>, forest: &Forest) -> Result<(usize, Vec<Vec<f32>>), NodeError> {
    let x = inputs.get(0)?;
    let (count, features) = extents(&x.shape)?;
    if features < forest.features {
        return Err(bad(0, "x", "it has fewer features than the trees ask for"));
    }
    let floats: Vec<f32> = match &x.data {
        Data::Float(data) => data.clone(),
        Data::Int(_, data) => data.iter().map(|v| *v as f32).collect(),
        _ => return Err(crate::eval::inputs::wrong_type(0, x)),
    };
    let rows = floats.chunks(features.max(1)).map(<[f32]>::to_vec);
    Ok((count, rows.collect()))
}

/// `TreeEnsembleRegressor` and `TreeEnsemble`.
pub(crate) fn regressor(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let forest = Forest::read(node)?;
    let (count, rows) = rows(inputs, &forest)?;
    inputs.count(&[count, forest.targets])?;
    let data = rows.iter().flat_map(|row| forest.regression(row)).collect();
    Ok(vec![Constant::floats(vec![count, forest.targets], data)])
}

/// `TreeEnsembleClassifier`: labels, and the scores of all classes.
pub(crate) fn classifier(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let forest = Forest::read(node)?;
    let decision = forest.decision()?;
    let labels = forest
        .classes
        .as_ref()
        .map(|classes| classes.labels.integers());
    let labels = labels.unwrap_or_default();
    let (count, rows) = rows(inputs, &forest)?;
    inputs.count(&[count, forest.targets])?;
    let (mut of_rows, mut scores) = (Vec::with_capacity(count), Vec::new());
    for row in &rows {
        let (label, own) = forest.classification(decision, &labels, row);
        of_rows.push(label);
        scores.extend(own);
    }
    Ok(vec![
        Constant::ints(DataType::I64, vec![count], of_rows),
        Constant::floats(vec![count, forest.targets], scores),
    ])
}

/// Types of the results: of floats those of the operator, of ranks the sums of leaves.
pub(crate) fn types(node: &NodeView<'_>, operands: &Operands<'_>) -> Option<Vec<Type>> {
    let x = operands.first()?;
    let (rows, features) = extents(&x.shape).ok()?;
    let forest = Forest::read(node).ok()?;
    if features < forest.features {
        return None;
    }
    let float = |columns| Type {
        element: Element::Float,
        shape: vec![rows, columns],
    };
    let labels = Type {
        element: Element::Int(DataType::I64),
        shape: vec![rows],
    };
    match x.element {
        Element::Int(DataType::U8 | DataType::U16) => Some(vec![float(forest.sum_count().ok()?)]),
        _ if forest.classes.is_some() => {
            forest.decision().ok()?;
            Some(vec![labels, float(forest.targets)])
        }
        _ => Some(vec![float(forest.targets)]),
    }
}
