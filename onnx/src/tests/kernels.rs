//! Groups with an integer kernel and groups without, and what is said of them. Expected values are ONNX Runtime's.

use tract_onnx::pb::tensor_proto::DataType;

use crate::tests::build::{Model, int, ints};
use crate::tests::groups::{accepted, problem};
use crate::{Exactness, Imported, NodeError, Status};
use zkonnx_circuits::program::Tensor;

/// What is said of a float sum whose roundings are smaller than the steps of the output.
const SUM: Exactness = Exactness::Sum { apart: 1 };

/// Runs the program on one list of integers for each input.
pub(crate) fn run(imported: &Imported, data: &[&[i64]]) -> Vec<i64> {
    let program = &imported.program;
    let tensor = |(port, data): (&zkonnx_circuits::program::Port, &&[i64])| {
        let fact = program.fact(port.tensor);
        Tensor::new(fact.dtype, fact.shape.clone(), data.to_vec())
    };
    let inputs: Vec<Tensor> = program.inputs().iter().zip(data).map(tensor).collect();
    program.execute(&inputs).unwrap().outputs()[0].data.clone()
}

/// What is said of the last QuantizeLinear.
pub(crate) fn exactness(imported: &Imported) -> Exactness {
    match imported.report.last().unwrap().status {
        Status::Closed(exactness) => exactness,
        other => panic!("{other:?}"),
    }
}

/// Two inputs of eight elements, combined and quantized with scale 0.04 and zero point 30.
fn pair(op: &str, relu: bool, of_b: (DataType, i64)) -> Model {
    let model = Model::new(17)
        .input("a", DataType::Uint8, &[1, 8])
        .input("b", of_b.0, &[1, 8])
        .scale("a", 0.02, 120)
        .floats("b_s", &[], &[0.03])
        .ints("b_z", of_b.0, &[], &[of_b.1])
        .scale("y", 0.04, 30)
        .dequantize("a", "a", "af")
        .dequantize("b", "b", "bf")
        .node(op, &["af", "bf"], "c");
    let (model, last) = match relu {
        true => (model.node("Relu", &["c"], "r"), "r"),
        false => (model, "c"),
    };
    model.quantize(last, "y", "y").output("y")
}

#[test]
fn accepts_pairs_without_a_kernel_by_their_float_steps() {
    let a: &[i64] = &[71, 99, 111, 125, 127, 129, 133, 141];
    let sum = accepted(&pair("Add", false, (DataType::Int8, -124)));
    assert_eq!(exactness(&sum), Exactness::Steps);
    assert_eq!(run(&sum, &[a, &[-128; 8]]), [3, 17, 23, 29, 31, 31, 33, 37]);
    let clamped = accepted(&pair("Add", true, (DataType::Uint8, 124)));
    assert_eq!(exactness(&clamped), Exactness::Steps);
    assert_eq!(
        run(&clamped, &[a, &[120; 8]]),
        [30, 30, 30, 30, 31, 31, 33, 37]
    );
    let product = accepted(&pair("Mul", false, (DataType::Int8, -124)));
    assert_eq!(exactness(&product), Exactness::Steps);
    let a: &[i64] = &[245, 245, 20, 100, 140, 220, 20, 220];
    let b: &[i64] = &[-128, -120, -119, -119, -119, -119, -115, -115];
    assert_eq!(run(&product, &[a, b]), [23, 37, 23, 29, 31, 37, 17, 43]);
}

#[test]
fn accepts_pairs_of_one_type_as_kernels() {
    for op in ["Add", "Mul"] {
        let imported = accepted(&pair(op, false, (DataType::Uint8, 124)));
        assert_eq!(exactness(&imported), Exactness::Kernel, "{op}");
    }
    // A second reader keeps the group in float.
    let forked = pair("Add", false, (DataType::Uint8, 124))
        .scale("z", 0.08, 30)
        .quantize("c", "z", "z")
        .output("z");
    assert_eq!(exactness(&accepted(&forked)), Exactness::Steps);
}

#[test]
fn accepts_the_fused_product_of_qlinear_add() {
    let sum = Model::new(17)
        .input("a", DataType::Uint8, &[1])
        .input("b", DataType::Uint8, &[1])
        .scale("a", f32::from_bits(1_000_674_999), 208)
        .scale("b", f32::from_bits(1_029_483_540), 195)
        .scale("y", f32::from_bits(1_001_641_052), 186)
        .node(
            "com.microsoft::QLinearAdd",
            &["a", "a_s", "a_z", "b", "b_s", "b_z", "y_s", "y_z"],
            "y",
        )
        .output("y");
    // Rounding the products on their own gives 42.
    let imported = accepted(&sum);
    assert_eq!(run(&imported, &[&[211], &[180]]), [41]);
    assert_eq!(exactness(&imported), Exactness::Kernel);
}

fn with_bias(op: &str, x_shape: &[i64], w: (&[i64], &[i64]), bias: (DataType, &[i64])) -> Model {
    Model::new(17)
        .input("x", DataType::Uint8, x_shape)
        .scale("x", 0.02, 3)
        .dequantize("x", "x", "xf")
        .weights(w.0, w.1, 0.01)
        .ints("b", bias.0, &[2], bias.1)
        .floats("b_s", &[], &[0.004])
        .ints("b_z", bias.0, &[], &[0])
        .dequantize("b", "b", "bf")
        .scale("y", 0.004, 100)
        .node(op, &["xf", "wf", "bf"], "c")
        .quantize("c", "y", "y")
        .output("y")
}

#[test]
fn accepts_a_bias_with_a_scale_of_its_own() {
    let gemm = (&[3, 2][..], &[1, -2, 3, 4, -5, 6][..]);
    let x: &[&[i64]] = &[&[10, 200, 3]];
    // QGemm adds int32 whatever its scale.
    let int32 = accepted(&with_bias(
        "Gemm",
        &[1, 3],
        gemm,
        (DataType::Int32, &[50, -70]),
    ));
    assert_eq!(
        (run(&int32, x), exactness(&int32)),
        (vec![132, 135], Exactness::Kernel)
    );
    // There is no kernel of an 8-bit bias.
    let int8 = accepted(&with_bias(
        "Gemm",
        &[1, 3],
        gemm,
        (DataType::Int8, &[50, -70]),
    ));
    assert_eq!((run(&int8, x), exactness(&int8)), (vec![180, 69], SUM));
    // QLinearConv adds int32 of a near scale only.
    let conv = (&[2, 1, 1, 1][..], &[1, -2][..]);
    let bias = (DataType::Int32, &[50, -70][..]);
    let other = accepted(&with_bias("Conv", &[1, 1, 1, 3], conv, bias));
    assert_eq!(run(&other, x), [150, 160, 150, 29, 10, 30]);
    assert_eq!(exactness(&other), SUM);
}

#[test]
fn accepts_float_products_of_what_has_no_kernel() {
    let weights = (&[1, 2, 1, 1][..], &[1, -2][..]);
    let bias = (DataType::Int32, &[50, -70][..]);
    let transposed = accepted(&with_bias("ConvTranspose", &[1, 1, 1, 3], weights, bias));
    assert_eq!(exactness(&transposed), SUM);
    assert_eq!(
        run(&transposed, &[&[10, 200, 3]]),
        [150, 160, 150, 29, 10, 30]
    );
    // Its exact label would be wrong, and so is its distance then.
    assert_eq!((SUM.is_exact(), SUM.distance()), (false, Some(1)));
}

fn average(include: i64) -> Model {
    let attributes = vec![
        ints("kernel_shape", &[1, 2]),
        ints("pads", &[0, 1, 0, 1]),
        int("count_include_pad", include),
    ];
    Model::new(17)
        .input("x", DataType::Uint8, &[1, 1, 1, 3])
        .scale("x", 0.5, 3)
        .scale("y", 0.25, 7)
        .dequantize("x", "x", "xf")
        .node_with("AveragePool", &["xf"], "c", attributes)
        .quantize("c", "y", "y")
        .output("y")
}

#[test]
fn accepts_padding_in_averages_as_the_attribute_says() {
    let x: &[&[i64]] = &[&[13, 23, 53]];
    assert_eq!(run(&accepted(&average(0)), x), [27, 37, 77, 107]);
    assert_eq!(run(&accepted(&average(1)), x), [17, 37, 77, 57]);
}

#[test]
fn accepts_what_is_not_a_number_as_the_lowest_value() {
    let root = Model::new(17)
        .input("x", DataType::Uint8, &[4])
        .scale("x", 1.0, 100)
        .scale("y", 0.1, 90)
        .dequantize("x", "x", "xf")
        .node("Sqrt", &["xf"], "c")
        .quantize("c", "y", "y")
        .output("y");
    assert_eq!(
        run(&accepted(&root), &[&[0, 99, 100, 104]]),
        [0, 0, 90, 110]
    );
}

#[test]
fn accepts_functions_as_exact_only_where_no_entry_is_doubtful() {
    let model = |scale: f32| {
        Model::new(17)
            .input("x", DataType::Uint8, &[4])
            .scale("x", 0.05, 128)
            .scale("y", scale, 0)
            .dequantize("x", "x", "xf")
            .node("Erf", &["xf"], "c")
            .quantize("c", "y", "y")
            .output("y")
    };
    assert!(exactness(&accepted(&model(0.01))).is_exact());
    // Steps nearly as fine as those of binary32, around erf(0.05) = 0.0564.
    let fine = exactness(&accepted(&model(1e-7)));
    assert!(fine.is_exact(), "all but the smallest saturate: {fine}");
    let wide = Model::new(21)
        .input("x", DataType::Uint8, &[4])
        .scale("x", 0.05, 128)
        .floats("y_s", &[], &[3e-5])
        .ints("y_z", DataType::Uint16, &[], &[32_768])
        .dequantize("x", "x", "xf")
        .node("Erf", &["xf"], "c")
        .quantize("c", "y", "y")
        .output("y");
    let wide = exactness(&accepted(&wide));
    assert!(
        matches!(wide, Exactness::Functions { entries: 256, .. }),
        "{wide}"
    );
}

#[test]
fn accepts_a_resize_to_the_same_shape_as_a_copy() {
    let model = |scales: &[f32]| {
        Model::new(13)
            .input("x", DataType::Uint8, &[1, 29])
            .floats("none", &[0], &[])
            .floats("scales", &[2], scales)
            .scale("x", 0.5, 3)
            .dequantize("x", "x", "xf")
            .node("Resize", &["xf", "none", "scales"], "c")
            .quantize("c", "x", "y")
            .output("y")
    };
    // The size is 29.99…, rounded down.
    let counting: Vec<i64> = (0..29).collect();
    let copied = accepted(&model(&[1.0, 30.0 / 29.0]));
    assert_eq!(run(&copied, &[&counting]), counting);
    // Beside an axis that grows the scale counts.
    let taken = run(&accepted(&model(&[2.0, 30.0 / 29.0])), &[&counting]);
    assert_eq!((taken.len(), taken[14], taken[15]), (58, 14, 14));
}

#[test]
fn rejects_kernels_whose_results_leave_int32() {
    let tiny = |op: &str, scale: f32| {
        let model = Model::new(17)
            .input("a", DataType::Uint8, &[1, 1, 2, 2])
            .scale("a", 0.02, 120)
            .scale("y", scale, 30)
            .dequantize("a", "a", "af");
        let model = match op {
            "AveragePool" => {
                let kernel = vec![ints("kernel_shape", &[2, 2])];
                model.node_with(op, &["af"], "c", kernel)
            }
            _ => model
                .input("b", DataType::Uint8, &[1, 1, 2, 2])
                .dequantize("b", "a", "bf")
                .node(op, &["af", "bf"], "c"),
        };
        model.quantize("c", "y", "y").output("y")
    };
    for op in ["Add", "Mul", "AveragePool"] {
        // Results of 135 · 0.02, twice or squared, over the scale.
        let NodeError::Input { what, reason, .. } = problem(&tiny(op, 1e-9)) else {
            panic!("{op}");
        };
        assert_eq!(what, "the scale");
        assert!(reason.contains("int32"), "{reason}");
        accepted(&tiny(op, 1e-8));
    }
    // Without a kernel the float is saturated before it is converted.
    let difference = accepted(&tiny("Sub", 1e-12));
    assert_eq!(
        run(&difference, &[&[1, 2, 3, 4], &[0, 9, 3, 4]]),
        [255, 0, 30, 30]
    );
}

/// A Clip of `x` (scale 0.1, zero point 100) to 0 and 4, quantized with a scale and the zero point 120.
fn clipped(scale: f32) -> Model {
    Model::new(17)
        .input("x", DataType::Uint8, &[4])
        .scale("x", 0.1, 100)
        .scale("y", scale, 120)
        .floats("lo", &[], &[0.0])
        .floats("hi", &[], &[4.0])
        .dequantize("x", "x", "xf")
        .node("Clip", &["xf", "lo", "hi"], "c")
        .quantize("c", "y", "y")
        .output("y")
}

/// ONNX Runtime drops a Clip whose limits are within the machine's epsilon of what the quantization can hold.
#[test]
fn rejects_a_clip_that_a_tiny_scale_hides() {
    let x: &[&[i64]] = &[&[0, 100, 120, 255]];
    assert_eq!(run(&accepted(&clipped(0.1)), x), [120, 120, 140, 160]);
    // 120 steps below zero are 1.2e-4, then 1.2e-7 and more than that, then 1.2e-8.
    assert_eq!(run(&accepted(&clipped(1e-6)), x), [120, 120, 255, 255]);
    accepted(&clipped(1e-9 * 0.9935));
    for scale in [0.9e-9, 1e-10, 1e-12, 1e-30, 1.2e-38] {
        let NodeError::Island { reason } = problem(&clipped(scale)) else {
            panic!("{scale}");
        };
        assert!(reason.contains("drops the Clip"), "{reason}");
    }
}

/// A Relu before any input of a Clip is taken for one of the data.
#[test]
fn rejects_a_limit_that_a_relu_gives() {
    let model = |given: &str| {
        Model::new(17)
            .input("x", DataType::Uint8, &[4])
            .scale("x", 0.1, 100)
            .floats("lo", &[], &[-2.0])
            .floats("limit", &[], &[4.0])
            .dequantize("x", "x", "xf")
            .node("Relu", &["limit"], "hi")
            .node("Clip", &["xf", "lo", given], "c")
            .quantize("c", "x", "y")
            .output("y")
    };
    accepted(&model("limit"));
    let NodeError::Input { input, reason, .. } = problem(&model("hi")) else {
        panic!();
    };
    assert_eq!(input, 2);
    assert!(reason.contains("Relu"), "{reason}");
}

/// A float bias is made int32 of the scales' product, and what becomes of a larger one is the machine's.
#[test]
fn rejects_a_float_bias_that_leaves_int32() {
    let model = |op: &str, bias: [f32; 2]| {
        let (shape, w): (&[i64], &[i64]) = match op {
            "Gemm" => (&[1, 1], &[1, 2]),
            "Conv" => (&[1, 1, 1, 3], &[2, 1, 1, 1]),
            _ => (&[1, 1, 1, 3], &[1, 2, 1, 1]),
        };
        Model::new(17)
            .input("x", DataType::Uint8, shape)
            .scale("x", 0.5, 3)
            .scale("w", 0.5, 0)
            .scale("y", 0.25, 7)
            .ints("w", DataType::Uint8, w, &[1, 2])
            .floats("b", &[2], &bias)
            .dequantize("x", "x", "xf")
            .dequantize("w", "w", "wf")
            .node(op, &["xf", "wf", "b"], "c")
            .quantize("c", "y", "y")
            .output("y")
    };
    for op in ["Gemm", "Conv", "ConvTranspose"] {
        // 2^31 · 0.25, and less, so that sums fit as well.
        accepted(&model(op, [1.0, 536_000_000.0]));
        for bias in [536_870_912.0, -536_870_912.0, 9.2e18] {
            let NodeError::Input { what, reason, .. } = problem(&model(op, [1.0, bias])) else {
                panic!("{op}");
            };
            assert_eq!(what, "the bias");
            assert!(reason.contains("int32"), "{reason}");
        }
    }
}

/// Reals that are infinite once did not let the search for a sum of integers end.
#[test]
fn rejects_scales_whose_reals_are_infinite() {
    let model = |scale: f32| {
        let model = Model::new(17)
            .input("a", DataType::Uint8, &[4])
            .input("b", DataType::Uint8, &[4])
            .scale("a", 0.01, 128)
            .scale("b", scale, 0)
            .dequantize("a", "a", "af")
            .dequantize("b", "b", "bf")
            .node("Sub", &["af", "bf"], "c");
        model.quantize("c", "a", "y").output("y")
    };
    // 255 · 1e36 is a float, 255 · 3e37 is none.
    let NodeError::Island { reason } = problem(&model(1e36)) else {
        panic!();
    };
    assert!(reason.contains("too far apart"), "{reason}");
    let NodeError::Input { what, reason, .. } = problem(&model(3e37)) else {
        panic!();
    };
    assert_eq!(what, "the scale");
    assert!(reason.contains("infinite"), "{reason}");
}

/// A matrix product with one column and one value that is added to it are a QGemm, with the value as int32.
#[test]
fn accepts_one_value_as_the_bias_of_one_column() {
    let model = |columns: i64, dims: &[i64], bias: f32| {
        Model::new(17)
            .input("x", DataType::Uint8, &[1, 2])
            .scale("x", 0.5, 3)
            .scale("w", 0.5, 0)
            .scale("y", 0.25, 7)
            .ints(
                "w",
                DataType::Uint8,
                &[2, columns],
                &[1, 2, 3, 4][..2 * columns as usize],
            )
            .floats("b", dims, &[bias])
            .dequantize("x", "x", "xf")
            .dequantize("w", "w", "wf")
            .node("MatMul", &["xf", "wf"], "m")
            .node("Add", &["m", "b"], "c")
            .quantize("c", "y", "y")
            .output("y")
    };
    let imported = accepted(&model(1, &[1], 1.1));
    assert_eq!(exactness(&imported), Exactness::Kernel);
    // 2·1 + 7·2 + rint(4.4), and the zero point.
    assert_eq!(run(&imported, &[&[5, 10]]), [27]);
    let NodeError::Input { what, .. } = problem(&model(1, &[1], 9.2e18)) else {
        panic!();
    };
    assert_eq!(what, "the bias");
    // No Gemm, or one without a kernel: the float is added.
    for (columns, dims) in [(1, &[1, 1][..]), (2, &[1]), (2, &[1, 1])] {
        let imported = accepted(&model(columns, dims, 1.1));
        assert_eq!(exactness(&imported), SUM);
    }
}
