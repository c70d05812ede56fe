//! Which column of a file holds what.

use crate::{CorpusError, Position};

/// Names of the columns to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Who the text belongs to: a string or an integer.
    pub user_id: String,
    /// The text.
    pub text: String,
    /// Unique within the user: a string or an integer. Without it the id is made from the text.
    pub example_id: Option<String>,
    /// When the text was written, where that is known.
    pub timestamp: Option<String>,
    /// Where the text was written, where that is known: a string or an integer.
    pub source: Option<String>,
    /// Who else the text belongs to: a list of strings. Each of them has the text too, in a row of its own.
    pub co_users: Option<String>,
}

/// Positions of the wanted columns among those of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnIndices {
    pub(crate) user_id: usize,
    pub(crate) text: usize,
    pub(crate) example_id: Option<usize>,
    pub(crate) timestamp: Option<usize>,
    pub(crate) source: Option<usize>,
    pub(crate) co_users: Option<usize>,
}

impl Columns {
    /// Finds the columns among the names of a file.
    pub(crate) fn find(&self, names: &[&str], position: &Position) -> Result<ColumnIndices, CorpusError> {
        let optional = [&self.example_id, &self.timestamp, &self.source, &self.co_users].map(Option::as_ref);
        let wanted = [Some(&self.user_id), Some(&self.text)].into_iter().chain(optional);
        let is_there = |column: &String| names.contains(&column.as_str());
        // A CSV file without a header has a user's text where the names should be: that must not be shown.
        let are_names = position.unit != "line" || wanted.flatten().any(is_there);
        let shown = if are_names { names } else { &[] };
        let find = |column: &str| {
            names
                .iter()
                .position(|name| *name == column)
                .ok_or_else(|| missing(column, shown, position.clone()))
        };
        Ok(ColumnIndices {
            user_id: find(&self.user_id)?,
            text: find(&self.text)?,
            example_id: self.example_id.as_deref().map(find).transpose()?,
            timestamp: self.timestamp.as_deref().map(find).transpose()?,
            source: self.source.as_deref().map(find).transpose()?,
            co_users: self.co_users.as_deref().map(find).transpose()?,
        })
    }
}

/// The error for an absent column, with the columns that exist.
pub(crate) fn missing(column: &str, names: &[&str], position: Position) -> CorpusError {
    CorpusError::MissingColumn {
        position,
        column: column.to_owned(),
        found: names.iter().map(|&name| name.to_owned()).collect(),
        nearest: names.iter().min_by_key(|name| edit_distance(name, column)).map(|&name| name.to_owned()),
    }
}

/// Levenshtein distance between lower-cased names.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let cost = (diagonal + usize::from(a != *b)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn edit_distance_knows_the_textbook_case() {
        assert_eq!(edit_distance("kitten", "Sitting"), 3);
        assert_eq!(edit_distance("", "ab"), 2);
    }

    #[test]
    fn a_row_of_data_is_not_shown_as_column_names() {
        let columns = Columns { user_id: "user".to_owned(), text: "text".to_owned(), ..Columns::default() };
        let error = columns.find(&["ada", "a secret"], &Position::line(Path::new("x.csv"), 1)).unwrap_err();
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("ada"));
        assert!(error.to_string().contains("first row names the columns"));
    }
}
