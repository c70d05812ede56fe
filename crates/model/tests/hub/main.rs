//! Models by name, against a hub on this machine.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy takes for code")]

mod server;

use std::fs;
use std::path::PathBuf;

use server::{COMMIT, Hub};
use tempfile::TempDir;
use userprint_model::ModelError;
use userprint_model::hub::{
    HubKind, HubModel, HubProgress, HubRequest, HubStep, download, fetch, fetch_dataset,
};

const NAME: &str = "owner/tiny-lm";
const WEIGHTS: &str = "model.safetensors";

/// A hub with a small model, and an empty cache.
fn setting() -> (Hub, TempDir) {
    let hub = Hub::start(NAME);
    hub.offer("config.json", b"{}", false);
    hub.offer("tokenizer.json", b"{\"model\":{}}", false);
    hub.offer("merges.txt", b"", false);
    hub.offer(WEIGHTS, &weights(), true);
    (hub, tempfile::tempdir().unwrap())
}

fn weights() -> Vec<u8> {
    (0..3_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn request<'a>(hub: &'a Hub, cache: &'a TempDir) -> HubRequest<'a> {
    HubRequest {
        kind: HubKind::Model,
        name: NAME,
        revision: None,
        cache: cache.path(),
        endpoint: &hub.endpoint,
        token: None,
        proxy: None,
        offline: false,
        n_retries: 0,
    }
}

fn quietly(request: &HubRequest<'_>) -> Result<HubModel, ModelError> {
    fetch(request, &mut |_| {})
}

/// The error with its cause.
fn error(request: &HubRequest<'_>) -> String {
    let error = quietly(request).unwrap_err();
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

#[track_caller]
fn assert_says(error: &str, words: &[&str]) {
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

fn blob(cache: &TempDir, name: &str) -> PathBuf {
    cache.path().join("models--owner--tiny-lm/blobs").join(name)
}

#[test]
fn a_branch_is_pinned_to_its_commit_and_only_wanted_files_come() {
    let (hub, cache) = setting();
    for name in ["modeling_tiny.py", "pytorch_model.bin", "README.md", "onnx/config.json"] {
        hub.offer(name, b"unwanted", false);
    }
    let model = quietly(&request(&hub, &cache)).unwrap();
    assert_eq!(model.commit, COMMIT);
    let names: Vec<&str> = model.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["config.json", "merges.txt", WEIGHTS, "tokenizer.json"]);
    assert_eq!(model.folder, cache.path().join("models--owner--tiny-lm/snapshots").join(COMMIT));
    assert_eq!(fs::read(model.folder.join(WEIGHTS)).unwrap(), weights());
    assert_eq!(fs::read_dir(&model.folder).unwrap().count(), 4);
    let reference = cache.path().join("models--owner--tiny-lm/refs/main");
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);
    assert_eq!(model.files[0].sha256, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert_eq!((model.files[2].n_bytes, &model.files[2].sha256), (3_000_000, &hub.etag(WEIGHTS)));
    assert!(
        hub.requests("GET").iter().all(|request| !request.path.contains("/main/")),
        "{:?}",
        hub.requests("GET")
    );
}

#[test]
fn what_is_in_the_cache_is_not_fetched_again() {
    let (hub, cache) = setting();
    let first = quietly(&request(&hub, &cache)).unwrap();
    hub.forget_requests();
    let commit = HubRequest { revision: Some(COMMIT), ..request(&hub, &cache) };
    assert_eq!(quietly(&commit).unwrap(), first);
    assert_eq!(quietly(&request(&hub, &cache)).unwrap(), first);
    assert!(hub.requests("GET").iter().all(|request| request.path.starts_with("/api/")));
    assert!(hub.requests("HEAD").is_empty());
}

#[test]
fn a_broken_download_is_resumed_by_the_next_call() {
    let (hub, cache) = setting();
    hub.cut_content_after(1_000_000);
    hub.fail_after_cut();
    assert_says(&error(&request(&hub, &cache)), &["503", WEIGHTS, "try again later"]);
    let part = blob(&cache, &format!("{}.incomplete", hub.etag(WEIGHTS)));
    assert_eq!(fs::metadata(part).unwrap().len(), 1_000_000);
    let offline = HubRequest { offline: true, ..request(&hub, &cache) };
    assert_says(&error(&offline), &["offline", "all of it", NAME]);
    let offline = HubRequest { revision: Some(COMMIT), ..offline };
    assert_says(&error(&offline), &["offline", WEIGHTS, COMMIT]);
    hub.recover();
    let model = quietly(&request(&hub, &cache)).unwrap();
    assert_eq!(fs::read(model.folder.join(WEIGHTS)).unwrap(), weights());
    let ranges: Vec<String> = hub.requests("GET").into_iter().filter_map(|request| request.range).collect();
    assert_eq!(ranges, ["bytes=1000000-", "bytes=1000000-"]); // on to the store of large files
    assert_eq!(hub.n_bytes_sent(WEIGHTS), 2_000_000);
}

#[test]
fn a_cut_connection_is_taken_up_within_the_call() {
    let (hub, cache) = setting();
    hub.cut_content_after(1_000_000);
    let mut seen: Vec<(HubStep, u64)> = Vec::new();
    let mut note = |at: HubProgress<'_>| {
        if at.file == WEIGHTS {
            assert_eq!(at.n_bytes, 3_000_000);
            seen.push((at.step, at.n_bytes_done));
        }
    };
    fetch(&request(&hub, &cache), &mut note).unwrap();
    assert_eq!(hub.n_bytes_sent(WEIGHTS), 3_000_000);
    for step in [HubStep::Download, HubStep::Check] {
        let done: Vec<u64> = seen.iter().filter(|(at, _)| *at == step).map(|(_, done)| *done).collect();
        assert!(done.is_sorted() && done.last() == Some(&3_000_000), "{done:?}");
    }
}

#[test]
fn a_server_without_ranges_sends_it_all_again() {
    let (hub, cache) = setting();
    hub.ignore_ranges();
    hub.cut_content_after(1_000_000);
    let model = quietly(&request(&hub, &cache)).unwrap();
    assert_eq!(fs::read(model.folder.join(WEIGHTS)).unwrap(), weights());
    assert_eq!(hub.n_bytes_sent(WEIGHTS), 4_000_000);
}

#[test]
fn a_passing_failure_is_repeated() {
    let (hub, cache) = setting();
    hub.refuse_once(503);
    quietly(&HubRequest { n_retries: 1, ..request(&hub, &cache) }).unwrap();
}

#[test]
fn offline_a_whole_model_needs_no_connection() {
    let (hub, cache) = setting();
    let online = quietly(&request(&hub, &cache)).unwrap();
    hub.forget_requests();
    let offline = HubRequest { offline: true, ..request(&hub, &cache) };
    assert_eq!(quietly(&offline).unwrap(), online);
    assert!(hub.requests("GET").is_empty() && hub.requests("HEAD").is_empty());
    fs::remove_file(blob(&cache, &hub.etag(WEIGHTS))).unwrap();
    assert_says(&error(&offline), &["offline", WEIGHTS, NAME]);
}

#[test]
fn shards_come_with_their_index() {
    let (hub, cache) = setting();
    hub.withdraw(WEIGHTS);
    hub.offer("model.safetensors.index.json", b"{}", false);
    hub.offer("model-00001-of-00002.safetensors", b"one", true);
    let error = error(&request(&hub, &cache));
    assert_says(&error, &["model-00002-of-00002.safetensors", NAME]);
    hub.offer("model-00002-of-00002.safetensors", b"two", true);
    assert_eq!(quietly(&request(&hub, &cache)).unwrap().files.len(), 6);
}

#[test]
fn content_that_is_not_what_was_announced_is_removed() {
    let (hub, cache) = setting();
    hub.corrupt(WEIGHTS);
    assert_says(&error(&request(&hub, &cache)), &["SHA-256", WEIGHTS, "removed", "try again"]);
    assert!(!blob(&cache, &hub.etag(WEIGHTS)).exists());
    assert!(!blob(&cache, &format!("{}.incomplete", hub.etag(WEIGHTS))).exists());
    hub.offer(WEIGHTS, &weights(), true);
    quietly(&request(&hub, &cache)).unwrap();
}

#[test]
fn content_that_changed_in_the_cache_is_removed() {
    let (hub, cache) = setting();
    quietly(&request(&hub, &cache)).unwrap();
    fs::write(blob(&cache, &hub.etag(WEIGHTS)), b"damaged").unwrap();
    let offline = HubRequest { offline: true, ..request(&hub, &cache) };
    assert_says(&error(&offline), &["SHA-256", WEIGHTS, "removed"]);
    assert_says(&error(&offline), &["offline", WEIGHTS]);
    quietly(&request(&hub, &cache)).unwrap();
}

#[test]
fn refusals_say_what_to_do() {
    let (hub, cache) = setting();
    let plain = request(&hub, &cache);
    hub.refuse(401, None);
    assert_says(&error(&plain), &["401", NAME, "needs a token"]);
    let secret = HubRequest { token: Some("hf_secret"), ..plain };
    assert_says(&error(&secret), &["401", NAME, "token is not good"]);
    hub.refuse(403, Some("GatedRepo"));
    assert_says(&error(&plain), &["accept its conditions"]);
    hub.refuse(404, Some("RepoNotFound"));
    assert_says(&error(&plain), &["404", NAME, "no such model"]);
    hub.refuse(404, Some("RevisionNotFound"));
    let revision = HubRequest { revision: Some("refs/pr/1"), ..plain };
    assert_says(&error(&revision), &["404", NAME, "refs/pr/1", "no such branch"]);
    assert!(hub.requests("GET").last().unwrap().path.ends_with("/revision/refs%2Fpr%2F1"));
    for text in [error(&secret), format!("{:?}", quietly(&secret).unwrap_err()), format!("{secret:?}")] {
        assert!(!text.contains("hf_secret"), "{text}");
    }
}

#[test]
fn an_unreachable_hub_is_named() {
    let (hub, cache) = setting();
    let endpoint = "http://127.0.0.1:1";
    let unreachable = HubRequest { endpoint, ..request(&hub, &cache) };
    assert_says(&error(&unreachable), &[endpoint, NAME, "cannot be reached"]);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let (hub, cache) = setting();
    quietly(&HubRequest { token: Some("hf_secret"), ..request(&hub, &cache) }).unwrap();
    let (store, of_hub): (Vec<_>, Vec<_>) =
        hub.requests("").into_iter().partition(|request| request.path.starts_with("/store/"));
    assert!(!store.is_empty() && store.iter().all(|request| request.authorization.is_none()));
    assert!(of_hub.iter().all(|request| request.authorization.as_deref() == Some("Bearer hf_secret")));
}

#[test]
fn a_hostile_hub_writes_nothing_outside() {
    let (hub, cache) = setting();
    hub.offer("../../config.json", b"hostile", false);
    assert_says(&error(&request(&hub, &cache)), &["outside of the model's folder", NAME]);
    hub.withdraw("../../config.json");
    hub.announce_etag("../../../hostile");
    assert_says(&error(&request(&hub, &cache)), &["plain etag", NAME]);
    assert!(fs::read_dir(cache.path()).unwrap().next().is_none());
    let other = "f".repeat(40);
    let pinned = HubRequest { revision: Some(&other), ..request(&hub, &cache) };
    assert_says(&error(&pinned), &["another commit", &other]);
    hub.announce_commit("../..");
    assert_says(&error(&request(&hub, &cache)), &["no commit of 40", NAME]);
}

#[test]
fn names_that_no_hub_has() {
    let (hub, cache) = setting();
    let plain = request(&hub, &cache);
    for name in ["", "/", "../x", "a/../b", "a/b/c", "a/", ".hidden", "a b", "a--b/c", "a/b?x", "https://x/y"]
    {
        assert_says(&error(&HubRequest { name, ..plain }), &["model name", "owner/name"]);
    }
    for revision in ["", "..", "a/../b", "/main", "main?", "a//b"] {
        assert_says(&error(&HubRequest { revision: Some(revision), ..plain }), &["revision", "a branch"]);
    }
    for endpoint in ["", "hub", "ftp://hub", "https://user:pass@hub", "https://hub?x"] {
        let found = error(&HubRequest { endpoint, ..plain });
        assert_says(&found, &["endpoint"]);
        assert!(!found.contains("pass@"), "{found}");
    }
    assert_says(&error(&HubRequest { proxy: Some("no proxy"), ..plain }), &["proxy"]);
    assert!(hub.requests("").is_empty());
    assert!(fs::read_dir(cache.path()).unwrap().next().is_none());
}

#[test]
fn a_renamed_model_is_followed() {
    let (hub, cache) = setting();
    hub.rename_from("old-name");
    let model = quietly(&HubRequest { name: "old-name", ..request(&hub, &cache) }).unwrap();
    assert_eq!(model.folder, cache.path().join("models--old-name/snapshots").join(COMMIT));
    assert_eq!(fs::read(model.folder.join(WEIGHTS)).unwrap(), weights());
}

#[test]
fn files_of_a_dataset_in_their_folders() {
    let (hub, cache) = setting();
    hub.offer("data/RC_2015-09.parquet", b"september", true);
    hub.offer("data/RC_2015-10.parquet", b"october", false);
    hub.offer("data/RC_2015-11.parquet", b"november", true);
    let request = HubRequest { kind: HubKind::Dataset, ..request(&hub, &cache) };
    let wanted = |name: &str| name.ends_with(".parquet") && !name.contains("2015-11");
    let dataset = fetch_dataset(&request, &wanted, &mut |_| {}).unwrap();
    let contents: Vec<_> =
        dataset.files.iter().map(|file| std::fs::read(dataset.folder.join(&file.name)).unwrap()).collect();
    assert_eq!(contents, [b"september".to_vec(), b"october".to_vec()]);
    assert!(hub.requests("").iter().all(|request| !request.path.contains("2015-11")));
    assert!(dataset.folder.starts_with(cache.path().join("datasets--owner--tiny-lm")), "{dataset:?}");
    hub.forget_requests();
    let offline = HubRequest { offline: true, ..request };
    assert_eq!(fetch_dataset(&offline, &wanted, &mut |_| {}).unwrap(), dataset);
    assert!(hub.requests("").is_empty());
    // A cache that has some of the files has not the dataset.
    let all = |name: &str| name.ends_with(".parquet");
    let error = fetch_dataset(&offline, &all, &mut |_| {}).unwrap_err().to_string();
    assert_says(&error, &["offline", "data/RC_2015-11.parquet"]);
    let error = fetch_dataset(&request, &|_| false, &mut |_| {}).unwrap_err().to_string();
    assert_says(&error, &["none of the files"]);
}

/// Serves a file once per connection: the first answer ends early, the next ones go on where they are asked to.
fn serve(content: &'static [u8]) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (stream, number) in listener.incoming().zip(0..) {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let range = lines.take_while(|line| !line.is_empty()).find_map(|line| {
                line.to_lowercase().strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok()
            });
            let rest = &content[range.unwrap_or(0)..];
            let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
            let sent = if number == 0 { &rest[..rest.len() / 2] } else { rest };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
            // A client that went away is its own affair.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
        }
    });
    format!("http://{address}/dump.tar.gz")
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let content: &[u8] =
        Box::leak((0..2_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect::<Box<[u8]>>());
    let url = serve(content);
    let mut seen = Vec::new();
    let found = download(&url, folder.path(), &mut |done, total| seen.push((done, total))).expect("a file");
    assert!(std::fs::read(&found.file).expect("a file") == content);
    assert_eq!((found.n_bytes, found.sha256.len()), (2_000_000, 64));
    // Nothing came twice.
    assert!(
        seen.windows(2).all(|pair| pair[0].0 < pair[1].0) && seen.last() == Some(&(2_000_000, 2_000_000))
    );
    assert_eq!(download(&url, folder.path(), &mut |_, _| panic!("it is there")).expect("a file"), found);
    let error = download("http://127.0.0.1:1/none", folder.path(), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("http://127.0.0.1:1/none"), "{error}");
}
