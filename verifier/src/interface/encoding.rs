//! The bytes of an interface, as FORMATS.md lists them, and the hashes that make a program id.

use alloc::string::String;
use alloc::vec::Vec;

use super::{
    Attribute, AttributeValue, ElementType, FloatConstant, FloatNode, Head, InputIntegers,
    Interface, InterfaceError, InterfaceInput, InterfaceOutput, InterfaceParts, ModelOutput,
    Quantization, Rounding, Source,
};
use crate::claim::hash256;
use crate::codec::{Reader, Writer};
use crate::error::{DecodeError, TensorError};
use crate::tensor::{DataType, MAX_RANK, PortSpec};

/// The first bytes of an encoded interface.
pub const INTERFACE_MAGIC: [u8; 4] = *b"zkxI";
/// The version of the interface's format.
pub const INTERFACE_VERSION: u16 = 1;
/// The personalization of the body's hash.
pub const BODY_PERSONAL: &[u8; 16] = b"zkonnx body v1..";
const INTERFACE_PERSONAL: &[u8; 16] = b"zkonnx iface v1.";
const PROGRAM_PERSONAL: &[u8; 16] = b"zkonnx program2.";

/// The hash of a body's bytes.
pub fn body_hash(body: &[u8]) -> [u8; 32] {
    hash256(BODY_PERSONAL, body)
}

/// The id of the program with these hashes of interface and body.
pub fn program_id(interface_hash: &[u8; 32], body_hash: &[u8; 32]) -> [u8; 32] {
    let mut both = [0; 64];
    let halves = interface_hash.iter().chain(body_hash);
    for (to, from) in both.iter_mut().zip(halves) {
        *to = *from;
    }
    hash256(PROGRAM_PERSONAL, &both)
}

impl Interface {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let parts = self.parts();
        let mut out = Vec::new();
        out.put_header(INTERFACE_MAGIC, INTERFACE_VERSION);
        list(&mut out, &parts.inputs, put_input);
        list(&mut out, &parts.outputs, |out, output| {
            output.spec.write(out);
            put_quantization(out, output.quantization.as_ref());
        });
        list(&mut out, &parts.model_outputs, |out, output| {
            put_bytes(out, output.name.as_bytes());
            put_source(out, Some(&output.source));
        });
        list(&mut out, &parts.constants, put_constant);
        list(&mut out, &parts.nodes, put_node);
        out
    }

    /// The interface with these bytes, which have to be canonical and complete.
    pub fn decode(bytes: &[u8]) -> Result<Self, InterfaceError> {
        let mut reader = Reader::new(bytes);
        reader.header(INTERFACE_MAGIC, INTERFACE_VERSION)?;
        let parts = InterfaceParts {
            inputs: items(&mut reader, 6, read_input)?,
            outputs: items(&mut reader, 3, |reader| {
                Ok(InterfaceOutput {
                    spec: PortSpec::read(reader)?,
                    quantization: read_quantization(reader)?,
                })
            })?,
            model_outputs: items(&mut reader, 5, |reader| {
                let name = text(reader)?;
                let source = read_source(reader)?;
                let source = source.ok_or(DecodeError::UnknownCode {
                    what: "source",
                    code: 0,
                })?;
                Ok(ModelOutput { name, source })
            })?,
            constants: items(&mut reader, 2, read_constant)?,
            nodes: items(&mut reader, 28, read_node)?,
        };
        reader.finish()?;
        Self::new(parts)
    }

    /// BLAKE2b-256 of the canonical bytes, personalized as `zkonnx iface v1.`.
    pub fn hash(&self) -> [u8; 32] {
        hash256(INTERFACE_PERSONAL, &self.encode())
    }

    /// The id of the program with this interface and a body of this hash.
    pub fn program_id(&self, body_hash: &[u8; 32]) -> [u8; 32] {
        program_id(&self.hash(), body_hash)
    }
}

fn list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    out.put_count(items.len());
    items.iter().for_each(|item| put(out, item));
}

/// Items that take at least `min_bytes` each.
fn items<'a, T>(
    reader: &mut Reader<'a>,
    min_bytes: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T, InterfaceError>,
) -> Result<Vec<T>, InterfaceError> {
    let count = reader.count(min_bytes)?;
    (0..count).map(|_| read(reader)).collect()
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_count(bytes.len());
    out.extend_from_slice(bytes);
}

fn bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>, InterfaceError> {
    let len = reader.count(1)?;
    Ok(reader.take(len)?.to_vec())
}

fn text(reader: &mut Reader<'_>) -> Result<String, InterfaceError> {
    String::from_utf8(bytes(reader)?).map_err(|_| InterfaceError::NotText)
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn read_i64(reader: &mut Reader<'_>) -> Result<i64, InterfaceError> {
    Ok(i64::from_le_bytes(reader.array()?))
}

fn unknown(what: &'static str, code: u8) -> InterfaceError {
    DecodeError::UnknownCode { what, code }.into()
}

fn put_shape(out: &mut Vec<u8>, shape: &[u32]) {
    // A rank is at most `MAX_RANK`.
    out.push(shape.len() as u8);
    shape.iter().for_each(|&dim| out.put_u32(dim));
}

fn shape(reader: &mut Reader<'_>) -> Result<Vec<u32>, InterfaceError> {
    let rank = usize::from(reader.u8()?);
    if rank > MAX_RANK {
        return Err(DecodeError::from(TensorError::RankTooLarge { rank }).into());
    }
    (0..rank).map(|_| Ok(reader.u32()?)).collect()
}

fn dtype(reader: &mut Reader<'_>) -> Result<DataType, InterfaceError> {
    let code = reader.u8()?;
    Ok(DataType::from_code(code).ok_or(DecodeError::UnknownDataType { code })?)
}

/// Zero for none; otherwise one, the axis plus one (zero for none), the scales, the zero points.
fn put_quantization(out: &mut Vec<u8>, quantization: Option<&Quantization>) {
    let Some(q) = quantization else {
        out.push(0);
        return;
    };
    out.push(1);
    out.put_count(q.axis.map_or(0, |axis| axis.saturating_add(1)));
    out.put_count(q.scale_bits.len());
    q.scale_bits.iter().for_each(|&bits| out.put_u32(bits));
    q.zero_point.iter().for_each(|&zero| put_i64(out, zero));
}

fn read_quantization(reader: &mut Reader<'_>) -> Result<Option<Quantization>, InterfaceError> {
    match reader.u8()? {
        0 => return Ok(None),
        1 => {}
        code => return Err(unknown("quantization", code)),
    }
    let axis = usize::try_from(reader.u32()?).map_err(|_| DecodeError::Truncated)?;
    let count = reader.count(12)?;
    let scale_bits = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
    let zero_point = (0..count)
        .map(|_| read_i64(reader))
        .collect::<Result<_, _>>()?;
    Ok(Some(Quantization {
        scale_bits,
        zero_point,
        axis: axis.checked_sub(1),
    }))
}

fn put_input(out: &mut Vec<u8>, input: &InterfaceInput) {
    put_bytes(out, input.name.as_bytes());
    put_shape(out, &input.shape);
    let Some(integers) = &input.integers else {
        out.push(0);
        return;
    };
    out.push(if integers.source.is_none() { 1 } else { 2 });
    out.push(integers.dtype.code());
    put_i64(out, integers.range.0);
    put_i64(out, integers.range.1);
    match &integers.head {
        None => out.push(0),
        Some(head) => {
            match head.rounding {
                Rounding::HalfToEven => out.push(1),
            }
            put_quantization(out, Some(&head.quantization));
        }
    }
    if let Some(source) = &integers.source {
        put_source(out, Some(source));
    }
}

fn read_input(reader: &mut Reader<'_>) -> Result<InterfaceInput, InterfaceError> {
    let name = text(reader)?;
    let shape = shape(reader)?;
    let integers = match reader.u8()? {
        0 => None,
        kind @ (1 | 2) => {
            let dtype = dtype(reader)?;
            let range = (read_i64(reader)?, read_i64(reader)?);
            let rounding = match reader.u8()? {
                0 => None,
                1 => Some(Rounding::HalfToEven),
                code => return Err(unknown("rounding", code)),
            };
            let head = match rounding {
                None => None,
                Some(rounding) => Some(Head {
                    quantization: read_quantization(reader)?.ok_or(unknown("quantization", 0))?,
                    rounding,
                }),
            };
            let source = match kind {
                1 => None,
                _ => Some(read_source(reader)?.ok_or(unknown("source", 0))?),
            };
            Some(InputIntegers {
                dtype,
                range,
                head,
                source,
            })
        }
        code => return Err(unknown("kind of input", code)),
    };
    Ok(InterfaceInput {
        name,
        shape,
        integers,
    })
}

fn put_source(out: &mut Vec<u8>, source: Option<&Source>) {
    let (code, index) = match source {
        None => {
            out.push(0);
            return;
        }
        Some(Source::Output(i)) => (1, *i),
        Some(Source::Input(i)) => (2, *i),
        Some(Source::Constant(i)) => (3, *i),
        Some(Source::Node(i, _)) => (4, *i),
    };
    out.push(code);
    out.put_u32(index);
    if let Some(Source::Node(_, output)) = source {
        out.put_u32(*output);
    }
}

fn read_source(reader: &mut Reader<'_>) -> Result<Option<Source>, InterfaceError> {
    Ok(Some(match reader.u8()? {
        0 => return Ok(None),
        1 => Source::Output(reader.u32()?),
        2 => Source::Input(reader.u32()?),
        3 => Source::Constant(reader.u32()?),
        4 => Source::Node(reader.u32()?, reader.u32()?),
        code => return Err(unknown("source", code)),
    }))
}

fn put_constant(out: &mut Vec<u8>, constant: &FloatConstant) {
    out.push(match constant.element {
        ElementType::Integer(dtype) => dtype.code(),
        ElementType::Binary32 => 9,
        ElementType::Binary64 => 10,
        ElementType::Binary16 => 11,
        ElementType::BFloat16 => 12,
        ElementType::U64 => 13,
    });
    put_shape(out, &constant.shape);
    // The length follows from type and shape.
    out.extend_from_slice(&constant.data);
}

fn read_constant(reader: &mut Reader<'_>) -> Result<FloatConstant, InterfaceError> {
    let element = match reader.u8()? {
        9 => ElementType::Binary32,
        10 => ElementType::Binary64,
        11 => ElementType::Binary16,
        12 => ElementType::BFloat16,
        13 => ElementType::U64,
        code => ElementType::Integer(
            DataType::from_code(code).ok_or(DecodeError::UnknownDataType { code })?,
        ),
    };
    let shape = shape(reader)?;
    let len = shape.iter().try_fold(element.bytes(), |len, &dim| {
        len.checked_mul(usize::try_from(dim).ok()?)
    });
    let data = reader.take(len.ok_or(DecodeError::Truncated)?)?.to_vec();
    Ok(FloatConstant {
        element,
        shape,
        data,
    })
}

fn put_node(out: &mut Vec<u8>, node: &FloatNode) {
    put_bytes(out, node.domain.as_bytes());
    put_bytes(out, node.op.as_bytes());
    out.put_u32(node.opset);
    list(out, &node.attributes, put_attribute);
    list(out, &node.inputs, |out, source| {
        put_source(out, source.as_ref());
    });
    list(out, &node.captures, |out, (name, source)| {
        put_bytes(out, name.as_bytes());
        put_source(out, Some(source));
    });
    out.put_u32(node.outputs);
}

fn read_node(reader: &mut Reader<'_>) -> Result<FloatNode, InterfaceError> {
    Ok(FloatNode {
        domain: text(reader)?,
        op: text(reader)?,
        opset: reader.u32()?,
        attributes: items(reader, 5, read_attribute)?,
        inputs: items(reader, 1, read_source)?,
        captures: items(reader, 5, |reader| {
            let name = text(reader)?;
            Ok((name, read_source(reader)?.ok_or(unknown("source", 0))?))
        })?,
        outputs: reader.u32()?,
    })
}

fn put_attribute(out: &mut Vec<u8>, attribute: &Attribute) {
    put_bytes(out, attribute.name.as_bytes());
    match &attribute.value {
        AttributeValue::Float(bits) => {
            out.push(1);
            out.put_u32(*bits);
        }
        AttributeValue::Int(value) => {
            out.push(2);
            put_i64(out, *value);
        }
        AttributeValue::Bytes(bytes) => {
            out.push(3);
            put_bytes(out, bytes);
        }
        AttributeValue::Tensor(constant) => {
            out.push(4);
            put_constant(out, constant);
        }
        AttributeValue::Floats(values) => {
            out.push(5);
            list(out, values, |out, &bits| out.put_u32(bits));
        }
        AttributeValue::Ints(values) => {
            out.push(6);
            list(out, values, |out, &value| put_i64(out, value));
        }
        AttributeValue::Strings(values) => {
            out.push(7);
            list(out, values, |out, bytes| put_bytes(out, bytes));
        }
        AttributeValue::Encoded(bytes) => {
            out.push(8);
            put_bytes(out, bytes);
        }
    }
}

fn read_attribute(reader: &mut Reader<'_>) -> Result<Attribute, InterfaceError> {
    let name = text(reader)?;
    let value = match reader.u8()? {
        1 => AttributeValue::Float(reader.u32()?),
        2 => AttributeValue::Int(read_i64(reader)?),
        3 => AttributeValue::Bytes(bytes(reader)?),
        4 => AttributeValue::Tensor(read_constant(reader)?),
        5 => AttributeValue::Floats(items(reader, 4, |reader| Ok(reader.u32()?))?),
        6 => AttributeValue::Ints(items(reader, 8, read_i64)?),
        7 => AttributeValue::Strings(items(reader, 4, bytes)?),
        8 => AttributeValue::Encoded(bytes(reader)?),
        code => return Err(unknown("attribute", code)),
    };
    Ok(Attribute { name, value })
}
