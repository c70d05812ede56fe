//! Documents of a split, user by user, out of a file that is not loaded.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use rand::Rng;
use rand::seq::index;
use userprint_core::{Membership, Role, UserId};

use crate::read::guarded;
use crate::{CorpusError, Position};

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes that say how long a text is, before it.
const PREFIX_BYTES: u64 = 4;

/// The documents of a split by user, each read from the file when it is asked for.
///
/// Of every document this holds 13 bytes: where its text begins, how long it is, its role. Texts lie uncompressed in the file
/// that [`RelationalSplit`](crate::RelationalSplit) writes, so that one read brings one text, whatever the size of its page.
#[derive(Debug)]
pub struct UserDocuments {
    path: PathBuf,
    file: File,
    users: Vec<UserId>,
    membership: Vec<Membership>,
    /// First document of each user, and one past the last.
    starts: Vec<u32>,
    /// Where texts begin in the file.
    offset: Vec<u64>,
    n_bytes: Vec<u32>,
    role: Vec<Option<Role>>,
}

/// Documents of one user that were drawn together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDraw {
    /// Position among [`UserDocuments::users`].
    pub user: usize,
    /// Positions within the user.
    pub documents: Vec<usize>,
    /// Their texts.
    pub texts: Vec<String>,
}

impl UserDocuments {
    /// Opens the documents of a split.
    ///
    /// # Errors
    /// [`CorpusError`] if the file cannot be read or is not one that a split wrote.
    pub fn open(path: &Path) -> Result<Self, CorpusError> {
        let file = crate::read::open(path)?;
        guarded(|| Self::index(path, file))
            .map_err(|source| CorpusError::Damaged { position: Position::row(path, 1), source })
    }

    fn index(path: &Path, file: File) -> Result<Self, BoxedError> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file.try_clone()?, options)?;
        let metadata = Arc::clone(builder.metadata());
        let names = ["user_id", "membership", "role", "n_bytes"];
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let mut found = Self {
            path: path.to_owned(),
            file,
            users: Vec::new(),
            membership: Vec::new(),
            starts: Vec::new(),
            offset: Vec::new(),
            n_bytes: Vec::new(),
            role: Vec::new(),
        };
        for batch in builder.with_projection(mask).build()? {
            found.push(&batch?)?;
        }
        found.starts.push(u32::try_from(found.n_bytes.len())?);
        found.find_offsets(&metadata)?;
        Ok(found)
    }

    /// Takes rows without their texts.
    fn push(&mut self, batch: &RecordBatch) -> Result<(), BoxedError> {
        let strings = |name: &str| {
            let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            column.ok_or_else(|| format!("column {name} is no string"))
        };
        let (users, membership, roles) = (strings("user_id")?, strings("membership")?, strings("role")?);
        let lengths =
            batch.column_by_name("n_bytes").and_then(|column| column.as_any().downcast_ref::<UInt32Array>());
        let lengths = lengths.ok_or("column n_bytes is no number")?;
        for row in 0..batch.num_rows() {
            if self.users.last().map(UserId::as_str) != Some(users.value(row)) {
                self.users.push(UserId::new(users.value(row)));
                self.membership.push(membership.value(row).parse().map_err(|_| "another membership")?);
                self.starts.push(u32::try_from(self.n_bytes.len())?);
            }
            let role = roles
                .is_valid(row)
                .then(|| roles.value(row).parse())
                .transpose()
                .map_err(|_| "another role")?;
            self.role.push(role);
            self.n_bytes.push(lengths.value(row));
        }
        Ok(())
    }

    /// Counts back from the end of each page of texts, where its values are.
    fn find_offsets(&mut self, metadata: &ParquetMetaData) -> Result<(), BoxedError> {
        let schema = metadata.file_metadata().schema_descr();
        let column = (0..schema.num_columns()).find(|&column| schema.column(column).name() == "text");
        let column = column.ok_or("there is no column text")?;
        let index = metadata.offset_index().ok_or("the file has no index of pages")?;
        self.offset.reserve_exact(self.n_bytes.len());
        for (group, pages) in metadata.row_groups().iter().zip(index) {
            if group.column(column).compression() != Compression::UNCOMPRESSED {
                return Err(
                    "the texts are compressed: the file was not written by a split of this version".into()
                );
            }
            let pages = pages.get(column).ok_or("a column has no index of pages")?.page_locations();
            let first = self.offset.len();
            for (at, page) in pages.iter().enumerate() {
                let start = usize::try_from(page.first_row_index)?;
                let end = match pages.get(at + 1) {
                    Some(next) => usize::try_from(next.first_row_index)?,
                    None => usize::try_from(group.num_rows())?,
                };
                let own = self
                    .n_bytes
                    .get(first + start..first + end)
                    .ok_or("a page has more rows than the file")?;
                let n_bytes: u64 = own.iter().map(|&n| u64::from(n) + PREFIX_BYTES).sum();
                let page_end = u64::try_from(page.offset)? + u64::try_from(page.compressed_page_size)?;
                let mut offset = page_end.checked_sub(n_bytes).ok_or("a page is shorter than its texts")?;
                for &n in own {
                    self.offset.push(offset);
                    offset += u64::from(n) + PREFIX_BYTES;
                }
            }
        }
        match self.offset.len() == self.n_bytes.len() {
            true => Ok(()),
            false => Err("the pages have other rows than the file".into()),
        }
    }

    /// The users, sorted.
    pub fn users(&self) -> &[UserId] {
        &self.users
    }

    /// What a user is used for.
    ///
    /// # Panics
    /// If there is no such user; as all methods that take one.
    pub fn membership(&self, user: usize) -> Membership {
        self.membership[user]
    }

    /// What each document of a user is used for, by example id.
    pub fn roles(&self, user: usize) -> &[Option<Role>] {
        &self.role[self.starts[user] as usize..self.starts[user + 1] as usize]
    }

    /// One document.
    ///
    /// # Errors
    /// [`CorpusError::Damaged`] if the file no longer holds it.
    ///
    /// # Panics
    /// If the user has no such document.
    pub fn text(&self, user: usize, document: usize) -> Result<String, CorpusError> {
        let at = self.starts[user] as usize + document;
        assert!(at < self.starts[user + 1] as usize, "user {user} has no document {document}");
        let damaged = |source: BoxedError| CorpusError::Damaged {
            position: Position::row(&self.path, at as u64 + 1),
            source,
        };
        let n_bytes = self.n_bytes[at];
        let mut bytes = vec![0; n_bytes as usize + PREFIX_BYTES as usize];
        read_at(&self.file, &mut bytes, self.offset[at]).map_err(|error| damaged(error.into()))?;
        let text = bytes.split_off(PREFIX_BYTES as usize);
        if bytes != n_bytes.to_le_bytes() {
            return Err(damaged("the file has changed since it was opened".into()));
        }
        String::from_utf8(text).map_err(|error| damaged(error.into()))
    }

    /// So many different users among these, and so many documents of each that have the role, all drawn without replacement.
    ///
    /// A user with fewer documents of that role gives all that it has.
    ///
    /// # Errors
    /// As [`Self::text`].
    ///
    /// # Panics
    /// If there are fewer users than wanted.
    pub fn draw(
        &self,
        among: &[usize],
        n_users: usize,
        n_documents: usize,
        role: Role,
        rng: &mut impl Rng,
    ) -> Result<Vec<UserDraw>, CorpusError> {
        let users = index::sample(rng, among.len(), n_users).into_iter().map(|at| among[at]);
        let draws = users.map(|user| {
            let roles = self.roles(user).iter().enumerate();
            let own: Vec<usize> = roles.filter(|(_, own)| **own == Some(role)).map(|(at, _)| at).collect();
            let drawn = index::sample(rng, own.len(), n_documents.min(own.len()));
            let documents: Vec<usize> = drawn.into_iter().map(|at| own[at]).collect();
            let texts =
                documents.iter().map(|&document| self.text(user, document)).collect::<Result<_, _>>()?;
            Ok(UserDraw { user, documents, texts })
        });
        draws.collect()
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (bytes, offset) = (&mut bytes[n..], offset + n as u64),
        }
    }
    Ok(())
}
