//! As much of the zip format as NumPy uses: members that are stored or deflated, listed in a central directory.

/// Largest member after decompression, in bytes: what keeps a small archive from filling the memory.
const MAX_MEMBER: usize = 1 << 28;

/// Why an archive cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZipError {
    /// The list of members at the end is missing or damaged.
    #[error("the archive is truncated or damaged")]
    Directory,
    /// A member lies outside the archive, or does not decompress to what is listed.
    #[error("`{name}` in the archive is damaged")]
    Member {
        /// Its name.
        name: String,
    },
    /// A member is compressed in a way that NumPy does not use, or encrypted.
    #[error(
        "`{name}` in the archive is compressed by a method that is not supported; write it with numpy.savez"
    )]
    Method {
        /// Its name.
        name: String,
    },
    /// A member or the archive is too large.
    #[error("`{name}` is too large")]
    TooLarge {
        /// Its name.
        name: String,
    },
}

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// The first of January 1980, the earliest date that the format has.
const DATE: u16 = 0x21;

/// A member as the central directory lists it.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    pub(super) name: String,
    method: u16,
    crc: u32,
    size: usize,
    packed: &'a [u8],
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// All members, their contents still packed.
pub(super) fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>, ZipError> {
    let first = bytes.len().saturating_sub(22 + usize::from(u16::MAX));
    let end = (first..bytes.len().saturating_sub(21))
        .rev()
        .find(|&at| u32_at(bytes, at) == Some(END));
    let end = end.ok_or(ZipError::Directory)?;
    let count = u16_at(bytes, end + 10).ok_or(ZipError::Directory)?;
    let mut at = u32_at(bytes, end + 16).ok_or(ZipError::Directory)? as usize;
    let mut members = Vec::new();
    for _ in 0..count {
        let (member, next) = member(bytes, at).ok_or(ZipError::Directory)??;
        members.push(member);
        at = next;
    }
    Ok(members)
}

/// The member that the entry at `at` of the central directory describes, and where the next entry is.
fn member(bytes: &[u8], at: usize) -> Option<Result<(Member<'_>, usize), ZipError>> {
    if u32_at(bytes, at)? != CENTRAL {
        return None;
    }
    let (flags, method) = (u16_at(bytes, at + 8)?, u16_at(bytes, at + 10)?);
    let (crc, packed, size) = (
        u32_at(bytes, at + 16)?,
        u32_at(bytes, at + 20)?,
        u32_at(bytes, at + 24)?,
    );
    let [name, extra, comment] =
        [28, 30, 32].map(|offset| u16_at(bytes, at + offset).map(usize::from));
    let local = u32_at(bytes, at + 42)? as usize;
    let (name, next) = (name?, at + 46 + name? + extra? + comment?);
    let name = String::from_utf8_lossy(bytes.get(at + 46..at + 46 + name)?).into_owned();
    if flags & 1 == 1 || ![0, 8].contains(&method) {
        return Some(Err(ZipError::Method { name }));
    }
    if u32_at(bytes, local)? != LOCAL {
        return Some(Err(ZipError::Member { name }));
    }
    let start = local
        + 30
        + usize::from(u16_at(bytes, local + 26)?)
        + usize::from(u16_at(bytes, local + 28)?);
    let Some(packed) = start
        .checked_add(packed as usize)
        .and_then(|end| bytes.get(start..end))
    else {
        return Some(Err(ZipError::Member { name }));
    };
    Some(Ok((
        Member {
            name,
            method,
            crc,
            size: size as usize,
            packed,
        },
        next,
    )))
}

impl Member<'_> {
    /// The contents, decompressed and compared with their checksum.
    pub(super) fn contents(&self) -> Result<Vec<u8>, ZipError> {
        if self.size > MAX_MEMBER {
            return Err(ZipError::TooLarge {
                name: self.name.clone(),
            });
        }
        let damaged = || ZipError::Member {
            name: self.name.clone(),
        };
        let contents = match self.method {
            0 => self.packed.to_vec(),
            _ => miniz_oxide::inflate::decompress_to_vec_with_limit(self.packed, self.size)
                .map_err(|_| damaged())?,
        };
        if contents.len() != self.size || crc32(&contents) != self.crc {
            return Err(damaged());
        }
        Ok(contents)
    }
}

/// An archive that is being written; members are stored as they are.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Archive {
    pub(super) fn add(&mut self, name: &str, contents: &[u8]) -> Result<(), ZipError> {
        let large = || ZipError::TooLarge {
            name: name.to_owned(),
        };
        let size = u32::try_from(contents.len()).map_err(|_| large())?;
        let offset = u32::try_from(self.bytes.len()).map_err(|_| large())?;
        let name_len = u16::try_from(name.len()).map_err(|_| large())?;
        self.count = self.count.checked_add(1).ok_or_else(large)?;
        // Version 2.0, and bit 11: the name is UTF-8.
        let mut common = Vec::new();
        for value in [20u16, 1 << 11, 0, 0, DATE] {
            common.extend(value.to_le_bytes());
        }
        for value in [crc32(contents), size, size] {
            common.extend(value.to_le_bytes());
        }
        common.extend(name_len.to_le_bytes());
        common.extend(0u16.to_le_bytes());
        self.bytes.extend(LOCAL.to_le_bytes());
        self.bytes.extend(&common);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(contents);
        self.directory.extend(CENTRAL.to_le_bytes());
        self.directory.extend(20u16.to_le_bytes());
        self.directory.extend(&common);
        // No comment, first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, ZipError> {
        let large = |_| ZipError::TooLarge {
            name: "the archive".to_owned(),
        };
        let offset = u32::try_from(self.bytes.len()).map_err(large)?;
        let size = u32::try_from(self.directory.len()).map_err(large)?;
        self.bytes.append(&mut self.directory);
        self.bytes.extend(END.to_le_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(offset.to_le_bytes());
        self.bytes.extend([0; 2]);
        Ok(self.bytes)
    }
}

/// The checksum of the zip format.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 {
                    value >> 1 ^ 0xedb8_8320
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| {
        crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.add("a.npy", b"123456789").unwrap();
        archive.add("b.npy", b"").unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn accepts_what_it_writes() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let bytes = archive();
        let members = members(&bytes).unwrap();
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["a.npy", "b.npy"]);
        assert_eq!(members[0].contents().unwrap(), b"123456789");
        assert!(members[1].contents().unwrap().is_empty());
    }

    #[test]
    fn accepts_deflated_members() {
        let packed = miniz_oxide::deflate::compress_to_vec(&[7; 1000], 6);
        let member = Member {
            name: "a".into(),
            method: 8,
            crc: crc32(&[7; 1000]),
            size: 1000,
            packed: &packed,
        };
        assert_eq!(member.contents().unwrap(), [7; 1000]);
        // An archive that announces less than it holds does not get more memory than it announced.
        let bomb = Member { size: 10, ..member };
        assert_eq!(bomb.contents(), Err(ZipError::Member { name: "a".into() }));
    }

    #[test]
    fn rejects_damage_everywhere() {
        let bytes = archive();
        for end in 0..bytes.len() {
            assert!(members(&bytes[..end]).is_err(), "{end}");
        }
        let contents = |bytes: &[u8]| -> Result<Vec<(String, Vec<u8>)>, ZipError> {
            members(bytes)?
                .iter()
                .map(|member| Ok((member.name.clone(), member.contents()?)))
                .collect()
        };
        let whole = contents(&bytes).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            // Fields that nobody reads may change; the contents may not, unless a member got another name.
            if let Ok(got) = contents(&bytes) {
                assert!(
                    got.iter()
                        .all(|(_, data)| whole.iter().any(|(_, d)| d == data)),
                    "{at}"
                );
            }
        }
    }
}
