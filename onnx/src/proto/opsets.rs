//! The domains of a model and their opsets, and how much a file may hold.

use std::collections::HashMap;

use crate::error::ImportError;
use crate::graph::STANDARD;
use tract_onnx::pb::OperatorSetIdProto;

/// Largest number of elements of all constants together.
pub(crate) const MAX_CONSTANT_ELEMENTS: usize = 1 << 26;

/// Opset of each domain.
pub(crate) type Opsets = HashMap<String, i64>;

/// A domain as it is reported and looked up.
pub(crate) fn domain_name(domain: &str) -> &str {
    if domain.is_empty() { STANDARD } else { domain }
}

pub(crate) fn cap(what: &'static str, max: usize, len: usize) -> Result<(), ImportError> {
    if len > max {
        Err(ImportError::TooMany { what, max })
    } else {
        Ok(())
    }
}

pub(crate) fn opsets(imports: &[OperatorSetIdProto]) -> Result<Opsets, ImportError> {
    let mut opsets = Opsets::new();
    for import in imports {
        let domain = domain_name(&import.domain).to_owned();
        if opsets
            .insert(domain.clone(), import.version)
            .is_some_and(|v| v != import.version)
        {
            return Err(ImportError::Duplicate(format!("opset_import of {domain}")));
        }
    }
    Ok(opsets)
}
