//! Models from a few words.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, type_proto,
};

/// A model under construction.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) proto: ModelProto,
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto {
        name: name.into(),
        r#type,
        i: value,
        ..Default::default()
    }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto {
        name: name.into(),
        r#type,
        ints: values.to_vec(),
        ..Default::default()
    }
}

pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    let r#type = AttributeType::Float as i32;
    AttributeProto {
        name: name.into(),
        r#type,
        f: value,
        ..Default::default()
    }
}

pub(crate) fn value_info(name: &str, dtype: DataType, shape: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension {
        value: Some(if d < 0 {
            dimension::Value::DimParam("batch".into())
        } else {
            dimension::Value::DimValue(d)
        }),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: dtype as i32,
        shape: Some(TensorShapeProto {
            dim: shape.iter().map(dim).collect(),
        }),
    };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value,
            ..Default::default()
        }),
        ..Default::default()
    }
}

impl Model {
    pub(crate) fn new(opset: i64) -> Self {
        let set = |domain: &str, version| OperatorSetIdProto {
            domain: domain.into(),
            version,
        };
        let opset_import = vec![set("", opset), set("com.microsoft", 1)];
        let graph = Some(GraphProto::default());
        Self {
            proto: ModelProto {
                ir_version: 8,
                opset_import,
                graph,
                ..Default::default()
            },
        }
    }

    pub(crate) fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().unwrap()
    }

    pub(crate) fn input(mut self, name: &str, dtype: DataType, shape: &[i64]) -> Self {
        self.graph().input.push(value_info(name, dtype, shape));
        self
    }

    pub(crate) fn output(mut self, name: &str) -> Self {
        self.graph()
            .output
            .push(value_info(name, DataType::Float, &[]));
        self
    }

    pub(crate) fn floats(mut self, name: &str, dims: &[i64], data: &[f32]) -> Self {
        let (dims, float_data) = (dims.to_vec(), data.to_vec());
        let data_type = DataType::Float as i32;
        let name = name.into();
        self.graph().initializer.push(TensorProto {
            name,
            dims,
            data_type,
            float_data,
            ..Default::default()
        });
        self
    }

    pub(crate) fn doubles(mut self, name: &str, dims: &[i64], data: &[f64]) -> Self {
        self.graph().initializer.push(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: DataType::Double as i32,
            double_data: data.to_vec(),
            ..Default::default()
        });
        self
    }

    pub(crate) fn ints(mut self, name: &str, dtype: DataType, dims: &[i64], data: &[i64]) -> Self {
        let wide = dtype == DataType::Int64;
        self.graph().initializer.push(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: dtype as i32,
            int64_data: if wide { data.to_vec() } else { vec![] },
            int32_data: if wide {
                vec![]
            } else {
                data.iter().map(|&v| v as i32).collect()
            },
            ..Default::default()
        });
        self
    }

    /// Scale `name_s` and uint8 zero point `name_z`.
    pub(crate) fn scale(self, name: &str, scale: f32, zero: i64) -> Self {
        self.floats(&format!("{name}_s"), &[], &[scale]).ints(
            &format!("{name}_z"),
            DataType::Uint8,
            &[],
            &[zero],
        )
    }

    pub(crate) fn node(self, op: &str, inputs: &[&str], output: &str) -> Self {
        self.node_with(op, inputs, output, vec![])
    }

    /// A node; `op` may be preceded by its domain and two colons.
    pub(crate) fn node_with(
        mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) -> Self {
        let (domain, op) = op.split_once("::").unwrap_or(("", op));
        self.graph().node.push(NodeProto {
            input: inputs.iter().map(|&s| s.into()).collect(),
            output: vec![output.into()],
            name: format!("node_{output}"),
            op_type: op.into(),
            domain: domain.into(),
            attribute,
            ..Default::default()
        });
        self
    }

    /// QuantizeLinear of `x` with the parameters of `params`.
    pub(crate) fn quantize(self, x: &str, params: &str, y: &str) -> Self {
        self.node(
            "QuantizeLinear",
            &[x, &format!("{params}_s"), &format!("{params}_z")],
            y,
        )
    }

    /// DequantizeLinear of `x` with the parameters of `params`.
    pub(crate) fn dequantize(self, x: &str, params: &str, y: &str) -> Self {
        self.node(
            "DequantizeLinear",
            &[x, &format!("{params}_s"), &format!("{params}_z")],
            y,
        )
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// A float input `x`, quantized to `xq` and dequantized to `xf`, with uint8 parameters `x`.
    pub(crate) fn quantized_input(opset: i64, shape: &[i64]) -> Self {
        Self::new(opset)
            .input("x", DataType::Float, shape)
            .scale("x", 0.02, 3)
            .quantize("x", "x", "xq")
            .dequantize("xq", "x", "xf")
    }

    /// Int8 weights `w` and their dequantization `wf`.
    pub(crate) fn weights(self, dims: &[i64], data: &[i64], scale: f32) -> Self {
        self.ints("w", DataType::Int8, dims, data)
            .floats("w_s", &[], &[scale])
            .ints("w_z", DataType::Int8, &[], &[0])
            .dequantize("w", "w", "wf")
    }
}
