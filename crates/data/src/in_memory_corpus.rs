//! The reference implementation of a corpus: everything in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use userprint_core::{Example, ExampleId, Fingerprint, Fingerprinter, Origin, Ragged, UserId, UserIdx};

use crate::{Corpus, CorpusError, Position};

/// One row of a corpus before it is checked.
#[derive(Clone, PartialEq, Eq)]
pub struct CorpusRow {
    /// Who the text belongs to.
    pub user_id: String,
    /// Unique within the user; made from the text where absent.
    pub example_id: Option<String>,
    /// The text.
    pub text: String,
    /// When and where it was written.
    pub origin: Origin,
}

impl fmt::Debug for CorpusRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorpusRow").field("text_bytes", &self.text.len()).finish_non_exhaustive()
    }
}

impl CorpusRow {
    /// Holds that no value is blank; `columns` names user id, example id and text.
    pub(crate) fn check(&self, position: &Position, columns: [&str; 3]) -> Result<(), CorpusError> {
        let values = [Some(&self.user_id), self.example_id.as_ref(), Some(&self.text)];
        for (value, column) in values.into_iter().zip(columns) {
            if value.is_some_and(|value| value.trim().is_empty()) {
                let (position, column) = (position.clone(), column.to_owned());
                return Err(CorpusError::NoValue { position, column, found: "empty" });
            }
        }
        Ok(())
    }
}

/// A corpus held in memory.
///
/// An example without an id gets the first 16 hexadecimal digits of the SHA-256 of its text, and `-k` after
/// them if it is the k-th exact duplicate within its user: the same ids in any row order.
#[derive(Clone, Debug, PartialEq)]
pub struct InMemoryCorpus {
    fingerprint: Fingerprint,
    users: Vec<UserId>,
    examples: Ragged<Example>,
}

impl InMemoryCorpus {
    /// Checks and groups rows; their order does not matter.
    ///
    /// # Errors
    /// [`CorpusError::NoValue`], [`CorpusError::DuplicateExample`] or [`CorpusError::NoRows`], naming the row
    /// by its position from 1.
    pub fn from_rows(rows: Vec<CorpusRow>) -> Result<Self, CorpusError> {
        let file = Path::new("rows in memory");
        let mut builder = CorpusBuilder::new(file);
        for (row, number) in rows.into_iter().zip(1..) {
            let position = Position::row(file, number);
            row.check(&position, ["user_id", "example_id", "text"])?;
            builder.push(position, row);
        }
        builder.finish()
    }

    /// Number of examples of all users.
    pub fn n_examples_total(&self) -> usize {
        self.examples.values().len()
    }
}

impl Corpus for InMemoryCorpus {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn users(&self) -> &[UserId] {
        &self.users
    }

    fn n_examples(&self, user: UserIdx) -> u32 {
        u32::try_from(self.examples.row(user.index()).len())
            .expect("more than u32::MAX examples do not fit in memory")
    }

    fn examples(&self, user: UserIdx) -> Result<Vec<Example>, CorpusError> {
        Ok(self.examples.row(user.index()).to_vec())
    }
}

/// Groups rows by user as they come in.
#[derive(Debug)]
pub(crate) struct CorpusBuilder {
    file: PathBuf,
    unit: &'static str,
    users: BTreeMap<String, Vec<NumberedRow>>,
}

#[derive(Debug)]
struct NumberedRow {
    number: u64,
    example_id: Option<String>,
    text: String,
    origin: Origin,
}

impl CorpusBuilder {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), unit: "row", users: BTreeMap::new() }
    }

    /// Takes a row that has been checked.
    pub(crate) fn push(&mut self, position: Position, row: CorpusRow) {
        let (CorpusRow { user_id, example_id, text, origin }, number) = (row, position.number);
        self.unit = position.unit;
        self.users.entry(user_id).or_default().push(NumberedRow { number, example_id, text, origin });
    }

    pub(crate) fn finish(mut self) -> Result<InMemoryCorpus, CorpusError> {
        if self.users.is_empty() {
            return Err(CorpusError::NoRows { file: self.file });
        }
        let mut fingerprinter = Fingerprinter::new();
        let mut users = Vec::with_capacity(self.users.len());
        let mut examples = Ragged::new();
        for (user_id, mut rows) in std::mem::take(&mut self.users) {
            derive_ids(&mut rows);
            rows.sort_by(|a, b| (&a.example_id, a.number).cmp(&(&b.example_id, b.number)));
            if let Some(pair) = rows.windows(2).find(|pair| pair[0].example_id == pair[1].example_id) {
                let [first, second] = [&pair[0], &pair[1]].map(|row| self.position(row.number));
                return Err(CorpusError::DuplicateExample { first, second });
            }
            fingerprinter.add(&user_id);
            fingerprinter.add((rows.len() as u64).to_le_bytes());
            users.push(UserId::new(user_id));
            examples.push(rows.into_iter().map(|row| {
                let example_id = row.example_id.expect("every row has an id by now");
                fingerprinter.add(&example_id);
                fingerprinter.add(&row.text);
                Example { example_id: ExampleId::new(example_id), text: row.text, origin: row.origin }
            }));
        }
        Ok(InMemoryCorpus { fingerprint: fingerprinter.finish(), users, examples })
    }

    fn position(&self, number: u64) -> Position {
        Position { file: self.file.clone(), unit: self.unit, number }
    }
}

/// Fills in ids made from the texts.
fn derive_ids(rows: &mut [NumberedRow]) {
    let mut copies: BTreeMap<&str, u32> = BTreeMap::new();
    for NumberedRow { example_id, text, .. } in rows {
        if example_id.is_some() {
            continue;
        }
        let copy = copies.entry(text).or_default();
        *example_id = Some(derived_id(text, *copy));
        *copy += 1;
    }
}

/// The id of the `copy`-th exact duplicate of a text within its user, counted from 0.
pub(crate) fn derived_id(text: &str, copy: u32) -> String {
    copy_id(&hex(&Sha256::digest(text)[..8]), copy)
}

/// The id of a copy, from that of the first.
pub(crate) fn copy_id(first: &str, copy: u32) -> String {
    if copy == 0 { first.to_owned() } else { format!("{first}-{copy}") }
}

/// Ids of examples that come one by one: the same that [`InMemoryCorpus`] gives them.
#[derive(Clone, Debug, Default)]
pub struct ExampleIds {
    /// How often a user had a text, or where a user's example with this id stood, by a hash of both.
    seen: BTreeMap<[u8; 16], u64>,
}

impl ExampleIds {
    /// The id of a row.
    ///
    /// # Errors
    /// [`CorpusError::DuplicateExample`] where its user had that id before.
    pub fn id_of(&mut self, position: &Position, row: &CorpusRow) -> Result<ExampleId, CorpusError> {
        let key = row.example_id.as_ref().unwrap_or(&row.text);
        let digest = Sha256::new().chain_update((row.user_id.len() as u64).to_le_bytes());
        let digest = digest.chain_update(&row.user_id).chain_update(key).finalize();
        let key: [u8; 16] = std::array::from_fn(|i| digest[i]);
        let Some(id) = &row.example_id else {
            let copies = self.seen.entry(key).or_default();
            *copies += 1;
            return Ok(ExampleId::new(derived_id(&row.text, (*copies - 1) as u32)));
        };
        match self.seen.insert(key, position.number) {
            None => Ok(ExampleId::new(id)),
            Some(number) => Err(CorpusError::DuplicateExample {
                first: Position { number, ..position.clone() },
                second: position.clone(),
            }),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn row(user_id: &str, example_id: Option<&str>, text: &str) -> CorpusRow {
        let (user_id, example_id, text) = (user_id.into(), example_id.map(Into::into), text.into());
        CorpusRow { user_id, example_id, text, origin: Origin::default() }
    }

    #[track_caller]
    fn check_error(rows: Vec<CorpusRow>, expect: Expect) {
        expect.assert_eq(&InMemoryCorpus::from_rows(rows).unwrap_err().to_string());
    }

    #[test]
    fn ids_come_from_the_text_in_any_order() {
        let mut rows =
            vec![row("b", None, "x"), row("a", None, "y"), row("b", None, "z"), row("b", None, "x")];
        let corpus = InMemoryCorpus::from_rows(rows.clone()).unwrap();
        let ids: Vec<_> = corpus.examples(UserIdx(1)).unwrap();
        let ids: Vec<_> = ids.iter().map(|example| example.example_id.as_str()).collect();
        // sha256("x") = 2d711642b726b044…, sha256("z") = 594e519ae499312b…
        assert_eq!(ids, ["2d711642b726b044", "2d711642b726b044-1", "594e519ae499312b"]);
        rows.reverse();
        assert_eq!(InMemoryCorpus::from_rows(rows).unwrap(), corpus);
    }

    #[test]
    fn ids_one_by_one_are_the_same() {
        let rows = [row("b", None, "x"), row("a", None, "x"), row("b", None, "x"), row("b", None, "z")];
        let (mut ids, position) = (ExampleIds::default(), Position::row(Path::new("rows"), 1));
        let mut found: Vec<(String, ExampleId)> =
            rows.iter().map(|row| (row.user_id.clone(), ids.id_of(&position, row).unwrap())).collect();
        found.sort();
        let corpus = InMemoryCorpus::from_rows(rows.to_vec()).unwrap();
        let expected: Vec<(String, ExampleId)> = (0..2)
            .flat_map(|user| corpus.examples(UserIdx(user)).unwrap().into_iter().map(move |e| (user, e)))
            .map(|(user, example)| (["a", "b"][user as usize].to_owned(), example.example_id))
            .collect();
        assert_eq!(found, expected);
        let given = row("a", Some("1"), "x");
        ids.id_of(&position, &given).unwrap();
        let again = ids.id_of(&Position::row(Path::new("rows"), 9), &given).unwrap_err();
        assert!(again.to_string().starts_with("rows, row 9: the user and example id of row 1"), "{again}");
    }

    #[test]
    fn fingerprint_tells_texts_apart() {
        let of = |text| InMemoryCorpus::from_rows(vec![row("a", Some("1"), text)]).unwrap().fingerprint();
        assert_eq!(of("x"), of("x"));
        assert_ne!(of("x"), of("y"));
    }

    #[test]
    fn no_rows() {
        check_error(
            vec![],
            expect!["rows in memory has no rows, expected at least one; check how it was written"],
        );
    }

    #[test]
    fn blank_text() {
        check_error(
            vec![row("a", None, "x"), row("a", None, " \n")],
            expect![
                "rows in memory, row 2: column `text` is empty, expected a value in every row; fill it or drop the row"
            ],
        );
    }

    #[test]
    fn blank_user() {
        check_error(
            vec![row("", None, "x")],
            expect![
                "rows in memory, row 1: column `user_id` is empty, expected a value in every row; fill it or drop the row"
            ],
        );
    }

    #[test]
    fn same_example_twice() {
        let rows = vec![row("a", Some("1"), "x"), row("b", Some("1"), "x"), row("a", Some("1"), "y")];
        check_error(
            rows,
            expect![
                "rows in memory, row 3: the user and example id of row 1 again, expected them once; drop one of the rows or choose another example id column"
            ],
        );
    }

    #[test]
    fn debug_hides_text_and_ids() {
        let rows = vec![row("secret", Some("secret"), "secret")];
        assert!(!format!("{rows:?}").contains("secret"));
        assert!(!format!("{:?}", InMemoryCorpus::from_rows(rows).unwrap()).contains("secret"));
    }
}
