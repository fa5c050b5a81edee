//! Lists the built pages (`dist`) for the compiler, so that the program carries them. Rule: the build needs no node. Where the
//! pages were not built the list is empty, and the program says so to whoever opens it. This does not build them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let dist = here.join("dist");
    // A folder that does not exist makes cargo build anew each time; its place does.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", if dist.is_dir() { "dist" } else { "index.html" });
    let mut files = Vec::new();
    walk(&dist, &mut files)?;
    files.sort();
    let mut list = String::from("pub static FILES: &[(&str, &[u8])] = &[\n");
    for file in &files {
        let Ok(name) = file.strip_prefix(&dist) else { continue };
        let name = name.to_string_lossy();
        let _ = writeln!(list, "    ({name:?}, include_bytes!({:?})),", file.display().to_string());
    }
    list.push_str("];\n");
    fs::write(out.join("files.rs"), list)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
