//! `cargo xtask fixtures`: the hashes of everything under `fixtures/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::project_root;
use crate::tidy::{Finding, files_under};

const MANIFEST: &str = "manifest.toml";
const HEADER: &str = "# BLAKE3 of every fixture. Written by `cargo xtask fixtures`, checked by tidy.\n\n";

/// Rewrite fixtures/manifest.toml, or check it.
#[derive(clap::Args)]
pub(crate) struct Fixtures {
    /// Compare with the list instead of rewriting it.
    #[arg(long)]
    check: bool,
}

/// Hash of each file by its path below `fixtures/`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    files: BTreeMap<String, String>,
}

impl Fixtures {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = project_root().join("fixtures");
        if self.check {
            let findings = check(&folder)?;
            findings.iter().for_each(|finding| println!("{finding}"));
            if !findings.is_empty() {
                bail!("{} fixtures do not match their list", findings.len());
            }
            return Ok(());
        }
        let manifest = hash_all(&folder)?;
        fs::create_dir_all(&folder)?;
        let text = format!("{HEADER}{}", toml::to_string(&manifest)?);
        fs::write(folder.join(MANIFEST), text).context("fixtures/manifest.toml cannot be written")?;
        println!("fixtures/{MANIFEST}: {} files", manifest.files.len());
        Ok(())
    }
}

/// One finding for each fixture that differs from the list, is not in it, or is gone.
pub(crate) fn check(folder: &Path) -> anyhow::Result<Vec<Finding>> {
    let path = folder.join(MANIFEST);
    let text = if path.exists() { fs::read_to_string(&path)? } else { String::from("[files]\n") };
    let listed: Manifest = toml::from_str(&text).context("fixtures/manifest.toml")?;
    let found = hash_all(folder)?;
    Ok(compare(&listed, &found))
}

fn compare(listed: &Manifest, found: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |name: &str, message: &str| {
        findings.push(Finding::new(format!("fixtures/{name}"), 1, message));
    };
    for (name, hash) in &found.files {
        match listed.files.get(name) {
            None => report(name, "not in fixtures/manifest.toml, run `cargo xtask fixtures`"),
            Some(old) if old != hash => report(
                name,
                "differs from its listed hash, restore it or, if its generator changed, run `cargo xtask fixtures`",
            ),
            Some(_) => {}
        }
    }
    for name in listed.files.keys().filter(|name| !found.files.contains_key(*name)) {
        report(name, "listed in fixtures/manifest.toml but gone, restore it or run `cargo xtask fixtures`");
    }
    findings
}

fn hash_all(folder: &Path) -> anyhow::Result<Manifest> {
    let mut manifest = Manifest::default();
    for path in files_under(folder)? {
        let name = path.strip_prefix(folder)?.to_string_lossy().replace('\\', "/");
        if name != MANIFEST {
            let bytes = fs::read(&path).with_context(|| format!("fixtures/{name} cannot be read"))?;
            manifest.files.insert(name, blake3::hash(&bytes).to_hex().to_string());
        }
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        Manifest { files: files.iter().map(|(name, hash)| ((*name).into(), (*hash).into())).collect() }
    }

    #[test]
    fn names_what_changed_came_and_went() {
        let findings = compare(
            &manifest(&[("same", "0"), ("changed", "1"), ("gone", "2")]),
            &manifest(&[("same", "0"), ("changed", "9"), ("new", "3")]),
        );
        let paths: Vec<_> = findings.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(paths, ["fixtures/changed", "fixtures/new", "fixtures/gone"]);
    }

    #[test]
    fn manifest_round_trips() {
        let manifest = manifest(&[("a/b.json", "00ff")]);
        let text = toml::to_string(&manifest).unwrap();
        assert_eq!(toml::from_str::<Manifest>(&text).unwrap(), manifest);
    }
}
