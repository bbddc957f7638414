//! From a program to a circuit: the one path that prover, checker and tests take.

use std::sync::Arc;

use pasta_curves::Fp;
use zkonnx_verifier::{
    CONTEXT_ELEMENTS, Claim, ClaimError, ClaimInput, InputVisibility, LayoutError,
    MAX_INSTANCE_ROWS, PortSpec, PublicLayout, TensorData, TensorError,
};

use crate::chips::Shape;
use crate::circuit::{Advice, Assembly, ModelCircuit, Witness, WitnessError};
use crate::lower::{Assumption, Collector, Explicit, LowerError, Lowering, Wire, Wires};
use crate::plan::cost::Cost;
use crate::plan::{Layout, PlanError, PlanOptions, PublicElement, place_shape, plan};
use crate::program::{ExecuteError, Fact, Port, Program, Range, Tensor, Trace};

/// The node that cells of inputs and outputs belong to.
pub const NO_NODE: u32 = u32::MAX;

/// Why a program has no circuit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// An operator cannot be expressed.
    #[error("node `{node}`: {source}")]
    Lower {
        /// Name of the node.
        node: String,
        /// Why.
        source: LowerError,
    },
    /// No circuit within the limits holds the model.
    #[error("{}{source}", node.as_ref().map(|n| format!("node `{n}`: ")).unwrap_or_default())]
    Plan {
        /// Name of the node, if the error is about one.
        node: Option<String>,
        /// Why.
        source: PlanError,
    },
    /// An input is of a type that the circuit cannot range-check.
    #[error(
        "input `{name}`: the circuit proves inputs of at most 256 values, or of 2^16 to 2^32 in whole bytes, not of \
         values {lo} to {hi}"
    )]
    InputType {
        /// Name of the input.
        name: String,
        /// Smallest value.
        lo: i64,
        /// Largest value.
        hi: i64,
    },
    /// An output may leave its type.
    #[error("output `{name}`: a value may reach {reach}, which its type does not hold")]
    OutputRange {
        /// Name of the output.
        name: String,
        /// The value that it may reach.
        reach: i64,
    },
    /// Elements of a port that have no equations: a defect of an operator or of the compiler.
    #[error("port `{name}`: {source}")]
    Element {
        /// Name of the port.
        name: String,
        /// Why.
        source: LowerError,
    },
    /// The equations of the model do not fit each other: a defect of the compiler.
    #[error("the equations of the model: {0}")]
    Equations(LowerError),
    /// A port has a shape that claims cannot carry.
    #[error("port `{name}`: {source}")]
    Port {
        /// Name of the port.
        name: String,
        /// Why.
        source: TensorError,
    },
    /// More public values than a verifier has rows for.
    #[error(
        "the claim takes {got} field elements of up to 31 bytes, and a verifier has room for {max}: keep the input \
         private (`--private-input`), or make inputs and outputs smaller"
    )]
    TooPublic {
        /// Elements of the claim.
        got: usize,
        /// Elements that there is room for.
        max: usize,
    },
    /// The ports cannot be made public.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl CompileError {
    /// Whether it tells of a defect of the program, which no model should meet.
    pub fn is_internal(&self) -> bool {
        match self {
            Self::Lower { source, .. } | Self::Element { source, .. } | Self::Equations(source) => {
                source.is_internal()
            }
            Self::Plan { source, .. } => source.is_internal(),
            _ => false,
        }
    }
}

/// Why an inference has no witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// The program refuses the inputs.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The circuit refuses the inputs.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// Values that a claim cannot carry.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A claim that cannot be formed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A claim that does not fit the layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Executor and circuit disagree: a bug, found before anything is proved.
    #[error("the circuit computes another output than the executor; please report this model")]
    Disagreement,
}

impl InferenceError {
    /// Whether it tells of a defect of the program: circuit and executor, or operators and what they promise, disagree.
    pub fn is_internal(&self) -> bool {
        match self {
            Self::Disagreement | Self::Witness(WitnessError::WrongBlock { .. }) => true,
            // The executor has accepted the inputs.
            Self::Witness(WitnessError::Range { node, .. }) => *node != NO_NODE,
            Self::Execute(error) => {
                matches!(
                    error,
                    ExecuteError::Op { .. } | ExecuteError::Promise { .. }
                )
            }
            _ => false,
        }
    }
}

/// A program with its circuit.
#[derive(Debug)]
pub struct Compiled {
    /// The program.
    pub program: Arc<Program>,
    /// Its id.
    pub program_id: [u8; 32],
    /// Its equations.
    pub lowering: Lowering,
    /// Its circuit.
    pub assembly: Arc<Assembly>,
    /// Where the values of a claim stand in the instance column.
    pub public: PublicLayout,
    /// What the planner expects.
    pub cost: Cost,
    outputs: Vec<Wires>,
}

/// One inference, ready to be proved.
#[derive(Clone, Debug)]
pub struct Inference {
    /// Every tensor of the execution.
    pub trace: Trace,
    /// The cells.
    pub witness: Witness,
    /// What is claimed.
    pub claim: Claim,
    /// The instance column that says the same.
    pub instance: Vec<Fp>,
    /// Input values of the circuit, all inputs one after the other.
    pub inputs: Vec<i64>,
}

/// Compiles `program`; the planner chooses the shape.
pub fn compile(
    program: Arc<Program>,
    visibility: InputVisibility,
    options: &PlanOptions,
) -> Result<Compiled, CompileError> {
    Lowered::new(program, visibility)?
        .finish(|lowering, public, count| plan(lowering, public, count, options))
}

/// Compiles `program` into a shape of the caller's choice.
pub fn compile_with_shape(
    program: Arc<Program>,
    visibility: InputVisibility,
    shape: &Shape,
) -> Result<Compiled, CompileError> {
    Lowered::new(program, visibility)?.finish(|lowering, public, count| {
        let layout = place_shape(lowering, public, count, shape)?;
        Ok((layout, crate::plan::cost::predict(shape)))
    })
}

/// A program as equations, not yet placed.
struct Lowered {
    program: Arc<Program>,
    lowering: Lowering,
    public: PublicLayout,
    elements: Vec<PublicElement>,
    outputs: Vec<Wires>,
}

impl Lowered {
    fn new(program: Arc<Program>, visibility: InputVisibility) -> Result<Self, CompileError> {
        // Ports that no claim can carry are refused before anything is made for their elements.
        let specs = |ports: &[Port]| -> Result<Vec<PortSpec>, CompileError> {
            ports.iter().map(|port| spec(&program, port)).collect()
        };
        let public = PublicLayout::new(
            visibility,
            specs(program.inputs())?,
            specs(program.outputs())?,
        )?;
        if public.element_count() > MAX_INSTANCE_ROWS {
            return Err(CompileError::TooPublic {
                got: public.element_count(),
                max: MAX_INSTANCE_ROWS,
            });
        }
        let Equations {
            lowering,
            inputs,
            outputs,
        } = Equations::new(&program)?;
        for (port, wires) in program.outputs().iter().zip(&outputs) {
            check_output(&program, &lowering, port, wires)?;
        }
        let mut elements = Vec::new();
        let mut row = CONTEXT_ELEMENTS as u32;
        let inputs = public
            .inputs()
            .iter()
            .zip(&inputs)
            .filter(|_| visibility == InputVisibility::Public);
        for (spec, wires) in inputs.chain(public.outputs().iter().zip(&outputs)) {
            for values in wires.chunks(spec.dtype().per_element()) {
                elements.push(PublicElement {
                    row,
                    bits: spec.dtype().width(),
                    offset: spec.dtype().offset(),
                    values: values.to_vec(),
                });
                row += 1;
            }
        }
        Ok(Self {
            program,
            lowering,
            public,
            elements,
            outputs,
        })
    }

    fn finish(
        self,
        place: impl FnOnce(&Lowering, &[PublicElement], usize) -> Result<(Layout, Cost), PlanError>,
    ) -> Result<Compiled, CompileError> {
        let Self {
            program,
            lowering,
            public,
            elements,
            outputs,
        } = self;
        let placed = place(&lowering, &elements, public.element_count());
        let assembled = placed.and_then(|(layout, cost)| Ok((Assembly::new(layout)?, cost)));
        let (assembly, cost) = assembled.map_err(|source| {
            let name = |node: u32| program.nodes().get(node as usize).map(|n| n.name.clone());
            CompileError::Plan {
                node: source.node().and_then(name),
                source,
            }
        })?;
        Ok(Compiled {
            program_id: program.id(),
            program,
            lowering,
            assembly: Arc::new(assembly),
            public,
            cost,
            outputs,
        })
    }
}

/// The equations of a program, and the elements of its ports.
struct Equations {
    lowering: Lowering,
    inputs: Vec<Wires>,
    outputs: Vec<Wires>,
}

impl Equations {
    fn new(program: &Program) -> Result<Self, CompileError> {
        let mut collector = Collector::new();
        let mut wires: Vec<Wires> = Vec::with_capacity(program.facts().len());
        let in_port = |port: &Port, source| CompileError::Element {
            name: port.name.clone(),
            source,
        };
        for port in program.inputs() {
            let fact = program.fact(port.tensor);
            let digits = digits(fact.range).ok_or_else(|| CompileError::InputType {
                name: port.name.clone(),
                lo: fact.range.lo,
                hi: fact.range.hi,
            })?;
            let made = input(&mut collector, fact, digits);
            wires.push(made.map_err(|source| in_port(port, source))?);
        }
        for (i, node) in program.nodes().iter().enumerate() {
            let inputs: Vec<Wires> = node
                .inputs
                .iter()
                .map(|id| wires[id.0 as usize].clone())
                .collect();
            let facts: Vec<&Fact> = node.inputs.iter().map(|id| program.fact(*id)).collect();
            let promised: Vec<usize> = node
                .outputs
                .iter()
                .map(|id| program.fact(*id).len())
                .collect();
            let outputs = node
                .op
                .lower(collector.node(i as u32), &inputs, &facts)
                .and_then(|outputs| {
                    collector.check(node.op.id().name, &outputs, &promised)?;
                    Ok(outputs)
                })
                .map_err(|source| CompileError::Lower {
                    node: node.name.clone(),
                    source,
                })?;
            wires.extend(outputs);
        }
        let of = |port: &Port| wires[port.tensor.0 as usize].iter();
        let lowering = collector.finish(program.outputs().iter().flat_map(of));
        let lowering = lowering.map_err(CompileError::Equations)?;
        let renumbered = |port: &Port| -> Result<Wires, CompileError> {
            let wires = of(port).map(|&w| lowering.renumbered(w));
            wires
                .collect::<Result<_, _>>()
                .map_err(|source| in_port(port, source))
        };
        Ok(Self {
            inputs: program
                .inputs()
                .iter()
                .map(renumbered)
                .collect::<Result<_, _>>()?,
            outputs: program
                .outputs()
                .iter()
                .map(renumbered)
                .collect::<Result<_, _>>()?,
            lowering,
        })
    }
}

/// How many bytes make a value of an input; `None` for a range that bytes do not fill.
fn digits(range: Range) -> Option<usize> {
    match range.span() {
        0..=0xff => Some(1),
        0xffff => Some(2),
        0xff_ffff => Some(3),
        0xffff_ffff => Some(4),
        _ => None,
    }
}

/// The elements of an input: a cell each, or the sum of a few bytes, which has every value of the range once.
fn input(collector: &mut Collector, fact: &Fact, digits: usize) -> Result<Wires, LowerError> {
    if digits == 1 {
        return collector.inputs(NO_NODE, fact.len(), fact.range);
    }
    let len = fact.len();
    let cells = collector.inputs(NO_NODE, len * digits, Range::new(0, 0xff))?;
    let form = |i: usize| {
        let terms = (0..digits).map(|digit| (digit * len + i, 1 << (8 * digit)));
        (terms.collect(), fact.range.lo)
    };
    let forms = Arc::new(Explicit {
        grid: vec![len],
        forms: (0..len).map(form).collect(),
    });
    collector.node(NO_NODE).linear("input", &cells, forms)
}

/// The values of the cells that [`input`] makes.
fn bytes(fact: &Fact, x: &Tensor) -> Vec<i64> {
    let lo = fact.range.lo;
    match digits(fact.range) {
        Some(2..) => {
            let digits = 0..digits(fact.range).unwrap_or(1);
            let byte = |digit: usize| {
                let values = x.data.iter();
                values.map(move |v| v.saturating_sub(lo) >> (8 * digit) & 0xff)
            };
            digits.flat_map(byte).collect()
        }
        _ => x.data.clone(),
    }
}

/// What the operators of `program` assume of their equations and no constraint says, without planning a circuit.
pub fn assumptions(program: &Program) -> Result<Vec<Assumption>, CompileError> {
    let equations = Equations::new(program)?;
    Ok(equations.lowering.assumptions().cloned().collect())
}

/// The extents of a tensor as formats write them.
fn extents(shape: &[usize]) -> Result<Vec<u32>, TensorError> {
    let extent = |&n: &usize| u32::try_from(n).map_err(|_| TensorError::TooManyElements);
    shape.iter().map(extent).collect()
}

fn spec(program: &Program, port: &Port) -> Result<PortSpec, CompileError> {
    let fact = program.fact(port.tensor);
    let spec = extents(&fact.shape).and_then(|shape| PortSpec::new(fact.dtype, shape));
    spec.map_err(|source| CompileError::Port {
        name: port.name.clone(),
        source,
    })
}

/// A public digit is unique only if every value is known to fit its type.
fn check_output(
    program: &Program,
    lowering: &Lowering,
    port: &Port,
    wires: &[Wire],
) -> Result<(), CompileError> {
    let of_type = Range::of(program.fact(port.tensor).dtype);
    for &wire in wires {
        let range = lowering.range_of("output", wire);
        let range = range.map_err(|source| CompileError::Element {
            name: port.name.clone(),
            source,
        })?;
        if let Some(reach) = [range.lo, range.hi]
            .into_iter()
            .find(|v| !of_type.contains(*v))
        {
            return Err(CompileError::OutputRange {
                name: port.name.clone(),
                reach,
            });
        }
    }
    Ok(())
}

impl Compiled {
    /// Executes the program and derives the witness and the claim.
    pub fn infer(&self, inputs: &[Tensor], context: [u8; 32]) -> Result<Inference, InferenceError> {
        let trace = self.program.execute(inputs)?;
        let facts = self.program.inputs().iter();
        let facts = facts.map(|port| self.program.fact(port.tensor));
        let flat: Vec<i64> = facts.zip(inputs).flat_map(|(f, x)| bytes(f, x)).collect();
        let witness = Witness::solve(&self.lowering, &self.assembly.layout, &flat)?;
        let claim = claim(
            &self.program,
            self.public.visibility(),
            inputs,
            &trace,
            context,
        )?;
        let instance = self.public.instance(&claim)?;
        for (wires, tensor) in self.outputs.iter().zip(trace.outputs()) {
            for (wire, &value) in wires.iter().zip(&tensor.data) {
                if let Wire::Cell(v) = *wire {
                    let info = self.lowering.var(v);
                    if witness.vars[v.0 as usize] + info.offset != value {
                        return Err(InferenceError::Disagreement);
                    }
                }
            }
        }
        Ok(Inference {
            trace,
            witness,
            claim,
            instance,
            inputs: flat,
        })
    }

    /// The advice columns of an inference.
    pub fn advice(&self, inference: &Inference) -> Advice {
        inference
            .witness
            .advice(&self.assembly.layout, &inference.instance)
    }

    /// The halo2 circuit of an inference, to be used inside [`crate::circuit::with_chips`].
    pub fn circuit(&self, inference: &Inference) -> ModelCircuit {
        ModelCircuit::new(&self.assembly, self.advice(inference))
    }
}

/// The claim that `program` maps `inputs` to the outputs of `trace`.
pub fn claim(
    program: &Program,
    visibility: InputVisibility,
    inputs: &[Tensor],
    trace: &Trace,
    context: [u8; 32],
) -> Result<Claim, InferenceError> {
    let data = |tensor: &Tensor| {
        TensorData::new(tensor.dtype, extents(&tensor.shape)?, tensor.data.clone())
    };
    let inputs = match visibility {
        InputVisibility::Public => ClaimInput::public(
            inputs
                .iter()
                .map(data)
                .collect::<Result<_, TensorError>>()?,
        ),
        InputVisibility::Private => ClaimInput::private(inputs.len()),
    };
    let outputs = trace
        .outputs()
        .into_iter()
        .map(data)
        .collect::<Result<_, _>>()?;
    Ok(Claim::new(program.id(), inputs, outputs, context)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::WeightedSum;
    use crate::plan::PlanOptions;
    use crate::program::{Builder, DataType};

    /// The identity of so many values of a type and a range.
    fn program(dtype: DataType, range: Range, len: usize) -> Arc<Program> {
        let mut builder = Builder::new();
        let fact = Fact {
            range,
            ..Fact::any(dtype, vec![len])
        };
        let x = builder.input("x", fact, None);
        let sum = Arc::new(WeightedSum::new(vec![1], 0).unwrap());
        let y = builder.push("sum", sum, &[x]).unwrap();
        let port = |tensor: &_| Port {
            name: "y".to_owned(),
            tensor: *tensor,
            quantization: None,
        };
        let (program, _) = builder.finish(y.iter().map(port).collect()).unwrap();
        Arc::new(program)
    }

    fn compiled(dtype: DataType, range: Range) -> Result<Compiled, CompileError> {
        let options = PlanOptions::default();
        compile(program(dtype, range, 2), InputVisibility::Public, &options)
    }

    #[test]
    fn rejects_inputs_that_no_column_of_bytes_proves() {
        let of = |dtype| (dtype, Range::of(dtype));
        for (dtype, range) in [
            of(DataType::I64),
            (DataType::I32, Range::new(0, 65536)),
            (DataType::I64, Range::new(0, 256)),
            (DataType::I64, Range::new(-(1 << 62), 0)),
        ] {
            let refused = compiled(dtype, range).unwrap_err();
            let Range { lo, hi } = range;
            let name = "x".to_owned();
            assert_eq!(refused, CompileError::InputType { name, lo, hi });
            assert!(!refused.is_internal());
        }
    }

    #[test]
    fn accepts_inputs_of_eight_bits_wherever_they_lie() {
        for (lo, hi) in [(0, 255), (-128, 127), (1000, 1255), (3, 3)] {
            let compiled = compiled(DataType::I64, Range::new(lo, hi)).unwrap();
            let x = Tensor::new(DataType::I64, vec![2], vec![lo, hi]);
            let inference = compiled.infer(&[x], [0; 32]).unwrap();
            assert_eq!(inference.trace.outputs()[0].data, [lo, hi]);
        }
    }

    #[test]
    fn accepts_wider_inputs_as_their_bytes() {
        for dtype in [DataType::U16, DataType::I16, DataType::I32] {
            let Range { lo, hi } = Range::of(dtype);
            let compiled = compiled(dtype, Range::new(lo, hi)).unwrap();
            for data in [[lo, hi], [hi - 256, lo + 257], [0, 1]] {
                let x = Tensor::new(dtype, vec![2], data.to_vec());
                let inference = compiled.infer(&[x], [7; 32]).unwrap();
                assert_eq!(inference.trace.outputs()[0].data, data);
            }
            let sum = Arc::new(WeightedSum::new(vec![1], 0).unwrap());
            let score = crate::testing::mutate_operator(sum, &[Fact::any(dtype, vec![2])], 3);
            assert!(score.survivors.is_empty(), "{:?}", score.survivors);
        }
    }

    /// The last claim that a verifier has room for, and the first that is too large: three values of 64 bits make an
    /// element, and two elements are the context.
    #[test]
    fn claims_fill_the_rows_of_a_verifier_and_no_more() {
        let (private, public) = (InputVisibility::Private, InputVisibility::Public);
        let elements = |visibility, len| {
            let range = Range::new(0, 255);
            let lowered = Lowered::new(program(DataType::I64, range, len), visibility);
            lowered.map(|lowered| lowered.public.element_count())
        };
        let too_public = |got| {
            let max = MAX_INSTANCE_ROWS;
            Err(CompileError::TooPublic { got, max })
        };
        assert_eq!(elements(private, 254 * 3), Ok(MAX_INSTANCE_ROWS));
        assert_eq!(elements(private, 254 * 3 + 1), too_public(257));
        assert_eq!(elements(public, 127 * 3), Ok(MAX_INSTANCE_ROWS));
        assert_eq!(elements(public, 127 * 3 + 1), too_public(258));
    }
}
