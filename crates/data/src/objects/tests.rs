//! A store on this machine that speaks S3.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

/// Serves objects of a bucket by S3's rules for lists, heads and gets; the answer is its address.
fn store(objects: BTreeMap<&'static str, &'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away needs no answer.
            drop(answer(stream, &objects));
        }
    });
    address
}

fn answer(mut stream: TcpStream, objects: &BTreeMap<&str, &[u8]>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = if query.contains("list-type=2") {
        let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
        let prefix = prefix.replace("%2F", "/");
        let entry = |(key, bytes): (&&str, &&[u8])| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag>\
                 <Size>{}</Size></Contents>",
                bytes.len()
            )
        };
        let entries: String = objects.iter().filter(|(key, _)| key.starts_with(&prefix)).map(entry).collect();
        Some(
            format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")
                .into_bytes(),
        )
    } else {
        objects.get(path.trim_start_matches("/bucket/")).map(|bytes| bytes.to_vec())
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: \"e\"\r\n\
         Connection: close\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    Ok(())
}

fn objects(url: &str, endpoint: &str) -> Objects {
    let options = [
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "here"),
    ];
    let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    Objects { options, ..Objects::of(url).expect("it is an address") }
}

#[test]
fn an_object_and_a_pattern_of_objects() {
    let endpoint = store(BTreeMap::from([
        ("2016/a.jsonl", &b"one"[..]),
        ("2016/b.jsonl", b"three"),
        ("2016/c.csv", b"other"),
        ("2016/old/d.jsonl", b"deeper"),
        ("2017/a.jsonl", b"later"),
    ]));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let fetched = |url: &str| -> Vec<(String, String)> {
        let mut heard = Vec::new();
        let files =
            objects(url, &endpoint).fetch(folder.path(), &mut |done, total| heard.push((done, total)));
        let (done, total) = heard.last().copied().unwrap_or_default();
        assert_eq!(done, total, "{url}");
        let content = |file: &PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read_to_string(file).expect("it was written"))
        };
        files.expect("the store has it").iter().map(content).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    };
    assert_eq!(fetched("s3://bucket/2016/b.jsonl"), pairs(&[("b.jsonl", "three")]));
    assert_eq!(fetched("s3://bucket/2016/*.jsonl"), pairs(&[("a.jsonl", "one"), ("b.jsonl", "three")]));
    assert_eq!(fetched("s3://bucket/**/a.jsonl"), pairs(&[("a.jsonl", "one"), ("a.jsonl", "later")]));
    assert_eq!(fetched("s3://bucket/2016/[bc].*"), pairs(&[("b.jsonl", "three"), ("c.csv", "other")]));
}

#[test]
fn what_a_store_does_not_have() {
    let endpoint = store(BTreeMap::from([("a.jsonl", &b"one"[..])]));
    let folder = tempfile::tempdir().expect("a folder can be made");
    for url in ["s3://bucket/b.jsonl", "s3://bucket/*.parquet"] {
        let error =
            objects(url, &endpoint).fetch(folder.path(), &mut |_, _| ()).expect_err("it is not there");
        let error = error.to_string();
        assert!(error.contains(url) && error.contains("AWS_ACCESS_KEY_ID"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn names_that_are_no_addresses_of_stores() {
    for name in ["corpus.parquet", "/data/corpus.parquet", "https://host/corpus.parquet", "C:\\corpus.csv"] {
        assert!(Objects::of(name).is_none(), "{name}");
    }
}
