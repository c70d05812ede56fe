//! `cargo xtask cluster`: a split by a Ballista cluster is the split without one, also when an executor is killed.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use xshell::{Shell, cmd};

use crate::project_root;

/// The version that the workspace speaks to.
const BALLISTA: &str = "55.0.0";

/// The longest that a scheduler or an executor may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Split a corpus here, with Ballista in this process, and on a cluster of one
/// scheduler and two executors, whole and with one executor killed midway; all
/// must give the same bytes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cluster {
    /// Documents of the corpus that is drawn, about 500 bytes each.
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    documents: u64,
    /// Folder of ballista-scheduler and ballista-executor, version 55.0.0
    /// [default: they are built into target/ballista, which takes minutes].
    #[arg(long, value_name = "FOLDER")]
    ballista: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask cluster
  cargo xtask cluster --documents 1000000 --ballista ~/.cargo/bin";

/// Settings of a split, each of which uses other parts of the plan.
const SETTINGS: [(&str, &[&str]); 3] = [
    ("plain", &[]),
    ("one-a-user", &["--duplicates", "one-a-user"]),
    ("dropped", &["--duplicates", "one-in-all", "--shared", "dropped", "--near-duplicates", "0.5"]),
];

impl Cluster {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        sh.change_dir(project_root());
        let stock = match &self.ballista {
            Some(folder) => folder.clone(),
            None => install(sh)?,
        };
        // Everything at once, as another selection would build Burn again.
        cmd!(sh, "cargo build --quiet --workspace --features userprint/ballista").run()?;
        let built = project_root().join("target/debug");
        let folder = sh.create_temp_dir()?;
        let trial = Trial { built: &built, stock: &stock, folder: folder.path() };
        let corpus = trial.folder.join("corpus.parquet");
        let documents = self.documents.to_string();
        succeed(Command::new(built.join("corpus-table")).arg(&corpus).args(["--documents", &documents]))?;
        println!("{:<12} {:<22} {:>8}  BLAKE3 of documents.parquet", "setting", "who", "seconds");
        for (name, setting) in SETTINGS {
            trial.compare(name, setting)?;
        }
        println!("all the same");
        Ok(())
    }
}

/// Where everything lies.
struct Trial<'a> {
    built: &'a Path,
    stock: &'a Path,
    folder: &'a Path,
}

impl Trial<'_> {
    fn compare(&self, name: &str, setting: &[&str]) -> anyhow::Result<()> {
        let say = |who: &str, done: &(f64, String)| {
            println!("{name:<12} {who:<22} {:>8.2}  {}", done.0, &done.1[..16]);
        };
        let expected = self.split(setting, None, None)?;
        say("this process", &expected);
        let mut others = vec![("Ballista in process", self.split(setting, Some("in-process"), None)?)];
        let servers = Servers::start(self)?;
        let address = format!("df://127.0.0.1:{}", servers.port);
        others.push(("two executors", self.split(setting, Some(&address), None)?));
        others.push(("one of them killed", self.split(setting, Some(&address), Some(servers))?));
        for (who, done) in &others {
            say(who, done);
            ensure!(done.1 == expected.1, "{name}: {who} left other bytes than this process");
        }
        Ok(())
    }

    /// Seconds of a split, and the hash of what it left; an executor of `servers` is killed once work has begun.
    fn split(
        &self,
        setting: &[&str],
        cluster: Option<&str>,
        servers: Option<Servers>,
    ) -> anyhow::Result<(f64, String)> {
        let out = self.folder.join("out");
        let mut command = Command::new(self.built.join("userprint"));
        command
            .args(["-q", "corpus", "split"])
            .arg(self.folder.join("corpus.parquet"))
            .arg("--out")
            .arg(&out);
        command.args(["--example-id", "example_id", "--threads", "4"]).args(setting);
        if let Some(address) = cluster {
            command.args(["--cluster", address]);
        }
        let start = Instant::now();
        match servers {
            None => succeed(&mut command)?,
            Some(mut servers) => {
                let mut child = command.stdout(Stdio::null()).spawn()?;
                let begun = out.join(".userprint-work/keys.parquet");
                while !begun.exists() {
                    ensure!(
                        child.try_wait()?.is_none(),
                        "the split ended before an executor could be killed"
                    );
                    std::thread::sleep(LOOK / 10);
                }
                servers.kill_an_executor()?;
                ensure!(child.try_wait()?.is_none(), "the split ended before an executor could be killed");
                ensure!(child.wait()?.success(), "a split failed once an executor was killed");
            }
        }
        let wall_s = start.elapsed().as_secs_f64();
        let hash = hash(&out.join("documents.parquet"))?;
        fs::remove_dir_all(&out)?;
        Ok((wall_s, hash))
    }
}

/// One scheduler and two executors; they end with this.
struct Servers {
    port: u16,
    children: Vec<Child>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that is dead already cannot be killed.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Servers {
    fn start(trial: &Trial<'_>) -> anyhow::Result<Self> {
        let [port, ports @ ..] = free_ports::<7>()?;
        let mut servers = Self { port, children: Vec::new() };
        let mut scheduler = Command::new(trial.stock.join("ballista-scheduler"));
        scheduler.args(["--bind-host", "127.0.0.1", "--external-host", "127.0.0.1"]);
        scheduler.args(["--bind-port", &port.to_string(), "--executor-timeout-seconds", "10"]);
        scheduler.args(["--expire-dead-executor-interval-seconds", "2"]);
        servers.spawn(scheduler, &trial.folder.join("scheduler.log"))?;
        wait_for(port)?;
        for (number, [flight, grpc, health]) in
            [[ports[0], ports[1], ports[2]], [ports[3], ports[4], ports[5]]].into_iter().enumerate()
        {
            let work = trial.folder.join(format!("executor-{number}"));
            fs::create_dir_all(&work)?;
            let mut executor = Command::new(trial.stock.join("ballista-executor"));
            executor.args(["--scheduler-host", "127.0.0.1", "--scheduler-port", &port.to_string()]);
            executor.args(["--bind-host", "127.0.0.1", "--external-host", "127.0.0.1", "--vcores", "2"]);
            executor.args(["--bind-port", &flight.to_string(), "--bind-grpc-port", &grpc.to_string()]);
            executor.args(["--bind-health-port", &health.to_string()]);
            executor.args(["--executor-heartbeat-interval-seconds", "2", "--work-dir"]).arg(&work);
            servers.spawn(executor, &trial.folder.join(format!("executor-{number}.log")))?;
            wait_for(flight)?;
        }
        Ok(servers)
    }

    fn spawn(&mut self, mut command: Command, log: &Path) -> anyhow::Result<()> {
        let (stdout, stderr) = (File::create(log)?, File::options().append(true).open(log)?);
        let shown = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
        self.children.push(child.with_context(|| format!("{shown} cannot be run"))?);
        Ok(())
    }

    fn kill_an_executor(&mut self) -> anyhow::Result<()> {
        let mut executor = self.children.pop().context("there are two executors")?;
        executor.kill()?;
        executor.wait()?;
        Ok(())
    }
}

/// Builds the stock programs where they are not.
fn install(sh: &Shell) -> anyhow::Result<PathBuf> {
    let root = project_root().join("target/ballista");
    let bin = root.join("bin");
    if !bin.join("ballista-executor").exists() || !bin.join("ballista-scheduler").exists() {
        let programs = ["scheduler", "executor"].map(|name| format!("ballista-{name}@{BALLISTA}"));
        cmd!(sh, "cargo install --locked --root {root} --target-dir {root} {programs...}").run()?;
    }
    Ok(bin)
}

/// Ports that nobody listens to just now.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let listeners = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn wait_for(port: u16) -> anyhow::Result<()> {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if start.elapsed() > PATIENCE {
            bail!("nobody listens at port {port} after {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn hash(path: &Path) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}
