//! Arithmetic, element by element.

use crate::error::NodeError;
use crate::eval::cast::{integers, number, wrap};
use crate::eval::inputs::{Inputs, Results, attribute, bad, one, undefined, wrong_type};
use crate::eval::places::{Places, together};
use crate::eval::scalar;
use crate::eval::scalar::{Binary, Float, Unary};
use crate::graph::NodeView;
use crate::graph::constant::{Constant, Data, Element};
use zkonnx_circuits::ops::broadcast;
use zkonnx_circuits::program::DataType;

/// The function of one number that a node applies.
pub(crate) fn function(node: &NodeView<'_>) -> Result<Unary, NodeError> {
    let name = node.op().strip_prefix("QLinear").unwrap_or(node.op());
    Ok(match name {
        "Abs" => Unary::Abs,
        "Acos" => Unary::Acos,
        "Acosh" => Unary::Acosh,
        "Asin" => Unary::Asin,
        "Asinh" => Unary::Asinh,
        "Atan" => Unary::Atan,
        "Atanh" => Unary::Atanh,
        "Ceil" => Unary::Ceil,
        "Celu" => Unary::Celu(node.float("alpha", 1.0)?),
        "Cos" => Unary::Cos,
        "Cosh" => Unary::Cosh,
        "Elu" => Unary::Elu(node.float("alpha", 1.0)?),
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Floor" => Unary::Floor,
        "Gelu" => match node.text("approximate", "none")? {
            "none" => Unary::Gelu,
            "tanh" => Unary::GeluTanh,
            _ => return Err(attribute("approximate", "the value is not known")),
        },
        "HardSigmoid" => Unary::HardSigmoid(node.float("alpha", 0.2)?, node.float("beta", 0.5)?),
        "HardSwish" => Unary::HardSwish,
        "LeakyRelu" => Unary::LeakyRelu(node.float("alpha", 0.01)?),
        "Log" => Unary::Log,
        "Mish" => Unary::Mish,
        "Neg" => Unary::Neg,
        "QuickGelu" => Unary::Swish(node.float("alpha", 1.702)?),
        "Reciprocal" => Unary::Reciprocal,
        "Relu" => Unary::Relu,
        "Round" => Unary::Round,
        "Selu" => Unary::Selu(
            node.float("alpha", 1.673_263_2)?,
            node.float("gamma", 1.050_701)?,
        ),
        "Shrink" => Unary::Shrink(node.float("bias", 0.0)?, node.float("lambd", 0.5)?),
        "Sigmoid" => Unary::Sigmoid,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Sinh" => Unary::Sinh,
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "Sqrt" => Unary::Sqrt,
        "Swish" => Unary::Swish(node.float("alpha", 1.0)?),
        "Tan" => Unary::Tan,
        "Tanh" => Unary::Tanh,
        "ThresholdedRelu" => Unary::ThresholdedRelu(node.float("alpha", 1.0)?),
        _ => return Err(NodeError::Unknown),
    })
}

/// A function of one number.
pub(crate) fn unary(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let f = function(node)?;
    let x = inputs.get(0)?;
    let data = match &x.data {
        Data::Float(data) => Data::Float(data.iter().map(|&v| f.eval(v)).collect()),
        Data::Double(data) => {
            let values: Option<Vec<f64>> = data.iter().map(|&v| f.eval_double(v)).collect();
            Data::Double(values.ok_or_else(|| wrong_type(0, x))?)
        }
        data => {
            let values = (0..data.len()).map(|i| {
                let v = number(data, i).ok_or_else(|| wrong_type(0, x))?;
                integer_function(f, v, data.element())
            });
            let values = values.collect::<Result<Vec<_>, _>>()?;
            integers(data.element(), values).ok_or_else(|| wrong_type(0, x))?
        }
    };
    one(x.shape.clone(), data)
}

fn integer_function(f: Unary, v: i128, element: Element) -> Result<i128, NodeError> {
    Ok(match f {
        Unary::Abs => v.abs(),
        Unary::Neg => -v,
        Unary::Sign => v.signum(),
        Unary::Relu => v.max(0),
        // Computed in binary32, then cut off.
        Unary::Shrink(..) => {
            let y = f.eval(v as f32).trunc();
            let y = y.is_finite().then_some(y as i128);
            let fits = |y: &i128| wrap(element, *y) == Some(*y);
            y.filter(fits)
                .ok_or(undefined("a result of Shrink leaves its type"))?
        }
        _ => return Err(NodeError::Unknown),
    })
}

/// The function of two numbers that a node applies.
fn function_of_two(node: &NodeView<'_>) -> Result<Binary, NodeError> {
    Ok(match node.op() {
        "Add" | "Sum" | "Mean" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Min" => Binary::Min,
        "Max" => Binary::Max,
        "PRelu" => Binary::PRelu,
        "Mod" => Binary::Remainder,
        _ => return Err(NodeError::Unknown),
    })
}

/// A function of two numbers of one type.
pub(crate) fn binary(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let f = function_of_two(node)?;
    let fmod = f == Binary::Remainder && node.flag("fmod", false)?;
    let (a, b) = (inputs.get(0)?, inputs.get(1)?);
    if f == Binary::Remainder && !fmod && matches!(a.data, Data::Float(_) | Data::Double(_)) {
        return Err(attribute("fmod", "it has to be set, as for all reals"));
    }
    let (shape, places) = together(inputs, 0..2)?;
    // A slope may be broadcast to the tensor, not the tensor to a slope.
    if f == Binary::PRelu && shape != a.shape {
        return Err(bad(
            1,
            "the slope",
            "its shape does not broadcast to that of x",
        ));
    }
    let [pa, pb] = places.as_slice() else {
        return Err(NodeError::Unknown);
    };
    let data = combine(f, fmod, (a, pa), (b, pb), inputs.count(&shape)?)?;
    one(shape, data)
}

/// Whether two elements are zeros of different signs, of which ONNX Runtime takes either, by their place in memory.
fn are_opposite((a, i): (&Constant, usize), (b, j): (&Constant, usize)) -> bool {
    match (&a.data, &b.data) {
        (Data::Float(x), Data::Float(y)) => {
            x[i] == 0.0 && y[j] == 0.0 && x[i].is_sign_negative() != y[j].is_sign_negative()
        }
        (Data::Double(x), Data::Double(y)) => {
            x[i] == 0.0 && y[j] == 0.0 && x[i].is_sign_negative() != y[j].is_sign_negative()
        }
        _ => false,
    }
}

type Operand<'a> = (&'a Constant, &'a Places);

fn combine(
    f: Binary,
    fmod: bool,
    (a, pa): Operand<'_>,
    (b, pb): Operand<'_>,
    len: usize,
) -> Result<Data, NodeError> {
    fn floats<T: Float>(
        f: Binary,
        (a, pa): (&[T], &Places),
        (b, pb): (&[T], &Places),
        n: usize,
    ) -> Vec<T> {
        (0..n)
            .map(|i| f.eval(a[pa.at(i)], b[pb.at(i)], false))
            .collect()
    }
    Ok(match (&a.data, &b.data) {
        (Data::Float(x), Data::Float(y)) => Data::Float(floats(f, (x, pa), (y, pb), len)),
        (Data::Double(x), Data::Double(y)) => Data::Double(floats(f, (x, pa), (y, pb), len)),
        (x, y) if x.element() == y.element() => {
            let element = x.element();
            let value = |i| {
                let (x, y) = (number(x, pa.at(i)), number(y, pb.at(i)));
                let (x, y) = x.zip(y).ok_or_else(|| wrong_type(0, a))?;
                whole(f, fmod, element, x, y)
            };
            let values = (0..len).map(value).collect::<Result<Vec<_>, _>>()?;
            integers(element, values).ok_or_else(|| wrong_type(0, a))?
        }
        _ => return Err(bad(1, "b", "it has another element type than a")),
    })
}

/// A function of two integers, before the result is reduced to their type.
fn whole(f: Binary, fmod: bool, element: Element, a: i128, b: i128) -> Result<i128, NodeError> {
    // The quotient of the least integer and −1 leaves the type, which stops the processor.
    let overflows = |q: i128| match element {
        Element::Int(DataType::I32 | DataType::I64) => wrap(element, q) != Some(q),
        _ => false,
    };
    Ok(match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a.wrapping_mul(b),
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Div | Binary::Remainder if b == 0 => {
            return Err(undefined("an integer is divided by zero"));
        }
        Binary::Div | Binary::Remainder if overflows(a / b) => {
            return Err(undefined("the least integer is divided by −1"));
        }
        Binary::Div => a / b,
        // With the sign of the dividend, by way of binary64; or with that of the divisor.
        Binary::Remainder if fmod && a.abs().max(b.abs()) > 1 << 53 => {
            return Err(undefined(
                "a remainder by fmod is taken of a number above 2^53",
            ));
        }
        Binary::Remainder if fmod => a % b,
        Binary::Remainder => match a % b {
            r if r != 0 && (r < 0) != (b < 0) => r + b,
            r => r,
        },
        Binary::Pow | Binary::PRelu => return Err(NodeError::Unknown),
    })
}

/// `Max`, `Min`, `Sum` and `Mean` of any number of tensors.
pub(crate) fn several(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let f = function_of_two(node)?;
    let mut total = inputs.get(0)?.clone();
    for (input, next) in inputs.all()?.into_iter().enumerate().skip(1) {
        let shape = broadcast(&total.shape, &next.shape);
        let reason = "its shape does not broadcast to that of the others";
        let shape = shape.ok_or(bad(input, "x", reason))?;
        let (pa, pb) = (
            Places::new(&total.shape, &shape),
            Places::new(&next.shape, &shape),
        );
        let len = inputs.count(&shape)?;
        let chooses = inputs.folded && f != Binary::Add;
        if chooses && (0..len).any(|i| are_opposite((&total, pa.at(i)), (next, pb.at(i)))) {
            return Err(undefined("it chooses between zeros of two signs"));
        }
        let data = combine(f, false, (&total, &pa), (next, &pb), len)?;
        total = Constant { shape, data };
    }
    if node.op() == "Mean"
        && let Data::Float(data) = &mut total.data
    {
        let share = 1.0 / inputs.len() as f32;
        data.iter_mut().for_each(|v| *v *= share);
    }
    Ok(vec![total])
}

/// `Pow`, whose exponent may be of another type than its base and its result.
pub(crate) fn power(_: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let (a, b) = (inputs.get(0)?, inputs.get(1)?);
    let (shape, places) = together(inputs, 0..2)?;
    let [pa, pb] = places.as_slice() else {
        return Err(NodeError::Unknown);
    };
    let exponents: Vec<f64> = match &b.data {
        Data::Float(y) => y.iter().copied().map(f64::from).collect(),
        Data::Double(y) => y.clone(),
        Data::Int(DataType::I32 | DataType::I64, y) => y.iter().map(|&v| v as f64).collect(),
        _ => return Err(wrong_type(1, b)),
    };
    let len = inputs.count(&shape)?;
    let single = b.len() == 1 && a.len() > 1;
    let y = |i| exponents[pb.at(i)];
    let data = match &a.data {
        // The power of a binary32 number and a wider one is that of binary64, rounded once.
        Data::Float(x) => {
            let value = |i: usize| {
                let exponent = y(i);
                let same = f64::from(exponent as f32) == exponent;
                match single && same {
                    true => Binary::Pow.eval(x[pa.at(i)], exponent as f32, true),
                    false => Binary::Pow.eval(f64::from(x[pa.at(i)]), exponent, false) as f32,
                }
            };
            Data::Float((0..len).map(value).collect())
        }
        Data::Double(x) => {
            let value = |i: usize| Binary::Pow.eval(x[pa.at(i)], y(i), single);
            Data::Double((0..len).map(value).collect())
        }
        Data::Int(dtype, x) => {
            let value = |i: usize| integer_power(*dtype, x[pa.at(i)], y(i), single);
            let values = (0..len).map(value).collect::<Result<_, _>>()?;
            Data::Int(*dtype, values)
        }
        _ => return Err(wrong_type(0, a)),
    };
    one(shape, data)
}

/// A power of an integer: by multiplications that wrap around for the exponents 2 and 3 of a whole tensor, else
/// computed in binary64 and cut off.
fn integer_power(dtype: DataType, x: i64, y: f64, single: bool) -> Result<i64, NodeError> {
    let element = Element::Int(dtype);
    let short = |v: i128| wrap(element, v).map_or(0, |v| v as i64);
    if single && y == 2.0 {
        return Ok(short(i128::from(x) * i128::from(x)));
    }
    if single && y == 3.0 {
        let square = i128::from(short(i128::from(x) * i128::from(x)));
        return Ok(short(square * i128::from(x)));
    }
    let base = x as f64;
    // A whole power is known exactly, and rounded once.
    let exact = ((0.0..=63.0).contains(&y) && y == y.trunc())
        .then(|| (base as i128).checked_pow(y as u32))
        .flatten();
    let value = match exact {
        Some(power) => power as f64,
        None => Binary::Pow.eval(base, y, false),
    };
    let cut = value.trunc();
    let fits = cut.is_finite() && wrap(element, cut as i128) == Some(cut as i128);
    match fits {
        true => Ok(cut as i64),
        false => Err(undefined("a power of an integer leaves its type")),
    }
}

/// `Clip`, with limits as attributes (until opset 10) or inputs.
pub(crate) fn clip(node: &NodeView<'_>, inputs: &Inputs<'_>) -> Results {
    let x = inputs.get(0)?;
    let attributes = (node.maybe_float("min")?, node.maybe_float("max")?);
    let limit = |input: usize| match inputs.maybe(input) {
        Some(c) if c.len() != 1 => Err(bad(input, "the limit", "it is not one number")),
        Some(c) if c.element() != x.element() => Err(wrong_type(input, c)),
        other => Ok(other),
    };
    let (lo, hi) = (limit(1)?, limit(2)?);
    let data = match &x.data {
        Data::Float(data) => {
            let of = |c: Option<&Constant>| c.and_then(|c| c.as_floats()?.first().copied());
            let lo = of(lo).or(attributes.0).unwrap_or(f32::MIN);
            let hi = of(hi).or(attributes.1).unwrap_or(f32::MAX);
            Data::Float(data.iter().map(|&v| scalar::clip(v, lo, hi)).collect())
        }
        Data::Double(data) => {
            let of = |c: Option<&Constant>, default| match c.map(|c| &c.data) {
                Some(Data::Double(v)) => v.first().copied().unwrap_or(default),
                _ => default,
            };
            let (lo, hi) = (of(lo, f64::MIN), of(hi, f64::MAX));
            Data::Double(data.iter().map(|&v| scalar::clip(v, lo, hi)).collect())
        }
        data => {
            let of = |c: Option<&Constant>| c.and_then(|c| number(&c.data, 0));
            let (lo, hi) = (of(lo).unwrap_or(i128::MIN), of(hi).unwrap_or(i128::MAX));
            let clipped = |i| number(data, i).map(|v| scalar::clip(v, lo, hi));
            let values: Option<Vec<i128>> = (0..data.len()).map(clipped).collect();
            let values = values.and_then(|values| integers(data.element(), values));
            values.ok_or_else(|| wrong_type(0, x))?
        }
    };
    one(x.shape.clone(), data)
}
