//! Groups of users who share texts, directly or by others.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, StringArray};
use userprint_core::Origin;

use super::plan::Plan;
use super::session::Session;
use crate::CorpusError;
use crate::rows_file::{LabelledRow, RowsFile};

/// Makes the table `owners`: of each user who shares a text the first user of its group.
pub(super) fn keep(session: &Session, plan: &Plan<'_>, work: &Path) -> Result<(), CorpusError> {
    let mut groups = Groups::default();
    session.each_batch(&plan.sharing(), &mut |batch| {
        let strings = |column: usize| batch.column(column).as_any().downcast_ref::<StringArray>();
        let (Some(users), Some(others)) = (strings(0), strings(1)) else {
            return Err(CorpusError::relational("grouping users", "a user is no string".into()));
        };
        (0..users.len()).for_each(|row| groups.join(users.value(row), others.value(row)));
        Ok(())
    })?;
    let file = work.join("sharing.parquet");
    let mut rows = RowsFile::new(&file)?;
    for (user_id, owner) in groups.owners() {
        let (text, example_id, origin) = (None, None, Origin::default());
        rows.push(LabelledRow { user_id, text, example_id, origin, label: Some(owner) })?;
    }
    rows.finish()?;
    session.register("sharing_users", &[file])?;
    session.view("owners", "SELECT user_id, label AS owner FROM sharing_users")
}

/// Disjoint sets of users.
#[derive(Default)]
struct Groups {
    number: BTreeMap<String, usize>,
    parent: Vec<usize>,
}

impl Groups {
    fn join(&mut self, left: &str, right: &str) {
        let [left, right] = [left, right].map(|user| self.number(user));
        let (left, right) = (self.root(left), self.root(right));
        self.parent[left.max(right)] = left.min(right);
    }

    fn number(&mut self, user: &str) -> usize {
        if let Some(&number) = self.number.get(user) {
            return number;
        }
        let number = self.parent.len();
        self.parent.push(number);
        self.number.insert(user.to_owned(), number);
        number
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    /// Each user with the least of its group.
    fn owners(mut self) -> Vec<(String, String)> {
        let users = std::mem::take(&mut self.number);
        let mut least: BTreeMap<usize, String> = BTreeMap::new();
        let rooted: Vec<(String, usize)> =
            users.into_iter().map(|(user, number)| (user, self.root(number))).collect();
        // Users come in order, so the first of a group is its least.
        for (user, root) in &rooted {
            least.entry(*root).or_insert_with(|| user.clone());
        }
        rooted.into_iter().map(|(user, root)| (user, least[&root].clone())).collect()
    }
}
