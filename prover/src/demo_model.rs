//! A model that is part of this program: for the demonstration, and to measure this machine with.

use zkonnx_circuits::program::{Program, Tensor};

/// What messages call it.
pub(crate) const NAME: &str = "the built-in model";
/// The model of `models/digits_mlp`, so that no files are needed.
pub(crate) const MODEL: &[u8] = include_bytes!("../../models/digits_mlp/qdq_u8s8_per_tensor.onnx");
/// Its test split, with labels.
pub(crate) const SAMPLES: &[u8] = include_bytes!("../../models/digits_mlp/samples.npz");

/// Inputs of the smallest values.
pub(crate) fn blank(program: &Program) -> Vec<Tensor> {
    let ports = program.inputs().iter();
    ports
        .map(|port| {
            let fact = program.fact(port.tensor);
            let data = vec![fact.range.lo; fact.len()];
            Tensor::new(fact.dtype, fact.shape.clone(), data)
        })
        .collect()
}
