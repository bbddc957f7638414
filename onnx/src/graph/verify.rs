//! What every pass has to leave as it found it; checked after each pass in debug builds.

use std::collections::HashSet;

use crate::graph::{Graph, ValueId};

impl Graph {
    /// What is wrong with the graph, in one sentence.
    fn fault(&self) -> Option<String> {
        let name = |value: ValueId| self.name(value).to_owned();
        let mut known: HashSet<ValueId> = HashSet::new();
        let inputs = self.inputs.iter().map(|input| input.value);
        for value in inputs.chain(self.values().filter(|v| self.is_constant(*v))) {
            if !known.insert(value) {
                return Some(format!("`{}` is an input and a constant", name(value)));
            }
        }
        for node in &self.nodes {
            if let Some(value) = node.reads().find(|value| !known.contains(value)) {
                let node = self.node_name(node);
                return Some(format!(
                    "node `{node}` reads `{}` before it is made",
                    name(value)
                ));
            }
            for value in node.made() {
                if !known.insert(value) {
                    return Some(format!("`{}` is made twice", name(value)));
                }
            }
        }
        let missing = self.outputs.iter().find(|value| !known.contains(value));
        missing.map(|value| format!("output `{}` is made by no node", name(*value)))
    }

    /// Checks the graph after a pass.
    ///
    /// # Panics
    ///
    /// In debug builds, if the pass broke the graph.
    pub(crate) fn verify(&self, pass: &str) {
        if cfg!(debug_assertions)
            && let Some(fault) = self.fault()
        {
            panic!("after `{pass}`: {fault}");
        }
    }
}
