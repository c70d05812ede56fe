//! Programs that score a corpus and print one line of JSON: ours and the peer.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use xshell::{Shell, TempDir, cmd};

use super::record::target_directory;
use super::{Setting, Setup};
use crate::backend::Backend;
use crate::project_root;
use crate::watch::watch;

/// Lines of a failed program's last words.
const LAST_WORDS: usize = 6;

/// Who scores, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// `userprint score`, totals only.
    Ours,
    /// `userprint score` with the moments of each token's distribution.
    Moments,
    /// The peer, batches of texts of about the same length.
    Sorted,
    /// The peer, batches of texts as they come.
    Naive,
}

impl Program {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Moments => "moments",
            Self::Sorted => "sorted",
            Self::Naive => "naive",
        }
    }

    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::Moments)
    }
}

/// Texts to score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts<'a> {
    pub(super) corpus: &'a Path,
    /// Only so many from the beginning.
    pub(super) docs: Option<u64>,
    /// Tokens after which a text is cut.
    pub(super) max_tokens: u64,
}

/// What a program says of its work.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Scored {
    pub(super) docs: u64,
    pub(super) tokens: u64,
    pub(super) tokens_per_s: f64,
    pub(super) sum_log_likelihood: f64,
    pub(super) device: String,
}

/// One run of a program.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) scored: Scored,
    /// Most memory that it had, where the system says so.
    pub(super) peak_bytes: Option<u64>,
}

/// The peer: a script and what runs it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) python: PathBuf,
    pub(super) script: PathBuf,
}

impl Peer {
    /// The peer that was asked for, if any: `usual` of the peers beside the workspace, or another script.
    pub(super) fn find(
        python: Option<&Path>,
        script: Option<&Path>,
        usual: &str,
    ) -> anyhow::Result<Option<Self>> {
        let Some(python) = python else { return Ok(None) };
        let script = match script {
            Some(script) => script.to_owned(),
            None => project_root().join("../shared/peers").join(usual),
        };
        if !script.is_file() {
            bail!("there is no peer at {}, say where by --peer-script PATH", script.display());
        }
        Ok(Some(Self { python: python.to_owned(), script }))
    }
}

/// What a program printed, and the most memory that it had.
pub(super) struct Ran {
    pub(super) stdout: String,
    pub(super) peak_bytes: Option<u64>,
}

/// Runs a program to its end; what it prints passes through files in `folder`.
pub(super) fn run_once(mut command: Command, folder: &Path) -> anyhow::Result<Ran> {
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| folder.join(name));
    command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
    let shown = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("{shown} cannot be run"))?;
    let (status, peak_bytes) = watch(&mut child)?;
    if !status.success() {
        let said = fs::read(&stderr)?;
        bail!("{}", last_words(&String::from_utf8_lossy(&said)));
    }
    Ok(Ran { stdout: fs::read_to_string(&stdout)?, peak_bytes })
}

/// The development build of our binaries, with the features that the backends need.
pub(super) fn build(sh: &Shell, backends: &[Backend]) -> anyhow::Result<PathBuf> {
    let features = features(backends);
    // The whole workspace, as it is built anyway: another selection would build Burn again.
    cmd!(sh, "cargo build --quiet --workspace {features...}").run()?;
    Ok(target_directory(sh)?.join("debug"))
}

/// Both programs, and a folder for what they leave.
pub(super) struct Programs<'a> {
    setup: &'a Setup,
    binary: PathBuf,
    peer: Option<Peer>,
    folder: TempDir,
}

impl<'a> Programs<'a> {
    /// Builds ours where it is not given.
    pub(super) fn new(sh: &Shell, setup: &'a Setup, peer: Option<Peer>) -> anyhow::Result<Self> {
        let binary = match &setup.binary {
            Some(binary) => binary.clone(),
            None => build(sh, &setup.backend)?.join("userprint"),
        };
        Ok(Self { setup, binary, peer, folder: sh.create_temp_dir()? })
    }

    /// A folder that is deleted at the end.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a program once.
    pub(super) fn run(
        &self,
        program: Program,
        setting: Setting,
        texts: Texts<'_>,
    ) -> anyhow::Result<Outcome> {
        let command = match (&self.peer, program.is_ours()) {
            (_, true) => self.ours(program, setting, texts),
            (Some(peer), false) => self.peer(peer, program, setting, texts),
            (None, false) => bail!("there is no peer to run"),
        };
        let Ran { stdout, peak_bytes } = run_once(command, self.folder())?;
        Ok(Outcome { scored: parse(&stdout)?, peak_bytes })
    }

    fn ours(&self, program: Program, setting: Setting, texts: Texts<'_>) -> Command {
        let detail = if program == Program::Moments { "moments" } else { "total" };
        let mut command = Command::new(&self.binary);
        command.arg("score").arg(&self.setup.checkpoint).arg(texts.corpus);
        command.arg("--out").arg(self.folder().join("scores.parquet"));
        command.args(["--quiet", "--json", "--bos", "never", "--detail", detail]);
        command.args(["--backend", setting.backend.name(), "--dtype", setting.dtype.name()]);
        self.add_common(&mut command, texts);
        command
    }

    fn peer(&self, peer: &Peer, program: Program, setting: Setting, texts: Texts<'_>) -> Command {
        let mut command = Command::new(&peer.python);
        command.arg(&peer.script).arg(&self.setup.checkpoint).arg(texts.corpus);
        command.args(["--mode", program.name(), "--dtype", setting.dtype.torch_name()]);
        if setting.backend == Backend::Cpu {
            // It would take a GPU where there is one.
            command.env("CUDA_VISIBLE_DEVICES", "");
        }
        self.add_common(&mut command, texts);
        command
    }

    /// What both are told in the same words.
    fn add_common(&self, command: &mut Command, texts: Texts<'_>) {
        let Setup { threads, batch_tokens, .. } = self.setup;
        command.args(["--max-tokens", &texts.max_tokens.to_string(), "--threads", &threads.to_string()]);
        command.args(["--batch-tokens", &batch_tokens.to_string()]);
        if let Some(docs) = texts.docs {
            command.args(["--docs", &docs.to_string()]);
        }
    }
}

/// What cargo is told to build the backends.
fn features(backends: &[Backend]) -> Vec<String> {
    let gpus: Vec<&str> =
        backends.iter().filter(|backend| **backend != Backend::Cpu).map(|backend| backend.name()).collect();
    if gpus.is_empty() { Vec::new() } else { vec!["--features".to_owned(), gpus.join(",")] }
}

/// The last line that a program printed, as JSON.
pub(super) fn parse<T: DeserializeOwned>(stdout: &str) -> anyhow::Result<T> {
    let line = stdout.lines().last().context("a program printed nothing, a line of JSON was expected")?;
    serde_json::from_str(line).context("what a program printed")
}

fn last_words(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n");
    end.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_read() {
        let line = r#"{"peer":"x","mode":"sorted","docs":3,"tokens":40,"seconds":2.0,"tokens_per_s":20.0,
            "sum_log_likelihood":-120.5,"device":"cpu","dtype":"float32"}"#
            .replace('\n', "");
        let scored: Scored = parse(&format!("loading\n{line}\n")).unwrap();
        assert_eq!((scored.docs, scored.tokens, scored.sum_log_likelihood), (3, 40, -120.5));
        assert!(parse::<Scored>("").is_err());
        assert!(parse::<Scored>("{\"docs\": 1}").is_err());
    }

    #[test]
    fn backends_are_features() {
        assert_eq!(features(&[Backend::Cpu]), Vec::<String>::new());
        assert_eq!(features(&[Backend::Cuda, Backend::Cpu, Backend::Wgpu]), ["--features", "cuda,wgpu"]);
    }

    #[test]
    fn the_end_is_said() {
        assert_eq!(last_words("\nerror: no device\n\n"), "no device");
        assert_eq!(last_words(&"line\n".repeat(40)).lines().count(), LAST_WORDS);
    }
}
