//! Any change to a folder is seen and names the file.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

const HEAD: ManifestHead = ManifestHead { format: "test/folder", version: 2 };

fn add(folder: &Path, files: &mut BTreeMap<String, FileEntry>, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    files.insert(name.to_owned(), FileEntry { size: bytes.len() as u64, sha256: Digest::of(bytes) });
}

fn parcel() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut files = BTreeMap::new();
    add(folder.path(), &mut files, "a.bin", &[7; 300]);
    add(folder.path(), &mut files, "tokenizer/b.json", b"{}");
    add(folder.path(), &mut files, "c.bin", &[9; 300]);
    Manifest::new(HEAD, files, serde_json::json!({"layers": 3, "ratio": 0.46})).write(folder.path()).unwrap();
    folder
}

/// The refusal, with the temporary folder's name taken out.
fn refused(folder: &TempDir) -> String {
    let error = Manifest::verify(folder.path(), HEAD).expect_err("the folder must be refused");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

/// A manifest with one value exchanged and a correct identity: what a careful forger would write.
fn forge(folder: &TempDir, edit: impl FnOnce(&mut Value)) {
    let path = folder.path().join(MANIFEST_NAME);
    let mut value = strict_json::parse(&fs::read(&path).unwrap()).unwrap();
    edit(&mut value);
    value.as_object_mut().unwrap().remove("identity");
    let identity = Digest::of(&strict_json::canonical(&value));
    value["identity"] = serde_json::json!(identity);
    fs::write(&path, strict_json::canonical(&value)).unwrap();
}

#[test]
fn a_whole_folder_is_verified_and_its_body_read() {
    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Body {
        layers: u32,
        ratio: f64,
    }
    let folder = parcel();
    let verified = Manifest::verify(folder.path(), HEAD).unwrap();
    assert_eq!(verified.body::<Body>().unwrap(), Body { layers: 3, ratio: 0.46 });
    assert_eq!(verified.manifest().created_by, CREATED_BY);
    assert!(verified.has("tokenizer/b.json") && !verified.has("manifest.json"));
    assert_eq!(verified.file("a.bin").unwrap(), folder.path().join("a.bin"));
    assert!(verified.open("../a.bin").unwrap_err().to_string().contains("not listed"));
}

#[test]
fn a_file_that_changes_after_the_check_is_not_opened() {
    let folder = parcel();
    let verified = Manifest::verify(folder.path(), HEAD).unwrap();
    fs::remove_file(folder.path().join("a.bin")).unwrap();
    fs::write(folder.path().join("a.bin"), [7; 300]).unwrap();
    let message = verified.open("a.bin").unwrap_err().to_string();
    assert!(message.ends_with("a.bin: changed between check and read; run again when nothing writes to it"));
}

#[test]
fn missing_extra_and_changed_files_are_named() {
    let folder = parcel();
    fs::remove_file(folder.path().join("c.bin")).unwrap();
    assert_eq!(refused(&folder), "c.bin: missing; the manifest lists it with 300 bytes");

    let folder = parcel();
    fs::write(folder.path().join("tokenizer/run.sh"), "").unwrap();
    assert_eq!(refused(&folder), "tokenizer/run.sh: not listed in the manifest; a verified folder holds nothing else");

    let folder = parcel();
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert_eq!(refused(&folder), "empty: not listed in the manifest; a verified folder holds nothing else");

    let folder = parcel();
    fs::write(folder.path().join("a.bin"), [7; 299]).unwrap();
    assert_eq!(refused(&folder), "a.bin: found 299 bytes, expected 300");

    let folder = parcel();
    fs::write(folder.path().join("a.bin"), [8; 300]).unwrap();
    let (found, expected) = (Digest::of(&[8; 300]), Digest::of(&[7; 300]));
    assert_eq!(refused(&folder), format!("a.bin: found SHA-256 {found}, expected {expected}"));
}

#[test]
fn only_regular_files_are_taken() {
    let folder = parcel();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), [7; 300]).unwrap();
    fs::remove_file(folder.path().join("a.bin")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("a.bin")).unwrap();
    assert_eq!(refused(&folder), "a.bin: found a link, expected a regular file");

    let folder = parcel();
    fs::remove_file(folder.path().join("a.bin")).unwrap();
    fs::create_dir(folder.path().join("a.bin")).unwrap();
    assert_eq!(refused(&folder), "a.bin: not listed in the manifest; a verified folder holds nothing else");
}

#[test]
fn the_manifest_itself_is_checked() {
    let folder = parcel();
    fs::remove_file(folder.path().join(MANIFEST_NAME)).unwrap();
    assert_eq!(refused(&folder), "manifest.json: cannot be read: No such file or directory (os error 2)");

    let folder = parcel();
    fs::write(folder.path().join(MANIFEST_NAME), "{").unwrap();
    assert_eq!(refused(&folder), "manifest.json: not valid JSON at byte 0: EOF while parsing an object");

    let folder = parcel();
    forge(&folder, |value| value["extra"] = 1.into());
    assert_eq!(
        refused(&folder),
        "manifest.json: unknown field `extra`, expected one of `format`, `format_version`, `created_by`, `files`, `body`, `identity`"
    );

    let folder = parcel();
    forge(&folder, |value| value["format"] = "test/other".into());
    assert_eq!(refused(&folder), "manifest.json: found format `test/other`, expected `test/folder`");

    let folder = parcel();
    forge(&folder, |value| {
        value["format_version"] = 3.into();
        value["created_by"] = "scaleot 9.9.9".into();
        value["key_of_the_future"] = 1.into();
    });
    assert_eq!(
        refused(&folder),
        "manifest.json: made by scaleot 9.9.9 in version 3 of format `test/folder`; this program reads versions up to 2. It needs scaleot 9.9.9 or later"
    );
}

#[test]
fn names_and_digests_out_of_form_are_refused() {
    for (name, shown) in [
        ("/etc/passwd", "/etc/passwd"),
        ("../a.bin", "../a.bin"),
        ("x/../../a.bin", "x/../../a.bin"),
        ("C:a", "C:a"),
        ("a\u{202e}b", "a\\u{202e}b"),
        ("manifest.json", "manifest.json"),
    ] {
        let folder = parcel();
        forge(&folder, |value| value["files"][name] = value["files"]["a.bin"].clone());
        assert_eq!(refused(&folder), format!("manifest.json: found the name `{shown}`, expected {FILE_NAME_RULE}"));
    }
    for digest in ["abc".to_owned(), Digest::of(b"").to_string().to_uppercase()] {
        let folder = parcel();
        let length = digest.len();
        forge(&folder, |value| value["files"]["a.bin"]["sha256"] = digest.into());
        assert_eq!(
            refused(&folder),
            format!("manifest.json: found a digest of {length} characters, expected 64 lower-case hexadecimal digits")
        );
    }
}

#[test]
fn too_many_files_are_refused() {
    let folder = parcel();
    forge(&folder, |value| {
        let entry = value["files"]["a.bin"].clone();
        for n in 0..MAX_FILES {
            value["files"][format!("f{n}")] = entry.clone();
        }
    });
    assert_eq!(refused(&folder), "manifest.json: found 10003 files, expected at most 10000");
}

#[test]
fn a_manifest_edited_by_hand_is_refused() {
    let folder = parcel();
    let path = folder.path().join(MANIFEST_NAME);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("0.46", "0.47")).unwrap();
    let message = refused(&folder);
    assert!(message.starts_with("manifest.json: found identity "), "{message}");
    assert!(message.ends_with("the manifest was changed after it was written"), "{message}");

    fs::write(&path, format!("{text} ")).unwrap();
    let offset = text.len();
    assert_eq!(
        refused(&folder),
        format!(
            "manifest.json: not in the form that it was written in, from byte {offset}: the manifest was changed after it was written"
        )
    );
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip { bit: Index },
    Truncate { keep: Index },
    Extend { bytes: Vec<u8> },
    Rename,
    SwapWith(Index),
    Duplicate,
    Remove,
}

fn mutations() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<Index>().prop_map(|bit| Mutation::Flip { bit }),
        any::<Index>().prop_map(|keep| Mutation::Truncate { keep }),
        prop::collection::vec(any::<u8>(), 1..100).prop_map(|bytes| Mutation::Extend { bytes }),
        Just(Mutation::Rename),
        any::<Index>().prop_map(Mutation::SwapWith),
        Just(Mutation::Duplicate),
        Just(Mutation::Remove),
    ]
}

/// Applies the mutation; `None` where it changes nothing. Gives the names, one of which the refusal must hold.
fn mutate(folder: &Path, target: &str, mutation: &Mutation) -> Option<Vec<String>> {
    let all = ["a.bin", "tokenizer/b.json", "c.bin", MANIFEST_NAME];
    let path = folder.join(target);
    let mut bytes = fs::read(&path).unwrap();
    let beside = format!("{target}.copy");
    match mutation {
        Mutation::Flip { bit } => {
            let at = bit.index(bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
        }
        Mutation::Truncate { keep } => bytes.truncate(keep.index(bytes.len())),
        Mutation::Extend { bytes: more } => bytes.extend(more),
        Mutation::Rename => {
            fs::rename(&path, folder.join(&beside)).unwrap();
            return Some(vec![target.into(), beside]);
        }
        Mutation::SwapWith(index) => {
            let other = all[index.index(all.len())];
            if other == target {
                return None;
            }
            fs::write(&path, fs::read(folder.join(other)).unwrap()).unwrap();
            fs::write(folder.join(other), &bytes).unwrap();
            return Some(vec![target.into(), other.into()]);
        }
        Mutation::Duplicate => {
            fs::copy(&path, folder.join(&beside)).unwrap();
            return Some(vec![beside]);
        }
        Mutation::Remove => {
            fs::remove_file(&path).unwrap();
            return Some(vec![target.into()]);
        }
    }
    fs::write(&path, bytes).unwrap();
    Some(vec![target.into()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_mutation_is_refused_and_names_the_file(target in 0_usize..4, mutation in mutations()) {
        let folder = parcel();
        let target = ["a.bin", "tokenizer/b.json", "c.bin", MANIFEST_NAME][target];
        if let Some(names) = mutate(folder.path(), target, &mutation) {
            let message = refused(&folder);
            prop_assert!(names.iter().any(|name| message.contains(name)), "{message} should name one of {names:?}");
        }
    }
}
