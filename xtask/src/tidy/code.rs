//! Just enough of Rust's grammar to measure functions: code without comments and literals.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Line of the `fn`, from 1.
    pub(super) line: usize,
    /// Lines of its body that hold code, the braces' lines included.
    pub(super) n_lines: usize,
}

/// The text with comments, strings and character literals turned into spaces; lines stay where they are.
pub(super) fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// One past the comment or literal that starts here; `at` itself where none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let after_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    let length = match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['r', '"' | '#', ..] if !after_word => raw_string(rest),
        ['b' | 'c', 'r', '"' | '#', ..] if !after_word => match raw_string(&rest[1..]) {
            0 => 0,
            length => length + 1,
        },
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
        _ => 0,
    };
    at + length
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of `r#"..."#`; 0 for a raw identifier.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let body = 2 + hashes;
    let closes = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (body..rest.len()).find(|at| closes(*at)).map_or(rest.len(), |at| at + 1 + hashes)
}

/// The functions of blanked code, in order, nested ones too.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let after_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if after_word || name.is_empty() {
            continue;
        }
        if let Some(body) = body(&code[at..]) {
            let n_lines = body.lines().filter(|line| !line.trim().is_empty()).count();
            functions.push(Function { name, line: code[..at].matches('\n').count() + 1, n_lines });
        }
    }
    functions
}

/// From the body's opening brace to its closing one; `None` for a declaration without a body.
fn body(code: &str) -> Option<&str> {
    let mut depth = 0_i32;
    let mut start = None;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => {
                if c == '{' && depth == 0 {
                    start = Some(at);
                }
                depth += 1;
            }
            ')' | ']' | '}' => {
                depth -= 1;
                if let (0, Some(start)) = (depth, start) {
                    return Some(&code[start..=at]);
                }
            }
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_blanked() {
        let text = "a /* { /* { */ } */ b // {\nc \"{\\\"{\" d r#\"{\"{\"# e '{' f '\\'' &'a str b'{' r#type";
        let code = blanked(text);
        assert!(!code.contains('{'), "{code}");
        assert_eq!(code.lines().count(), 2);
        for word in ["a ", "b ", "c ", " d ", " e ", " f ", "&'a str", "r#type"] {
            assert!(code.contains(word), "{word} in {code}");
        }
    }

    #[test]
    fn functions_are_measured_by_their_code() {
        let text = "trait T { fn declared(&self) -> [u8; 4]; }\n\
                    fn one() {}\n\
                    pub fn long<T: Fn(u8) -> u8>(\n    x: T,\n) -> [u8; 2] {\n    // a comment\n\n    x;\n    \"}\n{\";\n}\n\
                    type Pointer = fn (u8);\n";
        let found = functions(&blanked(text));
        let expected = [("one", 2, 1), ("long", 3, 4)];
        let expected = expected.map(|(name, line, n_lines)| Function { name: name.into(), line, n_lines });
        assert_eq!(found, expected);
    }
}
