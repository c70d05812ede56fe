//! `cargo xtask tidy`: the rules that no compiler checks, one line a finding.

mod arrows;
mod code;
mod manifests;
mod scorers;
mod sources;
mod words;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use xshell::Shell;

use crate::{fixtures, project_root};

/// A broken rule: where, what, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path below the workspace.
    pub(crate) path: String,
    line: usize,
    message: String,
}

impl Finding {
    pub(crate) fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A text file of the project.
#[derive(Debug)]
struct File {
    /// Path below the workspace, with `/`.
    path: String,
    text: String,
}

/// Everything that belongs to the project; other things in its folder are none of tidy's business.
const FOLDERS: [&str; 8] = ["crates", "xtask", "benches", "tests", "docs", "fixtures", ".ci", ".cargo"];

/// Prints each finding; an error if there is one.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<()> {
    let findings = findings(sh)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} things to change", findings.len());
    }
    println!("tidy: nothing to change");
    Ok(())
}

fn findings(sh: &Shell) -> anyhow::Result<Vec<Finding>> {
    let root = project_root();
    let files = project_files(&root)?;
    let mut findings = arrows::check(sh)?;
    findings.extend(manifests::check(&files)?);
    findings.extend(sources::check(&files));
    findings.extend(scorers::check(&files));
    findings.extend(words::check(&files));
    findings.extend(fixtures::check(&root.join("fixtures"))?);
    Ok(findings)
}

/// The project's text files, sorted by path.
fn project_files(root: &Path) -> anyhow::Result<Vec<File>> {
    let mut paths = Vec::new();
    for folder in FOLDERS {
        paths.extend(files_under(&root.join(folder))?);
    }
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        // Bytes that are not text are fixtures: only their hash is checked.
        if let Ok(text) = String::from_utf8(fs::read(&path)?) {
            let path = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            files.push(File { path, text });
        }
    }
    Ok(files)
}

/// All files below a folder, sorted; none where there is no folder. Links are not followed.
pub(crate) fn files_under(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        if !folder.is_dir() || folder.ends_with("target") {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_tidy() {
        let findings = findings(&Shell::new().unwrap()).unwrap();
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
