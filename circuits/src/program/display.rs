//! A listing of the program that can be followed line by line.

use std::fmt;

use zkonnx_verifier::interface::Source;

use super::{Fact, Port, Program};

/// A tensor's type and shape, as `u8[1,64]`, and its range where that is narrower than the type.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", format!("{:?}", self.dtype).to_lowercase())?;
        for (i, extent) in self.shape.iter().enumerate() {
            write!(f, "{}{extent}", if i == 0 { "" } else { "," })?;
        }
        write!(f, "]")?;
        if self.range != super::Range::of(self.dtype) {
            write!(f, " in {}..={}", self.range.lo, self.range.hi)?;
        }
        Ok(())
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, hash) in [
            ("program  ", self.id()),
            ("interface", self.interface.hash()),
            ("body     ", self.body_hash()),
        ] {
            write!(f, "{what} ")?;
            hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            writeln!(f)?;
        }
        let quantization = |port: &Port| match &port.quantization {
            Some(q) => format!(", {q}"),
            None => String::new(),
        };
        for port in &self.inputs {
            let fact = self.fact(port.tensor);
            writeln!(
                f,
                "input  %{} : {fact} = {:?}{}",
                port.tensor.0,
                port.name,
                quantization(port)
            )?;
        }
        for node in &self.nodes {
            let list = |ids: &[super::TensorId]| {
                ids.iter()
                    .map(|id| format!("%{}", id.0))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            for id in &node.outputs {
                write!(f, "       %{} : {}", id.0, self.fact(*id))?;
            }
            let id = node.op.id();
            let name = if id.domain == "zkonnx" {
                id.name.to_owned()
            } else {
                format!("{}.{}", id.domain, id.name)
            };
            writeln!(
                f,
                " = {name}({}) {}  # {}",
                list(&node.inputs),
                node.op.describe(),
                node.name
            )?;
        }
        for port in &self.outputs {
            writeln!(
                f,
                "output %{} = {:?}{}",
                port.tensor.0,
                port.name,
                quantization(port)
            )?;
        }
        self.outside(f)
    }
}

impl Program {
    /// What is computed outside of the proof, and the outputs that come from there.
    fn outside(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.interface.parts();
        let source = |source: &Source| match *source {
            Source::Output(i) => self.outputs.get(i as usize).map_or_else(
                || format!("output {i}"),
                |port| format!("%{}", port.tensor.0),
            ),
            Source::Input(i) => format!("float input {i}"),
            Source::Constant(i) => format!("constant {i}"),
            Source::Node(i, 0) => format!("float {i}"),
            Source::Node(i, output) => format!("float {i}.{output}"),
        };
        for (i, node) in parts.nodes.iter().enumerate() {
            let inputs: Vec<String> = node
                .inputs
                .iter()
                .map(|input| input.as_ref().map_or_else(String::new, source))
                .collect();
            let (domain, op, opset) = (&node.domain, &node.op, node.opset);
            let inputs = inputs.join(", ");
            writeln!(
                f,
                "float  {i} = {domain}.{op}({inputs})  # opset {opset}, not proved"
            )?;
        }
        for output in &parts.model_outputs {
            if !matches!(output.source, Source::Output(_)) {
                let from = source(&output.source);
                writeln!(f, "output {from} = {:?}, not proved", output.name)?;
            }
        }
        Ok(())
    }
}
