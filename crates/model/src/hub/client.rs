//! Talking to a hub: what a revision is, what a file is, and what its refusals mean.

use std::thread;
use std::time::Duration;

use serde::Deserialize;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, Proxy, RequestBuilder};

use super::files::{is_commit, is_plain, refused, stays_within};
use super::{HubKind, HubRequest};
use crate::ModelError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence of a server.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_LISTING_BYTES: u64 = 16 << 20;
const MAX_REDIRECTS: u32 = 5;

/// What a revision is.
pub(super) struct Listing {
    /// The commit that it stands for.
    pub(super) commit: String,
    /// The files of that commit, with their folders.
    pub(super) names: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// What the hub says of a file before its bytes.
pub(super) struct Announced {
    /// A SHA-256 for all that is large.
    pub(super) etag: String,
    /// Its size.
    pub(super) n_bytes: u64,
}

/// One attempt's failure: whether it may be repeated, and whether it brought bytes before it failed.
pub(super) enum Failure {
    Final(ModelError),
    Passing { error: ModelError, progressed: bool },
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::Final(error)
    }
}

/// A hub, asked about one model.
pub(super) struct Client<'a> {
    request: HubRequest<'a>,
    endpoint: &'a str,
    following: Agent,
    staying: Agent,
}

impl<'a> Client<'a> {
    /// A client of a model with a checked name; connects to nothing yet.
    pub(super) fn new(request: &HubRequest<'a>) -> Result<Self, ModelError> {
        let endpoint = request.endpoint.trim_end_matches('/');
        let uri = endpoint.parse::<Uri>().ok().filter(|uri| uri.query().is_none());
        let authority = uri.as_ref().and_then(Uri::authority).filter(|found| !found.as_str().contains('@'));
        let is_web = endpoint.starts_with("https://") || endpoint.starts_with("http://");
        if authority.is_none() || !is_web {
            // It may hold a password, so it is not repeated.
            return Err(refused("endpoint", "unfit", "https://host, without a user"));
        }
        let proxy = request.proxy.map(Proxy::new).transpose();
        let proxy = proxy.map_err(|_| refused("proxy", "unfit", "http://host:port"))?;
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .https_only(endpoint.starts_with("https://"))
                .proxy(proxy.clone())
                .user_agent(concat!("userprint/", env!("CARGO_PKG_VERSION")))
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_per_read(Some(READ_TIMEOUT))
        };
        let following = config().max_redirects(MAX_REDIRECTS).build().into();
        Ok(Self { request: *request, endpoint, following, staying: config().max_redirects(0).build().into() })
    }

    /// Asks what a revision is.
    pub(super) fn listing(&self, revision: &str) -> Result<Listing, ModelError> {
        let (name, revision_url) = (self.request.name, revision.replace('/', "%2F"));
        let kind = self.request.kind.plural();
        let url = format!("{}/api/{kind}/{name}/revision/{revision_url}", self.endpoint);
        let text = self.retry(|| {
            let mut response = self.get(&url, 0)?;
            self.accept(&response, &format!("revision {revision}"))?;
            let body = response.body_mut().with_config().limit(MAX_LISTING_BYTES).read_to_string();
            body.map_err(|error| self.passing(error))
        })?;
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|_| self.misanswer("described the model in a way that cannot be read"))?;
        let names: Vec<String> = answer.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        if !is_commit(&answer.sha) {
            return Err(self.misanswer("named no commit of 40 hexadecimal digits"));
        }
        if is_commit(revision) && answer.sha != revision {
            return Err(self.misanswer(format!("answered for another commit than {revision}")));
        }
        if !names.iter().all(|name| stays_within(name)) {
            return Err(self.misanswer("lists a file outside of the model's folder"));
        }
        Ok(Listing { commit: answer.sha, names })
    }

    /// Where a file is asked for.
    pub(super) fn url(&self, commit: &str, name: &str) -> String {
        let prefix = match self.request.kind {
            HubKind::Model => "",
            HubKind::Dataset => "datasets/",
        };
        format!("{}/{prefix}{}/resolve/{commit}/{name}", self.endpoint, self.request.name)
    }

    /// Asks what a file is; only redirects within the hub are followed, as what they lead to elsewhere knows less.
    pub(super) fn announced(&self, url: &str, commit: &str, name: &str) -> Result<Announced, Failure> {
        let mut url = url.to_owned();
        let mut n_redirects = 0;
        let response = loop {
            let request = self.with_headers(self.staying.head(&url));
            let response = request.call().map_err(|error| self.passing(error))?;
            let Some(path) = self.redirect_within(&response) else { break response };
            n_redirects += 1;
            if n_redirects > MAX_REDIRECTS {
                return Err(self.misanswer(format!("redirects in circles for {name}")).into());
            }
            url = format!("{}{path}", self.origin());
        };
        if !response.status().is_redirection() {
            self.accept(&response, name)?;
        }
        if text(&response, "x-repo-commit").is_some_and(|found| found != commit) {
            return Err(self.misanswer(format!("answered for another commit for {name}")).into());
        }
        self.announcement(&response, name).map_err(Failure::Final)
    }

    fn announcement(&self, response: &Response<Body>, name: &str) -> Result<Announced, ModelError> {
        let etag = text(response, "x-linked-etag").or_else(|| text(response, "etag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let length = text(response, "content-length").filter(|_| !response.status().is_redirection());
        let n_bytes = text(response, "x-linked-size").or(length).and_then(|size| size.parse().ok());
        match (etag.filter(|etag| is_plain(etag)), n_bytes) {
            (Some(etag), Some(n_bytes)) => Ok(Announced { etag: etag.to_owned(), n_bytes }),
            (None, _) => Err(self.misanswer(format!("announced no plain etag of {name}"))),
            (_, None) => Err(self.misanswer(format!("announced no size of {name}"))),
        }
    }

    /// Asks for a file from a byte on.
    pub(super) fn get(&self, url: &str, start: u64) -> Result<Response<Body>, Failure> {
        let request = self.with_headers(self.following.get(url));
        let request =
            if start > 0 { request.header(header::RANGE, format!("bytes={start}-")) } else { request };
        request.call().map_err(|error| self.passing(error))
    }

    fn with_headers(&self, request: RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody> {
        let request = request.header(header::ACCEPT_ENCODING, "identity");
        match self.request.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// The path that a redirect leads to, if it stays with the hub.
    fn redirect_within<'r>(&self, response: &'r Response<Body>) -> Option<&'r str> {
        let location = text(response, "location").filter(|_| response.status().is_redirection())?;
        let path = location.strip_prefix(self.origin()).unwrap_or(location);
        (path.starts_with('/') && !path.starts_with("//")).then_some(path)
    }

    /// The address without its path.
    fn origin(&self) -> &str {
        let host = self.endpoint.find("://").map_or(0, |at| at + 3);
        let path = self.endpoint[host..].find('/').map_or(self.endpoint.len(), |at| host + at);
        &self.endpoint[..path]
    }

    /// Lets an answer with content pass.
    pub(super) fn accept(&self, response: &Response<Body>, what: &str) -> Result<(), Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let error = ModelError::HubRefused {
            name: self.request.name.to_owned(),
            what: what.to_owned(),
            status: status.as_u16(),
            reason: reason(status, text(response, "x-error-code"), self.request.token.is_some()),
        };
        let is_passing = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        Err(if is_passing { Failure::Passing { error, progressed: false } } else { Failure::Final(error) })
    }

    /// Repeats what failed in passing.
    pub(super) fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, ModelError> {
        let mut n_failures = 0;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { progressed: true, .. }) => {
                    thread::sleep(FIRST_PAUSE);
                    n_failures = 0;
                }
                Err(Failure::Passing { error, .. }) if n_failures == self.request.n_retries => {
                    return Err(error);
                }
                Err(Failure::Passing { .. }) => {
                    thread::sleep(FIRST_PAUSE * 2_u32.pow(n_failures.min(6)));
                    n_failures += 1;
                }
            }
        }
    }

    fn passing(&self, source: ureq::Error) -> Failure {
        Failure::Passing { error: self.unreachable(source), progressed: false }
    }

    /// The error of a connection that was not made or broke.
    pub(super) fn unreachable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ModelError {
        let (name, endpoint) = (self.request.name.to_owned(), self.endpoint.to_owned());
        ModelError::HubUnreachable { name, endpoint, source: source.into() }
    }

    /// The error of an answer that no hub should give.
    pub(super) fn misanswer(&self, reason: impl Into<String>) -> ModelError {
        ModelError::HubAnswer { name: self.request.name.to_owned(), reason: reason.into() }
    }
}

/// A header that is text.
pub(super) fn text<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

fn reason(status: StatusCode, code: Option<&str>, has_token: bool) -> &'static str {
    match (status.as_u16(), code, has_token) {
        (_, Some("RevisionNotFound"), _) => "it has no such branch, tag or commit",
        (_, Some("EntryNotFound"), _) => "it has no such file",
        (_, Some("GatedRepo"), false) | (403, _, false) => {
            "its owners grant access on request: accept its conditions on its page, and pass a token"
        }
        (_, Some("GatedRepo"), true) | (403, _, true) => {
            "the token may not read it: accept its conditions on its page, or pass another token"
        }
        (401, _, false) => "there is no such model, or it is private and needs a token; check the name",
        (401, _, true) => "there is no such model, or the token is not good for it; check both",
        (404, ..) => "there is no such model, or no such revision of it; check the name",
        (429, ..) => "too many requests: wait some minutes",
        (500.., ..) => "the hub has a problem of its own: try again later",
        _ => "not what a hub should answer; check the endpoint",
    }
}
