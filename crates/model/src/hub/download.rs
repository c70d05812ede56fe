//! Bringing one file into the cache, from where an earlier attempt broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::path::PathBuf;

use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::cache::{BLOCK_BYTES, Cache, check};
use super::client::{Announced, Client, Failure, text};
use super::{HubFile, HubProgress, HubStep, OnProgress};
use crate::ModelError;
use crate::checkpoint::io;

/// Fetches a file of a commit, checks it and only then puts it in its place.
pub(super) fn bring(
    client: &Client<'_>,
    cache: &Cache,
    commit: &str,
    name: &str,
    on_progress: OnProgress<'_>,
) -> Result<HubFile, ModelError> {
    let url = client.url(commit, name);
    let announced = client.retry(|| client.announced(&url, commit, name))?;
    let etag = announced.etag.clone();
    let _lock = cache.lock(&etag)?;
    let blob = cache.blob(&etag)?;
    let file = if blob.is_file() {
        check(&blob, name, &etag, on_progress)?
    } else {
        let part = blob.with_file_name(format!("{etag}.incomplete"));
        let download = Download { client, url, name, announced, part };
        client.retry(|| download.attempt(on_progress))?;
        let file = check(&download.part, name, &etag, on_progress)?;
        fs::rename(&download.part, &blob).map_err(|e| io(&blob, "write it", e))?;
        file
    };
    cache.link(commit, name, &etag)?;
    Ok(file)
}

struct Download<'a> {
    client: &'a Client<'a>,
    url: String,
    name: &'a str,
    announced: Announced,
    /// What has come so far.
    part: PathBuf,
}

impl Download<'_> {
    /// Fetches what the partial file lacks.
    fn attempt(&self, on_progress: OnProgress<'_>) -> Result<(), Failure> {
        let mut file =
            OpenOptions::new().create(true).append(true).open(&self.part).map_err(|e| self.io(e))?;
        let mut n_before = file.metadata().map_err(|e| self.io(e))?.len();
        if n_before > self.announced.n_bytes {
            file.set_len(0).map_err(|e| self.io(e))?;
            n_before = 0;
        }
        if n_before < self.announced.n_bytes {
            self.fill(&mut file, n_before, on_progress)?;
        }
        Ok(file.sync_all().map_err(|e| self.io(e))?)
    }

    fn fill(&self, file: &mut File, n_before: u64, on_progress: OnProgress<'_>) -> Result<(), Failure> {
        let mut response = self.client.get(&self.url, n_before)?;
        self.client.accept(&response, self.name)?;
        let mut n_done = self.start(&response, n_before)?;
        file.set_len(n_done).map_err(|e| self.io(e))?;
        let (mut body, mut block) = (response.body_mut().as_reader(), vec![0; BLOCK_BYTES]);
        while n_done < self.announced.n_bytes {
            let n_lacking = usize::try_from(self.announced.n_bytes - n_done).unwrap_or(BLOCK_BYTES);
            let broken = |source: Error| Failure::Passing {
                error: self.client.unreachable(source),
                progressed: n_done > n_before,
            };
            let n_read = match body.read(&mut block[..n_lacking.min(BLOCK_BYTES)]) {
                Ok(0) => return Err(broken(ErrorKind::UnexpectedEof.into())),
                n_read => n_read.map_err(broken)?,
            };
            file.write_all(&block[..n_read]).map_err(|e| self.io(e))?;
            n_done += n_read as u64;
            self.report(n_done, on_progress);
        }
        Ok(())
    }

    /// The byte that an answer begins with: the one asked for, or the first where the server knows no ranges.
    fn start(&self, response: &Response<Body>, n_before: u64) -> Result<u64, ModelError> {
        let n_bytes = self.announced.n_bytes;
        let (start, fits) = if response.status() == StatusCode::PARTIAL_CONTENT {
            let expected = format!("bytes {n_before}-{}/{n_bytes}", n_bytes - 1);
            (n_before, text(response, "content-range") == Some(&expected))
        } else {
            let length = text(response, "content-length");
            (0, length.is_none_or(|length| length == n_bytes.to_string()))
        };
        let reason = || format!("sent other bytes of {} than it announced", self.name);
        if fits { Ok(start) } else { Err(self.client.misanswer(reason())) }
    }

    fn report(&self, n_bytes_done: u64, on_progress: OnProgress<'_>) {
        let (file, n_bytes) = (self.name, self.announced.n_bytes);
        on_progress(HubProgress { file, step: HubStep::Download, n_bytes_done, n_bytes });
    }

    fn io(&self, source: Error) -> ModelError {
        io(&self.part, "write it", source)
    }
}
