//! A data center on loopback: what `up` and `down` promise about processes, whatever they run.

use crate::folder::{Folder, eventually, kill};
use crate::needs;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_second_up_changes_nothing_a_killed_supervisor_is_replaced_and_down_leaves_nothing() {
    if !needs::all(&["mariadb", "rabbitmq"]) {
        return;
    }
    let folder = Folder::new(&["--sim", "--listen", "127.0.0.1:19701", "--port-base", "19710"]);
    folder.up_successfully();
    let first = folder.pids();
    assert_eq!(first.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["mariadb", "rabbitmq"]);

    let again = Instant::now();
    let said = folder.up_successfully();
    assert!(again.elapsed() < Duration::from_secs(1), "{:?}", again.elapsed());
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(folder.pids(), first);

    kill(folder.supervisor());
    eventually("the supervisor is gone", LIMIT, || folder.status()["supervisor"].is_null());
    let said = folder.up_successfully();
    assert!(said.contains("was there already"), "{said}");
    assert_eq!(folder.pids(), first, "children were not adopted");

    // Positive control of the check itself: while it runs, something is left.
    assert!(!folder.left_behind().is_empty());
    assert!(folder.arame(&["down"]).status.success());
    eventually("nothing is left", LIMIT, || folder.left_behind().is_empty());
    assert!(folder.arame(&["down"]).status.success(), "down twice");
}

#[test]
fn a_child_that_dies_is_started_again_and_keeps_its_data() {
    if !needs::all(&["mariadb", "rabbitmq"]) {
        return;
    }
    let folder = Folder::new(&["--sim", "--listen", "127.0.0.1:19721", "--port-base", "19730"]);
    folder.up_successfully();
    let installed = std::fs::metadata(folder.file("db/installed")).unwrap().modified().unwrap();
    for name in ["mariadb", "rabbitmq"] {
        let before = folder.pid(name);
        kill(before);
        eventually("it runs again", LIMIT, || folder.all_run() && folder.pid(name) != before);
    }
    let still = std::fs::metadata(folder.file("db/installed")).unwrap().modified().unwrap();
    assert_eq!(installed, still, "the database was installed anew");
}

#[test]
fn down_ends_what_a_killed_supervisor_left() {
    if !needs::all(&["mariadb", "rabbitmq"]) {
        return;
    }
    let folder = Folder::new(&["--sim", "--listen", "127.0.0.1:19741", "--port-base", "19750"]);
    folder.up_successfully();
    kill(folder.supervisor());
    assert!(!folder.left_behind().is_empty());
    assert!(folder.arame(&["down"]).status.success());
    eventually("nothing is left", LIMIT, || folder.left_behind().is_empty());
}

#[test]
fn a_machine_that_lacks_something_gets_a_list_and_exit_code_two() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new(&["--sim", "--listen", &address, "--port-base", "19770"]);
    let output = folder.up();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&address) && said.contains("fix: "), "{said}");
    assert!(folder.left_behind().is_empty());
}

#[test]
fn secrets_are_private_and_on_no_command_line() {
    if !needs::all(&["mariadb", "rabbitmq"]) {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new(&["--sim", "--listen", "127.0.0.1:19781", "--port-base", "19790"]);
    folder.up_successfully();
    let mut secrets = Vec::new();
    for name in ["secrets/db-root", "secrets/db-arame", "secrets/broker-dcmgr", "secrets/broker-cookie", "tokens/demo"]
    {
        let path = folder.file(name);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        secrets.push(std::fs::read_to_string(path).unwrap().trim().to_owned());
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{file} of {:?}", entry.path());
        }
    }
}
