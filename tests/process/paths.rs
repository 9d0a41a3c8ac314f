//! Paths are bytes, texts and JSON are not: every path argument may have a name that is no UTF-8.

use behaviour::{Outcome, finished_run, library, outcome, program::command, repository, scratch};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A folder whose name no text holds, with everything in it that verbs take.
fn odd_folder(root: &Path) -> PathBuf {
    let odd = root.join(OsString::from_vec(b"a\xff\xfe".to_vec()));
    std::fs::create_dir(&odd).unwrap();
    behaviour::copy(&repository().join("tests/fixtures/ci-model"), &odd.join("model"));
    behaviour::copy(&repository().join("tests/fixtures/tasks"), &odd.join("tasks"));
    behaviour::copy(finished_run(), &odd.join("run"));
    std::fs::copy(repository().join(behaviour::CONFIG), odd.join("c.toml")).unwrap();
    std::fs::copy(repository().join("tests/fixtures/text/hellaswag-train.txt"), odd.join("t.txt")).unwrap();
    std::fs::create_dir(odd.join("plugins")).unwrap();
    std::fs::copy(library("libshortgpt.so"), odd.join("plugins/libshortgpt.so")).unwrap();
    std::fs::write(odd.join("s.toml"), suite(root)).unwrap();
    odd
}

fn suite(root: &Path) -> String {
    let output = root.join("suite").display().to_string();
    let set = "set = [\"importance.use=shortgpt/block-influence\", \"replace.use=shortgpt/layer-removal\"]";
    format!(
        "version = 1\noutput = \"{output}\"\ntasks = [\"arc_easy\"]\nseeds = [1]\n[[method]]\nname = \"a\"\nconfig = \"c.toml\"\n{set}\n"
    )
}

/// Fills ODD/… and OUT/… in a line and runs it, with `--json`.
fn run(line: &str, odd: &Path, out: &Path) -> Outcome {
    let word = |word: &str| -> OsString {
        match word.split_once('/') {
            Some(("ODD", rest)) => odd.join(rest).into_os_string(),
            Some((before @ ("output=OUT" | "OUT"), rest)) => {
                let path = out.join(rest).into_os_string();
                let key = OsString::from(before.trim_end_matches("OUT"));
                [key, path].into_iter().collect()
            }
            _ => word.into(),
        }
    };
    let arguments: Vec<OsString> = line.split(' ').map(word).chain(["--json".into(), "--quiet".into()]).collect();
    outcome(&mut command(arguments))
}

const QUICK: &str = "tune.steps=1 evaluate.limit=1 evaluate.text=[] runtime.threads=1";

#[test]
fn every_verb_takes_a_path_that_is_no_utf_8() {
    let root = scratch();
    let odd = odd_folder(root.path());
    let lines = [
        "evaluate --model ODD/model --task arc_easy --tasks-folder ODD/tasks --limit 1",
        "evaluate --model ODD/model --text ODD/t.txt --limit 1",
        "evaluate --model ODD/run/bundle --return ODD/run/return --task arc_easy --tasks-folder ODD/tasks --limit 1",
        "verify ODD/run/bundle",
        "verify ODD/run/return --bundle ODD/run/bundle",
        "plan ODD/c.toml",
        "config validate ODD/c.toml",
        "config show ODD/c.toml",
        "run ODD/c.toml output=OUT/run QUICK --stage-pool ODD/pool",
        "run ODD/c.toml output=OUT/run QUICK importance.use=shortgpt/block-influence replace.use=shortgpt/layer-removal --plugin-path ODD/plugins",
        "export ODD/c.toml output=OUT/run QUICK --to ODD/exported",
        "report ODD/c.toml output=OUT/run QUICK",
        "compare ODD/s.toml QUICK evaluate.columns=[\"emulator\"] --plugin-path ODD/plugins --stage-pool ODD/pool",
        "plugin list --plugin-path ODD/plugins",
        "plugin info shortgpt --plugin-path ODD/plugins",
        "plugin check shortgpt --plugin-path ODD/plugins",
        "plugin pack ODD/plugins/libshortgpt.so --publisher tests --license MIT",
        "plugin new my-method --kind adapter --path ODD/crate",
        "plugin lock ODD/c.toml",
        "bench tune ODD/c.toml output=OUT/run QUICK --steps 1 --warmup 0",
    ];
    for line in lines {
        let outcome = run(&line.replace("QUICK", QUICK), &odd, root.path()).expect(0);
        assert!(outcome.json().is_object(), "{line}");
    }
    // The bundle that the run made answers to the return of the odd folder: both are of the same config and seed.
    let plugged = run(
        &"plug-in ODD/c.toml output=OUT/run QUICK --return ODD/run/return".replace("QUICK", QUICK),
        &odd,
        root.path(),
    );
    assert!(matches!(plugged.code, Some(0 | 3)), "{}", plugged.stderr);
}

#[test]
fn what_a_text_would_have_to_hold_is_refused_in_a_sentence() {
    let root = scratch();
    let odd = odd_folder(root.path());
    let tuned =
        run(&format!("tune ODD/c.toml output=OUT/t {QUICK} --bundle ODD/run/bundle"), &odd, root.path()).expect(2);
    assert!(tuned.stderr.contains("the path is not UTF-8") && tuned.stderr.contains("link"), "{}", tuned.stderr);
    // A link by another name is what the sentence advises.
    let link = root.path().join("link");
    std::os::unix::fs::symlink(odd.join("run/bundle"), &link).unwrap();
    let line = format!("tune ODD/c.toml output=OUT/t {QUICK} --bundle OUT/link");
    run(&line, &odd, root.path()).expect(0);
    // An override is a line of TOML.
    let overridden = outcome(&mut command([
        OsStr::new("run"),
        odd.join("c.toml").as_os_str(),
        &OsString::from_vec(b"seed=\xff".into()),
    ]));
    assert!(overridden.expect(2).stderr.contains("invalid UTF-8"));
}

#[test]
fn missing_files_and_strange_neighbours_are_named() {
    let root = scratch();
    let odd = odd_folder(root.path());
    let refused = [
        (2, "config validate ODD/none.toml"),
        (2, "choose ODD/none.toml"),
        (3, "verify ODD/none"),
        (3, "evaluate --model ODD/none --task arc_easy"),
        (4, "plugin pack ODD/none.so --publisher a --license MIT"),
    ];
    for (code, line) in refused {
        let outcome = run(line, &odd, root.path()).expect(code);
        assert!(outcome.stderr.contains("a\u{fffd}\u{fffd}"), "{line}: {}", outcome.stderr);
    }
    let name = OsString::from_vec(b"x\xff".to_vec());
    std::fs::write(odd.join("run/bundle").join(&name), "").unwrap();
    let outcome = run("verify ODD/run/bundle", &odd, root.path()).expect(3);
    assert!(outcome.stderr.contains("x\u{fffd}: not listed in the manifest"), "{}", outcome.stderr);
}

#[test]
fn surroundings_that_are_no_text_are_no_fault() {
    let root = scratch();
    let odd = odd_folder(root.path());
    let mut doctor = command(["doctor", "--json"]);
    for variable in ["HOME", "XDG_DATA_HOME", "TMPDIR", "SCALEOT_PLUGIN_PATH", "GOMP_SPINCOUNT"] {
        doctor.env(variable, odd.join("plugins"));
    }
    let outcome = outcome(&mut doctor);
    assert!(matches!(outcome.code, Some(0 | 5)), "{}", outcome.stderr);
    assert!(outcome.json()["threads"]["wait"]["value"].as_str().unwrap().contains('\u{fffd}'));
    // The working folder itself: everything relative, results included.
    let mut run =
        command(["run", "c.toml", "model.path=model", "data.folder=tasks", "public_data.text=[]", "output=out"]);
    run.args(QUICK.split(' ')).arg("--json").current_dir(&odd);
    assert!(behaviour::outcome(&mut run).expect(0).json().is_object());
    assert!(odd.join("out/report.json").is_file());
}
