//! One file from its public address, resumed where an earlier attempt broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::{StatusCode, header};

use crate::ModelError;
use crate::checkpoint::io;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence of a server.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const BLOCK_BYTES: usize = 1 << 18;
/// Attempts that bring nothing, in a row, before the last one's failure counts.
const N_ATTEMPTS: u32 = 4;

/// A file that was downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Where it is.
    pub file: PathBuf,
    /// Its size.
    pub n_bytes: u64,
    /// SHA-256 of its content, 64 hexadecimal digits.
    pub sha256: String,
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Brings the file of an address into a folder, under its own name, or finds it there.
///
/// What an attempt that broke off has brought is kept in `NAME.incomplete`. `on_progress` hears bytes done and bytes in all.
///
/// # Errors
/// [`ModelError::HubUnreachable`], [`ModelError::Io`].
pub fn download(
    url: &str,
    folder: &Path,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<Download, ModelError> {
    // What follows may be a signature, which is nobody's business.
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let name = shown.rsplit('/').next().unwrap_or("dump");
    let (file, part) = (folder.join(name), folder.join(format!("{name}.incomplete")));
    fs::create_dir_all(folder).map_err(|error| io(folder, "make it", error))?;
    if !file.is_file() {
        let mut n_failures = 0;
        loop {
            let before = fs::metadata(&part).map_or(0, |metadata| metadata.len());
            match attempt(url, &part, on_progress) {
                Ok(()) => break,
                Err(source) => {
                    let after = fs::metadata(&part).map_or(0, |metadata| metadata.len());
                    n_failures = if after > before { 0 } else { n_failures + 1 };
                    if n_failures == N_ATTEMPTS {
                        let (name, endpoint) = (name.to_owned(), shown.to_owned());
                        return Err(ModelError::HubUnreachable { name, endpoint, source });
                    }
                    std::thread::sleep(Duration::from_millis(200 << n_failures));
                }
            }
        }
        fs::rename(&part, &file).map_err(|error| io(&file, "write it", error))?;
    }
    let mut hasher = Sha256::new();
    let n_bytes = File::open(&file)
        .and_then(|mut open| std::io::copy(&mut open, &mut hasher))
        .map_err(|error| io(&file, "read it", error))?;
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Download { file, n_bytes, sha256 })
}

/// Fetches what the partial file lacks.
fn attempt(url: &str, part: &Path, on_progress: &mut dyn FnMut(u64, u64)) -> Result<(), BoxedError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .user_agent(concat!("userprint/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .build()
        .into();
    let mut file = OpenOptions::new().create(true).append(true).open(part)?;
    let mut n_done = file.metadata()?.len();
    let request = agent.get(url).header(header::ACCEPT_ENCODING, "identity");
    let mut response = match n_done {
        0 => request.call()?,
        _ => match request.header(header::RANGE, format!("bytes={n_done}-")).call() {
            // There is nothing from there on: it is all there, or of another file. Both begin anew.
            Err(ureq::Error::StatusCode(416)) => {
                file.set_len(0)?;
                return Err("the server has no bytes behind those that are there".into());
            }
            response => response?,
        },
    };
    let number =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let length = number("content-length");
    if response.status() != StatusCode::PARTIAL_CONTENT {
        file.set_len(0)?;
        n_done = 0;
    }
    let total = length.map(|length| length + n_done).ok_or("the server does not say how long the file is")?;
    let (mut body, mut block) =
        (response.body_mut().with_config().limit(u64::MAX).reader(), vec![0; BLOCK_BYTES]);
    while n_done < total {
        let n_read = body.read(&mut block)?;
        if n_read == 0 {
            return Err(format!("the connection ended after {n_done} of {total} bytes").into());
        }
        file.write_all(&block[..n_read])?;
        n_done += n_read as u64;
        on_progress(n_done, total);
    }
    if n_done != total {
        file.set_len(0)?;
        return Err("the server sent more bytes than it announced".into());
    }
    Ok(file.sync_all()?)
}
