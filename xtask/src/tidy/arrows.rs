//! Which crate may depend on which: the table of the architecture, held against cargo.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Deserialize;
use xshell::{Shell, cmd};

use super::Finding;
use crate::project_root;

/// Each crate with those of ours that it may depend on.
const ARROWS: [(&str, &[&str]); 11] = [
    ("userprint-core", &[]),
    ("userprint-stats", &[]),
    ("userprint-privacy", &[]),
    ("userprint-kernels", &[]),
    ("userprint-data", &["userprint-core"]),
    ("userprint-score", &["userprint-core"]),
    ("userprint-attack", &["userprint-core", "userprint-stats"]),
    ("userprint-mitigate", &["userprint-core", "userprint-privacy"]),
    ("userprint-model", &["userprint-core", "userprint-score", "userprint-kernels"]),
    (
        "userprint-train",
        &["userprint-core", "userprint-score", "userprint-model", "userprint-kernels", "userprint-mitigate"],
    ),
    (
        "userprint",
        &[
            "userprint-core",
            "userprint-stats",
            "userprint-privacy",
            "userprint-kernels",
            "userprint-data",
            "userprint-score",
            "userprint-attack",
            "userprint-mitigate",
            "userprint-model",
            "userprint-train",
        ],
    ),
];

/// Packages that judge the others, so they may depend on all of them, and none on them.
const JUDGES: [&str; 2] = ["userprint-benches", "userprint-tests"];

/// Foreign crates, by the start of their name, that only some of ours may name.
const FOREIGN: [(&[&str], &[&str]); 4] = [
    (&["burn", "cubecl"], &["userprint-kernels", "userprint-model", "userprint-train"]),
    (&["arrow", "parquet", "datafusion"], &["userprint-data", "userprint-score"]),
    (&["clap", "toml"], &["userprint", "xtask"]),
    (&["ureq"], &["userprint-model"]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// None, `dev` or `build`.
    kind: Option<String>,
}

pub(super) fn check(sh: &Shell) -> anyhow::Result<Vec<Finding>> {
    let manifest = project_root().join("Cargo.toml");
    let json =
        cmd!(sh, "cargo metadata --no-deps --format-version 1 --manifest-path {manifest}").quiet().read()?;
    let metadata: Metadata = serde_json::from_str(&json).context("cargo metadata")?;
    Ok(broken(&metadata.packages))
}

fn broken(packages: &[Package]) -> Vec<Finding> {
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let path = manifest_path(package);
        match allowed(&package.name) {
            None => findings.push(Finding::new(
                path,
                1,
                format!(
                    "`{}` has no row in the arrows table, add it to xtask/src/tidy/arrows.rs",
                    package.name
                ),
            )),
            Some(allowed) => findings.extend(broken_arrows(package, allowed, &ours)),
        }
    }
    findings.extend(cycle(packages, &ours));
    findings
}

/// What a package may depend on; `None` for the judges' "everything" would hide a missing row, so it is a list too.
fn allowed(name: &str) -> Option<Allowed> {
    if JUDGES.contains(&name) {
        return Some(Allowed::All);
    }
    if name == "xtask" {
        return Some(Allowed::These(&[]));
    }
    ARROWS.iter().find(|(known, _)| *known == name).map(|(_, these)| Allowed::These(these))
}

#[derive(Clone, Copy)]
enum Allowed {
    All,
    These(&'static [&'static str]),
}

fn broken_arrows(package: &Package, allowed: Allowed, ours: &BTreeSet<&str>) -> Vec<Finding> {
    let Allowed::These(allowed) = allowed else { return Vec::new() };
    let mut findings = Vec::new();
    let mut report = |message: String| findings.push(Finding::new(manifest_path(package), 1, message));
    for dependency in
        package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"))
    {
        let (from, to) = (&package.name, dependency.name.as_str());
        if ours.contains(to) && !allowed.contains(&to) {
            report(format!(
                "`{from}` may not depend on `{to}`, move the code down a layer or drop the arrow"
            ));
        }
        for (names, users) in FOREIGN {
            if names.iter().any(|name| is_family(to, name)) && !users.contains(&from.as_str()) {
                report(format!("`{from}` may not name `{to}`, keep it in {}", users.join(", ")));
            }
        }
    }
    findings
}

/// Whether `name` is `family` or `family-something`.
fn is_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn manifest_path(package: &Package) -> String {
    let root = project_root().to_string_lossy().into_owned();
    package.manifest_path.trim_start_matches(&root).trim_start_matches('/').to_owned()
}

/// A cycle among our crates, dev-dependencies included: cargo allows those and we do not.
fn cycle(packages: &[Package], ours: &BTreeSet<&str>) -> Option<Finding> {
    let mut open: BTreeMap<&str, (&Package, BTreeSet<&str>)> = packages
        .iter()
        .map(|package| {
            let names = package.dependencies.iter().map(|dependency| dependency.name.as_str());
            (package.name.as_str(), (package, names.filter(|name| ours.contains(name)).collect()))
        })
        .collect();
    // Take away crates whose dependencies are all gone; what is left depends on itself.
    loop {
        let done: Vec<&str> = open
            .iter()
            .filter(|(_, (_, dependencies))| dependencies.iter().all(|name| !open.contains_key(name)))
            .map(|(name, _)| *name)
            .collect();
        if done.is_empty() {
            break;
        }
        for name in done {
            open.remove(name);
        }
    }
    let names: Vec<&str> = open.keys().copied().collect();
    let (package, _) = open.values().next()?;
    let message = format!("a cycle of dependencies among {}, break it", names.join(", "));
    Some(Finding::new(manifest_path(package), 1, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).into(), kind: kind.map(Into::into) })
            .collect();
        Package { name: name.into(), manifest_path: format!("{name}/Cargo.toml"), dependencies }
    }

    #[track_caller]
    fn check(packages: &[Package], expected: &[&str]) {
        let found: Vec<_> = broken(packages).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn down_is_fine_and_up_is_not() {
        check(
            &[
                package("userprint-core", &[("userprint-data", None)]),
                package("userprint-data", &[("arrow", None)]),
            ],
            &["`userprint-core` may not depend on `userprint-data`"],
        );
    }

    #[test]
    fn foreign_crates_stay_where_they_belong() {
        check(&[package("userprint-attack", &[("burn", None)])], &["may not name `burn`"]);
        check(&[package("userprint", &[("parquet", None)])], &["may not name `parquet`"]);
        check(&[package("userprint-attack", &[("parquet", Some("dev")), ("burner", None)])], &[]);
    }

    #[test]
    fn dev_dependencies_may_go_up_but_not_in_circles() {
        let score = || package("userprint-score", &[("userprint-data", Some("dev"))]);
        check(&[score(), package("userprint-data", &[])], &[]);
        check(
            &[score(), package("userprint-data", &[("userprint-score", Some("dev"))])],
            &["a cycle of dependencies among userprint-data, userprint-score"],
        );
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        check(&[package("userprint-extra", &[])], &["has no row"]);
    }
}
