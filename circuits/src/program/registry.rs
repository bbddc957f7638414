//! Which operators a program may hold, by identity.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{DecodeError, Decoder, OpId, Operator};

/// Reads the parameters of an operator, all of them and in canonical form.
pub type DecodeOperator = fn(&mut Decoder<'_>) -> Result<Arc<dyn Operator>, DecodeError>;

/// The operators that can be read from bytes. Those of other crates are added with [`Registry::register`].
#[derive(Clone, Default)]
pub struct Registry {
    entries: BTreeMap<(String, String, u32), DecodeOperator>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl Registry {
    /// A registry without operators.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds an operator. Returns whether the identity was free; if not, the earlier entry stays.
    pub fn register(&mut self, id: OpId, decode: DecodeOperator) -> bool {
        let key = (id.domain.to_owned(), id.name.to_owned(), id.version);
        let free = !self.entries.contains_key(&key);
        self.entries.entry(key).or_insert(decode);
        free
    }

    /// All identities: domain, name, version.
    pub fn ids(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        self.entries
            .keys()
            .map(|(domain, name, version)| (domain.as_str(), name.as_str(), *version))
    }

    pub(super) fn decode(
        &self,
        domain: &str,
        name: &str,
        version: u32,
        parameters: &[u8],
    ) -> Result<Arc<dyn Operator>, DecodeError> {
        let key = (domain.to_owned(), name.to_owned(), version);
        let decode = self.entries.get(&key).ok_or(DecodeError::UnknownOperator {
            domain: key.0,
            name: key.1,
            version,
        })?;
        let mut reader = Decoder::new(parameters);
        let op = decode(&mut reader)?;
        reader.finish()?;
        Ok(op)
    }
}
