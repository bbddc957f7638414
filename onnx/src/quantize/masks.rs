//! Scores that are masked before a Softmax.
//!
//! A mask adds so much to a score, or puts so little in its place, that its exponential is nothing. On a scale that
//! holds such numbers the other scores would be one integer. So the range of what only a Softmax reads begins where an
//! exponential is next to nothing beside the largest of its line, and masked scores become the lowest integer.

use std::collections::HashMap;

use crate::graph::{Graph, Node, NodeView, ValueId};
use crate::operator::SELECTING;
use crate::quantize::error::QuantizeError;
use crate::quantize::layers::{Layers, proved};
use crate::run::{Values, run};
use crate::vocabulary;

/// So far below the largest score of a line an exponential is next to nothing: 6·10^-6 of the largest.
const NOTHING: f32 = 12.0;
/// So far below it a score is taken for masked.
const MASKED: f32 = 40.0;
/// Lines whose scores are all below this are masked as a whole.
const WHOLE: f32 = -1e4;

/// Where the lines of a tensor lie that a Softmax reads.
struct Lines {
    extent: usize,
    inner: usize,
}

impl Lines {
    fn new(graph: &Graph, node: &Node, shape: &[usize]) -> Option<Self> {
        let view = NodeView::new(graph, node);
        let old = node.opset < 13;
        let axis = view.int("axis", if old { 1 } else { -1 }).ok()?;
        let axis = view.axis("axis", axis, shape.len()).ok()?;
        let (extent, inner) = match old {
            true => (shape[axis..].iter().product(), 1),
            false => (shape[axis], shape[axis + 1..].iter().product()),
        };
        (extent > 0 && inner > 0).then_some(Self { extent, inner })
    }

    /// The largest number of each line.
    fn largest<'v>(&'v self, values: &'v [f32]) -> impl Iterator<Item = f32> + 'v {
        let blocks = values.chunks(self.extent * self.inner);
        blocks.flat_map(move |block| {
            (0..self.inner).map(move |first| {
                let line = block.iter().skip(first).step_by(self.inner);
                line.fold(f32::NEG_INFINITY, |m, v| m.max(*v))
            })
        })
    }
}

/// The Softmax that reads a tensor, if all that read it are such, or hand its values on to such under the same scale.
fn reader<'g>(graph: &'g Graph, layers: &Layers, value: ValueId) -> Option<&'g Node> {
    let reads = |node: &&Node| node.reads().any(|x| x == value);
    let mut softmax = None;
    for node in graph.nodes.iter().filter(reads) {
        if node.is_any(&["Softmax", "LogSoftmax"]) {
            softmax = Some(node);
            continue;
        }
        let moved = vocabulary::has(node, SELECTING);
        let same = |o: ValueId| layers.scale_of.get(&o) == layers.scale_of.get(&value);
        if !moved || !node.made().all(same) {
            return None;
        }
    }
    softmax.filter(|_| !graph.outputs.contains(&value))
}

/// The tensors of each root that Softmax reads, where nothing else reads the numbers of the root.
fn read(graph: &Graph, layers: &Layers) -> HashMap<ValueId, Vec<(ValueId, Lines)>> {
    let mut readers: HashMap<ValueId, Vec<(ValueId, Lines)>> = HashMap::new();
    let mut others: Vec<ValueId> = Vec::new();
    for (value, _) in &layers.quantized {
        let Some(root) = layers.scale_of.get(value) else {
            continue;
        };
        let lines = reader(graph, layers, *value)
            .and_then(|softmax| Lines::new(graph, softmax, graph.shape(*value)?));
        let reads = |node: &Node| node.reads().any(|x| x == *value);
        let moves = |node: &Node| !reads(node) || vocabulary::has(node, SELECTING);
        match lines {
            Some(lines) => readers.entry(*root).or_default().push((*value, lines)),
            None if !graph.nodes.iter().all(moves) || graph.outputs.contains(value) => {
                others.push(*root);
            }
            None => {}
        }
    }
    readers.retain(|root, _| !others.contains(root));
    readers
}

/// Narrows the ranges of masked scores.
pub(crate) fn narrow(
    graph: &Graph,
    layers: &Layers,
    samples: &[Values],
    ranges: &mut Ranges,
) -> Result<(), QuantizeError> {
    let readers = read(graph, layers);
    if readers.is_empty() {
        return Ok(());
    }
    // Of each root the smallest of all lines' largest numbers, and the smallest number.
    let mut found: HashMap<ValueId, (f32, f32)> = HashMap::new();
    for sample in samples {
        let values = run(graph, sample.clone(), proved)?;
        for (root, tensors) in &readers {
            let (least, lowest) = found.entry(*root).or_insert((f32::INFINITY, 0.0));
            for (value, lines) in tensors {
                let Some(data) = values.get(value).and_then(|v| v.as_floats()) else {
                    continue;
                };
                let largest = lines.largest(data).filter(|m| *m > WHOLE);
                *least = largest.fold(*least, f32::min);
                *lowest = data.iter().copied().fold(*lowest, f32::min);
            }
        }
    }
    for (root, (least, lowest)) in found {
        if let Some(range) = ranges.get_mut(&root)
            && least.is_finite()
            && lowest < least - MASKED
        {
            range.0 = (least - NOTHING).min(0.0);
        }
    }
    Ok(())
}

/// Smallest and largest value, zero included, of each tensor that has a scale of its own.
pub(crate) type Ranges = HashMap<ValueId, (f32, f32)>;
