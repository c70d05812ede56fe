//! Words that do not belong in the project: one machine's paths, registry hosts, promises without an issue.

use super::{File, Finding};

/// Starts of paths that exist on one machine only. Spelled in halves, so that this file passes.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// Hosts that cargo and pip find by themselves.
const REGISTRY_HOSTS: [&str; 6] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("registry.npm", "js.org"),
    concat!("arti", "factory"),
];

/// Notes to oneself that need an issue.
const NOTES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path != "Cargo.lock") {
        let is_fixture = file.path.starts_with("fixtures/");
        for (at, line) in file.text.lines().enumerate() {
            let notes = if is_fixture { None } else { note(line) };
            let messages = [machine_path(line), registry_host(line), notes];
            findings.extend(
                messages.into_iter().flatten().map(|message| Finding::new(&file.path, at + 1, message)),
            );
        }
    }
    findings
}

fn machine_path(line: &str) -> Option<String> {
    let starts_a_path =
        |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}>)*".contains(c));
    let found =
        MACHINE_PATHS.iter().find(|path| line.match_indices(**path).any(|(at, _)| starts_a_path(at)))?;
    Some(format!("`{found}` is a path of one machine, use a path below the workspace or an argument"))
}

fn registry_host(line: &str) -> Option<String> {
    let found = REGISTRY_HOSTS.iter().find(|host| line.contains(**host))?;
    Some(format!("`{found}` is a registry's host, leave it to the package manager's own settings"))
}

fn note(line: &str) -> Option<String> {
    let is_word = |at: usize, word: &str| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part)
    };
    let found = NOTES.iter().find(|word| line.match_indices(**word).any(|(at, _)| is_word(at, word)))?;
    let has_issue = line.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (!has_issue).then(|| format!("a {found} without an issue, write its number as #123 or do it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(line: &str, expected: Option<&str>) {
        let findings = check(&[File { path: "a.md".into(), text: line.into() }]);
        let found = findings.first().map(ToString::to_string);
        assert_eq!(findings.len(), usize::from(expected.is_some()), "{found:?}");
        if let Some(expected) = expected {
            assert!(found.as_ref().is_some_and(|found| found.contains(expected)), "{found:?}");
        }
    }

    #[test]
    fn machine_paths() {
        check_line(&format!("see {}me/data", MACHINE_PATHS[0]), Some("path of one machine"));
        check_line(&format!("see docs{}data", MACHINE_PATHS[0]), None);
    }

    #[test]
    fn registry_hosts() {
        check_line(&format!("https://{}/x", REGISTRY_HOSTS[0]), Some("registry's host"));
        check_line("crates.io", None);
    }

    #[test]
    fn notes_need_an_issue() {
        let word = NOTES[0];
        check_line(&format!("// {word}: later"), Some("without an issue"));
        check_line(&format!("// {word}(#12): later"), None);
        check_line(&format!("MY{word}S"), None);
    }
}
