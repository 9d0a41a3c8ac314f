//! A finished run that can only be read: an archive, another user's folder, a full disk. Verbs that read leave no trace in it.

use behaviour::{CONFIG, Outcome, command, copy, finished_run, outcome, program, quick, repository, scratch, verb};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

/// Size, times and inode of everything in a folder, the lock and the folders themselves included.
fn stamps(folder: &Path) -> BTreeMap<String, (u64, i64, i64, i64, u64)> {
    let (mut stamps, mut unread) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(path) = unread.pop() {
        let data = std::fs::symlink_metadata(&path).unwrap();
        let stamp = (data.size(), data.mtime(), data.mtime_nsec(), data.ctime_nsec(), data.ino());
        stamps.insert(path.display().to_string(), stamp);
        if data.is_dir() {
            unread.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    stamps
}

/// The program in a shell that prepares the ground for it.
fn shell(ground: &str, arguments: &[&str]) -> Outcome {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{ground} && exec \"$0\" \"$@\"")]).arg(program()).args(arguments);
    outcome(shell.current_dir(repository()).env("OMP_NUM_THREADS", "1"))
}

#[test]
fn verbs_that_read_change_nothing_in_a_run() {
    let folder = scratch();
    let run = folder.path().join("run");
    copy(finished_run(), &run);
    // What a killed writer left is the next writer's to remove.
    std::fs::write(run.join(".tmp-left"), "half").unwrap();
    let before = stamps(&run);
    for what in ["plug-in", "emulator"] {
        let to = folder.path().join(what);
        verb("export", &run, &["--what", what, "--to", to.to_str().unwrap()]).expect(0);
        assert!(to.join("model.safetensors").is_file());
    }
    // Even with other keys than the run was made with: they are no part of its record.
    let more = ["--to", &folder.path().join("again").display().to_string(), "tune.steps=7"];
    assert!(!verb("export", &run, &more).expect(0).stderr.contains("is done again"));
    behaviour::scaleot(["verify".as_ref(), run.join("bundle").as_os_str()]).expect(0);
    let bundle = run.join("bundle").display().to_string();
    behaviour::scaleot(["verify", run.join("return").to_str().unwrap(), "--bundle", &bundle]).expect(0);
    assert_eq!(stamps(&run), before);
}

#[test]
fn a_report_that_cannot_be_kept_is_printed() {
    let folder = scratch();
    let run = folder.path().join("run");
    copy(finished_run(), &run);
    let kept = verb("report", &run, &["--json"]).expect(0);
    let before = stamps(&run);
    let mut arguments = vec!["report".to_owned(), CONFIG.to_owned()];
    arguments.extend(quick(&run));
    arguments.push("--json".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // No file may grow, which holds for the superuser too.
    let printed = shell("ulimit -f 0 && trap '' XFSZ", &arguments).expect(0);
    assert_eq!(printed.stdout, kept.stdout);
    let said: Vec<&str> = printed.stderr.lines().collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("the report is printed only: ") && said[0].contains("report.json: not written"),
        "{said:?}"
    );
    let files = |stamps: BTreeMap<String, _>| stamps.into_keys().collect::<Vec<_>>();
    assert_eq!(files(stamps(&run)), files(before));
}

#[test]
fn an_archive_on_a_read_only_file_system_is_read() {
    let folder = scratch();
    let run = folder.path().join("run");
    copy(finished_run(), &run);
    let shown = run.display();
    let ground = format!("mount --bind {shown} {shown} && mount -o remount,bind,ro {shown}");
    let mut own_mounts = Command::new("unshare");
    if !own_mounts.args(["-rm", "sh", "-c", &ground]).output().is_ok_and(|done| done.status.success()) {
        // Without the right to mount, the two tests above are what there is.
        return;
    }
    for (name, more) in
        [("report", vec![]), ("export", vec!["--to".to_owned(), folder.path().join("out").display().to_string()])]
    {
        let mut asked = vec![name.to_owned(), CONFIG.to_owned()];
        asked.extend(quick(&run));
        asked.extend(more);
        let inner = command(&asked);
        let mut outer = Command::new("unshare");
        outer
            .args(["-rm", "sh", "-c", &format!("{ground} && exec \"$0\" \"$@\"")])
            .arg(program())
            .args(inner.get_args());
        outcome(outer.current_dir(repository()).env("OMP_NUM_THREADS", "1")).expect(0);
    }
    assert!(folder.path().join("out/model.safetensors").is_file());
}

#[test]
fn a_run_that_is_not_there_is_not_made() {
    let folder = scratch();
    let run = folder.path().join("run");
    for name in ["report", "export"] {
        let to = folder.path().join("out").display().to_string();
        let more = if name == "export" { vec!["--to", &to] } else { vec![] };
        let refused = verb(name, &run, &more).expect(2);
        let expected = format!("error: {}: no run yet; run `scaleot run` with this config first\n", run.display());
        assert_eq!(refused.stderr, expected);
    }
    assert!(!run.exists());
}
