//! Manifests: versions only in the workspace table, lints inherited, nothing but the public registry.

use anyhow::Context;
use toml::{Table, Value};

use super::{File, Finding};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(files: &[File]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files {
        if file.path.ends_with("/Cargo.toml") {
            let table: Table = toml::from_str(&file.text).with_context(|| file.path.clone())?;
            findings.extend(member(file, &table));
        }
        if file.path == "Cargo.lock" {
            findings.extend(lock(file));
        }
    }
    Ok(findings)
}

fn member(file: &File, table: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !is_inherited(table.get("lints")) {
        findings.push(Finding::new(
            &file.path,
            1,
            "the lints are not the workspace's, add `[lints] workspace = true`",
        ));
    }
    for (name, value) in dependencies(table) {
        let has_own = value.as_table().is_none_or(|table| table.contains_key("version"));
        if !is_inherited(Some(value)) || has_own {
            let line =
                file.text.lines().position(|line| line.trim_start().starts_with(name)).map_or(1, |at| at + 1);
            let message = format!(
                "`{name}` has a version of its own, write `{name}.workspace = true` and put the version in the root"
            );
            findings.push(Finding::new(&file.path, line, message));
        }
    }
    findings
}

fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// Every dependency of every kind, for every target.
fn dependencies(table: &Table) -> Vec<(&str, &Value)> {
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(table).chain(targets.filter_map(Value::as_table));
    tables
        .flat_map(|table| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(|kind| table.get(kind)?.as_table())
        })
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

fn lock(file: &File) -> Vec<Finding> {
    let foreign = |line: &str| {
        line.strip_prefix("source = ").is_some_and(|source| source.trim_matches('"') != REGISTRY)
    };
    file.text
        .lines()
        .enumerate()
        .filter(|(_, line)| foreign(line))
        .map(|(at, _)| {
            Finding::new(&file.path, at + 1, "not from the public Rust registry, take a published version")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let findings = check(&[File { path: path.into(), text: text.into() }]).unwrap();
        let found: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn versions_belong_to_the_root() {
        let text = "[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\ntoml = \"1\"\n\
                    [target.'cfg(unix)'.dev-dependencies]\nlibc = { version = \"1\" }\n";
        check_text(
            "crates/x/Cargo.toml",
            text,
            &["crates/x/Cargo.toml:5: `toml`", "crates/x/Cargo.toml:7: `libc`"],
        );
    }

    #[test]
    fn lints_are_inherited() {
        check_text("crates/x/Cargo.toml", "[package]\nname = \"x\"\n", &["crates/x/Cargo.toml:1: the lints"]);
    }

    #[test]
    fn only_the_public_registry() {
        let text = format!("source = \"{REGISTRY}\"\nsource = \"git+https://example.org/x\"\n");
        check_text("Cargo.lock", &text, &["Cargo.lock:2: not from"]);
    }
}
