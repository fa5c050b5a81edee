//! The handbook and the READMEs say what is so: every command in them is one, every link leads somewhere, and the two languages
//! tell the same things in the same order.

use arame_cli::Cli;
use clap::Parser;
use clap::error::ErrorKind;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn pages(folder: &Path) -> BTreeSet<String> {
    let named = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let names = std::fs::read_dir(folder).unwrap().map(|entry| named(entry.unwrap()));
    names.filter(|name| name.ends_with(".md")).collect()
}

fn texts() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md"), root().join("README.ja.md")];
    for language in ["en", "ja"] {
        let folder = root().join("docs").join(language);
        paths.extend(pages(&folder).into_iter().map(|name| folder.join(name)));
    }
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// Lines inside of fenced blocks.
fn fenced(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        inside && !fence
    })
}

/// What stands between single backticks outside of blocks.
fn inline(text: &str) -> Vec<String> {
    let mut inside = false;
    let outside: Vec<&str> = text
        .lines()
        .filter(|line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence
        })
        .collect();
    outside.join(" ").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The words of one command of a shell: quotes are taken off, a redirection and a comment end it.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (None, '#' | '>' | '<' | '|' | ';') if word.is_empty() && !begun => return words,
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (None, c) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// The commands of ours on a line that somebody types.
fn commands(line: &str) -> Vec<Vec<String>> {
    let typed = line.strip_prefix("# ").or_else(|| line.strip_prefix("$ "));
    let parts = typed.into_iter().flat_map(|typed| typed.split(" && "));
    parts
        .map(|part| words(&part.replace('…', "x")))
        .filter(|words| words.first().is_some_and(|word| word == "arame"))
        .collect()
}

#[test]
fn every_command_that_is_shown_is_one() {
    let (mut shown, mut wrong) = (0, Vec::new());
    for (path, text) in texts() {
        let mut check = |words: Vec<String>, whole: bool| {
            shown += 1;
            let Err(error) = Cli::try_parse_from(&words) else { return };
            let told = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // In a sentence a command is named, not typed: what it is about may be left out, or be a word for it.
            let named = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::ValueValidation
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            if !told && (whole || !named) {
                wrong.push(format!("{}: {}: {}", path.display(), words.join(" "), error.kind()));
            }
        };
        fenced(&text).flat_map(commands).for_each(|words| check(words, true));
        for one in inline(&text) {
            // A form with choices is not one command.
            if one.starts_with("arame ") && !one.contains(['[', '|', '‹']) {
                check(words(&one.replace('…', "x")), false);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(shown > 150, "only {shown} were found: they are looked for where they are not");
}

#[test]
fn a_command_that_is_none_is_found() {
    let lines = ["# arame volume detatch data", "# arame instance create --imag tiny", "$ echo x && arame hosts lst"];
    for line in lines {
        let found = commands(line);
        assert!(!found.is_empty() && found.iter().all(|words| Cli::try_parse_from(words).is_err()), "{line}");
    }
    assert_eq!(words("arame x \"a b\" c>d # e"), ["arame", "x", "a b", "c>d"]);
    assert!(commands("arame is printed here").is_empty());
}

#[test]
fn every_link_leads_somewhere() {
    let mut lost = Vec::new();
    for (path, text) in texts() {
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if target.contains("://") || file.is_empty() {
                continue;
            }
            if !path.parent().unwrap().join(file).exists() {
                lost.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

/// What must be equal in both languages: how deep each heading is, pictures and pages that are linked, and what is typed.
fn bones(text: &str) -> Vec<String> {
    let mut bones = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('#') && !line.starts_with("# arame")) {
        let depth = line.chars().take_while(|c| *c == '#').count();
        if line.chars().nth(depth) == Some(' ') && !fenced(text).any(|inside| inside == line) {
            bones.push(format!("heading {depth}"));
        }
    }
    let typed = |line: &str| line.strip_prefix("# ").or_else(|| line.strip_prefix("$ ")).map(words);
    bones.extend(fenced(text).filter_map(typed).map(|words| words.join(" ")));
    bones
}

#[test]
fn both_languages_tell_the_same_in_the_same_order() {
    let (english, japanese) = (root().join("docs/en"), root().join("docs/ja"));
    assert_eq!(pages(&english), pages(&japanese));
    for name in pages(&english) {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(&name)).unwrap();
        assert_eq!(bones(&read(&english)), bones(&read(&japanese)), "{name}");
    }
    let contents = std::fs::read_to_string(english.join("README.md")).unwrap();
    for name in pages(&english).iter().filter(|name| *name != "README.md") {
        assert!(contents.contains(&format!("({name})")), "{name} is not in the contents");
    }
}
