//! Single nodes on constants, with what ONNX Runtime computes for them (`tests/oracle/gen_eval_cases.py`).

use serde_json::Value;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto, tensor_proto};

use super::super::constant::{Constant, Data, Half};
use super::super::error::NodeError;
use super::super::node::NodeView;
use super::{Inputs, evaluate};
use zkonnx_circuits::program::DataType;

const CASES: &str = include_str!("cases.json");

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

fn attribute(name: &str, value: &Value) -> AttributeProto {
    let mut proto = AttributeProto {
        name: name.into(),
        ..Default::default()
    };
    let kind = match value {
        Value::Number(v) => {
            proto.i = v.as_i64().unwrap();
            AttributeType::Int
        }
        Value::String(text) => {
            proto.s = text.clone().into_bytes();
            AttributeType::String
        }
        Value::Array(_) => {
            proto.ints = list(value).into_iter().map(|v| v as i64).collect();
            AttributeType::Ints
        }
        Value::Object(map) if map.contains_key("float") => {
            proto.f = f32::from_bits(value["float"].as_u64().unwrap() as u32);
            AttributeType::Float
        }
        _ => {
            let Data::Int(DataType::U8, data) = tensor(&value["tensor"]).data else {
                panic!("only tensors of uint8 occur");
            };
            proto.t = Some(TensorProto {
                dims: vec![data.len() as i64],
                data_type: tensor_proto::DataType::Uint8 as i32,
                raw_data: data.into_iter().map(|v| v as u8).collect(),
                ..Default::default()
            });
            AttributeType::Tensor
        }
    };
    proto.r#type = kind as i32;
    proto
}

fn run(case: &Value) -> Result<Vec<Constant>, NodeError> {
    let inputs: Vec<Option<Constant>> = case["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (!v.is_null()).then(|| tensor(v)))
        .collect();
    let name =
        |(i, c): (usize, &Option<Constant>)| c.as_ref().map_or(String::new(), |_| format!("i{i}"));
    let outputs = case["results"].as_array().map_or(1, Vec::len);
    let attributes = case["attributes"].as_object();
    let node = NodeProto {
        op_type: case["op"].as_str().unwrap().into(),
        domain: case["domain"].as_str().unwrap_or_default().into(),
        input: inputs.iter().enumerate().map(name).collect(),
        output: (0..outputs).map(|i| format!("o{i}")).collect(),
        attribute: attributes
            .map(|map| map.iter().map(|(name, v)| attribute(name, v)).collect())
            .unwrap_or_default(),
        ..Default::default()
    };
    let view = NodeView::new(&node, case["opset"].as_i64().unwrap());
    evaluate(
        &view,
        &Inputs::new(inputs.iter().map(Option::as_ref).collect()),
    )
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
