//! Every scorer is held to the conformance suite somewhere.

use super::code::blanked;
use super::{File, Finding};

/// The call that a test makes.
const SUITE: &str = "conformance::";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let sources: Vec<&File> =
        files.iter().filter(|file| file.path.ends_with(".rs") && !file.path.starts_with("xtask/")).collect();
    let tests: Vec<&str> =
        sources.iter().map(|file| tests_of(file)).filter(|text| text.contains(SUITE)).collect();
    let mut findings = Vec::new();
    for file in sources {
        let code = blanked(&file.text[..file.text.len() - tests_of(file).len()]);
        for (line, name) in scorers(&code) {
            if !tests.iter().any(|test| test.contains(&name)) {
                let message =
                    format!("no test holds `{name}` to the scorer suite, add one that calls `{SUITE}`");
                findings.push(Finding::new(&file.path, line, message));
            }
        }
    }
    findings
}

/// The part of a file that is compiled for tests only.
fn tests_of(file: &File) -> &str {
    if file.path.starts_with("tests/") || file.path.contains("/tests/") {
        return &file.text;
    }
    file.text.find("#[cfg(test)]").map_or("", |at| &file.text[at..])
}

/// Line and type of each implementation; those for references and boxes only forward.
fn scorers(code: &str) -> Vec<(usize, String)> {
    let mut scorers = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let Some((head, rest)) = line.split_once("Scorer for ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let is_trait = !head.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if is_trait
            && head.trim_start().starts_with("impl")
            && !["", "Box", "Arc", "Rc"].contains(&name.as_str())
        {
            scorers.push((at + 1, name));
        }
    }
    scorers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_texts(texts: &[(&str, &str)], expected: &[&str]) {
        let files: Vec<File> =
            texts.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() }).collect();
        let found: Vec<_> = check(&files).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn an_untested_scorer_is_named() {
        let scorer = "impl<B> Scorer for Local<B> {\n}\n";
        check_texts(&[("crates/a/src/a.rs", scorer)], &["crates/a/src/a.rs:1: no test holds `Local`"]);
        check_texts(
            &[("crates/a/src/a.rs", scorer), ("crates/a/tests/c.rs", "conformance::all(&Local::new());")],
            &[],
        );
        let own = format!(
            "{scorer}#[cfg(test)]\nmod tests {{ conformance::all(&Local); impl Scorer for Fake {{}} }}"
        );
        check_texts(&[("crates/a/src/a.rs", &own)], &[]);
    }

    #[test]
    fn forwarding_is_no_scorer() {
        check_texts(
            &[("crates/a/src/a.rs", "impl<S: Scorer> Scorer for &S {}\nimpl Scorer for Box<dyn Scorer> {}")],
            &[],
        );
    }
}
