//! Files in object stores, brought here to be read.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use crate::CorpusError;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Letters of a URL that make a pattern of it.
const WILD: [char; 2] = ['*', '['];

/// What to do about a store that gives nothing.
const ACCESS: &str = "check the address, and the credentials in the environment (AWS_ACCESS_KEY_ID, \
    AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT; GOOGLE_SERVICE_ACCOUNT)";

/// Objects of a store under one address: `s3://bucket/corpus.parquet`, `gs://bucket/2016/*.jsonl.zst`.
///
/// Credentials and endpoints come from the environment by the names that AWS and Google gave them. In a pattern, `*` stands
/// for letters of one name, `**` for folders, `[ab]` for one letter.
#[derive(Clone)]
pub struct Objects {
    url: Url,
    options: Vec<(String, String)>,
}

impl fmt::Debug for Objects {
    // Options hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects {{ {} }}", shown(&self.url))
    }
}

impl Objects {
    /// The objects that a name means, if it is an address of an object store.
    pub fn of(name: &str) -> Option<Self> {
        let url = Url::parse(name).ok().filter(|url| ["s3", "s3a", "gs"].contains(&url.scheme()))?;
        // Others say what they want of a store in words such as REGION.
        let known = |key: &String| key.starts_with("AWS_") || key.starts_with("GOOGLE_");
        let options = std::env::vars_os().filter_map(|(key, value)| {
            Some((key.into_string().ok().filter(known)?, value.into_string().ok()?))
        });
        Some(Self { url, options: options.collect() })
    }

    /// Brings the objects to a folder, each under its own name in a folder of its number; `on_bytes` hears how many bytes have
    /// come and how many will.
    ///
    /// # Errors
    /// [`CorpusError::NoObject`] where the store gives none, [`CorpusError::NotWritten`] where the folder takes none.
    pub fn fetch(
        &self,
        folder: &Path,
        on_bytes: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<PathBuf>, CorpusError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.failed(error.into()))?;
        runtime.block_on(self.fetch_all(folder, on_bytes))
    }

    async fn fetch_all(
        &self,
        folder: &Path,
        on_bytes: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<PathBuf>, CorpusError> {
        if self.url.query().is_some() || self.url.fragment().is_some() {
            return Err(self.failed(
                "an address with `?` or `#` in it names no object; write them as %3F and %23".into(),
            ));
        }
        let options = self.options.iter().map(|(key, value)| (key, value));
        let (store, _) =
            object_store::parse_url_opts(&self.url, options).map_err(|error| self.failed(error.into()))?;
        let objects = self.found(&store).await.map_err(|source| self.failed(source))?;
        if objects.is_empty() {
            return Err(self.failed("no object has such a name".into()));
        }
        let total = objects.iter().map(|object| object.size).sum();
        let mut n_bytes = 0;
        let mut files = Vec::with_capacity(objects.len());
        for (number, object) in objects.iter().enumerate() {
            let file = folder.join(number.to_string()).join(object.location.filename().unwrap_or("object"));
            let not_written =
                |error: std::io::Error| CorpusError::NotWritten { file: file.clone(), source: error.into() };
            fs::create_dir_all(folder.join(number.to_string())).map_err(not_written)?;
            let mut to = File::create(&file).map_err(not_written)?;
            let got = store.get(&object.location).await.map_err(|error| self.failed(error.into()))?;
            let mut chunks = got.into_stream();
            let before = n_bytes;
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(|error| self.failed(error.into()))?;
                to.write_all(&chunk).map_err(not_written)?;
                n_bytes += chunk.len() as u64;
                on_bytes(n_bytes, total);
            }
            if n_bytes - before != object.size {
                let [got, size] = [n_bytes - before, object.size];
                return Err(self.failed(format!("an object of {size} bytes came as {got}").into()));
            }
            files.push(file);
        }
        Ok(files)
    }

    /// The object of the address, or those that match it, by name.
    async fn found(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>, BoxedError> {
        let path = ObjectPath::from_url_path(self.url.path())?;
        if !self.url.path().contains(WILD) {
            return Ok(vec![store.head(&path).await?]);
        }
        let pattern = path.as_ref();
        let before = pattern.split(WILD).next().unwrap_or_default();
        let prefix = before.rsplit_once('/').map(|(folder, _)| ObjectPath::parse(folder)).transpose()?;
        let pattern = glob::Pattern::new(pattern)?;
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
        let all: Vec<ObjectMeta> = store.list(prefix.as_ref()).try_collect().await?;
        let matches = |object: &ObjectMeta| pattern.matches_with(object.location.as_ref(), options);
        let mut objects: Vec<ObjectMeta> = all.into_iter().filter(matches).collect();
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    fn failed(&self, source: BoxedError) -> CorpusError {
        CorpusError::NoObject { url: shown(&self.url), hint: ACCESS, source }
    }
}

/// An address without what may be secret in it.
fn shown(url: &Url) -> String {
    let place = format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    url.query().map_or(place.clone(), |_| format!("{place}?..."))
}

#[cfg(test)]
mod tests;
