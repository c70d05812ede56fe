//! Models and datasets by their name on a hub: pinned to a commit, fetched once, kept in the cache that other tools share.
//!
//! Only a model's config, tokenizer and weights are fetched, never code.
//! What the hub announces a SHA-256 of is held against it, at each use.

mod cache;
mod client;
mod download;
mod files;
mod plain_file;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::ModelError;
use cache::Cache;
use client::Client;
pub use plain_file::{Download, download};

/// The public hub.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// The revision meant where none is named.
pub const DEFAULT_REVISION: &str = "main";

/// What a hub keeps under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubKind {
    /// Config, tokenizer and weights.
    Model,
    /// Files of any kind.
    Dataset,
}

impl HubKind {
    /// The plural, as addresses and the cache have it.
    fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// A model or dataset asked for by name.
#[derive(Clone, Copy)]
pub struct HubRequest<'a> {
    /// What the name is of.
    pub kind: HubKind,
    /// `owner/name`, or `name` for the oldest models.
    pub name: &'a str,
    /// Branch, tag or commit; [`DEFAULT_REVISION`] where none.
    pub revision: Option<&'a str>,
    /// Folder of the cache, the one with `models--owner--name` in it.
    pub cache: &'a Path,
    /// Address of the hub, as [`DEFAULT_ENDPOINT`].
    pub endpoint: &'a str,
    /// Who asks; sent to the hub alone, never to where it redirects.
    pub token: Option<&'a str>,
    /// Address of an HTTP proxy.
    pub proxy: Option<&'a str>,
    /// Use the cache alone and connect to nothing.
    pub offline: bool,
    /// How often a request that failed in passing is repeated; one that brought bytes does not count as failed.
    pub n_retries: u32,
}

/// Leaves the token out, and a proxy's password.
impl fmt::Debug for HubRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HubRequest");
        debug.field("name", &self.name).field("revision", &self.revision).field("cache", &self.cache);
        debug.field("offline", &self.offline).finish_non_exhaustive()
    }
}

/// A model or dataset in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    /// Folder with the files; other tools may keep more there than is named in `files`.
    pub folder: PathBuf,
    /// Its name on the hub.
    pub name: String,
    /// The commit that the revision stood for, 40 hexadecimal digits.
    pub commit: String,
    /// Its files, by name.
    pub files: Vec<HubFile>,
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// Name within the folder.
    pub name: String,
    /// SHA-256 of its content, 64 hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub n_bytes: u64,
}

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubProgress<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// What is being done with it.
    pub step: HubStep,
    /// Done so far, what an earlier call left included.
    pub n_bytes_done: u64,
    /// Its size.
    pub n_bytes: u64,
}

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubStep {
    /// It comes from the hub.
    Download,
    /// Its SHA-256 is computed.
    Check,
}

/// Who is told how far each file is.
pub type OnProgress<'a> = &'a mut dyn FnMut(HubProgress<'_>);

/// Brings a model into the cache, or finds it there.
///
/// # Guarantees
/// - Files in the cache are not fetched again; a file that was cut short is resumed where it broke off.
/// - The weights come last, so a model that was begun here and has its weights is whole; offline relies on it.
/// - Content whose SHA-256 is announced is held against it before it stands in the cache, and at each later call.
///
/// # Errors
/// The variants of [`ModelError`] whose names begin with `Hub`, and [`ModelError::Io`] where the disk refuses.
pub fn fetch(request: &HubRequest<'_>, on_progress: OnProgress<'_>) -> Result<HubModel, ModelError> {
    let revision = request.revision.unwrap_or(DEFAULT_REVISION);
    files::check_name(request.name)?;
    files::check_revision(revision)?;
    let cache = Cache::new(request.cache, request.kind, request.name);
    if request.offline {
        return from_cache(request, revision, &cache, on_progress);
    }
    // A commit does not change: what is whole in the cache needs no connection.
    let whole = files::is_commit(revision).then(|| from_cache(request, revision, &cache, on_progress));
    if let Some(Ok(model)) = whole { Ok(model) } else { from_hub(request, revision, &cache, on_progress) }
}

/// Brings the wanted files of a dataset into the cache, or finds them there.
///
/// # Errors
/// As [`fetch`]. Offline, the files that the cache has of the revision are taken to be all.
pub fn fetch_dataset(
    request: &HubRequest<'_>,
    wanted: &dyn Fn(&str) -> bool,
    on_progress: OnProgress<'_>,
) -> Result<HubModel, ModelError> {
    let revision = request.revision.unwrap_or(DEFAULT_REVISION);
    files::check_name(request.name)?;
    files::check_revision(revision)?;
    let cache = Cache::new(request.cache, request.kind, request.name);
    let among = |names: Vec<String>| names.into_iter().filter(|name| wanted(name)).collect::<Vec<_>>();
    let lacking = |missing: &str| ModelError::HubOffline {
        name: request.name.to_owned(),
        revision: revision.to_owned(),
        missing: missing.to_owned(),
    };
    if request.offline {
        let commit = cache.commit(revision)?.ok_or_else(|| lacking("all of it"))?;
        // Other tools note no list; what they left is taken for all.
        let names = cache.remembered_names(&commit)?.map_or_else(|| cache.names(&commit), Ok)?;
        let names = among(names);
        if names.is_empty() {
            return Err(lacking("its data files"));
        }
        if let Some(missing) = names.iter().find(|name| !cache.has(&commit, name)) {
            return Err(lacking(missing));
        }
        return model(request, &cache, commit, &names, |name, commit| cache.check(commit, name, on_progress));
    }
    let client = Client::new(request)?;
    let listing = client.listing(revision)?;
    cache.remember_names(&listing.commit, &listing.names)?;
    let names = among(listing.names);
    if names.is_empty() {
        return Err(client.misanswer("offers none of the files that are wanted"));
    }
    download_all(request, &client, &cache, revision, listing.commit, &names, on_progress)
}

fn from_cache(
    request: &HubRequest<'_>,
    revision: &str,
    cache: &Cache,
    on_progress: OnProgress<'_>,
) -> Result<HubModel, ModelError> {
    let lacking = |missing: String| ModelError::HubOffline {
        name: request.name.to_owned(),
        revision: revision.to_owned(),
        missing,
    };
    let commit = cache.commit(revision)?.ok_or_else(|| lacking("all of it".to_owned()))?;
    let names = files::wanted(&cache.names(&commit)?);
    if let Some(missing) = files::lacks(&names) {
        return Err(lacking(missing));
    }
    model(request, cache, commit, &names, |name, commit| cache.check(commit, name, on_progress))
}

fn from_hub(
    request: &HubRequest<'_>,
    revision: &str,
    cache: &Cache,
    on_progress: OnProgress<'_>,
) -> Result<HubModel, ModelError> {
    let client = Client::new(request)?;
    let listing = client.listing(revision)?;
    let names = files::wanted(&listing.names);
    if let Some(missing) = files::lacks(&names) {
        return Err(client.misanswer(format!("offers no {missing}")));
    }
    download_all(request, &client, cache, revision, listing.commit, &names, on_progress)
}

fn download_all(
    request: &HubRequest<'_>,
    client: &Client<'_>,
    cache: &Cache,
    revision: &str,
    commit: String,
    names: &[String],
    on_progress: OnProgress<'_>,
) -> Result<HubModel, ModelError> {
    let model = model(request, cache, commit, names, |name, commit| {
        if cache.has(commit, name) {
            cache.check(commit, name, on_progress)
        } else {
            download::bring(client, cache, commit, name, on_progress)
        }
    })?;
    cache.remember(revision, &model.commit)?;
    Ok(model)
}

fn model(
    request: &HubRequest<'_>,
    cache: &Cache,
    commit: String,
    names: &[String],
    mut file: impl FnMut(&str, &str) -> Result<HubFile, ModelError>,
) -> Result<HubModel, ModelError> {
    let mut files = names.iter().map(|name| file(name, &commit)).collect::<Result<Vec<_>, _>>()?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(HubModel { folder: cache.snapshot(&commit), name: request.name.to_owned(), commit, files })
}
