//! A listing of the program that can be followed line by line.

use std::fmt;

use super::{Fact, Port, Program, Quantization};

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

/// `scale m·2^e, zero point z`; with several scales, their number and axis and the first of them.
impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(bits), Some(zero)) = (self.scale_bits.first(), self.zero_point.first()) else {
            return write!(f, "no scale");
        };
        // Only normal positive patterns reach this point, so the hidden bit is set.
        let mut mantissa = (bits & 0x7f_ffff) | 0x80_0000;
        let mut exponent = (bits >> 23) as i32 - 150;
        let zeros = mantissa.trailing_zeros();
        mantissa >>= zeros;
        exponent += zeros as i32;
        match self.axis {
            None => write!(f, "scale {mantissa}·2^{exponent}, zero point {zero}"),
            Some(axis) => write!(
                f,
                "{} scales along axis {axis}, the first {mantissa}·2^{exponent}, zero point {zero}",
                self.scale_bits.len()
            ),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program ")?;
        self.id()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        writeln!(f)?;
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
        Ok(())
    }
}
