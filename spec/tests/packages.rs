//! The Debian packages: what is in them, that they are made the same again, that their settings are the programs' own, and their
//! whole life on a machine with systemd.
//!
//! Rule: nothing is installed here. The life is lived on a layer above this machine's files, in `packages/machine.sh`; where the
//! machine cannot do that it is skipped aloud. The packages are made of the programs beside the tests, by the script that makes
//! the released ones.

#[path = "packages/settings.rs"]
mod settings;

use arame_framework::testkit::skip;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: [&str; 6] = ["arame", "arame-dcmgr", "arame-hva", "arame-nsa", "arame-sta", "arame-webui"];

/// What `systemd-analyze security` may say of each unit at most, in tenths: nobody takes a wall down unnoticed.
const EXPOSURE_MAX: [(&str, u32); 5] =
    [("arame-dcmgr", 12), ("arame-webui", 12), ("arame-hva", 45), ("arame-sta", 41), ("arame-nsa", 52)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Whether the machine has the program.
fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).exists())
}

fn output(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {words:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes all packages into `out`; gives their paths by name.
fn make(out: &Path, version: &str) -> BTreeMap<String, PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let programs = tests.parent().and_then(Path::parent).unwrap();
    let mut command = Command::new(root().join("scripts/make-packages"));
    command.arg("--programs").arg(programs).arg("--out").arg(out);
    command.args(["--version", version, "--compress", "none"]).env("SOURCE_DATE_EPOCH", "1700000000");
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let package = |line: &str| {
        let path = PathBuf::from(line);
        let name = path.file_name()?.to_str()?.split('_').next()?.to_owned();
        Some((name, path))
    };
    let made: BTreeMap<_, _> = printed.lines().filter_map(package).collect();
    assert_eq!(made.keys().map(String::as_str).collect::<Vec<_>>(), PACKAGES);
    made
}

struct Entry {
    mode: String,
    owner: String,
}

/// Everything in a package, by its path on the machine.
fn entries(package: &Path) -> BTreeMap<String, Entry> {
    let listed = output("dpkg-deb", &["--contents", package.to_str().unwrap()]);
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let path = words[5].trim_start_matches('.').to_owned();
        (path, Entry { mode: words[0].to_owned(), owner: words[1].to_owned() })
    };
    listed.lines().map(entry).collect()
}

fn can_make() -> bool {
    let able = ["dpkg-deb", "dpkg-shlibdeps", "strip"].into_iter().all(has);
    if !able {
        skip("dpkg-dev");
    }
    able
}

#[test]
fn packages_made_twice_are_the_same_bytes_and_hold_what_they_should_and_no_more() {
    if !can_make() {
        return;
    }
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (made, again) = (make(one.path(), "0.1.0~1"), make(other.path(), "0.1.0~1"));
    for (name, package) in &made {
        let same = std::fs::read(package).unwrap() == std::fs::read(&again[name]).unwrap();
        assert!(same, "{name}: made twice, it is another");
        holds_what_it_should(name, package);
    }
}

fn holds_what_it_should(name: &str, package: &Path) {
    let entries = entries(package);
    for (path, entry) in &entries {
        assert_eq!(entry.owner, "root/root", "{name}: {path}");
        let expected = match path.as_str() {
            _ if path.ends_with('/') => "drwxr-xr-x",
            _ if path.starts_with("/usr/bin/") => "-rwxr-xr-x",
            _ if path.starts_with("/etc/arame/") => "-rw-r-----",
            _ => "-rw-r--r--",
        };
        assert_eq!(entry.mode, expected, "{name}: {path}");
    }
    let place = tempfile::tempdir().unwrap();
    let at = place.path().to_str().unwrap();
    output("dpkg-deb", &["--raw-extract", package.to_str().unwrap(), at]);
    let mut expected = vec![format!("/usr/bin/{name}"), format!("/usr/share/doc/{name}/copyright")];
    let short = name.trim_start_matches("arame-");
    if name == "arame" {
        let completions = [
            "bash-completion/completions/arame",
            "zsh/vendor-completions/_arame",
            "fish/vendor_completions.d/arame.fish",
        ];
        expected.extend(completions.map(|path| format!("/usr/share/{path}")));
    } else {
        expected.extend([format!("/etc/arame/{short}.toml"), format!("/lib/systemd/system/{name}.service")]);
        let conffiles = std::fs::read_to_string(place.path().join("DEBIAN/conffiles")).unwrap();
        assert_eq!(conffiles, format!("/etc/arame/{short}.toml\n"));
    }
    for path in expected {
        assert!(entries.contains_key(&path), "{name} has no {path}");
    }
    let control = std::fs::read_to_string(place.path().join("DEBIAN/control")).unwrap();
    assert!(control.contains("libc6 (>= ") && !control.contains("${"), "{control}");
    assert_eq!(control.contains("libvirt0 (>= "), name == "arame-hva", "{control}");
    for (path, text) in texts(place.path()) {
        for machine in [root().display().to_string(), concat!("/ho", "me/").into(), concat!("/ro", "ot/").into()] {
            assert!(!text.contains(&machine), "{name}: {path} names {machine} of the machine it was made on");
        }
        assert!(!text.contains("@PACKAGE@") && !text.contains("#MORE#"), "{name}: {path}");
    }
}

/// Every file that is text, by its path; programs are not.
fn texts(place: &Path) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![place.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.push((path.display().to_string(), text));
            }
        }
    }
    assert!(found.len() > 3, "the walk is broken");
    found
}

/// The number of the last line, in tenths: `→ Overall exposure level for arame-nsa.service: 5.2 MEDIUM`.
fn exposure(unit: &Path) -> u32 {
    let unit = unit.to_str().unwrap();
    let told = output("systemd-analyze", &["security", "--offline=true", "--no-pager", unit]);
    let last = told.lines().rfind(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{told}"));
    let number = last.split(": ").nth(1).and_then(|words| words.split_whitespace().next()).unwrap();
    number.replace('.', "").parse().unwrap_or_else(|_| panic!("{last}"))
}

#[test]
fn every_unit_is_as_closed_as_it_was_said_to_be() {
    if !has("systemd-analyze") {
        return skip("systemd");
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, at_most) in EXPOSURE_MAX {
        let text = std::fs::read_to_string(root().join(format!("packages/{name}/{name}.service"))).unwrap();
        let unit = folder.path().join(format!("{name}.service"));
        std::fs::write(&unit, &text).unwrap();
        let told = exposure(&unit);
        println!("{name}: {told} tenths");
        assert!(told <= at_most, "{name}: {told} tenths, {at_most} at most");
        let opened: String =
            text.lines().filter(|line| !line.starts_with("CapabilityBoundingSet=")).collect::<Vec<_>>().join("\n");
        std::fs::write(&unit, opened).unwrap();
        assert!(exposure(&unit) > at_most, "the control: {name} without one of its walls");
        for word in ["Type=notify", "WatchdogSec=", "RestartPreventExitStatus=78", "TimeoutStopSec="] {
            assert!(text.contains(word), "{name} has no {word}");
        }
    }
}

/// Whether a layer above this machine's files can be made.
fn can_layer() -> bool {
    let script = "mount -t tmpfs tmpfs \"$1\" && mkdir \"$1\"/u \"$1\"/w \"$1\"/r && \
                  mount -t overlay overlay -o \"lowerdir=/,upperdir=$1/u,workdir=$1/w\" \"$1\"/r";
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(folder.path());
    command.output().is_ok_and(|output| output.status.success())
}

/// Lives a story on a machine above this one's files; gives what went wrong around it.
fn live(machine: &Path, story: &Path, packages: &Path) -> String {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash"]);
    command.arg(root().join("spec/tests/packages/machine.sh")).arg(machine).arg(story).arg(packages);
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether such a machine comes up here and lives the shortest story.
fn boots(folder: &Path) -> bool {
    let (machine, story) = (folder.join("trial"), folder.join("story.sh"));
    std::fs::create_dir(&machine).unwrap();
    std::fs::write(&story, "#!/bin/sh\nexit 0\n").unwrap();
    let trouble = live(&machine, &story, folder);
    let came_up = std::fs::read_to_string(machine.join("code")).is_ok_and(|code| code.trim() == "0");
    if !came_up {
        println!("{trouble}\n{}", std::fs::read_to_string(machine.join("console")).unwrap_or_default());
    }
    came_up
}

#[test]
fn an_administrator_installs_fills_in_starts_upgrades_removes_and_purges() {
    if !can_make() {
        return;
    }
    for (there, what) in [
        (nix::unistd::geteuid().is_root(), "root"),
        (has("systemd-nspawn") && Path::new("/lib/systemd/systemd").exists(), "systemd-nspawn"),
        (has("mariadbd"), "mariadb"),
        (can_layer(), "overlayfs"),
    ] {
        if !there {
            return skip(what);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    if !boots(folder.path()) {
        return skip("a machine with systemd within this one");
    }
    let (packages, machine) = (folder.path().join("packages"), folder.path().join("machine"));
    std::fs::create_dir(&machine).unwrap();
    make(&packages.join("older"), "0.1.0~1");
    make(&packages.join("newer"), "0.1.0~2");
    let trouble = live(&machine, &root().join("spec/tests/packages/story.sh"), &packages);
    let read = |name: &str| std::fs::read_to_string(machine.join(name)).unwrap_or_default();
    let (said, code) = (read("said"), read("code"));
    println!("{said}");
    assert!(code.trim() == "0" && said.contains("== the end"), "{said}\n{}\n{trouble}", read("console"));
}
