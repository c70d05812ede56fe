//! Source files: a first line that says what the file is, and sizes that fit in a head.

use super::code::{blanked, functions};
use super::{File, Finding};

/// Longest file, in lines.
const FILE_LINES: usize = 600;
/// Longest function body, in lines of code: comments, blank lines and string contents do not count.
const FUNCTION_LINES: usize = 70;

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let sources = files.iter().filter(|file| file.path.ends_with(".rs"));
    sources.flat_map(|file| first_line(file).into_iter().chain(sizes(file))).collect()
}

fn first_line(file: &File) -> Option<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    let says = first.starts_with("//!") || first.starts_with("#![doc");
    (!says).then(|| {
        Finding::new(&file.path, 1, "the first line does not say what the file is, start with `//! `")
    })
}

fn sizes(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let n_lines = file.text.lines().count();
    if n_lines > FILE_LINES {
        let message = format!("{n_lines} lines, at most {FILE_LINES}: split the file by noun");
        findings.push(Finding::new(&file.path, FILE_LINES + 1, message));
    }
    for function in functions(&blanked(&file.text)) {
        if function.n_lines > FUNCTION_LINES {
            let message = format!(
                "`{}` has {} lines, at most {FUNCTION_LINES}: split it into steps",
                function.name, function.n_lines
            );
            findings.push(Finding::new(&file.path, function.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(text: &str, expected: &[&str]) {
        let findings = check(&[File { path: "a.rs".into(), text: text.into() }]);
        let found: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn a_file_says_what_it_is() {
        check_text("//! Users.\n", &[]);
        check_text("#![doc = include_str!(\"../README.md\")]\n", &[]);
        check_text("use std::fmt;\n", &["a.rs:1: the first line"]);
        check_text("", &["a.rs:1: the first line"]);
    }

    #[test]
    fn long_functions_and_files() {
        let function = |n: usize| format!("//! A.\nfn f() {{\n{}}}\n", "let x = 1;\n".repeat(n));
        check_text(&function(68), &[]);
        check_text(&function(69), &["a.rs:2: `f` has 71 lines"]);
        check_text(&"//! A.\n".repeat(601), &["a.rs:601: 601 lines"]);
    }
}
