//! What is known of an ONNX operator: one declaration, which every pass asks.
//!
//! The declarations stand in the files of `ops/`; `ops/mod.rs` is their index. An operator that is only declared by name is
//! known to exist and refused.

use crate::error::NodeError;
use crate::eval::inputs::{Inputs, Results, Types};
use crate::eval::types::TypeRule;
use crate::graph::{Draft, LEARNING, MICROSOFT, NodeView, OPSETS, STANDARD, ValueId};
use crate::group::exactness::{Relation, Relations};
use crate::group::importer::{Done, Importer};
use crate::rewrite;
use crate::rewrite::{restore, upgrade};

/// What is said of an operator before any model is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Types of the activations.
    pub(crate) types: &'static str,
    /// What is refused.
    pub(crate) limits: &'static str,
    /// The rules that close groups around it.
    pub(crate) exactness: Relations,
}

impl Facts {
    pub(crate) const fn new(
        types: &'static str,
        limits: &'static str,
        exactness: &'static [Relation],
    ) -> Self {
        Self {
            types,
            limits,
            exactness: Relations(exactness),
        }
    }
}

/// Types with a table of all their values.
pub(crate) const NARROW: &str = "u8, i8, u16, i16";
/// Types of the QLinear operators and of everything with two inputs.
pub(crate) const BYTES: &str = "u8, i8";
pub(crate) const ANY: &str = "all integers, bool";

/// A set of properties.
pub(crate) type Kinds = u32;

/// Its results on floats are those of ONNX Runtime, to the last bit.
pub(crate) const EXACT: Kinds = 1;
/// A result is always one of the values of the first input.
pub(crate) const SELECTING: Kinds = 1 << 1;
/// It moves elements, or takes the largest: the same on reals as on the integers that stand for them.
pub(crate) const MOVING: Kinds = 1 << 2;
/// Every element of the first input is an element of the result.
pub(crate) const COVERING: Kinds = 1 << 3;
/// ONNX Runtime moves quantization over it.
pub(crate) const ROUTED: Kinds = 1 << 4;
/// ONNX Runtime looks through it for the quantization behind it.
pub(crate) const TRANSPARENT: Kinds = 1 << 5;
/// It clamps its first input.
pub(crate) const CLAMPING: Kinds = 1 << 6;
/// It multiplies activations by weights.
pub(crate) const LINEAR: Kinds = 1 << 7;
/// Clamps behind it become part of its quantization.
pub(crate) const ABSORBING: Kinds = 1 << 8;
/// It changes no number of what it presents, or no order of them.
pub(crate) const PRESENTING: Kinds = 1 << 9;
/// It makes scores of the sums of trees.
pub(crate) const SCORING: Kinds = 1 << 10;
/// It prepares inputs, each element or row for itself.
pub(crate) const PREPARING: Kinds = 1 << 11;
/// It is such a preparation that one scale behind it cannot make up for.
pub(crate) const BENDING: Kinds = 1 << 12;
/// It quantizes, or computes with quantized integers.
pub(crate) const QUANTIZED: Kinds = 1 << 13;
/// Its scales depend on the data.
pub(crate) const DYNAMIC: Kinds = 1 << 14;
/// It makes probabilities and other numbers of the scores of a linear model, or moves them.
pub(crate) const OF_SCORES: Kinds = 1 << 16;
/// It holds graphs.
pub(crate) const CONTROL: Kinds = 1 << 15;

/// Beyond the last opset that is read.
pub(crate) const LAST: i64 = i64::MAX;

/// From known inputs to results.
pub(crate) type Run = fn(&NodeView<'_>, &Inputs<'_>) -> Results;

/// How an operator is evaluated.
#[derive(Debug)]
pub(crate) struct Value {
    /// Element types of the first input that ONNX Runtime has a kernel for.
    pub(crate) types: Types,
    pub(crate) run: Run,
}

/// From a node to values of the program.
pub(crate) type Import = fn(&mut Importer<'_>, &NodeView<'_>) -> Result<Done, NodeError>;

/// How an operator is proved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integers {
    pub(crate) import: Import,
    /// Whether it is proved even if no QuantizeLinear follows: its result is integers with a scale.
    pub(crate) closes: bool,
    /// Whether, after the last quantization, it may also stay outside the proof.
    pub(crate) optional: bool,
    /// What is said of it in the list of operators.
    pub(crate) facts: &'static Facts,
}

/// An ONNX operator.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    /// The first opset of its domain that has it.
    pub(crate) since: i64,
    /// Attributes that not all opsets have, with the first and the last one that do. One outside is refused, as ONNX
    /// Runtime refuses it: what it would mean is in no text.
    pub(crate) attributes: &'static [(&'static str, i64, i64)],
    /// The first opset from which on it has more than so many inputs.
    pub(crate) inputs: &'static [(i64, usize)],
    pub(crate) kinds: Kinds,
    /// How the types of its results follow.
    pub(crate) results: Option<TypeRule>,
    pub(crate) value: Option<Value>,
    pub(crate) integers: Option<Integers>,
    /// What a node of an opset before this one becomes.
    pub(crate) upgraded: Option<(i64, upgrade::Rule)>,
    /// The standard operators that it stands for.
    pub(crate) expressed: Option<rewrite::Rule>,
    /// The movement by constant places that it is, if its places are constant.
    pub(crate) picked: Option<fn(&mut Draft<'_>, &NodeView<'_>) -> Option<ValueId>>,
    /// What it stands for on reals, where dynamic quantization made integers of them.
    pub(crate) restored: Option<restore::Rule>,
    /// The operators that `quantize` takes it apart into.
    pub(crate) decomposed: Option<Parts>,
    /// How it is a function of one tensor.
    pub(crate) chains: Chain,
    /// The inputs of which its result is whole if they are.
    pub(crate) whole: Option<(usize, usize)>,
    /// Why it is refused where it is not proved.
    pub(crate) refused: Option<&'static NodeError>,
}

/// How a node is taken apart: from it to its results, if that can be done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parts {
    /// Its only result.
    One(fn(&mut Draft<'_>, &NodeView<'_>) -> Option<ValueId>),
    /// All its results.
    Several(fn(&mut Draft<'_>, &NodeView<'_>) -> Option<Vec<Option<ValueId>>>),
}

/// How the result of an operator is a function of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    /// Of its only operand.
    Function,
    /// Of the first, between constant limits.
    Limits,
    /// Of one of two operands, the other of which is constant, or of both, if they are made of one tensor.
    Pair,
    /// Of one of two operands, the other of which is constant.
    Extreme,
    /// Of the first, each channel by constants of its own.
    Channels,
}

impl Operator {
    const fn new(domain: &'static str, name: &'static str) -> Self {
        Self {
            domain,
            name,
            since: 1,
            attributes: &[],
            inputs: &[],
            kinds: 0,
            results: None,
            value: None,
            integers: None,
            upgraded: None,
            expressed: None,
            picked: None,
            restored: None,
            decomposed: None,
            chains: Chain::Function,
            whole: None,
            refused: None,
        }
    }

    /// An operator of the standard domain.
    pub(crate) const fn onnx(name: &'static str) -> Self {
        Self::new(STANDARD, name)
    }

    /// An operator of ONNX Runtime.
    pub(crate) const fn microsoft(name: &'static str) -> Self {
        Self::new(MICROSOFT, name)
    }

    /// An operator of classical learning.
    pub(crate) const fn learning(name: &'static str) -> Self {
        Self::new(LEARNING, name)
    }

    /// The first opset that has it.
    pub(crate) const fn since(mut self, opset: i64) -> Self {
        self.since = opset;
        self
    }

    /// Attributes that not all opsets have.
    pub(crate) const fn attributes(mut self, windows: &'static [(&'static str, i64, i64)]) -> Self {
        self.attributes = windows;
        self
    }

    /// Inputs that not all opsets have.
    pub(crate) const fn inputs(mut self, windows: &'static [(i64, usize)]) -> Self {
        self.inputs = windows;
        self
    }

    /// Properties that it has.
    pub(crate) const fn is(mut self, kinds: Kinds) -> Self {
        self.kinds |= kinds;
        self
    }

    /// How the types of its results follow, where it is not evaluated.
    pub(crate) const fn typed(mut self, results: TypeRule) -> Self {
        self.results = Some(results);
        self
    }

    /// How it is evaluated, on which types of the first input, and how the types of the results follow.
    pub(crate) const fn value(mut self, types: Types, results: TypeRule, run: Run) -> Self {
        self.value = Some(Value { types, run });
        self.typed(results)
    }

    const fn proved(
        mut self,
        import: Import,
        facts: &'static Facts,
        closes: bool,
        optional: bool,
    ) -> Self {
        self.integers = Some(Integers {
            import,
            closes,
            optional,
            facts,
        });
        self
    }

    /// How it is proved, between quantized tensors.
    pub(crate) const fn integers(self, import: Import, facts: &'static Facts) -> Self {
        self.proved(import, facts, false, false)
    }

    /// The same, where its result is integers with a scale whatever follows.
    pub(crate) const fn closing(self, import: Import, facts: &'static Facts) -> Self {
        self.proved(import, facts, true, false)
    }

    /// The same, where it may stay outside the proof after the last quantization.
    pub(crate) const fn deciding(self, import: Import, facts: &'static Facts) -> Self {
        self.proved(import, facts, true, true)
    }

    /// What a node of an opset before this one becomes.
    pub(crate) const fn upgraded(mut self, opset: i64, rule: upgrade::Rule) -> Self {
        self.upgraded = Some((opset, rule));
        self
    }

    /// The standard operators that it stands for.
    pub(crate) const fn expressed(mut self, rule: rewrite::Rule) -> Self {
        self.expressed = Some(rule);
        self
    }

    /// The movement that it is where its places are constant.
    pub(crate) const fn picked(
        mut self,
        rule: fn(&mut Draft<'_>, &NodeView<'_>) -> Option<ValueId>,
    ) -> Self {
        self.picked = Some(rule);
        self
    }

    /// What it stands for on reals, where dynamic quantization made integers of them.
    pub(crate) const fn restored(mut self, rule: restore::Rule) -> Self {
        self.restored = Some(rule);
        self
    }

    /// What `quantize` takes it apart into.
    pub(crate) const fn decomposed(mut self, parts: Parts) -> Self {
        self.decomposed = Some(parts);
        self
    }

    /// How it is a function of one tensor.
    pub(crate) const fn chains(mut self, chain: Chain) -> Self {
        self.chains = chain;
        self
    }

    /// The inputs of which its result is whole if they are.
    pub(crate) const fn whole(mut self, inputs: std::ops::Range<usize>) -> Self {
        self.whole = Some((inputs.start, inputs.end));
        self
    }

    /// Why it is refused where it is not proved.
    pub(crate) const fn refused(mut self, reason: &'static NodeError) -> Self {
        self.refused = Some(reason);
        self
    }

    /// Whether it has all of some properties.
    pub(crate) const fn has(&self, kinds: Kinds) -> bool {
        self.kinds & kinds == kinds
    }

    /// First and last opset of its domain in which it is supported.
    pub(crate) fn opsets(&self) -> (i64, i64) {
        match self.domain {
            STANDARD => (self.since.max(OPSETS.0), OPSETS.1),
            LEARNING => (1, 5),
            _ => (1, 1),
        }
    }

    /// Refuses an opset that does not have the operator yet.
    pub(crate) fn exists(&self, opset: i64) -> Result<(), NodeError> {
        let (min, max) = (self.since, OPSETS.1);
        match self.domain == STANDARD && opset < min {
            true => Err(NodeError::Opset { min, max }),
            false => Ok(()),
        }
    }

    /// Refuses attributes and inputs that the node's opset does not have, and an opset that is not supported.
    pub(crate) fn check(&self, node: &NodeView<'_>) -> Result<(), NodeError> {
        if self.domain != STANDARD {
            return Ok(());
        }
        let (min, max) = self.opsets();
        if !(min..=max).contains(&node.opset) {
            return Err(NodeError::Opset { min, max });
        }
        for &(name, first, last) in self.attributes {
            if !(first..=last).contains(&node.opset) && node.has_attribute(name) {
                return Err(NodeError::Attribute {
                    name,
                    reason: "the operator does not have it in this opset",
                });
            }
        }
        for &(first, most) in self.inputs {
            if node.opset < first && node.inputs() > most {
                return Err(NodeError::Arity {
                    what: "inputs",
                    expected: match most {
                        1 => "1 in this opset",
                        _ => "fewer in this opset",
                    },
                    got: node.inputs(),
                });
            }
        }
        Ok(())
    }
}
