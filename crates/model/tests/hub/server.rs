//! A hub on this machine: enough of the protocol to fetch a model, and to misbehave on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use sha2::{Digest, Sha256};

/// What each branch stands for.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
}

#[derive(Clone)]
struct Offered {
    content: Vec<u8>,
    etag: String,
    is_large: bool,
}

#[derive(Default)]
struct State {
    name: String,
    former_name: Option<String>,
    commit: String,
    files: BTreeMap<String, Offered>,
    requests: Vec<Request>,
    n_bytes_sent: BTreeMap<String, u64>,
    cut_after: Option<usize>,
    fails_after_cut: bool,
    is_failing: bool,
    ignores_ranges: bool,
    refusal: Option<(u16, Option<&'static str>)>,
    refuses_once: bool,
    etag: Option<&'static str>,
}

/// The server; it lives as long as the test's process.
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub(crate) fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = State { name: name.to_owned(), commit: COMMIT.to_owned(), ..State::default() };
        let hub = Self { endpoint, state: Arc::new(Mutex::new(state)) };
        let state = Arc::clone(&hub.state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&state);
                thread::spawn(move || answer(&stream.unwrap(), &state));
            }
        });
        hub
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Offers a file; a large one as the hub's store of large files does.
    pub(crate) fn offer(&self, name: &str, content: &[u8], is_large: bool) {
        let sha256 = hexadecimal(content);
        let etag = if is_large { sha256 } else { sha256[..40].to_owned() };
        let offered = Offered { content: content.to_vec(), etag, is_large };
        self.state().files.insert(name.to_owned(), offered);
    }

    pub(crate) fn withdraw(&self, name: &str) {
        self.state().files.remove(name);
    }

    /// Changes content behind its announcement.
    pub(crate) fn corrupt(&self, name: &str) {
        self.state().files.get_mut(name).unwrap().content[7] ^= 1;
    }

    pub(crate) fn etag(&self, name: &str) -> String {
        self.state().files[name].etag.clone()
    }

    /// Requests of a method, or all of them.
    pub(crate) fn requests(&self, method: &str) -> Vec<Request> {
        let state = self.state();
        state.requests.iter().filter(|request| request.method.starts_with(method)).cloned().collect()
    }

    /// Forgets what was asked and sent.
    pub(crate) fn forget_requests(&self) {
        let mut state = self.state();
        state.requests.clear();
        state.n_bytes_sent.clear();
    }

    pub(crate) fn n_bytes_sent(&self, name: &str) -> u64 {
        self.state().n_bytes_sent[name]
    }

    /// Closes the next connection that has sent as many bytes of a large file.
    pub(crate) fn cut_content_after(&self, n_bytes: usize) {
        self.state().cut_after = Some(n_bytes);
    }

    /// Answers 503 once a connection was cut.
    pub(crate) fn fail_after_cut(&self) {
        self.state().fails_after_cut = true;
    }

    /// Is well again.
    pub(crate) fn recover(&self) {
        self.state().is_failing = false;
        self.forget_requests();
    }

    pub(crate) fn ignore_ranges(&self) {
        self.state().ignores_ranges = true;
    }

    /// Refuses everything from now on.
    pub(crate) fn refuse(&self, status: u16, code: Option<&'static str>) {
        self.state().refusal = Some((status, code));
    }

    pub(crate) fn refuse_once(&self, status: u16) {
        self.refuse(status, None);
        self.state().refuses_once = true;
    }

    pub(crate) fn announce_etag(&self, etag: &'static str) {
        self.state().etag = Some(etag);
    }

    pub(crate) fn announce_commit(&self, commit: &str) {
        self.state().commit = commit.to_owned();
    }

    /// Redirects from another name.
    pub(crate) fn rename_from(&self, name: &str) {
        self.state().former_name = Some(name.to_owned());
    }
}

fn hexadecimal(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(stream: &TcpStream, state: &Mutex<State>) {
    let Some(request) = read_request(stream) else { return };
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    let port = stream.local_addr().unwrap().port();
    let reply = state.reply(&request, port);
    drop(state);
    // A client that went away is its own affair.
    let _ = send(stream, &request, &reply);
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let first = lines.next()?;
    let mut words = first.split(' ').map(str::to_owned);
    let mut request =
        Request { method: words.next()?, path: words.next()?, range: None, authorization: None };
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        match name.to_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(request)
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// How much of the body is sent.
    n_bytes: usize,
}

impl Reply {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, n_bytes: body.len(), body }
    }
}

fn send(mut stream: &TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Answer\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(name, _)| *name == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body[..reply.n_bytes])?;
    }
    Ok(())
}

impl State {
    fn reply(&mut self, request: &Request, port: u16) -> Reply {
        if let Some((status, code)) = self.refusal {
            if self.refuses_once {
                self.refusal = None;
            }
            let headers = code.map(|code| ("X-Error-Code", code.to_owned()));
            return Reply::new(status, headers.into_iter().collect(), Vec::new());
        }
        if self.is_failing {
            return Reply::new(503, Vec::new(), Vec::new());
        }
        if let Some(former) =
            self.former_name.as_ref().filter(|former| request.path.contains(former.as_str()))
        {
            let location = request.path.replace(former.as_str(), &self.name);
            return Reply::new(307, vec![("Location", location)], Vec::new());
        }
        let revision = ["models", "datasets"]
            .iter()
            .find_map(|kind| request.path.strip_prefix(&format!("/api/{kind}/{}/revision/", self.name)));
        if let Some(revision) = revision {
            return Reply::new(200, Vec::new(), self.listing(revision));
        }
        if let Some(name) = request.path.strip_prefix("/store/") {
            let name = name.to_owned();
            return self.content(&name, request);
        }
        let path = request.path.strip_prefix("/datasets").unwrap_or(&request.path);
        let file = path.strip_prefix(&format!("/{}/resolve/{COMMIT}/", self.name));
        match file.and_then(|file| self.files.get_key_value(file)) {
            Some((file, offered)) if offered.is_large => large(file, offered, self.etag, port),
            Some((file, _)) => self.content(&file.clone(), request),
            None => Reply::new(404, vec![("X-Error-Code", "EntryNotFound".to_owned())], Vec::new()),
        }
    }

    /// A branch moves, a commit stays.
    fn listing(&self, revision: &str) -> Vec<u8> {
        let siblings: Vec<String> =
            self.files.keys().map(|name| format!("{{\"rfilename\":\"{name}\"}}")).collect();
        let commit = if revision == COMMIT { COMMIT } else { &self.commit };
        let siblings = siblings.join(",");
        format!("{{\"id\":\"x\",\"sha\":\"{commit}\",\"siblings\":[{siblings}]}}").into_bytes()
    }

    fn content(&mut self, name: &str, request: &Request) -> Reply {
        let Offered { content, etag, is_large } = self.files[name].clone();
        let n_bytes = content.len();
        let range = request.range.as_deref().filter(|_| !self.ignores_ranges);
        let start: Option<usize> = range
            .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap());
        let etag = self.etag.map_or(etag, str::to_owned);
        let mut headers = vec![("ETag", format!("\"{etag}\"")), ("X-Repo-Commit", COMMIT.to_owned())];
        headers
            .extend(start.map(|start| ("Content-Range", format!("bytes {start}-{}/{n_bytes}", n_bytes - 1))));
        let status = if start.is_some() { 206 } else { 200 };
        let mut reply = Reply::new(status, headers, content[start.unwrap_or(0)..].to_vec());
        if request.method == "GET" {
            if let Some(n_bytes) = self.cut_after.take_if(|_| is_large) {
                reply.n_bytes = n_bytes;
                self.is_failing = self.fails_after_cut;
            }
            *self.n_bytes_sent.entry(name.to_owned()).or_default() += reply.n_bytes as u64;
        }
        reply
    }
}

/// Announces a large file and redirects to where it is stored, on another host.
fn large(name: &str, offered: &Offered, etag: Option<&'static str>, port: u16) -> Reply {
    let headers = vec![
        ("X-Repo-Commit", COMMIT.to_owned()),
        ("X-Linked-Etag", format!("\"{}\"", etag.unwrap_or(&offered.etag))),
        ("X-Linked-Size", offered.content.len().to_string()),
        ("ETag", "\"of-the-store\"".to_owned()),
        ("Location", format!("http://localhost:{port}/store/{name}")),
    ];
    Reply::new(302, headers, b"Found. Redirecting".to_vec())
}
