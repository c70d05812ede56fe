//! A folder with a tiny experiment in it, and the binary run there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The experiment of most tests.
pub(crate) const TINY: &str = include_str!("tiny.toml");

/// The run folder of [`TINY`].
pub(crate) const RUN: &str = "runs/tiny-seed1";

/// The stages in order.
pub(crate) const STAGES: [&str; 7] =
    ["prepare", "pretrain", "score-reference", "train", "score", "attack", "report"];

/// Files by path within a folder.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A temporary folder with an `experiment.toml`; the binary runs in it, so messages name relative paths.
#[derive(Debug)]
pub(crate) struct ExperimentFolder {
    folder: TempDir,
}

/// What a run of the binary said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl ExperimentFolder {
    pub(crate) fn new(experiment: &str) -> Self {
        let folder = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        folder.write("experiment.toml", experiment);
        folder
    }

    /// A folder in which [`TINY`] has run to its end.
    pub(crate) fn finished() -> Self {
        let folder = Self::new(TINY);
        for (name, bytes) in finished(1) {
            folder.write(&format!("{RUN}/{}", name.display()), bytes);
        }
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder is ours");
        fs::write(path, content).expect("the folder is ours");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The binary with arguments, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_userprint"));
        command.args(args).current_dir(self.folder.path()).env("COLUMNS", "80").stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn userprint(&self, args: &[&str]) -> Said {
        Said::new(self.command(args).output().expect("the binary starts"))
    }

    /// Starts the binary; its standard error goes to `stderr.txt`.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let stderr = File::create(self.path("stderr.txt")).expect("the folder is ours");
        self.command(args).stdout(Stdio::null()).stderr(stderr).spawn().expect("the binary starts")
    }

    /// The manifest's records of finished stages; empty where there is no manifest yet.
    pub(crate) fn records(&self) -> BTreeMap<String, Value> {
        let Ok(text) = fs::read_to_string(self.path(RUN).join("manifest.json")) else {
            return BTreeMap::new();
        };
        let manifest: Value = serde_json::from_str(&text).expect("a manifest is JSON, whatever was killed");
        serde_json::from_value(manifest["stages"].clone()).expect("stages by name")
    }

    /// Everything in the run folder but the lock.
    pub(crate) fn run_files(&self) -> Files {
        let mut files = Files::new();
        collect(&self.path(RUN), Path::new(""), &mut files);
        files.remove(Path::new(".lock"));
        files
    }

    /// Asserts that statistics and results are those of an uninterrupted run.
    #[track_caller]
    pub(crate) fn assert_finished(&self) {
        for name in ["statistics.parquet", "results.json"] {
            let same = self.read(&format!("{RUN}/{name}")) == finished(1)[Path::new(name)];
            assert!(same, "{name} is not that of an uninterrupted run");
        }
    }
}

impl Said {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the binary writes UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn assert_success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Asserts exit code 1 and one line of error, no panic, and nothing on standard output.
    #[track_caller]
    pub(crate) fn assert_refused(&self) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!(self.errors().len(), 1, "one error in {}", self.stderr);
        assert!(self.stderr.trim_end().ends_with(self.errors()[0]), "the error comes last: {}", self.stderr);
    }

    /// The lines that say what went wrong.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("error: ")).collect()
    }

    /// The stages that were found finished.
    pub(crate) fn done_before(&self) -> Vec<&'static str> {
        let said = |stage: &&str| self.stderr.lines().any(|line| line == format!("{stage:15} done before"));
        STAGES.into_iter().filter(said).collect()
    }
}

/// The run folder of [`TINY`] at a seed, run once for all tests.
pub(crate) fn finished(seed: u64) -> &'static Files {
    static BY_SEED: [OnceLock<Files>; 2] = [const { OnceLock::new() }; 2];
    BY_SEED[seed as usize - 1].get_or_init(|| {
        let experiment = TINY.replace("seed = 1", &format!("seed = {seed}"));
        let folder = ExperimentFolder::new(&experiment);
        folder.userprint(&["run", "experiment.toml"]).assert_success();
        let mut files = Files::new();
        collect(&folder.path(&format!("runs/tiny-seed{seed}")), Path::new(""), &mut files);
        files
    })
}

fn collect(root: &Path, below: &Path, files: &mut Files) {
    for entry in fs::read_dir(root.join(below)).expect("the folder is ours") {
        let entry = entry.expect("the folder is ours");
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            collect(root, &path, files);
        } else {
            files.insert(path, fs::read(entry.path()).expect("the folder is ours"));
        }
    }
}
