//! A program in bytes: its interface, its body, its identity, and the file form.
//!
//! FORMATS.md lists the bytes; the parameters of the operators are those of their `encode`. The body is the integer graph
//! alone; names, scales and all that is computed in float are in the interface. The identity is a hash of both hashes.
//! Names of nodes and of inner tensors stand outside of both: a file is both parts followed by these names.
//!
//! Whether a model came in QDQ or QOperator form leaves no trace here: they share an identity exactly when their
//! integer programs, and the real meaning of their inputs and outputs, are the same.

use zkonnx_verifier::DataType;
use zkonnx_verifier::interface::{Interface, body_hash};

use super::graph::{MAX_NODES, MAX_PORTS, MAX_RANK, NewNode, encode_operator};
use super::{DecodeError, Decoder, Encoder, Program, ProgramError, Registry, TensorId};

const FILE_MAGIC: &[u8; 4] = b"zkxp";
const FILE_VERSION: u16 = 2;
const BODY_MAGIC: &[u8; 4] = b"zkxB";
const BODY_VERSION: u16 = 1;

/// Longest name that a file may hold, in bytes.
const MAX_NAME: usize = 1 << 12;

impl Program {
    /// The canonical bytes of the integer graph.
    pub fn encode_body(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.raw(BODY_MAGIC);
        out.u16(BODY_VERSION);
        out.count(self.inputs.len());
        for port in &self.inputs {
            let fact = self.fact(port.tensor);
            out.u8(fact.dtype.code());
            out.counts(&fact.shape);
        }
        out.count(self.nodes.len());
        for node in &self.nodes {
            encode_operator(node.op.as_ref(), &mut out);
            let inputs: Vec<usize> = node.inputs.iter().map(|id| id.0 as usize).collect();
            out.counts(&inputs);
        }
        out.count(self.outputs.len());
        self.outputs.iter().for_each(|port| out.u32(port.tensor.0));
        out.into_bytes()
    }

    /// The hash of the body.
    pub fn body_hash(&self) -> [u8; 32] {
        body_hash(&self.encode_body())
    }

    /// The program's identity: the hash of the hashes of interface and body.
    pub fn id(&self) -> [u8; 32] {
        self.interface.program_id(&self.body_hash())
    }

    /// Interface and body, without the names of nodes and inner tensors.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.raw(FILE_MAGIC);
        out.u16(FILE_VERSION);
        for part in [self.interface.encode(), self.encode_body()] {
            out.count(part.len());
            out.raw(&part);
        }
        out.into_bytes()
    }

    /// The file form: interface and body, then the names of nodes and of outputs that have none in the interface.
    pub fn to_file(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.raw(&self.encode());
        self.nodes
            .iter()
            .for_each(|node| out.text(clip(&node.name)));
        for (place, port) in self.outputs.iter().enumerate() {
            if self.interface.output_name(place).is_none() {
                out.text(clip(&port.name));
            }
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
        for node in &mut program.nodes {
            node.name = name()?;
        }
        for (place, port) in program.outputs.iter_mut().enumerate() {
            if program.interface.output_name(place).is_none() {
                port.name = name()?;
            }
        }
        reader.finish()?;
        Ok(program)
    }

    /// The program with these bytes of interface and body; nodes and inner tensors have no names.
    pub fn decode(bytes: &[u8], registry: &Registry) -> Result<Self, DecodeError> {
        let mut reader = Decoder::new(bytes);
        let program = Self::read(&mut reader, registry)?;
        reader.finish()?;
        Ok(program)
    }

    /// The program with this interface and the body of these bytes.
    pub fn from_parts(
        interface: Interface,
        body: &[u8],
        registry: &Registry,
    ) -> Result<Self, DecodeError> {
        let mut reader = Decoder::new(body);
        header(&mut reader, BODY_MAGIC, BODY_VERSION)?;
        let count = |reader: &mut Decoder<'_>, what, max| match reader.count_of(1)? {
            n if n > max => Err(ProgramError::TooMany { what, max }.into()),
            n => Ok::<_, DecodeError>(n),
        };
        let n = count(&mut reader, "inputs", MAX_PORTS)?;
        let inputs: Vec<(DataType, Vec<usize>)> = (0..n)
            .map(|_| read_input(&mut reader))
            .collect::<Result<_, _>>()?;
        let stated = interface.proved_inputs().map(|(_, shape, integers)| {
            let shape = shape.iter().map(|&extent| extent as usize).collect();
            (integers.dtype, shape)
        });
        if !stated.eq(inputs) {
            return Err(ProgramError::InputTypes.into());
        }
        let n = count(&mut reader, "nodes", MAX_NODES)?;
        let nodes = (0..n)
            .map(|_| read_node(&mut reader, registry))
            .collect::<Result<_, _>>()?;
        let n = count(&mut reader, "outputs", MAX_PORTS)?;
        let outputs = (0..n)
            .map(|_| Ok((String::new(), TensorId(reader.u32()?))))
            .collect::<Result<_, DecodeError>>()?;
        reader.finish()?;
        Ok(Self::new(interface, nodes, outputs)?)
    }

    fn read(reader: &mut Decoder<'_>, registry: &Registry) -> Result<Self, DecodeError> {
        header(reader, FILE_MAGIC, FILE_VERSION)?;
        let len = reader.count_of(1)?;
        let interface = Interface::decode(reader.take(len)?).map_err(ProgramError::from)?;
        let len = reader.count_of(1)?;
        Self::from_parts(interface, reader.take(len)?, registry)
    }
}

fn header(reader: &mut Decoder<'_>, magic: &[u8; 4], version: u16) -> Result<(), DecodeError> {
    if reader.take(4)? != magic {
        return Err(DecodeError::Magic);
    }
    let got = reader.u16()?;
    if got != version {
        let expected = version;
        return Err(DecodeError::Version { expected, got });
    }
    Ok(())
}

fn read_input(reader: &mut Decoder<'_>) -> Result<(DataType, Vec<usize>), DecodeError> {
    let dtype = DataType::from_code(reader.u8()?).ok_or(DecodeError::Malformed("element type"))?;
    let shape = reader.counts()?;
    if shape.len() > MAX_RANK {
        return Err(DecodeError::Malformed("shape"));
    }
    Ok((dtype, shape))
}

/// The longest prefix that a file may hold.
fn clip(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
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
