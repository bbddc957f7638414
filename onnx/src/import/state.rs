//! What an import knows of a graph, and what it reports.

use std::collections::HashMap;

use crate::error::NodeProblem;
use crate::extension::Registry;
use crate::graph::ValueId;
use crate::group::importer::Importer;
use crate::report::NodeReport;
use zkonnx_circuits::program::TensorId;

/// State of an import.
pub(crate) struct Walk<'a> {
    pub(crate) cx: Importer<'a>,
    pub(crate) registry: &'a Registry,
    pub(crate) report: Vec<NodeReport>,
    /// For each node that was reported, its place in the report.
    pub(crate) reported: HashMap<usize, usize>,
    pub(crate) problems: Vec<NodeProblem>,
    /// Integer tensors by the values that they are.
    pub(crate) tensors: Vec<(ValueId, TensorId)>,
    /// Nodes outside of the proof, by place: after the integers, and before them.
    pub(crate) tail: Vec<usize>,
    pub(crate) head: Vec<usize>,
    /// Elements of all constants made by nodes.
    pub(crate) folded: usize,
    /// For each node, whether its results reach a QuantizeLinear.
    pub(crate) feeds: Vec<bool>,
    /// For each node, whether its results reach an integer kernel.
    pub(crate) feeds_kernel: Vec<bool>,
}
