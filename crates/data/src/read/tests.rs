//! Each format and each way to fail, on small generated files.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Int64Array, LargeStringArray, StringArray, StringViewArray,
    TimestampSecondArray,
};
use arrow::datatypes::Int32Type;
use expect_test::{Expect, expect};
use tempfile::TempDir;

use userprint_core::Origin;

use super::*;
use crate::Corpus;

const JSON: &[u8] = b"{\"u\":\"b\",\"t\":\"hi\",\"i\":1}\n\n{\"u\":7,\"t\":\"ho, \\\"x\\\"\",\"i\":\"2\"}\n";
const CSV: &[u8] = b"i,u,t\n1,b,hi\n2,7,\"ho, \"\"x\"\"\"\n";

fn columns() -> Columns {
    Columns { user_id: "u".into(), text: "t".into(), example_id: Some("i".into()), ..Columns::default() }
}

fn write(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = arrow::array::RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// The file holds user 7 with example 2 and user b with example 1.
#[track_caller]
fn check(name: &str, bytes: &[u8]) {
    let (_folder, path) = write(name, bytes);
    let corpus = read_corpus(&path, &columns()).unwrap();
    let users: Vec<_> = corpus.users().iter().map(|user| user.as_str()).collect();
    assert_eq!(users, ["7", "b"]);
    let example = corpus.examples(userprint_core::UserIdx(0)).unwrap().remove(0);
    assert_eq!((example.example_id.as_str(), &*example.text), ("2", "ho, \"x\""));
    assert_eq!(corpus.n_examples_total(), 2);
}

#[track_caller]
fn check_error(name: &str, bytes: &[u8], expect: Expect) {
    let (folder, path) = write(name, bytes);
    let error = read_corpus(&path, &columns()).unwrap_err();
    expect.assert_eq(&error.to_string().replace(&format!("{}/", folder.path().display()), ""));
}

#[test]
fn text_formats_and_compressions() {
    for (extension, bytes) in [("jsonl", JSON), ("ndjson", JSON), ("csv", CSV)] {
        check(&format!("x.{extension}"), bytes);
        check(&format!("x.{extension}.gz"), &gz(bytes));
        check(&format!("x.{extension}.zst"), &zst(bytes));
        check(&format!("x.{extension}.BZ2"), &bz2(bytes));
    }
    check("x.tsv", b"u\tt\ti\r\nb\thi\t1\r\n7\t\"ho, \"\"x\"\"\"\t2");
    let (first, second) = JSON.split_at(25);
    check("members.jsonl.gz", &[gz(first), gz(second)].concat());
    check("members.jsonl.bz2", &[bz2(first), bz2(second)].concat());
    check("members.jsonl.zst", &[zst(first), zst(second)].concat());
    check("mark.jsonl", &[b"\xEF\xBB\xBF", JSON].concat());
    check("mark.csv", &[b"\xEF\xBB\xBF", CSV].concat());
}

#[test]
fn parquet_types() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let dictionary: ArrayRef = Arc::new(vec!["b", "7"].into_iter().collect::<DictionaryArray<Int32Type>>());
    let large: ArrayRef = Arc::new(LargeStringArray::from(vec!["hi", "ho, \"x\""]));
    let view: ArrayRef = Arc::new(StringViewArray::from(vec!["hi", "ho, \"x\""]));
    check("x.parquet", &parquet(vec![("u", dictionary.clone()), ("t", large), ("i", numbers.clone())]));
    check(
        "x.parquet",
        &parquet(vec![("i", numbers), ("other", dictionary), ("t", view), ("u", strings(&["b", "7"]))]),
    );
}

/// Three rows: a time and a source, neither, and a year.
#[test]
fn times_and_sources() {
    let columns = Columns { timestamp: Some("when".into()), source: Some("s".into()), ..columns() };
    let origins = |name: &str, bytes: &[u8]| {
        let (_folder, path) = write(name, bytes);
        let corpus = read_corpus(&path, &columns).map_err(|error| error.to_string())?;
        let examples = corpus.examples(userprint_core::UserIdx(0)).unwrap();
        Ok::<_, String>(examples.into_iter().map(|example| example.origin).collect::<Vec<_>>())
    };
    let json = origins(
        "x.jsonl",
        br#"{"u":"a","t":"x","i":1,"when":"1970-01-02","s":"mail"}
            {"u":"a","t":"x","i":2,"when":null,"s":null}
            {"u":"a","t":"x","i":3,"when":1971,"s":7}"#,
    )
    .unwrap();
    let csv = origins("x.csv", b"u,t,i,when,s\na,x,1,1970-01-02,mail\na,x,2,,\na,x,3,1971,7\n").unwrap();
    assert_eq!(json, csv);
    assert_eq!([json[0].timestamp_s, json[2].timestamp_s], [Some(86_400), Some(365 * 86_400)]);
    assert!(json[1] == Origin::default() && json[0].source != json[2].source);
    let times = TimestampSecondArray::from(vec![Some(86_400), None, Some(365 * 86_400)]);
    let sources: ArrayRef = Arc::new(StringArray::from(vec![Some("mail"), None, Some("7")]));
    let rows = |when| {
        let (u, i) = (strings(&["a"; 3]), strings(&["1", "2", "3"]));
        parquet(vec![("u", u), ("t", strings(&["x"; 3])), ("i", i), ("when", when), ("s", sources.clone())])
    };
    assert_eq!(origins("x.parquet", &rows(Arc::new(times))).unwrap(), json);
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true; 3]));
    assert!(origins("x.parquet", &rows(flags)).unwrap_err().contains("timestamps, strings or integers"));
    let error = origins("x.csv", b"u,t,i,when,s\na,x,1,soon,\n").unwrap_err();
    assert!(error.contains("line 2: column `when` is no time"), "{error}");
    assert!(origins("x.csv", b"u,t,i,s\na,x,1,\n").unwrap_err().contains("no column `when`"));
}

#[test]
fn missing_file_and_folder() {
    let folder = TempDir::new().unwrap();
    let error = read_corpus(&folder.path().join("x.csv"), &columns()).unwrap_err();
    assert!(matches!(error, CorpusError::NotFound { .. }), "{error}");
    let named = folder.path().join("x.csv");
    fs::create_dir(&named).unwrap();
    let error = read_corpus(&named, &columns()).unwrap_err();
    assert!(matches!(error, CorpusError::Unreadable { .. }), "{error}");
}

#[test]
fn unknown_extension() {
    check_error(
        "x.txt",
        b"x",
        expect![
            "the extension of x.txt is none of .parquet, .arrow, .feather, .jsonl, .ndjson, .csv, .tsv, .mbox (all but the first three also with .gz, .zst or .bz2) or a folder of mails, rename or convert the file"
        ],
    );
    check_error(
        "x.parquet.gz",
        b"x",
        expect![
            "the extension of x.parquet.gz is none of .parquet, .arrow, .feather, .jsonl, .ndjson, .csv, .tsv, .mbox (all but the first three also with .gz, .zst or .bz2) or a folder of mails, rename or convert the file"
        ],
    );
}

#[test]
fn missing_column() {
    check_error(
        "x.csv",
        b"user,t,i\na,b,1\n",
        expect![
            "x.csv, line 1: there is no column `u`, found user, t, i; the nearest is `t`; set the column names to match"
        ],
    );
    check_error(
        "x.jsonl",
        b"{\"u\":\"b\",\"T\":\"hi\",\"i\":1}",
        expect![
            "x.jsonl, line 1: there is no column `t`, found T, i, u; the nearest is `T`; set the column names to match"
        ],
    );
    check_error(
        "x.parquet",
        &parquet(vec![("u", strings(&["a"])), ("text", strings(&["x"]))]),
        expect![
            "x.parquet, row 1: there is no column `t`, found u, text; the nearest is `u`; set the column names to match"
        ],
    );
    check_error(
        "x.csv",
        b"ada@example.org,my very own secret text\nb,c\n",
        expect![
            "x.csv, line 1: there is no column `u`, and what stands in its place looks like data; check that the first row names the columns"
        ],
    );
}

#[test]
fn no_value() {
    check_error(
        "x.csv",
        b"u,t,i\na,x,1\n,x,2\n",
        expect!["x.csv, line 3: column `u` is empty, expected a value in every row; fill it or drop the row"],
    );
    check_error(
        "x.jsonl",
        b"{\"u\":\"b\",\"t\":null,\"i\":1}",
        expect![
            "x.jsonl, line 1: column `t` is null, expected a value in every row; fill it or drop the row"
        ],
    );
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
    let ids = strings(&["1", "2"]);
    check_error(
        "x.parquet",
        &parquet(vec![("u", ids.clone()), ("t", texts), ("i", ids)]),
        expect![
            "x.parquet, row 2: column `t` is null, expected a value in every row; fill it or drop the row"
        ],
    );
}

#[test]
fn wrong_type() {
    check_error(
        "x.jsonl",
        b"{\"u\":1.5,\"t\":\"x\",\"i\":1}",
        expect![
            "x.jsonl, line 1: column `u` holds a number with a fraction or beyond 64 bits, expected a string or an integer; convert the column"
        ],
    );
    check_error(
        "x.jsonl",
        b"{\"u\":1,\"t\":[\"x\"],\"i\":1}",
        expect!["x.jsonl, line 1: column `t` holds an array, expected a string; convert the column"],
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    check_error(
        "x.parquet",
        &parquet(vec![("u", numbers.clone()), ("t", numbers.clone()), ("i", numbers)]),
        expect!["x.parquet, row 1: column `t` holds Int64, expected strings; convert the column"],
    );
}

#[test]
fn same_example_twice() {
    check_error(
        "x.csv",
        b"u,t,i\na,x,1\nb,x,1\na,y,1\n",
        expect![
            "x.csv, line 4: the user and example id of line 2 again, expected them once; drop one of the rows or choose another example id column"
        ],
    );
}

#[test]
fn cut_off() {
    let bytes = parquet(vec![("u", strings(&["a"])), ("t", strings(&["x"])), ("i", strings(&["1"]))]);
    check_error(
        "x.parquet",
        &bytes[..bytes.len() / 2],
        expect!["x.parquet, row 1: the file ends too early, it was cut off; copy or download it again"],
    );
    let long: Vec<u8> = JSON.iter().copied().chain((0..100_000u32).flat_map(|n| n.to_le_bytes())).collect();
    for (name, bytes) in [("x.jsonl.gz", gz(&long)), ("x.jsonl.zst", zst(&long)), ("x.jsonl.bz2", bz2(JSON))]
    {
        let (_folder, path) = write(name, &bytes[..bytes.len() - 9]);
        let error = decompressed(&path, format_of(&path).unwrap().1)
            .and_then(|mut text| {
                io::copy(&mut text, &mut io::sink())
                    .map_err(|error| read_error(Position::line(&path, 1), error))
            })
            .unwrap_err();
        assert!(matches!(error, CorpusError::CutOff { .. }), "{name}: {error}");
    }
    let cut = gz(JSON);
    check_error(
        "x.jsonl.gz",
        &cut[..cut.len() - 12],
        expect!["x.jsonl.gz, line 3: the file ends too early, it was cut off; copy or download it again"],
    );
    check_error(
        "x.jsonl",
        &JSON[..JSON.len() - 8],
        expect![
            "x.jsonl, line 3: the line ends within a JSON value; if it is the last line the file was cut off, copy it again, else write one object a line"
        ],
    );
    check_error(
        "x.csv",
        &CSV[..CSV.len() - 15],
        expect!["x.csv, line 3: 1 fields, expected 3 as in the header; check quotes and delimiter"],
    );
}

#[test]
fn not_what_it_says() {
    check_error(
        "x.jsonl",
        b"secret text\n",
        expect!["x.jsonl, line 1: not a JSON object, at byte 1 of the line; write one object a line"],
    );
    check_error(
        "x.jsonl",
        b"[1]\n",
        expect!["x.jsonl, line 1: not a JSON object, at byte 1 of the line; write one object a line"],
    );
    check_error(
        "x.jsonl.gz",
        JSON,
        expect![
            "x.jsonl.gz, line 1: the content is damaged or not what the extension says; copy or convert the file again"
        ],
    );
    check_error(
        "x.parquet",
        JSON,
        expect![
            "x.parquet, row 1: the content is damaged or not what the extension says; copy or convert the file again"
        ],
    );
}

#[test]
fn not_utf8() {
    check_error(
        "x.jsonl",
        b"{\"u\":\"b\",\"t\":\"hi\",\"i\":1}\n{\"u\":\"\xff\"}",
        expect![
            "x.jsonl, line 2: byte 6 of it is not UTF-8; convert the file, for example with iconv -t UTF-8"
        ],
    );
    check_error(
        "x.csv",
        b"u,t,i\na,ok,1\na,ab\xff,2\n",
        expect![
            "x.csv, line 3: byte 2 of it is not UTF-8; convert the file, for example with iconv -t UTF-8"
        ],
    );
}

#[test]
fn empty() {
    check_error("x.csv", b"", expect!["x.csv has no rows, expected at least one; check how it was written"]);
    check_error(
        "x.csv",
        b"u,t,i\n",
        expect!["x.csv has no rows, expected at least one; check how it was written"],
    );
    check_error(
        "x.jsonl",
        b"\n \n",
        expect!["x.jsonl has no rows, expected at least one; check how it was written"],
    );
    check_error(
        "x.parquet",
        b"",
        expect!["x.parquet has no rows, expected at least one; check how it was written"],
    );
    let none: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    check_error(
        "x.parquet",
        &parquet(vec![("u", none.clone()), ("t", none.clone()), ("i", none)]),
        expect!["x.parquet has no rows, expected at least one; check how it was written"],
    );
    check_error(
        "x.csv.gz",
        &gz(b""),
        expect!["x.csv.gz has no rows, expected at least one; check how it was written"],
    );
}

#[test]
fn a_huge_line_is_refused_before_it_fills_the_memory() {
    let line = vec![b'a'; MAX_LINE_BYTES + (1 << 16)];
    check_error(
        "x.jsonl.zst",
        &zst(&line),
        expect![
            "x.jsonl.zst, line 1: longer than 67108864 bytes, expected one example a line; check the line ends, and in CSV for a quote that is never closed"
        ],
    );
    check_error(
        "x.csv.zst",
        &zst(&[b"u,t,i\na,\"", &*line].concat()),
        expect![
            "x.csv.zst, line 2: longer than 67108864 bytes, expected one example a line; check the line ends, and in CSV for a quote that is never closed"
        ],
    );
}
