//! The safetensors header, read as if it came from an enemy.
//!
//! The `safetensors` crate takes duplicate names, unknown keys, any tensor name, 100,000 dimensions and sizes that
//! overflow a signed integer. This walk over the header's bytes refuses them, with the byte
//! offset (from the header's first byte, which is file byte 8), before anything is allocated by a number in the file.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::dtype::Dtype;
use super::header_error::{HeaderError, MAX_DIMS, MAX_ELEMENTS, MAX_METADATA, MAX_TENSORS};
use super::names::is_tensor_name;
use super::strict_json::{self, JsonError};
use crate::escape::{escape, escape_to};

/// A problem with its place.
#[derive(Debug)]
pub(super) struct LocatedHeaderError {
    pub(super) tensor: Option<String>,
    pub(super) offset: u64,
    pub(super) problem: HeaderError,
}

/// A tensor's line of the header; `start..end` counts from the first byte of the data.
#[derive(Debug)]
pub(super) struct RawEntry {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A header whose every entry is sound by itself; how the ranges fit together is checked by the caller.
#[derive(Debug, Default)]
pub(super) struct RawHeader {
    pub(super) entries: Vec<RawEntry>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Reads the header's bytes; `data` is the number of bytes that follow it in the file.
pub(super) fn read_header(header: &[u8], data: u64) -> Result<RawHeader, LocatedHeaderError> {
    let at = |offset: usize, problem| LocatedHeaderError { tensor: None, offset: offset as u64, problem };
    if let Err(error) = std::str::from_utf8(header) {
        return Err(at(error.valid_up_to(), HeaderError::NotUtf8));
    }
    if let Some(&found) = header.first().filter(|&&byte| byte != b'{') {
        return Err(at(0, HeaderError::NotAnObject { found }));
    }
    let scan = Scan { position: Cell::new(0), data, fault: RefCell::new(None) };
    let mut json = serde_json::Deserializer::from_reader(Counted { rest: header, position: &scan.position });
    let read = HeaderSeed(&scan).deserialize(&mut json);
    let position = scan.position.get();
    read.map_err(|error| {
        scan.fault.take().unwrap_or_else(|| {
            let JsonError { offset, problem } = strict_json::problem_of(header, &error);
            at(offset, HeaderError::Json(problem))
        })
    })
    .and_then(|found| check_tail(header, position).map(|()| found))
}

fn check_tail(header: &[u8], position: u64) -> Result<(), LocatedHeaderError> {
    let tail = usize::try_from(position).ok().and_then(|start| header.get(start..)).unwrap_or_default();
    match tail.iter().position(|&byte| byte != b' ') {
        None => Ok(()),
        Some(spaces) => {
            let found = escape_to(&String::from_utf8_lossy(tail.get(spaces..).unwrap_or_default()), 1);
            let found = found.split('…').next().unwrap_or_default().to_owned();
            Err(LocatedHeaderError {
                tensor: None,
                offset: position + spaces as u64,
                problem: HeaderError::Tail { found },
            })
        }
    }
}

/// Counts the bytes that the JSON reader took, which gives every refusal its offset.
struct Counted<'a> {
    rest: &'a [u8],
    position: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.rest.read(buffer)?;
        self.position.set(self.position.get() + taken as u64);
        Ok(taken)
    }
}

/// State that the visitors share: their position, and the first refusal in its own type, which serde cannot carry.
struct Scan {
    position: Cell<u64>,
    data: u64,
    fault: RefCell<Option<LocatedHeaderError>>,
}

impl Scan {
    fn refuse<E: serde::de::Error>(&self, tensor: Option<&str>, offset: u64, problem: HeaderError) -> E {
        self.fault.replace(Some(LocatedHeaderError { tensor: tensor.map(str::to_owned), offset, problem }));
        E::custom("refused")
    }

    /// The offset of the string that was read last.
    fn start_of(&self, text: &str) -> u64 {
        self.position.get().saturating_sub(text.len() as u64 + 2)
    }
}

struct HeaderSeed<'s>(&'s Scan);

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = RawHeader;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawHeader, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawHeader, A::Error> {
        let scan = self.0;
        let mut header = RawHeader::default();
        let mut names = HashSet::new();
        while let Some(name) = access.next_key::<String>()? {
            let offset = scan.start_of(&name);
            if names.contains(&name) {
                return Err(scan.refuse(Some(&name), offset, HeaderError::DuplicateName));
            }
            if name == "__metadata__" {
                header.metadata = access.next_value_seed(MetadataSeed(scan))?;
            } else if !is_tensor_name(&name) {
                return Err(scan.refuse(Some(&name), offset, HeaderError::BadName));
            } else if header.entries.len() == MAX_TENSORS {
                return Err(scan.refuse(Some(&name), offset, HeaderError::TooManyTensors));
            } else {
                let entry = access.next_value_seed(EntrySeed { scan, name: &name, offset })?;
                header.entries.push(entry);
            }
            names.insert(name);
        }
        Ok(header)
    }
}

struct MetadataSeed<'s>(&'s Scan);

impl<'de> DeserializeSeed<'de> for MetadataSeed<'_> {
    type Value = BTreeMap<String, String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MetadataSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings as `__metadata__`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut metadata = BTreeMap::new();
        let mut bytes = 0;
        while let Some(key) = access.next_key::<String>()? {
            let offset = self.0.start_of(&key);
            let value = access.next_value::<String>()?;
            bytes += key.len() + value.len();
            if bytes > MAX_METADATA {
                return Err(self.0.refuse(None, offset, HeaderError::MetadataTooLarge));
            }
            if metadata.contains_key(&key) {
                return Err(self.0.refuse(None, offset, HeaderError::DuplicateKey { key: escape(&key) }));
            }
            metadata.insert(key, value);
        }
        Ok(metadata)
    }
}

struct EntrySeed<'s> {
    scan: &'s Scan,
    name: &'s str,
    offset: u64,
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_> {
    type Value = RawEntry;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawEntry, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl EntrySeed<'_> {
    fn refuse<E: serde::de::Error>(&self, offset: u64, problem: HeaderError) -> E {
        self.scan.refuse(Some(self.name), offset, problem)
    }

    fn dtype<E: serde::de::Error>(&self, text: &str) -> Result<Dtype, E> {
        Dtype::from_name(text).ok_or_else(|| {
            self.refuse(self.scan.start_of(text), HeaderError::DtypeNotTaken { found: escape_to(text, 40) })
        })
    }

    fn shape(&self) -> NumbersSeed<'_> {
        NumbersSeed { entry: self, what: "dimension", limit: MAX_DIMS, excess: HeaderError::TooManyDims }
    }

    fn range(&self) -> NumbersSeed<'_> {
        NumbersSeed { entry: self, what: "data offset", limit: 2, excess: HeaderError::OffsetCount { found: 3 } }
    }

    /// Shape, dtype and range must agree, and the range must lie within the data.
    fn finish(&self, dtype: Dtype, shape: Vec<u64>, range: &[u64]) -> Result<RawEntry, HeaderError> {
        let &[start, end] = range else {
            return Err(HeaderError::OffsetCount { found: range.len() });
        };
        let Some(expected) = byte_count(&shape, dtype) else {
            return Err(if shape.contains(&0) { HeaderError::ZeroDim } else { HeaderError::TooManyElements { shape } });
        };
        let Some(found) = end.checked_sub(start) else {
            return Err(HeaderError::RangeReversed { start, end });
        };
        let data = self.scan.data;
        if end > data {
            return Err(HeaderError::RangePastEnd { start, end, data });
        }
        if found != expected {
            return Err(HeaderError::RangeSize { found, expected, shape, dtype });
        }
        Ok(RawEntry { name: self.name.to_owned(), offset: self.offset, dtype, shape, start, end })
    }
}

/// The bytes of a tensor; `None` where a dimension is zero or the elements are more than we take.
pub(super) fn byte_count(shape: &[u64], dtype: Dtype) -> Option<u64> {
    let elements = shape.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim))?;
    (1..=MAX_ELEMENTS).contains(&elements).then(|| elements * dtype.bytes() as u64)
}

impl<'de> Visitor<'de> for EntrySeed<'_> {
    type Value = RawEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `dtype`, `shape` and `data_offsets`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawEntry, A::Error> {
        let (mut dtype, mut shape, mut range) = (None, None, None);
        while let Some(key) = access.next_key::<String>()? {
            let offset = self.scan.start_of(&key);
            let twice = match key.as_str() {
                "dtype" => {
                    let text = access.next_value::<String>()?;
                    dtype.replace(self.dtype(&text)?).is_some()
                }
                "shape" => shape.replace(access.next_value_seed(self.shape())?).is_some(),
                "data_offsets" => range.replace(access.next_value_seed(self.range())?).is_some(),
                _ => return Err(self.refuse(offset, HeaderError::UnknownKey { key: escape_to(&key, 60) })),
            };
            if twice {
                return Err(self.refuse(offset, HeaderError::DuplicateKey { key }));
            }
        }
        let missing = |key| self.refuse(self.offset, HeaderError::MissingKey { key });
        let dtype = dtype.ok_or_else(|| missing("dtype"))?;
        let shape = shape.ok_or_else(|| missing("shape"))?;
        let range = range.ok_or_else(|| missing("data_offsets"))?;
        self.finish(dtype, shape, &range).map_err(|problem| self.refuse(self.offset, problem))
    }
}

/// A list of at most `limit` whole numbers.
struct NumbersSeed<'s> {
    entry: &'s EntrySeed<'s>,
    what: &'static str,
    limit: usize,
    /// The refusal of one number more.
    excess: HeaderError,
}

impl<'de> DeserializeSeed<'de> for NumbersSeed<'_> {
    type Value = Vec<u64>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u64>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for NumbersSeed<'_> {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}s", self.what)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<u64>, A::Error> {
        let mut numbers = Vec::new();
        while numbers.len() < self.limit {
            // The reader stands behind the bracket or comma before the number.
            let seed = WholeSeed { list: &self, offset: self.entry.scan.position.get() };
            let Some(number) = access.next_element_seed(seed)? else { return Ok(numbers) };
            numbers.push(number);
        }
        if access.next_element::<IgnoredAny>()?.is_some() {
            return Err(self.entry.refuse(self.entry.offset, self.excess.clone()));
        }
        Ok(numbers)
    }
}

struct WholeSeed<'s> {
    list: &'s NumbersSeed<'s>,
    offset: u64,
}

impl<'de> DeserializeSeed<'de> for WholeSeed<'_> {
    type Value = u64;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl WholeSeed<'_> {
    fn refuse<E: serde::de::Error>(&self, found: String) -> E {
        let NumbersSeed { entry, what, .. } = *self.list;
        entry.refuse(self.offset, HeaderError::NotWhole { what, found })
    }
}

impl Visitor<'_> for WholeSeed<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", self.list.what)
    }

    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<u64, E> {
        Err(self.refuse(number.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<u64, E> {
        Err(self.refuse(format!("{number:?}")))
    }
}
