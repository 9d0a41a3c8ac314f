//! A look at a library's ELF header before the loader sees it: a truncated file would end the process with SIGBUS.
//!
//! Accepted: 64-bit little-endian shared objects of this machine, every program header inside the file. ELF-64 layout.

/// `e_machine` of this build.
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
/// `ET_DYN`.
const SHARED_OBJECT: u16 = 3;
const HEADER: usize = 64;
const PROGRAM_HEADER: u64 = 56;

/// Why these bytes cannot be a library for this machine; `Ok` when nothing speaks against loading them.
pub fn check_elf(bytes: &[u8]) -> Result<(), String> {
    if bytes.is_empty() {
        return Err("the file is empty, expected a shared library".into());
    }
    if bytes.get(..4) != Some(b"\x7fELF") {
        return Err("the file does not start with the ELF mark, expected a shared library (.so)".into());
    }
    if bytes.len() < HEADER {
        return Err(format!("the file ends after {} bytes, inside the ELF header", bytes.len()));
    }
    if bytes.get(4..6) != Some(&[2, 1]) {
        return Err("the library is not 64-bit little-endian".into());
    }
    let kind = number(bytes, 16, 2);
    if kind != Some(u64::from(SHARED_OBJECT)) {
        return Err(format!("ELF type {}, expected 3 (shared object)", kind.unwrap_or(0)));
    }
    let machine = number(bytes, 18, 2);
    if machine != Some(u64::from(MACHINE)) {
        return Err(format!("built for ELF machine {}, this machine is {MACHINE}", machine.unwrap_or(0)));
    }
    check_program_headers(bytes)
}

fn check_program_headers(bytes: &[u8]) -> Result<(), String> {
    let start = number(bytes, 32, 8).unwrap_or(u64::MAX);
    let (size, count) = (number(bytes, 54, 2).unwrap_or(0), number(bytes, 56, 2).unwrap_or(0));
    if size != PROGRAM_HEADER || count == 0 {
        return Err(format!("{count} program headers of {size} bytes, expected some of {PROGRAM_HEADER}"));
    }
    // The section headers stand at the very end of a library, so they tell of any truncation.
    let (sections, entry, number_of) = (number(bytes, 40, 8), number(bytes, 58, 2), number(bytes, 60, 2));
    let end = sections.zip(entry.zip(number_of)).and_then(|(at, (size, n))| at.checked_add(size.checked_mul(n)?));
    inside(bytes, "section table", end)?;
    for index in 0..count {
        let at = start.checked_add(index * size).and_then(|at| usize::try_from(at).ok());
        let field = |offset| at.and_then(|at: usize| number(bytes, at.checked_add(offset)?, 8));
        let end = field(8).zip(field(32)).and_then(|(offset, length)| offset.checked_add(length));
        inside(bytes, "program header", end)?;
    }
    Ok(())
}

/// The compiler that wrote a library, in its own words: a string of the section `.comment`, which stripping leaves.
pub fn rustc_version(bytes: &[u8]) -> Option<String> {
    let comment = section(bytes, b".comment")?;
    let mut strings = comment.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    strings.find_map(|text| text.strip_prefix("rustc version ")).map(str::to_owned)
}

/// The bytes of a section, by name.
fn section<'b>(bytes: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let (table, size) = (number(bytes, 40, 8)?, number(bytes, 58, 2)?);
    let (count, names) = (number(bytes, 60, 2)?, number(bytes, 62, 2)?);
    let header = |index: u64| {
        let at = usize::try_from(table.checked_add(index.checked_mul(size)?)?).ok()?;
        let field = |offset: usize, width| number(bytes, at.checked_add(offset)?, width);
        let (start, length) = (usize::try_from(field(24, 8)?).ok()?, usize::try_from(field(32, 8)?).ok()?);
        Some((usize::try_from(field(0, 4)?).ok()?, bytes.get(start..start.checked_add(length)?)))
    };
    let strings = header(names)?.1?;
    let named = |at: usize| strings.get(at..)?.split(|byte| *byte == 0).next();
    let mut headers = (0..count).filter_map(header);
    headers.find(|(at, _)| named(*at) == Some(name)).and_then(|(_, content)| content)
}

fn inside(bytes: &[u8], what: &str, end: Option<u64>) -> Result<(), String> {
    match end {
        Some(end) if end <= bytes.len() as u64 => Ok(()),
        Some(end) => Err(format!("a {what} reaches to byte {end}, the file has {}: it is truncated", bytes.len())),
        None => Err(format!("a {what} lies outside the file: it is damaged")),
    }
}

/// The little-endian number of `width` bytes at `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    Some(field.iter().rev().fold(0, |value, &byte| (value << 8) | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_program() -> Vec<u8> {
        // Test programs are position-independent, hence shared objects to ELF.
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = this_program();
        check_elf(&bytes).unwrap();
        for sixteenth in 0..16 {
            let cut = bytes.len() * sixteenth / 16;
            assert!(check_elf(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(check_elf(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(check_elf(&bytes[..40]).unwrap_err(), "the file ends after 40 bytes, inside the ELF header");
    }

    #[test]
    fn the_compiler_is_read_from_the_library() {
        let bytes = this_program();
        let version = rustc_version(&bytes).unwrap();
        assert!(version.starts_with("1."), "{version}");
        for cut in [0, 40, 64, bytes.len() / 2] {
            assert_eq!(rustc_version(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn other_files_are_refused_by_name() {
        assert_eq!(check_elf(b"").unwrap_err(), "the file is empty, expected a shared library");
        assert!(check_elf(b"#!/bin/sh\n").unwrap_err().contains("does not start with the ELF mark"));
        let mut other = this_program();
        other[18] = 40;
        assert!(check_elf(&other).unwrap_err().starts_with("built for ELF machine 40"));
    }
}
