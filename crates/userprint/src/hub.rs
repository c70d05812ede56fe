//! Models by name: what the environment says of the hub, and the bars of a download.

use std::env;
use std::path::PathBuf;

use anyhow::Context;
use userprint_model::hub::{self, HubKind, HubModel, HubProgress, HubRequest, HubStep};

use crate::progress::Bar;

/// A request that failed in passing is repeated this often.
const N_RETRIES: u32 = 4;

/// Fetches a model, or finds it in the cache, under a progress bar a file.
///
/// Cache, address, token, proxy and the offline switch are those of other tools of the hub:
/// `HF_HUB_CACHE`, `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HTTPS_PROXY`, `HF_HUB_OFFLINE`.
pub(crate) fn fetch(name: &str, revision: Option<&str>, offline: bool) -> anyhow::Result<HubModel> {
    let mut bars = Bars(None);
    with_request(HubKind::Model, name, revision, offline, &mut |request| {
        Ok(hub::fetch(request, &mut |at| bars.show(at))?)
    })
}

/// Fetches the wanted files of a dataset, as [`fetch`].
pub(crate) fn fetch_dataset(name: &str, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<HubModel> {
    let mut bars = Bars(None);
    with_request(HubKind::Dataset, name, None, false, &mut |request| {
        Ok(hub::fetch_dataset(request, wanted, &mut |at| bars.show(at))?)
    })
}

fn with_request(
    kind: HubKind,
    name: &str,
    revision: Option<&str>,
    offline: bool,
    fetch: &mut dyn FnMut(&HubRequest<'_>) -> anyhow::Result<HubModel>,
) -> anyhow::Result<HubModel> {
    let (home, endpoint) = (home()?, variable("HF_ENDPOINT"));
    let cache = variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from);
    let token = variable("HF_TOKEN").or_else(|| std::fs::read_to_string(home.join("token")).ok());
    let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    let proxy = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"].into_iter().find_map(variable);
    fetch(&HubRequest {
        kind,
        name,
        revision,
        cache: &cache,
        endpoint: endpoint.as_deref().unwrap_or(hub::DEFAULT_ENDPOINT),
        token: token.as_deref(),
        proxy: proxy.as_deref(),
        offline: offline || is_offline(),
        n_retries: N_RETRIES,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "cache and token are shared with other tools of the hub, by variables"
)]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_offline() -> bool {
    let value = variable("HF_HUB_OFFLINE").unwrap_or_default().to_uppercase();
    ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
}

/// The folder of the hub's tools.
fn home() -> anyhow::Result<PathBuf> {
    if let Some(home) = variable("HF_HOME") {
        return Ok(PathBuf::from(home));
    }
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    let cache = cache.context("neither HF_HOME nor HOME is set, and models need a folder to be kept in")?;
    Ok(cache.join("huggingface"))
}

/// One bar at a time, for each file's download and then its check.
struct Bars(Option<(String, HubStep, Bar)>);

impl Bars {
    fn show(&mut self, at: HubProgress<'_>) {
        let is_same = |(file, step, _): &(String, HubStep, Bar)| file == at.file && *step == at.step;
        if !self.0.as_ref().is_some_and(is_same) {
            let what = match at.step {
                HubStep::Download => "download",
                HubStep::Check => "check",
            };
            let bar = Bar::of_bytes(&format!("{what} {}", at.file), at.n_bytes);
            self.0 = Some((at.file.to_owned(), at.step, bar));
        }
        if let Some((_, _, bar)) = &self.0 {
            bar.set(at.n_bytes_done);
        }
    }
}
