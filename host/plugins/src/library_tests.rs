//! A pinned plugin with one bit changed, anywhere: refused for its digest, and nothing of it loaded.

use super::{LoadedLibrary, load_library};
use crate::{Found, Origin, PluginFault, Trust};
use scaleot_config::Unpinned;
use scaleot_store::Digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

const FIXTURE: &str = "../../tests/fixtures/plugins/api-2.0/liboffsite_tuning.so.gz";

fn fixture() -> Vec<u8> {
    let packed = File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURE)).unwrap();
    let mut library = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut library).unwrap();
    library
}

/// Taken by each test here, since they count what is loaded into the process that they share.
static ALONE: Mutex<()> = Mutex::new(());

/// The number of pieces of our sealed memory that are mapped as libraries.
fn loaded() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("scaleot-plugin")).count()
}

#[test]
fn of_a_thousand_flipped_bits_none_gets_in() {
    let _alone = ALONE.lock();
    let before = loaded();
    let bytes = fixture();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("liboffsite_tuning.so");
    std::fs::write(&path, &bytes).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let pins = BTreeMap::from([("offsite-tuning".to_owned(), Digest::of(&bytes))]);
    let trust = Trust { pins, lock: None, unpinned: Unpinned::Allow };
    let found = Found { path: path.clone(), origin: Origin::CommandLine };
    let load = || -> Result<LoadedLibrary, PluginFault> {
        load_library(&path, |digest| trust.admit("offsite-tuning", &found, digest).map(drop))
    };
    for flip in 0..1000_u64 {
        // Strides of the golden ratio: spread over the whole file, no two alike.
        let bit = flip.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (bytes.len() as u64 * 8);
        let (at, byte) = (bit / 8, bytes[(bit / 8) as usize]);
        file.write_all_at(&[byte ^ (1 << (bit % 8))], at).unwrap();
        assert!(matches!(load(), Err(PluginFault::Pinned { .. })), "bit {bit}");
        file.write_all_at(&[byte], at).unwrap();
    }
    assert_eq!(loaded(), before);
    // The whole one gets in: the pin is not all that was refused, and a loaded one is seen.
    assert_eq!(load().map(|library| library.record.name).unwrap(), "offsite-tuning");
    assert!(loaded() > before);
}

#[test]
fn what_was_checked_is_loaded_whatever_the_file_becomes() {
    let _alone = ALONE.lock();
    let bytes = fixture();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("liboffsite_tuning.so");
    std::fs::write(&path, &bytes).unwrap();
    // Between the check and the loading somebody else's file takes the place.
    let loaded = load_library(&path, |_| {
        std::fs::write(&path, b"\x7fELF, and nothing that could be loaded").unwrap();
        Ok(())
    });
    assert_eq!(loaded.map(|library| library.digest).unwrap(), Digest::of(&bytes).to_string());
}

#[test]
fn a_refused_library_is_not_taken_for_the_next_one() {
    let _alone = ALONE.lock();
    let mut newer = fixture();
    let own = b"2.0.0";
    let places: Vec<usize> = (0..newer.len() - own.len()).filter(|&at| newer[at..].starts_with(own)).collect();
    places.iter().for_each(|&at| newer[at..at + own.len()].copy_from_slice(b"2.9.0"));
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        load_library(&path, |_| Ok(())).map(|library| library.record.api_version)
    };
    for _ in 0..2 {
        let refused = load("newer.so", &newer).unwrap_err().to_string();
        assert!(refused.contains("built for plugin API 2.9.0, newer than this host's"), "{refused}");
        assert_eq!(load("own.so", &fixture()).unwrap(), "2.0.0");
    }
}
