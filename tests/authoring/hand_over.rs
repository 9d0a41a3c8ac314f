//! `plugin pack`, `add` and `remove`: two files from one person to another, and every way in which they can be wrong.

use crate::transcript::{Transcript, within};
use behaviour::{marking_plugin, scratch};
use std::path::Path;

const LIBRARY: &str = "libtest_constructor.so";
const MANIFEST: &str = "scaleot-plugin.toml";
const PACK: [&str; 6] = ["plugin", "pack", "sent/libtest_constructor.so", "--publisher", "A. Author", "--license"];

/// A folder `sent` with the built plugin, packed.
fn packed() -> tempfile::TempDir {
    let folder = scratch();
    std::fs::create_dir(folder.path().join("sent")).unwrap();
    std::fs::copy(marking_plugin(), folder.path().join("sent").join(LIBRARY)).unwrap();
    let paper = ["Apache-2.0", "--paper", "arXiv 0000.00000"];
    within(folder.path(), &[&PACK[..], &paper].concat()).expect(0);
    folder
}

fn installed(folder: &Path) -> usize {
    std::fs::read_dir(folder.join(".scaleot/plugins")).map_or(0, Iterator::count)
}

#[test]
fn a_packed_plugin_is_added_listed_and_removed() {
    let folder = packed();
    let mut said = Transcript::new(folder.path());
    let manifest = std::fs::read_to_string(folder.path().join("sent").join(MANIFEST)).unwrap();
    let rustc = manifest.lines().find(|line| line.starts_with("rustc = ")).expect("the compiler").to_owned();
    assert!(rustc.starts_with("rustc = \"1."), "{rustc}");
    said.add("manifest", &manifest.replace(&rustc, "rustc = [this one]"));
    for (case, arguments) in [
        ("add the library", ["plugin", "add", "sent/libtest_constructor.so"]),
        ("info", ["plugin", "info", "test-constructor"]),
        ("remove", ["plugin", "remove", "test-constructor"]),
        ("add the folder", ["plugin", "add", "sent"]),
    ] {
        let found = within(folder.path(), &arguments).expect(0).stdout;
        // Another compiler's words, and a digest of another build, are no change.
        let found = found
            .lines()
            .filter(|line| !line.starts_with("plugin API") && !line.contains("sha256"))
            .collect::<Vec<_>>();
        said.add(case, &found.join("\n"));
    }
    assert_eq!(installed(folder.path()), 1);
    said.case("add again", 4, within(folder.path(), &["plugin", "add", "sent"]));
    let listed = within(folder.path(), &["plugin", "list", "--json"]).expect(0).json();
    let found =
        listed["plugins"].as_array().unwrap().iter().find(|plugin| plugin["record"]["name"] == "test-constructor");
    let found = found.expect("the added plugin");
    assert_eq!((found["from"].as_str(), found["status"].as_str()), (Some("project"), Some("not loaded")));
    within(folder.path(), &["plugin", "remove", "test-constructor"]).expect(0);
    assert_eq!(installed(folder.path()), 0);
    said.case("remove again", 4, within(folder.path(), &["plugin", "remove", "test-constructor"]));
    said.case("remove what is no name", 4, within(folder.path(), &["plugin", "remove", "../sent"]));
    assert!(folder.path().join("sent").join(LIBRARY).exists());
    said.assert("handed_over");
}

#[test]
fn a_parcel_that_is_not_what_it_says_is_not_added() {
    let folder = packed();
    let sent = folder.path().join("sent");
    let (file, place) = (sent.join(LIBRARY), sent.join(MANIFEST));
    let (bytes, manifest) = (std::fs::read(&file).unwrap(), std::fs::read_to_string(&place).unwrap());
    let mut said = Transcript::new(folder.path());
    let mut add = |case: &str, manifest: &str| {
        std::fs::write(&place, manifest).unwrap();
        said.case(case, 4, within(folder.path(), &["plugin", "add", "sent"]));
        assert_eq!(installed(folder.path()), 0, "{case}");
    };
    add("a newer format", &manifest.replace("format = 1", "format = 2\nmore = 1"));
    add("an unknown key", &manifest.replace("format = 1", "format = 1\nmore = 1"));
    add("no TOML", "format = ");
    add("a name that is none", &manifest.replace("name = \"test-constructor\"", "name = \"../test\""));
    add("a library elsewhere", &manifest.replace("library = \"lib", "library = \"../lib"));
    add(
        "a file elsewhere",
        &manifest.replace("[files]", "[files]\n\"../x\" = \"00\"").replace("\"00\"", &format!("{:?}", "0".repeat(64))),
    );
    let api = manifest.lines().find(|line| line.starts_with("api = ")).unwrap();
    add("a newer API", &manifest.replace(api, "api = \"2.99.0\""));
    add("another API", &manifest.replace(api, "api = \"3.0.0\""));
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    add("one bit of the library changed", &manifest);
    std::fs::remove_file(&place).unwrap();
    said.case("no manifest", 4, within(folder.path(), &["plugin", "add", "sent/libtest_constructor.so"]));
    said.assert("parcels_refused");
}

#[test]
fn a_library_is_packed_under_its_own_name_only() {
    let folder = scratch();
    std::fs::create_dir(folder.path().join("sent")).unwrap();
    let mut said = Transcript::new(folder.path());
    let pack = |file: &str| within(folder.path(), &["plugin", "pack", file, "--publisher", "A", "--license", "MIT"]);
    std::fs::copy(marking_plugin(), folder.path().join("sent/libother.so")).unwrap();
    said.case("another file name", 4, pack("sent/libother.so"));
    std::fs::write(folder.path().join("sent/libtext.so"), "text").unwrap();
    said.case("no library", 4, pack("sent/libtext.so"));
    said.case("nothing", 4, pack("sent/libnothing.so"));
    assert!(!folder.path().join("sent").join(MANIFEST).exists());
    said.assert("not_packed");
}

#[test]
fn a_loaded_library_must_say_what_its_manifest_says() {
    let folder = packed();
    let place = folder.path().join("sent").join(MANIFEST);
    let manifest = std::fs::read_to_string(&place).unwrap();
    std::fs::write(&place, manifest.replace("version = \"0.1.0\"", "version = \"9.9.9\"")).unwrap();
    let mut said = Transcript::new(folder.path());
    said.case(
        "another version",
        4,
        within(folder.path(), &["plugin", "check", "test-constructor", "--plugin-path", "sent"]),
    );
    said.assert("manifest_and_library_differ");
}
