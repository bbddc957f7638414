//! Single nodes on constants, with what ONNX Runtime computes for them (`tests/oracle/gen_eval_cases.py`).

use std::sync::Arc;

use serde_json::Value;

use crate::error::NodeError;
use crate::eval::inputs::Inputs;
use crate::eval::{Operand, Operands};
use crate::graph::constant::{Constant, Data, Half};
use crate::graph::{Attribute, AttributeValue, Graph, Node, NodeView, STANDARD, Type};
use crate::vocabulary::{evaluate, types};
use zkonnx_circuits::program::DataType;

const CASES: &str = include_str!("eval.json");

fn list(value: &Value) -> Vec<i128> {
    let number = |v: &Value| v.as_i64().map(i128::from).or(v.as_u64().map(i128::from));
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| number(v).unwrap())
        .collect()
}

fn tensor(value: &Value) -> Constant {
    let shape = list(&value["shape"])
        .into_iter()
        .map(|d| d as usize)
        .collect();
    let data = list(&value["data"]);
    let ints = |dtype| Data::Int(dtype, data.iter().map(|&v| v as i64).collect());
    let data = match value["type"].as_str().unwrap() {
        "float32" => Data::Float(data.iter().map(|&v| f32::from_bits(v as u32)).collect()),
        "float64" => Data::Double(data.iter().map(|&v| f64::from_bits(v as u64)).collect()),
        "float16" => Data::Half(Half::F16, data.iter().map(|&v| v as u16).collect()),
        "uint64" => Data::Long(data.iter().map(|&v| v as u64).collect()),
        "bool" => ints(DataType::Bool),
        "int8" => ints(DataType::I8),
        "int16" => ints(DataType::I16),
        "int32" => ints(DataType::I32),
        "int64" => ints(DataType::I64),
        "uint8" => ints(DataType::U8),
        "uint16" => ints(DataType::U16),
        "uint32" => ints(DataType::U32),
        other => panic!("{other}"),
    };
    Constant { shape, data }
}

fn attribute(name: &str, value: &Value) -> Attribute {
    let value = match value {
        Value::Number(v) => AttributeValue::Int(v.as_i64().unwrap()),
        Value::String(text) => AttributeValue::Text(text.clone().into_bytes()),
        Value::Array(_) => {
            AttributeValue::Ints(list(value).into_iter().map(|v| v as i64).collect())
        }
        Value::Object(map) if map.contains_key("float") => {
            AttributeValue::Float(f32::from_bits(value["float"].as_u64().unwrap() as u32))
        }
        _ => AttributeValue::Tensor(Arc::new(tensor(&value["tensor"]))),
    };
    let name = name.into();
    Attribute { name, value }
}

/// The node of a case, and its operands.
fn node(case: &Value) -> (Node, Vec<Option<Constant>>) {
    let inputs = case["inputs"].as_array().unwrap().iter();
    let inputs: Vec<Option<Constant>> = inputs.map(|v| (!v.is_null()).then(|| tensor(v))).collect();
    let outputs = case["results"].as_array().map_or(1, Vec::len);
    let attributes = case["attributes"].as_object();
    let attributes = attributes.into_iter().flatten();
    let mut graph = Graph::new(0);
    let mut value = || Some(graph.add("value"));
    let node = Node {
        op: case["op"].as_str().unwrap().into(),
        domain: case["domain"].as_str().unwrap_or(STANDARD).into(),
        opset: case["opset"].as_i64().unwrap(),
        inputs: inputs
            .iter()
            .map(|c| c.as_ref().and_then(|_| value()))
            .collect(),
        outputs: (0..outputs).map(|_| value()).collect(),
        attributes: attributes.map(|(name, v)| attribute(name, v)).collect(),
        ..Node::default()
    };
    (node, inputs)
}

fn run(case: &Value) -> Result<Vec<Constant>, NodeError> {
    let (node, inputs) = node(case);
    let graph = Graph::new(0);
    let inputs = inputs.iter().map(Option::as_ref).collect();
    evaluate(&NodeView::new(&graph, &node), &Inputs::new(inputs))
}

/// Distance of two floats in units of the last place of their type.
fn ulps(got: f64, want: f64, bits: u32) -> f64 {
    if got.is_nan() && want.is_nan()
        || got == want && got.is_sign_negative() == want.is_sign_negative()
    {
        return 0.0;
    }
    if !got.is_finite() || !want.is_finite() {
        return f64::INFINITY;
    }
    let unit =
        2f64.powi(want.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor() as i32 - bits as i32);
    // Zeros of different signs are different.
    ((got - want).abs() / unit).max(if got == want { 0.5 } else { 0.0 })
}

fn check(case: &Value, got: &Constant, want: &Constant) -> Result<(), String> {
    if got.shape != want.shape {
        return Err(format!("shape {:?} instead of {:?}", got.shape, want.shape));
    }
    let (allowed, near) = (
        case["ulps"].as_f64().unwrap_or(0.0),
        case["near"].as_f64().unwrap_or(0.0),
    );
    let (got, want, bits) = match (&got.data, &want.data) {
        (Data::Float(a), Data::Float(b)) => {
            let wide = |v: &[f32]| v.iter().copied().map(f64::from).collect::<Vec<_>>();
            (wide(a), wide(b), 23)
        }
        (Data::Double(a), Data::Double(b)) => (a.clone(), b.clone(), 52),
        (a, b) if a == b => return Ok(()),
        (a, b) => return Err(format!("{a:?} instead of {b:?}")),
    };
    let finite = want.iter().filter(|v| v.is_finite());
    let largest = finite.fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (&a, &b)) in got.iter().zip(&want).enumerate() {
        let close = near > 0.0 && (a - b).abs() <= near * largest.max(1.0);
        if !close && ulps(a, b, bits) > allowed {
            return Err(format!("at {i} {a:e} instead of {b:e}"));
        }
    }
    Ok(())
}

/// A case is a kind of operator, or all.
fn failures(wanted: impl Fn(&Value) -> bool) -> (usize, Vec<String>) {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut count = 0;
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| wanted(case)) {
        count += 1;
        let say = |what: String| {
            let mut inputs = case["inputs"].to_string();
            inputs.truncate(160);
            let (op, opset, attributes) = (&case["op"], &case["opset"], &case["attributes"]);
            format!("case {number}: {op} {opset} {attributes} {inputs}: {what}")
        };
        match (run(case), case["results"].as_array()) {
            (Err(NodeError::Undefined { .. }), None) => {}
            (Err(_), None) if case["undefined"].is_null() => {}
            (Err(error), None) => wrong.push(say(format!("refused otherwise: {error}"))),
            (Ok(got), None) => wrong.push(say(format!("{got:?} where ONNX Runtime has none"))),
            (Err(error), Some(_)) => wrong.push(say(error.to_string())),
            (Ok(got), Some(want)) => {
                for (got, want) in got.iter().zip(want) {
                    if let Err(what) = check(case, got, &tensor(want)) {
                        wrong.push(say(what));
                    }
                }
            }
        }
    }
    (count, wrong)
}

#[test]
fn accepts_what_onnx_runtime_computes() {
    let (count, wrong) = failures(|case| case["results"].is_array());
    assert!(count > 1500, "{count} cases");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn rejects_what_onnx_runtime_has_no_kernel_for() {
    let (count, wrong) = failures(|case| case["refused"].is_boolean());
    assert!(count > 500, "{count} cases");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn rejects_what_has_no_value_on_every_machine() {
    let (count, wrong) = failures(|case| case["undefined"].is_boolean());
    assert!(count > 200, "{count} cases");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The types that follow without results are those of the results, whatever is known of the operands.
#[test]
fn accepts_types_of_results_that_are_not_known() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let graph = Graph::new(0);
    let (mut of_types, mut of_values, mut wrong) = (0, 0, Vec::new());
    for case in cases.iter().filter(|case| case["results"].is_array()) {
        let (node, inputs) = node(case);
        let view = NodeView::new(&graph, &node);
        let results = case["results"].as_array().unwrap();
        let want: Vec<Type> = results.iter().map(|v| tensor(v).ty()).collect();
        let given: Vec<Option<Type>> = inputs
            .iter()
            .map(|c| c.as_ref().map(Constant::ty))
            .collect();
        let operands = |known: &dyn Fn(usize) -> bool| {
            let operand = |i: usize| {
                let constant = inputs[i].as_ref().filter(|_| known(i));
                given[i].as_ref().map(|ty| Operand { ty, constant })
            };
            Operands((0..given.len()).map(operand).collect())
        };
        for (count, operands) in [
            (&mut of_types, operands(&|_| false)),
            (&mut of_values, operands(&|i| i > 0)),
        ] {
            let Some(got) = types(&view, &operands, &mut usize::MAX.clone()) else {
                continue;
            };
            *count += 1;
            if got[..want.len().min(got.len())] != want[..] {
                wrong.push(format!("{} {}: {got:?}, not {want:?}", node.op, node.opset));
            }
        }
    }
    assert!(
        of_types > 1000 && of_values > 1200,
        "{of_types} {of_values}"
    );
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
