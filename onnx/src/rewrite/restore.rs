//! What a node of dynamic quantization stands for on reals.

use crate::error::NodeError;
use crate::eval::inputs::Inputs;
use crate::eval::quantization::dequantize_linear;
use crate::graph::constant::Constant;
use crate::graph::constant::Element;
use crate::graph::{Attribute, Draft, NodeView, Type, ValueId};
use crate::proto::tensor::FLOAT;
use std::collections::HashSet;
use zkonnx_circuits::program::MAX_ELEMENTS;
/// The results of what stands for a node.
pub(crate) type Results = Result<Vec<Option<ValueId>>, NodeError>;

/// From a node to what stands for it.
pub(crate) type Rule = fn(&mut Restorer<'_>) -> Restored;

/// The results of what stands for a node; `None` if it stays.
pub(crate) type Restored = Result<Option<Vec<Option<ValueId>>>, NodeError>;

/// A node that dynamic quantization may have made, and what stands for it so far.
pub(crate) struct Restorer<'g> {
    pub(crate) draft: Draft<'g>,
    pub(crate) view: NodeView<'g>,
    /// Values that were integers and are reals now.
    pub(crate) real: &'g HashSet<ValueId>,
}

fn wrong(input: usize, what: &'static str, reason: &'static str) -> NodeError {
    NodeError::Input {
        input,
        what,
        reason,
    }
}

impl Restorer<'_> {
    fn input(&self, input: usize) -> Result<ValueId, NodeError> {
        self.view.input(input).ok_or(NodeError::Arity {
            what: "inputs",
            expected: "more",
            got: self.view.inputs(),
        })
    }

    fn is_real(&self, input: usize) -> bool {
        let value = self.view.input(input);
        value.is_some_and(|value| self.real.contains(&value))
    }

    /// It stays, whatever it reads: shapes are those of the integers too.
    pub(crate) fn untouched(&mut self) -> Restored {
        Ok(None)
    }

    /// A product whose only activation is constant stays, if nothing else was made of reals.
    fn stays(&self) -> Restored {
        match (0..self.view.inputs()).any(|input| self.is_real(input)) {
            true => Err(NodeError::IntegersNeeded),
            false => Ok(None),
        }
    }

    /// `MatMulInteger`.
    pub(crate) fn matmul(&mut self) -> Restored {
        self.product("MatMul").map(Some)
    }

    /// `ConvInteger`.
    pub(crate) fn conv(&mut self) -> Restored {
        self.product("Conv").map(Some)
    }

    /// `MatMulIntegerToFloat` of A, B, a_scale, b_scale, a_zero_point, b_zero_point, bias.
    pub(crate) fn matmul_to_float(&mut self) -> Restored {
        match self.is_real(0) {
            true => self.scaled_product(Some(2), [3, 5, 6]).map(Some),
            false => self.stays(),
        }
    }

    /// `DynamicQuantizeMatMul` of A, B, b_scale, b_zero_point, bias.
    pub(crate) fn dynamic_matmul(&mut self) -> Restored {
        self.scaled_product(None, [2, 3, 4]).map(Some)
    }

    /// `Cast` of what was integers.
    pub(crate) fn cast(&mut self) -> Restored {
        match self.is_real(0) {
            true => self.cast_reals().map(Some),
            false => self.stays(),
        }
    }

    /// `DequantizeLinear` of what was integers, or of weights.
    pub(crate) fn dequantized(&mut self) -> Restored {
        match self.is_real(0) {
            true => self.dequantized_reals().map(Some),
            false => Ok(self.weights().or_else(|| self.row())),
        }
    }

    /// `DynamicQuantizeLinear`.
    pub(crate) fn quantization(&mut self) -> Restored {
        let x = self.input(0)?;
        self.view.check_attributes()?;
        let (one, zero) = (self.draft.scalar(1.0), self.draft.scalar(0.0));
        Ok(Some(vec![Some(x), Some(one), Some(zero)]))
    }

    /// The reals of integers under a zero point, in units of their scale.
    fn reals(&mut self, input: usize, zero: usize) -> Result<ValueId, NodeError> {
        let value = self.input(input)?;
        if self.real.contains(&value) {
            return Ok(value);
        }
        let graph = self.draft.graph();
        let is_integer = |ty: &Type| matches!(ty.element, Element::Int(_));
        if !graph.is_constant(value) && graph.ty(value).is_some_and(is_integer) {
            return self.computed(value, zero);
        }
        let known = graph
            .constant(value)
            .and_then(|c| Some((c.as_ints()?, &c.shape)));
        let (data, shape) = known.ok_or(NodeError::NotConstant {
            input,
            what: "the integers",
        })?;
        let zeros = match self.view.input(zero).map(|v| graph.constant(v)) {
            None => vec![0],
            Some(zeros) => {
                let zeros = zeros.and_then(|c| c.as_ints());
                let what = "the zero point";
                let input = zero;
                zeros
                    .ok_or(NodeError::NotConstant { input, what })?
                    .to_vec()
            }
        };
        let at = lanes(shape, zeros.len(), self.channel()).ok_or(wrong(
            zero,
            "the zero point",
            "it does not fit the weights",
        ))?;
        let real = |(i, v): (usize, &i64)| (v - zeros[at(i)]) as f32;
        let data = data.iter().enumerate().map(real).collect();
        Ok(self.draft.constant(Constant::floats(shape.clone(), data)))
    }

    /// The same of integers that no dynamic quantization made, as where the rows of a table of integers are looked up.
    fn computed(&mut self, value: ValueId, zero: usize) -> Result<ValueId, NodeError> {
        let float = vec![Attribute::int("to", i64::from(FLOAT))];
        let reals = self.draft.with("Cast", &[value], float);
        let Some(input) = self.view.input(zero) else {
            return Ok(reals);
        };
        let constant = self.draft.graph().constant(input);
        let known = constant.and_then(|c| c.as_int());
        let zero = known.ok_or(NodeError::NotConstant {
            input: zero,
            what: "the zero point",
        })?;
        let zero = self.draft.scalar(zero as f32);
        Ok(self.draft.op("Sub", &[reals, zero]))
    }

    /// The axis of weights that several zero points or scales follow.
    fn channel(&self) -> Channel {
        match self.view.op() {
            "ConvInteger" => Channel::First,
            _ => Channel::Last,
        }
    }

    fn product(&mut self, op: &str) -> Results {
        let operands = [self.reals(0, 2)?, self.reals(1, 3)?];
        let attributes = self.view.node().attributes.clone();
        Ok(vec![Some(self.draft.with(op, &operands, attributes))])
    }

    /// A product whose scales are inputs of the node: that of the activation, and scale and zero point of the weights and
    /// the bias.
    fn scaled_product(
        &mut self,
        activation: Option<usize>,
        [scale, zero, bias]: [usize; 3],
    ) -> Results {
        self.view.check_attributes()?;
        let x = self.input(0)?;
        let weights = self.reals(1, zero)?;
        let scales = self.input(scale)?;
        let scaled = self.draft.op("Mul", &[weights, scales]);
        let mut y = self.draft.op("MatMul", &[x, scaled]);
        if let Some(own) = activation.and_then(|input| self.view.input(input)) {
            y = self.draft.op("Mul", &[y, own]);
        }
        if let Some(bias) = self.view.input(bias) {
            y = self.draft.op("Add", &[y, bias]);
        }
        Ok(vec![Some(y)])
    }

    fn cast_reals(&mut self) -> Results {
        let x = self.input(0)?;
        match self.view.int("to", 0)? {
            to if to == i64::from(FLOAT) => Ok(vec![Some(x)]),
            _ => Err(NodeError::Attribute {
                name: "to",
                reason: "integers of dynamic quantization are cast to another type than float32",
            }),
        }
    }

    /// A row of a table that is stored as integers: a row of the table of reals.
    fn row(&mut self) -> Option<Vec<Option<ValueId>>> {
        let graph = self.draft.graph();
        let maker = &graph.nodes[graph.maker(self.view.input(0)?)?];
        let table = graph.constant(maker.input(0)?)?;
        let blocks = self.view.int("block_size", 0).ok()?;
        let axis = self.view.int("axis", 1);
        if !maker.is("Gather") || blocks != 0 || axis.is_err() {
            return None;
        }
        let &[scale] = graph.constant(self.view.input(1)?)?.as_floats()? else {
            return None;
        };
        let zero = match self.view.input(2) {
            None => 0,
            Some(zero) => graph.constant(zero)?.as_int()?,
        };
        self.view.check_attributes().ok()?;
        let reals = table.as_ints()?.iter();
        let reals = reals.map(|v| v.wrapping_sub(zero) as f32 * scale).collect();
        let table = Constant::floats(table.shape.clone(), reals);
        let table = self.draft.constant(table);
        let mut inputs = maker.inputs.clone();
        *inputs.first_mut()? = Some(table);
        Some(vec![Some(self.draft.again(maker, inputs))])
    }

    /// Weights that are stored as integers.
    fn weights(&mut self) -> Option<Vec<Option<ValueId>>> {
        let inputs = Inputs::of_constants(self.view.constants()?);
        let results = dequantize_linear(&self.view, &inputs).ok()?;
        self.view.check_attributes().ok()?;
        let values = results.into_iter().map(|c| Some(self.draft.constant(c)));
        Some(values.collect())
    }

    /// `MatMulNBits`: weights `[N, blocks, bytes]` of two or one to a byte, the lower bits first, with a scale and a zero
    /// point for each block of a row.
    pub(crate) fn few_bits(&mut self) -> Restored {
        let number = |name| -> Result<usize, NodeError> {
            let value = usize::try_from(self.view.int(name, 0)?).ok();
            let value = value.filter(|v| (1..=MAX_ELEMENTS).contains(v));
            value.ok_or(NodeError::Attribute {
                name,
                reason: "it is not a positive number",
            })
        };
        let (k, n, block) = (number("K")?, number("N")?, number("block_size")?);
        let bits = self.view.int("bits", 4)?;
        self.view.int("accuracy_level", 0)?;
        self.view.check_attributes()?;
        if ![4, 8].contains(&bits) {
            return Err(NodeError::Attribute {
                name: "bits",
                reason: "only 4 and 8 are supported",
            });
        }
        if self.view.input(4).is_some() {
            return Err(wrong(4, "the group indices", "they are not supported"));
        }
        let constant = |input: usize, what| {
            let value = self.view.input(input);
            let constant = value.and_then(|value| self.draft.graph().constant(value));
            constant.ok_or(NodeError::NotConstant { input, what })
        };
        let (packed, scales) = (constant(1, "the weights")?, constant(2, "the scales")?);
        let zeros = match self.view.input(3) {
            Some(_) => Some(constant(3, "the zero points")?),
            None => None,
        };
        let blocks = k.div_ceil(block);
        let each = (block * bits as usize).div_ceil(8);
        let at = |bytes: &[i64], row: usize, width: usize, place: usize| match bits {
            8 => bytes.get(row * width + place).copied(),
            _ => {
                let byte = bytes.get(row * width + place / 2)?;
                Some(byte >> (4 * (place % 2)) & 15)
            }
        };
        let weight = |i: usize| {
            let (row, column) = (i % n, i / n);
            let (number, place) = (column / block, column % block);
            let integer = at(packed.as_ints()?, row * blocks + number, each, place)?;
            let scale = scales.as_floats()?.get(row * blocks + number)?;
            let zero = match zeros {
                None => (1 << (bits - 1)) as f32,
                Some(zeros) => match zeros.as_floats() {
                    Some(zeros) => *zeros.get(row * blocks + number)?,
                    None => {
                        let width = (blocks * bits as usize).div_ceil(8);
                        at(zeros.as_ints()?, row, width, number)? as f32
                    }
                },
            };
            Some((integer as f32 - zero) * scale)
        };
        let fits = k.checked_mul(n).is_some_and(|count| count <= MAX_ELEMENTS);
        let weights: Option<Vec<f32>> = fits.then(|| (0..k * n).map(weight).collect()).flatten();
        let weights = weights.ok_or(wrong(1, "the weights", "they do not fit K, N and blocks"))?;
        let weights = self.draft.floats(&[k, n], weights);
        let mut y = self.draft.op("MatMul", &[self.input(0)?, weights]);
        if let Some(bias) = self.view.input(5) {
            y = self.draft.op("Add", &[y, bias]);
        }
        Ok(Some(vec![Some(y)]))
    }

    /// `DynamicQuantizeLSTM`: both weights `[directions, inputs, 4 · hidden]`, which LSTM has the other way round.
    pub(crate) fn recurrent(&mut self) -> Restored {
        let mut inputs: Vec<Option<ValueId>> = (0..8).map(|i| self.view.input(i)).collect();
        for (weights, scale, zero) in [(1, 8, 9), (2, 10, 11)] {
            let graph = self.draft.graph();
            let constant = |input: usize, what| {
                let value = self.view.input(input);
                let constant = value.and_then(|value| graph.constant(value));
                constant.ok_or(NodeError::NotConstant { input, what })
            };
            let integers = constant(weights, "the weights")?;
            let (scales, zeros) = (
                constant(scale, "the scale")?,
                constant(zero, "the zero point")?,
            );
            let misfit = wrong(weights, "the weights", "they do not fit their scales");
            let (&[directions, rows, columns], Some(data), Some(scales), Some(zeros)) = (
                integers.shape.as_slice(),
                integers.as_ints(),
                scales.as_floats(),
                zeros.as_ints(),
            ) else {
                return Err(misfit);
            };
            // One for each direction, or for each column of each.
            let each = scales.len().checked_div(directions).unwrap_or(0);
            let fits = (each == 1 || each == columns) && scales.len() == directions * each;
            if !fits || zeros.len() != scales.len() {
                return Err(misfit);
            }
            let real = |i: usize| {
                let (row, column) = (i % rows, i / rows % columns);
                let direction = i / (rows * columns);
                let lane = direction * each + column % each;
                let from = (direction * rows + row) * columns + column;
                (data[from] - zeros[lane]) as f32 * scales[lane]
            };
            let data = (0..directions * rows * columns).map(real).collect();
            inputs[weights] = Some(self.draft.floats(&[directions, columns, rows], data));
        }
        while let Some(None) = inputs.last() {
            inputs.pop();
        }
        let attributes = self.view.node().attributes.clone();
        let outputs = self.view.outputs();
        Ok(Some(
            self.draft.several("LSTM", inputs, attributes, outputs),
        ))
    }

    fn dequantized_reals(&mut self) -> Results {
        let (x, scale) = (self.input(0)?, self.input(1)?);
        Ok(vec![Some(self.draft.op("Mul", &[x, scale]))])
    }
}

/// The lane of each element of weights, of which there are so many; `None` if they do not fit.
fn lanes(
    shape: &[usize],
    count: usize,
    channel: Channel,
) -> Option<impl Fn(usize) -> usize + use<>> {
    let inner: usize = match channel {
        Channel::First => shape.iter().skip(1).product(),
        Channel::Last => 1,
    };
    let extent = match channel {
        Channel::First => shape.first(),
        Channel::Last => shape.last(),
    };
    let fits = count == 1 || extent == Some(&count);
    fits.then_some(move |i: usize| i / inner.max(1) % count)
}

/// Where output channels stand in weights.
#[derive(Clone, Copy)]
enum Channel {
    First,
    Last,
}
