//! The canonical encoding of a program, its identity, and the file form.
//!
//! All integers are little-endian; `text`, `counts` and `ints` are those of [`Encoder`].
//!
//! | field | bytes |
//! | --- | --- |
//! | magic | `zkxp` |
//! | version of the format | u16, 1 |
//! | number of inputs | u32 |
//! | each input: element type (its code), shape (`counts`), quantization | |
//! | number of nodes | u32 |
//! | each node: domain, name (`text`), version (u32), length of the parameters (u32), parameters, inputs (`counts`) | |
//! | number of outputs | u32 |
//! | each output: tensor (u32), quantization | |
//!
//! A quantization is a flag (0: none), then the axis plus one (u32, 0: none), the number of scales (u32), their
//! binary32 bit patterns (u32 each), and the zero points (`ints`).
//!
//! Tensors are numbered implicitly: inputs first, then the outputs of each node. Types, shapes and ranges of all but
//! the inputs follow from the operators. The identity is BLAKE2b-256 of these bytes with the personalization
//! `zkonnx program1`. Names stand outside: a file is these bytes followed by the names of inputs, nodes and outputs
//! (`text` each), in order.
//!
//! Whether a model came in QDQ or QOperator form leaves no trace here: they share an identity exactly when their
//! integer programs, and the real meaning of their inputs and outputs, are the same.

use zkonnx_verifier::DataType;

use super::graph::{MAX_NODES, MAX_PORTS, MAX_RANK, NewNode, encode_operator};
use super::{DecodeError, Decoder, Encoder, Fact, Port, Program, Quantization, Registry, TensorId};

const MAGIC: &[u8; 4] = b"zkxp";
const VERSION: u16 = 1;
const PERSONAL: &[u8; 16] = b"zkonnx program1\0";

/// Longest name that a file may hold, in bytes.
const MAX_NAME: usize = 1 << 12;

impl Program {
    /// The canonical encoding, without names.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.raw(MAGIC);
        out.u16(VERSION);
        out.count(self.inputs.len());
        for port in &self.inputs {
            let fact = self.fact(port.tensor);
            out.u8(fact.dtype.code());
            out.counts(&fact.shape);
            encode_quantization(port.quantization.as_ref(), &mut out);
        }
        out.count(self.nodes.len());
        for node in &self.nodes {
            encode_operator(node.op.as_ref(), &mut out);
            out.counts(
                &node
                    .inputs
                    .iter()
                    .map(|id| id.0 as usize)
                    .collect::<Vec<_>>(),
            );
        }
        out.count(self.outputs.len());
        for port in &self.outputs {
            out.u32(port.tensor.0);
            encode_quantization(port.quantization.as_ref(), &mut out);
        }
        out.into_bytes()
    }

    /// The program's identity: a hash of its canonical encoding.
    pub fn id(&self) -> [u8; 32] {
        let hash = blake2b_simd::Params::new()
            .hash_length(32)
            .personal(PERSONAL)
            .hash(&self.encode());
        let mut id = [0; 32];
        id.copy_from_slice(hash.as_bytes());
        id
    }

    /// The file form: the canonical encoding, then the names.
    pub fn to_file(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.raw(&self.encode());
        let ports = |ports: &[Port]| ports.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        let nodes = self.nodes.iter().map(|n| n.name.clone()).collect();
        for name in [ports(&self.inputs), nodes, ports(&self.outputs)].concat() {
            out.text(clip(&name));
        }
        out.into_bytes()
    }

    /// The program of a file, with operators found in `registry`.
    pub fn from_file(bytes: &[u8], registry: &Registry) -> Result<Self, DecodeError> {
        let mut reader = Decoder::new(bytes);
        let mut program = Self::read(&mut reader, registry)?;
        let mut name = || {
            let text = reader.text()?;
            if text.len() > MAX_NAME {
                Err(DecodeError::Malformed("name"))
            } else {
                Ok(text.to_owned())
            }
        };
        for port in &mut program.inputs {
            port.name = name()?;
        }
        for node in &mut program.nodes {
            node.name = name()?;
        }
        for port in &mut program.outputs {
            port.name = name()?;
        }
        reader.finish()?;
        Ok(program)
    }

    /// The program with this canonical encoding; names are empty.
    pub fn decode(bytes: &[u8], registry: &Registry) -> Result<Self, DecodeError> {
        let mut reader = Decoder::new(bytes);
        let program = Self::read(&mut reader, registry)?;
        reader.finish()?;
        Ok(program)
    }

    fn read(reader: &mut Decoder<'_>, registry: &Registry) -> Result<Self, DecodeError> {
        if reader.take(4)? != MAGIC {
            return Err(DecodeError::Magic);
        }
        match reader.u16()? {
            VERSION => {}
            got => {
                return Err(DecodeError::Version {
                    expected: VERSION,
                    got,
                });
            }
        }
        let count = |reader: &mut Decoder<'_>, what, max| match reader.count_of(1)? {
            n if n > max => Err(super::ProgramError::TooMany { what, max }.into()),
            n => Ok::<_, DecodeError>(n),
        };
        let n = count(reader, "inputs", MAX_PORTS)?;
        let inputs = (0..n)
            .map(|i| read_input(reader, i))
            .collect::<Result<_, _>>()?;
        let n = count(reader, "nodes", MAX_NODES)?;
        let nodes = (0..n)
            .map(|_| read_node(reader, registry))
            .collect::<Result<_, _>>()?;
        let n = count(reader, "outputs", MAX_PORTS)?;
        let outputs = (0..n)
            .map(|_| {
                let tensor = TensorId(reader.u32()?);
                Ok(Port {
                    name: String::new(),
                    tensor,
                    quantization: read_quantization(reader)?,
                })
            })
            .collect::<Result<_, DecodeError>>()?;
        Ok(Self::new(inputs, nodes, outputs)?)
    }
}

/// The longest prefix that a file may hold.
fn clip(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

fn encode_quantization(quantization: Option<&Quantization>, out: &mut Encoder) {
    out.flag(quantization.is_some());
    if let Some(q) = quantization {
        out.count(q.axis.map_or(0, |axis| axis + 1));
        out.count(q.scale_bits.len());
        q.scale_bits.iter().for_each(|bits| out.u32(*bits));
        out.ints(&q.zero_point);
    }
}

fn read_quantization(reader: &mut Decoder<'_>) -> Result<Option<Quantization>, DecodeError> {
    if !reader.flag()? {
        return Ok(None);
    }
    let axis = reader.count()?.checked_sub(1);
    let len = reader.count_of(4)?;
    let scale_bits = (0..len).map(|_| reader.u32()).collect::<Result<_, _>>()?;
    Ok(Some(Quantization {
        scale_bits,
        zero_point: reader.ints()?,
        axis,
    }))
}

fn read_input(reader: &mut Decoder<'_>, index: usize) -> Result<(Port, Fact), DecodeError> {
    let dtype = DataType::from_code(reader.u8()?).ok_or(DecodeError::Malformed("element type"))?;
    let shape = reader.counts()?;
    if shape.len() > MAX_RANK {
        return Err(DecodeError::Malformed("shape"));
    }
    let quantization = read_quantization(reader)?;
    let port = Port {
        name: String::new(),
        tensor: TensorId(index as u32),
        quantization,
    };
    Ok((port, Fact::any(dtype, shape)))
}

fn read_node(reader: &mut Decoder<'_>, registry: &Registry) -> Result<NewNode, DecodeError> {
    let (domain, name, version) = (reader.text()?, reader.text()?, reader.u32()?);
    let len = reader.count_of(1)?;
    let op = registry.decode(domain, name, version, reader.take(len)?)?;
    let inputs = reader
        .counts()?
        .into_iter()
        .map(|id| TensorId(id as u32))
        .collect();
    Ok((String::new(), op, inputs))
}
