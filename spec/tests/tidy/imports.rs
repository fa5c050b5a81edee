//! The import rule as a table: in a place, these paths are not named.
//!
//! A place is the beginning of a file's path. `only` rules name a library and the only places that may know it; `not`
//! rules name a folder and what it must not know.

use super::scan::{Source, has_below, imported};

struct Only {
    library: &'static str,
    places: &'static [&'static str],
}

struct Not {
    place: &'static str,
    paths: &'static [&'static str],
}

const ONLY: &[Only] = &[
    Only { library: "mysql_async", places: &["dcmgr/src/db", "spec/"] },
    Only { library: "refinery", places: &["dcmgr/src/db"] },
    Only { library: "amqprs", places: &["agents/framework/src/bus", "agents/framework/tests"] },
    Only { library: "virt", places: &["agents/hva/src/driver/libvirt"] },
    Only { library: "virt_sys", places: &["agents/hva/src/driver/libvirt"] },
    Only { library: "libzetta", places: &["agents/sta/src/store/zfs"] },
    Only { library: "hickory_server", places: &["agents/nsa"] },
    Only { library: "hickory_proto", places: &["agents/nsa", "spec/"] },
    Only { library: "dhcproto", places: &["agents/nsa", "spec/"] },
    // Clocks of time zones: which moments a schedule means is dcmgr's affair alone. A new data center asks its machine.
    Only { library: "jiff", places: &["dcmgr/src/plan", "dcmgr/src/app/schedules", "cli/src/up/configs.rs"] },
    // Who signs: certificates are made in one place.
    Only { library: "rcgen", places: &["dcmgr/src/authority", "agents/framework/tests", "cli/src/join/tests"] },
    // What a program tells a service manager is its own affair, and of the loops that say it.
    Only {
        library: "arame_service",
        places: &[
            "service/",
            "agents/framework/src/runtime",
            "agents/framework/src/config.rs",
            "agents/framework/tests",
            "agents/hva/src/bin",
            "agents/sta/src/main.rs",
            "agents/nsa/src/main.rs",
            "dcmgr/src/main.rs",
            "dcmgr/src/tasks",
            "webui/src/main.rs",
        ],
    },
    Only { library: "arame_dcmgr", places: &["dcmgr/", "spec/"] },
    Only { library: "arame_hva", places: &["agents/hva", "spec/"] },
    Only { library: "arame_sta", places: &["agents/sta", "spec/"] },
    Only { library: "arame_nsa", places: &["agents/nsa", "spec/"] },
    Only { library: "arame_cli", places: &["cli/", "spec/"] },
    Only {
        library: "arame_framework",
        places: &[
            "agents/",
            "dcmgr/src/tasks",
            "dcmgr/src/main.rs",
            "dcmgr/src/config.rs",
            "dcmgr/src/rehearsal.rs",
            "spec/",
        ],
    },
    Only { library: "arame_spec", places: &["spec/"] },
];

const NOT: &[Not] = &[
    Not {
        place: "schema/src",
        paths: &[
            "tokio",
            "axum",
            "reqwest",
            "hyper",
            "rand",
            "std::fs",
            "std::process",
            "std::time::SystemTime",
            "std::time::Instant",
        ],
    },
    Not { place: "schema/src/model", paths: &["crate::api", "crate::jobs"] },
    Not { place: "schema/src/jobs", paths: &["crate::api"] },
    Not { place: "schema/src/api", paths: &["crate::jobs"] },
    Not {
        place: "dcmgr/src/plan",
        paths: &[
            "crate::db",
            "crate::app",
            "crate::http",
            "crate::tasks",
            "tokio",
            "axum",
            "rand",
            "std::fs",
            "std::time",
            "metrics",
        ],
    },
    Not { place: "dcmgr/src/http", paths: &["crate::db", "crate::plan", "crate::tasks"] },
    Not { place: "dcmgr/src/app", paths: &["crate::http", "crate::tasks", "axum", "tower_http"] },
    Not { place: "dcmgr/src/db", paths: &["crate::http", "crate::app", "crate::tasks", "axum", "tower_http"] },
    Not { place: "dcmgr/src/tasks", paths: &["crate::http", "axum", "tower_http"] },
    Not { place: "agents/framework/src", paths: &["arame_schema::api", "axum", "reqwest"] },
    Not { place: "agents/hva/src", paths: &["arame_schema::api"] },
    Not { place: "agents/sta/src", paths: &["arame_schema::api"] },
    Not { place: "agents/nsa/src", paths: &["arame_schema::api", "axum", "reqwest"] },
];

/// A `super::` chain from the top folder's modules means the same as `crate::`.
fn spellings(path: &str) -> Vec<String> {
    match path.strip_prefix("crate::") {
        Some(tail) => vec![path.to_owned(), format!("super::super::{tail}"), format!("super::super::super::{tail}")],
        None => vec![path.to_owned()],
    }
}

fn names(code: &str, imports: &[String], path: &str) -> bool {
    spellings(path).iter().any(|path| {
        let begins = |import: &String| import == path || import.starts_with(&format!("{path}::"));
        imports.iter().any(begins) || has_below(code, path)
    })
}

/// What in this text the table forbids at this place.
pub fn broken(name: &str, text: &str) -> Vec<String> {
    // What a file's own tests use is not what its code knows.
    let code = Source::scan(text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)).code;
    let imports = imported(&code);
    let mut found = Vec::new();
    for only in ONLY.iter().filter(|only| !only.places.iter().any(|place| name.starts_with(place))) {
        if names(&code, &imports, only.library) {
            found.push(format!("{name} knows {}, which only {} may", only.library, only.places.join(", ")));
        }
    }
    for not in NOT.iter().filter(|not| within(name, not.place)) {
        let forbidden = not.paths.iter().filter(|path| names(&code, &imports, path));
        found.extend(forbidden.map(|path| format!("{name} knows {path}: {} must not", not.place)));
    }
    found
}

/// The folder itself and the file beside it.
fn within(name: &str, place: &str) -> bool {
    name.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest.starts_with(".rs"))
}

/// For every line of the table a file name and a path that breaks it: the positive controls.
pub fn samples() -> Vec<(String, &'static str)> {
    let only = ONLY.iter().map(|only| {
        let outside =
            if only.places.iter().any(|place| place.starts_with("cli")) { "dcmgr/src/x.rs" } else { "cli/x.rs" };
        (outside.to_owned(), only.library)
    });
    let not = NOT.iter().flat_map(|not| not.paths.iter().map(|path| (format!("{}/x.rs", not.place), *path)));
    only.chain(not).collect()
}
