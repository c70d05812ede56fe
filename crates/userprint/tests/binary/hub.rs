//! References by their name on a hub, which is a server of this machine.

#[path = "../../../model/tests/hub/server.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "a server for other tests as well; it serves tests alone")]
mod server;

use std::fs;

use serde_json::{Value, json};

use crate::experiment_folder::{ExperimentFolder, RUN, STAGES, Said};
use crate::lora::experiment;
use crate::model::fixture;
use server::{COMMIT, Hub};

const NAME: &str = "owner/tiny-lm";
const WEIGHTS: &str = "model.safetensors";
const TOKEN: &str = "hf_secretOfThisTest";

/// A hub with the GPT-Neo of the fixtures, and the tiny experiment on it; the cache is `cache` beside that.
struct Setting {
    hub: Hub,
    folder: ExperimentFolder,
}

impl Setting {
    fn new() -> Self {
        let hub = Hub::start(NAME);
        for name in ["config.json", "tokenizer.json", WEIGHTS] {
            let content = fs::read(fixture("gpt_neo").join(name)).expect("the fixture is there");
            hub.offer(name, &content, name == WEIGHTS);
        }
        let folder = ExperimentFolder::new(&experiment(&format!("hub = \"{NAME}\""), ""));
        Self { hub, folder }
    }

    /// Runs the binary under the hub's variables and no others.
    fn userprint(&self, args: &[&str]) -> Said {
        let mut command = self.folder.command(args);
        for variable in ["HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HF_HUB_CACHE"] {
            command.env_remove(variable);
        }
        command.env("HF_ENDPOINT", &self.hub.endpoint).env("HF_HOME", "cache").env("HF_TOKEN", TOKEN);
        let said = Said::new(command.output().expect("the binary starts"));
        assert!(!said.stdout.contains(TOKEN) && !said.stderr.contains(TOKEN), "{said:?}");
        said
    }

    fn manifest(&self) -> Value {
        serde_json::from_slice(&self.folder.read(&format!("{RUN}/manifest.json")))
            .expect("a manifest is JSON")
    }

    fn snapshot(&self) -> String {
        format!("cache/hub/models--owner--tiny-lm/snapshots/{COMMIT}")
    }
}

#[test]
fn a_reference_from_the_hub_is_pinned() {
    let setting = Setting::new();
    let said = setting.userprint(&["run", "experiment.toml"]).assert_success();
    assert!(said.stdout.starts_with("AUROC "), "{}", said.stdout);
    let manifest = setting.manifest();
    assert_eq!((&manifest["hub"]["name"], &manifest["hub"]["commit"]), (&json!(NAME), &json!(COMMIT)));
    let sha256 = manifest["hub"]["sha256"].as_object().unwrap();
    assert_eq!(sha256.keys().collect::<Vec<_>>(), ["config.json", WEIGHTS, "tokenizer.json"]);
    assert_eq!(sha256[WEIGHTS], setting.hub.etag(WEIGHTS));
    let report = String::from_utf8(setting.folder.read(&format!("{RUN}/report.html"))).unwrap();
    assert!(report.contains(&format!("{NAME} at {COMMIT}")));
    let token = TOKEN.as_bytes();
    let has_token = |bytes: &Vec<u8>| bytes.windows(token.len()).any(|part| part == token);
    assert!(!setting.folder.run_files().values().any(has_token));
    let bearer = format!("Bearer {TOKEN}");
    assert!(setting.hub.requests("").iter().any(|request| request.authorization.as_ref() == Some(&bearer)));

    let before = setting.folder.run_files();
    setting.hub.forget_requests();
    let said = setting.userprint(&["run", "experiment.toml", "--offline"]).assert_success();
    assert_eq!(said.done_before(), STAGES, "{}", said.stderr);
    assert!(setting.folder.run_files() == before && setting.hub.requests("").is_empty());
}

#[test]
fn a_moved_branch_does_not_change_a_run() {
    let setting = Setting::new();
    setting.userprint(&["run", "experiment.toml", "--until", "pretrain"]).assert_success();
    setting.hub.announce_commit(&"f".repeat(40));
    setting.hub.forget_requests();
    let said = setting.userprint(&["run", "experiment.toml", "--until", "pretrain"]).assert_success();
    assert_eq!(said.done_before(), ["prepare", "pretrain"], "{}", said.stderr);
    assert_eq!(setting.manifest()["hub"]["commit"], json!(COMMIT));
    // A commit that is whole in the cache needs no connection.
    assert!(setting.hub.requests("").is_empty());
    // Another run begins with where the branch is.
    let said = setting.userprint(&["run", "experiment.toml", "--until", "pretrain", "--name", "other"]);
    assert_eq!(said.code, Some(1));
    assert!(setting.hub.requests("").last().unwrap().path.contains(&"f".repeat(40)));
}

/// Another revision is another reference, though the commit is the same now.
#[test]
fn a_revision_is_asked_for() {
    let setting = Setting::new();
    let by_name = format!("hub = \"{NAME}\"\nrevision = \"v1\"");
    setting.folder.write("experiment.toml", experiment(&by_name, ""));
    setting.userprint(&["run", "experiment.toml", "--until", "pretrain"]).assert_success();
    assert_eq!(setting.manifest()["hub"]["revision"], json!("v1"));
    assert!(setting.hub.requests("GET")[0].path.ends_with("/revision/v1"));
}

#[test]
fn adapters_on_a_reference_from_the_hub() {
    let setting = Setting::new();
    let lora = "[target.lora]\nrank = 2\nalpha = 4\ntarget_modules = \"all-linear\"\n";
    setting.folder.write("experiment.toml", experiment(&format!("hub = \"{NAME}\""), lora));
    setting.userprint(&["run", "experiment.toml", "--until", "score"]).assert_success();
    assert!(setting.folder.path(RUN).join("checkpoints/target/adapter_config.json").exists());
}

#[test]
fn offline_an_empty_cache_is_named() {
    let setting = Setting::new();
    for args in [["run", "experiment.toml", "--offline"], ["model", "download", "--offline"]] {
        let args: Vec<&str> = args.into_iter().chain((args[0] == "model").then_some(NAME)).collect();
        let said = setting.userprint(&args);
        said.assert_refused();
        let words = ["offline", NAME, "main", "fetch it once online"];
        assert!(words.iter().all(|word| said.stderr.contains(word)), "{}", said.stderr);
    }
    assert!(setting.hub.requests("").is_empty());
}

/// What a reference is has one answer, and is known before anything is fetched.
#[test]
fn references_that_contradict_themselves() {
    let setting = Setting::new();
    let by_name = format!("hub = \"{NAME}\"");
    for (reference, words) in [
        (format!("{by_name}\ncheckpoint = \"base\""), ["both `checkpoint` and `hub`", "one of them"]),
        (format!("{by_name}\nwidth = 32"), ["[reference]", "must go"]),
        ("checkpoint = \"base\"\nrevision = \"main\"".to_owned(), ["`revision`", "without `hub`"]),
        ("hub = \"../tiny\"".to_owned(), ["[reference]", "owner/name"]),
    ] {
        setting.folder.write("experiment.toml", experiment(&reference, ""));
        let said = setting.userprint(&["run", "experiment.toml"]);
        said.assert_refused();
        assert!(words.iter().all(|word| said.stderr.contains(word)), "{}", said.stderr);
    }
    assert!(setting.hub.requests("").is_empty());
}

#[test]
fn a_refusal_says_what_to_do() {
    let setting = Setting::new();
    setting.hub.refuse(401, None);
    let said = setting.userprint(&["run", "experiment.toml"]);
    said.assert_refused();
    let words = ["[reference]", "401", NAME, "token"];
    assert!(words.iter().all(|word| said.stderr.contains(word)), "{}", said.stderr);
}

#[test]
fn download_prints_the_folder() {
    let setting = Setting::new();
    let said = setting.userprint(&["model", "download", NAME]).assert_success();
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines, [format!("{NAME} at {COMMIT}"), setting.snapshot()]);
    let found = setting.folder.read(&format!("{}/{WEIGHTS}", setting.snapshot()));
    assert!(found == fs::read(fixture("gpt_neo").join(WEIGHTS)).unwrap());
    setting.hub.forget_requests();
    let again = setting.userprint(&["model", "download", NAME, "--offline"]).assert_success();
    assert_eq!(again.stdout, said.stdout);
    assert!(setting.hub.requests("").is_empty());
    let said = setting.userprint(&["model", "inspect", &setting.snapshot()]).assert_success();
    assert!(said.stdout.starts_with("family       gpt_neo ("), "{}", said.stdout);
}
