//! The float tail: what is computed after the last integer tensors, compared with stored answers of ONNX Runtime.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, int, ints};
use crate::{TailData, TailError, TailTensor, import};
use zkonnx_circuits::program::Tensor;

/// What the tail of `model` makes of the integers `x`, one by one.
fn tail(model: &Model, x: &[i64]) -> Vec<Result<TailTensor, TailError>> {
    let imported = import(&model.bytes()).unwrap_or_else(|e| panic!("{e}"));
    let program = &imported.program;
    let fact = program.fact(program.inputs()[0].tensor);
    let x = Tensor::new(fact.dtype, fact.shape.clone(), x.to_vec());
    let trace = program.execute(&[x]).unwrap();
    let outputs = trace.outputs();
    imported.float_tail.unwrap().evaluate(program, &outputs)
}

fn quantized(shape: &[i64]) -> Model {
    Model::new(17)
        .input("x", DataType::Float, shape)
        .scale("x", 0.05, 128)
        .quantize("x", "x", "q")
        .dequantize("q", "x", "y")
}

#[test]
fn accepts_a_tail_with_the_values_of_onnx_runtime() {
    let model = quantized(&[1, 6])
        .ints("two", DataType::Int64, &[2], &[2, 3])
        .node("Reshape", &["y", "two"], "r")
        .node_with("Softmax", &["r"], "p", vec![int("axis", 1)])
        .node_with(
            "ArgMax",
            &["p"],
            "a",
            vec![int("axis", 1), int("keepdims", 0)],
        )
        .floats("c", &[1], &[0.5])
        .node("Mul", &["y", "c"], "m")
        .node("Tanh", &["m"], "t")
        .output("p")
        .output("a")
        .output("t");
    let got = tail(&model, &[134, 104, 168, 128, 138, 138]);
    let expected: [&[f32]; 2] = [
        &[
            0.149_318_86,
            0.033_317_54,
            0.817_363_6,
            0.232_696_55,
            0.383_651_73,
            0.383_651_73,
        ],
        &[
            0.148_885_03,
            -0.537_049_6,
            0.761_594_2,
            0.0,
            0.244_918_66,
            0.244_918_66,
        ],
    ];
    for (name, expected) in ["p", "t"].into_iter().zip(expected) {
        let found = got.iter().flatten().find(|t| t.name == name).unwrap();
        let TailData::Floats(data) = &found.data else {
            panic!("{name} is not float");
        };
        for (got, expected) in data.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{name}: {got} {expected}");
        }
    }
    let a = got.iter().flatten().find(|t| t.name == "a").unwrap();
    assert_eq!(a.shape, [2]);
    assert!(matches!(&a.data, TailData::Integers(_, data) if data == &[2, 1]));
}

#[test]
fn accepts_scales_along_an_axis_before_a_tail() {
    // An accumulator that leaves the model unquantized is int32 with a scale for each channel.
    let model = Model::quantized_input(17, &[1, 2])
        .ints("w", DataType::Int8, &[2, 2], &[1, 0, 0, 1])
        .floats("w_s", &[2], &[0.5, 0.25])
        .ints("w_z", DataType::Int8, &[2], &[0, 0])
        .node_with(
            "DequantizeLinear",
            &["w", "w_s", "w_z"],
            "wf",
            vec![int("axis", 1)],
        )
        .node("Gemm", &["xf", "wf"], "g")
        .node("Neg", &["g"], "n")
        .output("n");
    let got = tail(&model, &[13, 23]);
    let TailData::Floats(data) = &got[0].as_ref().unwrap().data else {
        panic!("not float");
    };
    // (13 − 3) · 0.02 · 0.5 and (23 − 3) · 0.02 · 0.25
    assert!(data.iter().all(|v| (v + 0.1).abs() < 1e-7), "{data:?}");
}

#[test]
fn rejects_what_it_cannot_compute_with_the_node() {
    let model = quantized(&[1, 6])
        .node("Softmax", &["y"], "p")
        .node("Det", &["y"], "d")
        .output("p")
        .output("d");
    let got = tail(&model, &[128; 6]);
    assert!(got[0].is_ok());
    match &got[1] {
        Err(TailError::Node { node, op, .. }) => {
            assert_eq!((node.as_str(), op.as_str()), ("node_d", "Det"))
        }
        other => panic!("{other:?}"),
    }
    let model = quantized(&[1, 6]).node("Add", &["y", "x"], "s").output("s");
    assert!(matches!(
        &tail(&model, &[128; 6])[0],
        Err(TailError::RawInput { input }) if input == "x"
    ));
}

/// A tail of operators that combine elements, whose attributes and shapes can go wrong.
fn long_tail() -> Model {
    let image = vec![ints("kernel_shape", &[2, 2]), ints("pads", &[1, 1, 0, 0])];
    Model::new(17)
        .input("x", DataType::Float, &[1, 2, 4, 4])
        .scale("x", 0.05, 128)
        .quantize("x", "x", "q")
        .dequantize("q", "x", "y")
        .floats("w", &[2, 2, 2, 2], &[0.5; 16])
        .floats("v", &[8, 3], &[0.25; 24])
        .floats("c", &[3], &[0.1, 0.2, 0.3])
        .ints("s", DataType::Int64, &[2], &[4, -1])
        .ints("k", DataType::Int64, &[1], &[2])
        .node("Sigmoid", &["y"], "z")
        .node_with("Conv", &["z", "w"], "a", image.clone())
        .node_with("MaxPool", &["a"], "b", image.clone())
        .node_with("AveragePool", &["b"], "d", image)
        .node("Reshape", &["d", "s"], "e")
        .node_with("Gemm", &["e", "v", "c"], "f", vec![int("transA", 0)])
        .node_with("Softmax", &["f"], "p", vec![int("axis", 1)])
        .node_with("ReduceMean", &["f"], "m", vec![ints("axes", &[0])])
        .node("Add", &["p", "m"], "n")
        .node_with("Transpose", &["n"], "t", vec![ints("perm", &[1, 0])])
        .node_with("ArgMax", &["t"], "i", vec![int("axis", 0)])
        .node_with("Concat", &["t", "t"], "j", vec![int("axis", 1)])
        .node("Gather", &["j", "k"], "g")
        .output("p")
        .output("i")
        .output("g")
}

#[test]
fn accepts_a_long_tail() {
    let got = tail(&long_tail(), &[100; 32]);
    assert_eq!(got.iter().filter(|t| t.is_ok()).count(), 3, "{got:?}");
}

#[test]
fn rejects_hostile_tails_without_a_panic() {
    let bytes = long_tail().bytes();
    let mut rng = zkonnx_circuits::testing::Rng(9);
    let mut computed = 0;
    for _ in 0..20_000 {
        let mut mutant = bytes.clone();
        for _ in 0..=rng.within(0, 2) {
            let at = rng.within(0, bytes.len() as i64 - 1) as usize;
            mutant[at] = match rng.within(0, 3) {
                0 => mutant[at].wrapping_add(1),
                1 => mutant[at].wrapping_sub(1),
                2 => 0,
                _ => rng.next() as u8,
            };
        }
        let Ok(imported) = import(&mutant) else {
            continue;
        };
        let program = &imported.program;
        let inputs: Vec<Tensor> = program
            .inputs()
            .iter()
            .map(|port| {
                let fact = program.fact(port.tensor);
                Tensor::new(
                    fact.dtype,
                    fact.shape.clone(),
                    vec![fact.range.hi; fact.len()],
                )
            })
            .collect();
        if let (Ok(trace), Some(tail)) = (program.execute(&inputs), &imported.float_tail) {
            computed += tail.evaluate(program, &trace.outputs()).len();
        }
    }
    assert!(computed > 1000, "{computed}");
}
