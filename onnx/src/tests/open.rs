//! Open dimensions, and what binds them.

use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto;

use crate::tests::build::Model;
use crate::{Bindings, ImportError, OpenInput, Registry, import_bound, open_inputs};

#[test]
fn accepts_open_dimensions_that_are_bound() {
    let open = |name: Option<&str>| {
        let mut model = Model::quantized_input(17, &[1, 4])
            .node("Relu", &["xf"], "r")
            .quantize("r", "x", "y")
            .output("y");
        let dim = match name {
            Some(name) => dimension::Value::DimParam(name.into()),
            None => dimension::Value::DimValue(-1),
        };
        let value = model.graph().input[0]
            .r#type
            .as_mut()
            .unwrap()
            .value
            .as_mut();
        let Some(type_proto::Value::TensorType(tensor)) = value else {
            panic!()
        };
        tensor.shape.as_mut().unwrap().dim[1].value = Some(dim);
        model.bytes()
    };
    let bound = |bytes: &[u8], dims: &[(&str, usize)], shape: &[usize]| {
        let bindings = Bindings {
            dims: dims.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect(),
            shapes: [("x".to_owned(), shape.to_vec())].into(),
        };
        let imported = import_bound(bytes, &Registry::new(), &bindings)?;
        let port = &imported.program.inputs()[0];
        Ok::<_, ImportError>(imported.program.fact(port.tensor).shape.clone())
    };
    let (named, unnamed) = (open(Some("seq")), open(None));
    assert_eq!(bound(&named, &[("seq", 6)], &[]), Ok(vec![1, 6]));
    assert_eq!(bound(&named, &[("x:1", 7)], &[]), Ok(vec![1, 7]));
    assert_eq!(bound(&unnamed, &[("x:1", 7)], &[]), Ok(vec![1, 7]));
    assert_eq!(bound(&unnamed, &[], &[9, 5]), Ok(vec![1, 5]));
    // What is said counts more than what samples have.
    assert_eq!(bound(&named, &[("seq", 6)], &[1, 5]), Ok(vec![1, 6]));
    let Err(ImportError::Input { source, .. }) = bound(&named, &[], &[]) else {
        panic!()
    };
    assert_eq!(
        source.to_string(),
        "axis 1 has no fixed extent: give one, such as --dim seq=16"
    );
    let Err(unknown) = bound(&named, &[("sex", 6)], &[1, 5]) else {
        panic!()
    };
    assert_eq!(
        unknown.to_string(),
        "no input has an open dimension `sex`; the model has seq"
    );
    let huge = bound(&named, &[("seq", usize::MAX)], &[]);
    assert!(matches!(huge, Err(ImportError::Input { .. })));
    assert_eq!(
        open_inputs(&named).unwrap(),
        [OpenInput {
            input: "x".into(),
            shape: vec![Some(1), None]
        }]
    );
}
