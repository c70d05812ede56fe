//! Weights as they are found on the hub: every layout that is read, and files that lie.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{Cursor, Write};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::json;
use tempfile::TempDir;
use userprint_model::ModelError;
use userprint_model::weights::{self, StoredDtype, Weights};
use zip::write::{SimpleFileOptions, ZipWriter};

const CLASSES: [&str; 5] = ["FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage", "LongStorage"];

/// A pickle under construction, in the opcodes of `torch.save`.
#[derive(Clone)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn dict() -> Self {
        Self(b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    /// As a `LONG1`, so that any number fits.
    fn int(self, int: i64) -> Self {
        self.raw(b"\x8a\x08").raw(&int.to_le_bytes())
    }

    fn ints(self, ints: &[i64]) -> Self {
        ints.iter().fold(self.raw(b"("), |pickle, int| pickle.int(*int)).raw(b"t")
    }

    fn tensor(self, class: &str, entry: &str, n_stored: i64, place: Place<'_>) -> Self {
        let storage = format!("ctorch\n{class}\n");
        self.raw(b"ctorch._utils\n_rebuild_tensor_v2\n((")
            .text("storage")
            .raw(storage.as_bytes())
            .text(entry)
            .text("cpu")
            .int(n_stored)
            .raw(b"tQ")
            .int(place.offset)
            .ints(place.shape)
            .ints(place.strides)
            .raw(b"\x89ccollections\nOrderedDict\n)RtR")
    }

    fn end(self) -> Vec<u8> {
        self.raw(b"u.").0
    }
}

/// Where a tensor lies in its storage.
#[derive(Clone, Copy)]
struct Place<'a> {
    offset: i64,
    shape: &'a [i64],
    strides: &'a [i64],
}

const ROW: Place<'static> = Place { offset: 0, shape: &[2], strides: &[1] };

/// One tensor `a` of two `f32`, in a storage of three.
fn pickle_of_a(n_stored: i64, place: Place<'_>) -> Vec<u8> {
    Pickle::dict().text("a").tensor("FloatStorage", "0", n_stored, place).end()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(*name, stored).expect("the test can be set up");
        writer.write_all(bytes).expect("the test can be set up");
    }
    writer.finish().expect("the test can be set up").into_inner()
}

fn bin(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    archive(&[("archive/data.pkl", pickle), ("archive/byteorder", b"little"), ("archive/data/0", storage)])
}

/// A safetensors file by hand, so that its header can say anything.
fn by_hand(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn safetensors_of(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|(key, dtype, shape, bytes)| {
        (*key, TensorView::new(*dtype, shape.to_vec(), bytes).expect("the test can be set up"))
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    safetensors::serialize(views, Some(metadata)).expect("the test can be set up")
}

fn one_f32(key: &str, value: f32) -> Vec<u8> {
    safetensors_of(&[(key, Dtype::F32, &[1], &value.to_le_bytes())])
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().expect("the test can be set up");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("the test can be set up");
    }
    folder
}

fn values(weights: &Weights, key: &str) -> Vec<f32> {
    weights.get(key).expect("the tensor is there").read().expect("the tensor can be read")
}

/// An error with everything beneath it.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error: &&dyn Error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[track_caller]
fn check_refused(files: &[(&str, &[u8])], expected: &[&str]) {
    let folder = folder(files);
    let message = chain(&Weights::open(folder.path()).expect_err("refused"));
    for part in expected {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }
    assert!(message.contains(&folder.path().display().to_string()), "`{message}` names no file");
}

#[track_caller]
fn check_header(header: serde_json::Value, n_data: usize, expected: &[&str]) {
    let file = by_hand(&header.to_string(), &vec![0; n_data]);
    check_refused(&[("model.safetensors", &file)], &[&["cannot read it as safetensors"], expected].concat());
}

#[track_caller]
fn check_pickle(pickle: &[u8], expected: &[&str]) {
    check_refused(&[("pytorch_model.bin", &bin(pickle, &floats(&[1.0, 2.0, 3.0])))], expected);
}

#[test]
fn safetensors_of_each_type() {
    let wide = [1.5_f32, -2.0, 3.25];
    let halves: Vec<u8> = wide.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    let brains: Vec<u8> = wide.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    let doubles: Vec<u8> = wide.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
    let file = safetensors_of(&[
        ("f32", Dtype::F32, &[3, 1], &floats(&wide)),
        ("f16", Dtype::F16, &[3], &halves),
        ("bf16", Dtype::BF16, &[3], &brains),
        ("f64", Dtype::F64, &[3], &doubles),
        ("mask", Dtype::BOOL, &[3], &[0, 1, 1]),
        ("scalar", Dtype::F32, &[], &floats(&[7.0])),
        ("empty", Dtype::F32, &[0, 4], &[]),
    ]);
    let folder = folder(&[("model.safetensors", &file)]);
    let weights = Weights::open(folder.path()).unwrap();
    assert_eq!(weights.keys().collect::<Vec<_>>(), ["bf16", "empty", "f16", "f32", "f64", "mask", "scalar"]);
    for key in ["f32", "f16", "bf16", "f64"] {
        assert_eq!(values(&weights, key), wide, "{key}");
    }
    assert_eq!(weights.get("f32").unwrap().shape, [3, 1]);
    assert_eq!(weights.get("bf16").unwrap().dtype, StoredDtype::Bf16);
    assert_eq!(values(&weights, "scalar"), [7.0]);
    assert!(values(&weights, "empty").is_empty());
    assert_eq!(weights.metadata()["format"], "pt");
    assert_eq!(weights.files(), [folder.path().join("model.safetensors")]);
    let refused = weights.get("mask").unwrap().read().unwrap_err();
    assert!(matches!(&refused, ModelError::NotFloat { key, found, .. } if key == "mask" && found == "BOOL"));
}

#[test]
fn pytorch_of_each_type() {
    let wide = [1.5_f32, -2.0];
    let storages: [Vec<u8>; 5] = [
        floats(&wide),
        wide.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        wide.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        wide.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
        vec![0; 16],
    ];
    let mut pickle = Pickle::dict().text("step").int(3).text("name").text("x").text("none").raw(b"N");
    for (entry, class) in CLASSES.into_iter().enumerate() {
        pickle = pickle.text(class).tensor(class, &entry.to_string(), 2, ROW);
    }
    let pickle = pickle.end();
    let names: Vec<String> = (0..5).map(|entry| format!("m/data/{entry}")).collect();
    let mut entries: Vec<(&str, &[u8])> = vec![("m/data.pkl", &pickle)];
    entries.extend(names.iter().map(String::as_str).zip(storages.iter().map(Vec::as_slice)));
    let folder = folder(&[("pytorch_model.bin", &archive(&entries))]);
    let weights = Weights::open(folder.path()).unwrap();
    assert_eq!(weights.keys().count(), CLASSES.len());
    for class in &CLASSES[..4] {
        assert_eq!(values(&weights, class), wide, "{class}");
    }
    assert_eq!(weights.get("LongStorage").unwrap().dtype, StoredDtype::Other("Long".to_owned()));
    assert!(weights.get("LongStorage").unwrap().read().is_err());
    assert!(weights.metadata().is_empty());
}

#[test]
fn long_tensors_are_converted_in_parts() {
    let wide: Vec<f32> = (0..400_000).map(|i| (i % 251) as f32).collect();
    let halves: Vec<u8> = wide.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    let brains: Vec<u8> = wide.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    let shape = [wide.len()];
    let file =
        safetensors_of(&[("f16", Dtype::F16, &shape, &halves), ("bf16", Dtype::BF16, &shape, &brains)]);
    let folder = folder(&[("model.safetensors", &file)]);
    let weights = Weights::open(folder.path()).unwrap();
    assert!(values(&weights, "f16") == wide);
    assert!(values(&weights, "bf16") == wide);
}

#[test]
fn protocol_4_parameters_and_shared_storages() {
    // Protocol 4: frames, short texts, memoised values and functions named on the stack; `a`, a parameter, and
    // `tied`, the same values again.
    let short = |text: &str| [&[0x8c, text.len() as u8], text.as_bytes(), b"\x94"].concat();
    let named = |module: &str, name: &str| [short(module), short(name), b"\x93\x94".to_vec()].concat();
    let pickle = [
        b"\x80\x04\x95\x00\x01\x00\x00\x00\x00\x00\x00".to_vec(),
        named("collections", "OrderedDict"),
        b")R\x94(".to_vec(),
        short("a"),
        named("torch._utils", "_rebuild_parameter"),
        named("torch._utils", "_rebuild_tensor_v2"),
        b"((".to_vec(),
        short("storage"),
        named("torch", "FloatStorage"),
        short("0"),
        short("cpu"),
        b"K\x03t\x94QK\x01K\x02\x85\x94K\x01\x85\x94\x89h\x02)Rt\x94R\x94r\x00\x01\x00\x00\x88h\x02)R\x87R\x94".to_vec(),
        short("tied"),
        b"j\x00\x01\x00\x00u}X\x09\x00\x00\x00_metadataNsb.".to_vec(),
    ];
    let file = bin(&pickle.concat(), &floats(&[1.0, 2.0, 3.0]));
    let folder = folder(&[("adapter_model.bin", &file)]);
    let weights = Weights::open_file(&folder.path().join("adapter_model.bin")).unwrap();
    assert_eq!(values(&weights, "a"), [2.0, 3.0]);
    assert_eq!(values(&weights, "tied"), [2.0, 3.0]);
}

#[test]
fn the_first_layout_that_exists_is_read() {
    let index = json!({"weight_map": {"b": "shard.safetensors"}}).to_string();
    let (one, shard) = (one_f32("a", 1.0), one_f32("b", 2.0));
    let both: [(&str, &[u8]); 3] = [
        ("model.safetensors", &one),
        ("model.safetensors.index.json", index.as_bytes()),
        ("shard.safetensors", &shard),
    ];
    let all = folder(&both);
    assert_eq!(Weights::open(all.path()).unwrap().keys().collect::<Vec<_>>(), ["a"]);
    let sharded = folder(&both[1..]);
    assert_eq!(Weights::open(sharded.path()).unwrap().keys().collect::<Vec<_>>(), ["b"]);
    let refused = Weights::open(folder(&[]).path()).unwrap_err().to_string();
    assert!(
        refused.contains("expected one of: model.safetensors, model.safetensors.index.json"),
        "{refused}"
    );
}

#[test]
fn shards() {
    let index =
        json!({"metadata": {"total_size": 8}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}});
    let second = safetensors_of(&[
        ("a", Dtype::F32, &[1], &floats(&[9.0])),
        ("b", Dtype::F32, &[1], &floats(&[2.0])),
        ("unlisted", Dtype::F32, &[1], &floats(&[3.0])),
    ]);
    let folder = folder(&[
        ("model.safetensors.index.json", index.to_string().as_bytes()),
        ("1.safetensors", &one_f32("a", 1.0)),
        ("2.safetensors", &second),
    ]);
    let weights = Weights::open(folder.path()).unwrap();
    let read = weights.read_all().unwrap().into_iter().map(|(key, (_, values))| (key, values[0]));
    assert_eq!(
        read.collect::<Vec<_>>(),
        [("a", 1.0), ("b", 2.0), ("unlisted", 3.0)].map(|(key, value)| (key.to_owned(), value))
    );
    let files: Vec<_> = weights.files().iter().filter_map(|file| file.file_name()?.to_str()).collect();
    assert_eq!(files, ["model.safetensors.index.json", "1.safetensors", "2.safetensors"]);
    assert!(weights.get("b").unwrap().path().ends_with("2.safetensors"));
}

#[test]
fn shards_of_pytorch() {
    let index = json!({"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}).to_string();
    let folder = folder(&[
        ("pytorch_model.bin.index.json", index.as_bytes()),
        ("pytorch_model-00001-of-00001.bin", &bin(&pickle_of_a(3, ROW), &floats(&[1.0, 2.0, 3.0]))),
    ]);
    assert_eq!(values(&Weights::open(folder.path()).unwrap(), "a"), [1.0, 2.0]);
}

#[test]
fn an_index_that_lies() {
    let check = |weight_map: serde_json::Value, expected: &[&str]| {
        let index = json!({ "weight_map": weight_map }).to_string();
        let (first, second) = (one_f32("a", 1.0), one_f32("b", 2.0));
        check_refused(
            &[
                ("model.safetensors.index.json", index.as_bytes()),
                ("1.safetensors", &first),
                ("2.safetensors", &second),
            ],
            expected,
        );
    };
    check(json!({"a": "3.safetensors"}), &["names the shard `3.safetensors`", "not beside it"]);
    check(json!({"c": "1.safetensors"}), &["tensor `c` should be in `1.safetensors` and is not"]);
    check(json!({"a": "2.safetensors", "b": "2.safetensors"}), &["tensor `a` should be in `2.safetensors`"]);
    for elsewhere in ["../1.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "c:x", "a\0b"] {
        check(json!({ "a": elsewhere }), &["expected the plain name of a file beside it"]);
    }
    check(json!({"a": 7}), &["index of a checkpoint's shards", "invalid type"]);
    check_refused(&[("model.safetensors.index.json", b"{}")], &["missing field `weight_map`"]);
}

#[test]
fn a_tensor_twice_in_shards() {
    let index = json!({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}).to_string();
    let with_extra = |key| {
        let value = floats(&[1.0]);
        safetensors_of(&[(key, Dtype::F32, &[1], &value), ("extra", Dtype::F32, &[1], &value)])
    };
    check_refused(
        &[
            ("model.safetensors.index.json", index.as_bytes()),
            ("1.safetensors", &with_extra("a")),
            ("2.safetensors", &with_extra("b")),
        ],
        &["tensor `extra`", "2.safetensors", "1.safetensors as well"],
    );
}

#[test]
fn headers_that_lie() {
    let tensor = |shape: serde_json::Value, begin: u64, end: u64| json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]});
    check_header(
        json!({"a": tensor(json!([2]), 0, 4)}),
        4,
        &["tensor `a` has 4 bytes, expected those of F32 [2]"],
    );
    check_header(
        json!({"a": tensor(json!([1]), 4, 8)}),
        8,
        &["tensor `a` is at bytes 4 to 8, expected it to begin at 0"],
    );
    check_header(json!({"a": tensor(json!([1]), 4, 0)}), 4, &["tensor `a`"]);
    let overlapping = json!({"a": tensor(json!([2]), 0, 8), "b": tensor(json!([2]), 4, 12)});
    check_header(overlapping, 12, &["tensor `b` is at bytes 4 to 12, expected it to begin at 8"]);
    check_header(json!({"a": tensor(json!([2]), 0, 8)}), 4, &["its header speaks of"]);
    check_header(json!({"a": tensor(json!([1]), 0, 4)}), 5, &["its header speaks of"]);
    check_header(json!({"a": tensor(json!([1_u64 << 58]), 0, 1_u64 << 60)}), 4, &["its header speaks of"]);
    check_header(json!({"a": tensor(json!([1_u64 << 62]), 0, 0)}), 0, &["tensor `a` has 0 bytes"]);
    check_header(
        json!({"a": tensor(json!([1_u64 << 32, 1_u64 << 32]), 0, 0)}),
        0,
        &["tensor `a` has 0 bytes"],
    );
    check_header(json!({"a": tensor(json!([1]), 0, u64::MAX)}), 4, &["tensor `a`"]);
    check_header(json!({"a": tensor(json!([-1]), 0, 4)}), 4, &["not a JSON object of tensors"]);
    check_header(
        json!({"a": {"dtype": "F33", "shape": [1], "data_offsets": [0, 4]}}),
        4,
        &["unknown variant `F33`"],
    );
    check_header(json!([1, 2]), 0, &["expected an object of tensors"]);
    let twice = r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
    check_refused(&[("model.safetensors", &by_hand(twice, &[]))], &["`a` is there twice"]);
    let deep = "[".repeat(100_000);
    check_refused(&[("model.safetensors", &by_hand(&deep, &[]))], &["not a JSON object"]);
}

#[test]
fn header_lengths_that_lie() {
    for (length, expected) in
        [(u64::MAX, "expected at most 2"), (3, "expected at most 2"), (1 << 40, "claims 1099511627776")]
    {
        let file = [&length.to_le_bytes()[..], b"{}"].concat();
        check_refused(&[("model.safetensors", &file)], &["cannot read it as safetensors", expected]);
    }
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n";
    check_refused(&[("model.safetensors", pointer)], &["pointer of Git LFS"]);
}

#[test]
fn files_cut_short_anywhere() {
    let safetensors = one_f32("a", 1.0);
    let torch = bin(&pickle_of_a(3, ROW), &floats(&[1.0, 2.0, 3.0]));
    for n_bytes in 0..safetensors.len() {
        check_refused(&[("model.safetensors", &safetensors[..n_bytes])], &["cannot read it as safetensors"]);
    }
    for n_bytes in 0..torch.len() {
        check_refused(
            &[("pytorch_model.bin", &torch[..n_bytes])],
            &["cannot read it as a PyTorch checkpoint"],
        );
    }
    let pickle = pickle_of_a(3, ROW);
    for n_bytes in 0..pickle.len() {
        check_pickle(&pickle[..n_bytes], &["cannot read it as a PyTorch checkpoint", "cut short"]);
    }
}

#[test]
fn a_file_that_shrinks_after_it_was_opened() {
    let folder = folder(&[("model.safetensors", &one_f32("a", 1.0))]);
    let weights = Weights::open(folder.path()).unwrap();
    fs::write(folder.path().join("model.safetensors"), b"").unwrap();
    assert!(chain(&weights.get("a").unwrap().read().unwrap_err()).contains("cannot read it"));
}

#[test]
fn pickles_that_ask_for_more_than_tensors() {
    for (module, name) in
        [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("torch", "_dynamoStorage")]
    {
        let call = format!("\u{80}\u{2}c{module}\n{name}\n");
        let call: Vec<u8> = call.chars().map(|c| c as u8).collect();
        let says = format!("asks to call `{module}.{name}`");
        check_pickle(&Pickle(call).text("echo").raw(b"\x85R.").0, &[&says, "nothing in it was run"]);
    }
    let on_stack = Pickle(b"\x80\x04".to_vec()).text("os").text("system").raw(b"\x93.").0;
    check_pickle(&on_stack, &["asks to call `os.system`"]);
    let long = [b"\x80\x02cos\x1b[2J".to_vec(), vec![b'x'; 1000], b"\nf\n.".to_vec()].concat();
    check_pickle(&long, &["`os\\u{1b}[2Jxxx"]);
    // Python 1 opcodes that call a function without naming it first.
    for opcodes in [&b"(S'ls'\nios\nsystem\n."[..], b"\x80\x02N\x81.", b"\x80\x02\x82\x01.", b"(o."] {
        check_pickle(opcodes, &["the pickle has opcode"]);
    }
}

#[test]
fn pickles_with_numbers_that_lie() {
    let most = [0xff; 8];
    for opcodes in [&b"X"[..], b"B", b"\x8b", b"\x8d", b"\x8e", b"\x8a", b"\x8c"] {
        check_pickle(&[opcodes, &most].concat(), &["cut short"]);
    }
    check_pickle(b"h\x07.", &["expected a value that was kept"]);
    check_pickle(b"(t(u.", &["a dict and what goes into it"]);
    check_pickle(b"}(Nu.", &["a value for each key"]);
    check_pickle(b"N(0.", &["opcode 0x30"]);
    check_pickle(b"N(\x85.", &["more values on the stack"]);
    check_pickle(b"u.", &["expected a mark"]);
    check_pickle(b"N.", &["expected a dict of tensors"]);
    check_pickle(b"}.", &["the pickle names no tensors"]);
    check_pickle(b"X\x01\x00\x00\x00\xff.", &["text in UTF-8"]);
    let nested = Pickle::dict().text("state_dict").raw(&pickle_of_a(3, ROW)[2..]);
    let nested = [&nested.0[..nested.0.len() - 1], b"u."].concat();
    check_pickle(&nested, &["the pickle names no tensors"]);
}

#[test]
fn pickles_that_grow() {
    // A million tuples in each other: reading and forgetting them takes no recursion.
    check_pickle(&[&b"\x80\x02)"[..], &vec![0x85; 1 << 20], b"."].concat(), &["expected a dict of tensors"]);
    check_pickle(&vec![b'('; 1 << 20], &["cut short"]);
    // Each step doubles what the pickle means, and adds three values to what is held.
    check_pickle(
        &[&b"N"[..], &b"q\x00h\x00\x86".repeat(100_000), b"."].concat(),
        &["expected a dict of tensors"],
    );
    let memo: Vec<u8> =
        (0..200_000_u32).flat_map(|i| [&b"r"[..], &(u32::MAX - i).to_le_bytes()].concat()).collect();
    check_pickle(&[b"N".to_vec(), memo].concat(), &["cut short"]);
    check_pickle(&vec![b'N'; (1 << 22) + 1], &["more than 4194304 steps"]);
    let dimensions = [1; 65];
    let tensor = pickle_of_a(3, Place { offset: 0, shape: &dimensions, strides: &dimensions });
    check_pickle(&tensor, &["at most 64"]);
}

#[test]
fn tensors_outside_their_storage() {
    let check = |n_stored: i64, offset: i64, shape: &[i64], strides: &[i64], expected: &str| {
        let pickle = pickle_of_a(n_stored, Place { offset, shape, strides });
        check_pickle(&pickle, &["tensor `a`", expected]);
    };
    check(2, 0, &[2], &[1], "lies in `archive/data/0` of 12 bytes, expected 8");
    check(4, 0, &[2], &[1], "lies in `archive/data/0` of 12 bytes, expected 16");
    check(3, 2, &[2], &[1], "needs elements 2 to 4 of a storage of 3");
    check(3, 4, &[0], &[1], "needs elements 4 to 4 of a storage of 3");
    check(3, 0, &[1 << 60], &[1], "needs elements");
    check(3, 0, &[1 << 32, 1 << 32], &[1 << 32, 1], "more values than can be counted");
    check(1 << 62, 0, &[2], &[1], "more values than can be counted");
    check(-3, 0, &[2], &[1], "negative");
    check(3, -1, &[2], &[1], "negative");
    check(3, 0, &[-2], &[1], "negative");
    check(3, i64::MAX, &[2], &[1], "needs elements");
    check(3, 0, &[2], &[-1], "has strides [-1]");
    check(3, 0, &[2], &[0], "has strides [0]");
    check(3, 0, &[1, 2], &[1, 2], "has strides [1, 2]");
}

#[test]
fn strides_of_single_rows_do_not_matter() {
    let pickle = pickle_of_a(3, Place { offset: 1, shape: &[1, 2, 1], strides: &[7, 1, 9] });
    let folder = folder(&[("pytorch_model.bin", &bin(&pickle, &floats(&[1.0, 2.0, 3.0])))]);
    assert_eq!(values(&Weights::open(folder.path()).unwrap(), "a"), [2.0, 3.0]);
}

#[test]
fn archives_that_torch_does_not_write() {
    let pickle = pickle_of_a(3, ROW);
    let data = floats(&[1.0, 2.0, 3.0]);
    let check = |file: &[u8], expected: &[&str]| check_refused(&[("pytorch_model.bin", file)], expected);
    check(&archive(&[("m/data.pkl", &pickle)]), &["zip entry `m/data/0` is missing"]);
    check(&archive(&[("m/data/0", &data)]), &["0 entries `…/data.pkl`, expected one"]);
    check(&archive(&[("m/data.pkl", &pickle), ("n/data.pkl", &pickle)]), &["2 entries `…/data.pkl`"]);
    let big = archive(&[("m/data.pkl", &pickle), ("m/byteorder", b"big"), ("m/data/0", &data)]);
    check(&big, &["big-endian"]);
    let mut compressed = bin(&pickle, &data);
    for (signature, method_at) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        for at in 0..compressed.len() - 4 {
            if &compressed[at..at + 4] == signature {
                compressed[at + method_at] = 8;
            }
        }
    }
    check(&compressed, &["is compressed or encrypted"]);
    check(&[0; 100], &["no directory at its end"]);
    // One byte of the archive's name in the directory: two entries of one name, or one of another.
    let twins = archive(&[("m/data.pkl", &pickle), ("m/data/0", &data), ("m/data/1", &data)]);
    let at = twins.windows(8).rposition(|name| name == b"m/data/1").expect("the directory names it");
    let twins = [&twins[..at], b"m/data/0", &twins[at + 8..]].concat();
    check(&twins, &["zip entry `m/data/0` is there twice"]);
}

#[test]
fn formats_of_old() {
    let magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    for file in [&magic[..], &tar] {
        check_refused(
            &[("pytorch_model.bin", file)],
            &["PyTorch's format from before 1.6", "save_pretrained(\".\", safe_serialization=True)"],
        );
    }
}

#[test]
fn written_files_are_read_by_others_and_back() {
    let folder = folder(&[]);
    let path = folder.path().join("model.safetensors");
    let tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = [
        ("b\"\u{e9}\\\n", vec![2, 2], vec![1.0, -0.0, f32::NAN, f32::MIN_POSITIVE]),
        ("a.weight", vec![3], vec![1.0, 2.0, 3.0]),
        ("empty", vec![0], vec![]),
        ("scalar", vec![], vec![5.0]),
    ]
    .map(|(key, shape, values)| (key.to_owned(), (shape, values)))
    .into();
    weights::write(&path, &tensors, &[("format", "pt")]).unwrap();
    let bytes = fs::read(&path).unwrap();
    let data: BTreeMap<_, _> = tensors.iter().map(|(key, (_, values))| (key, floats(values))).collect();
    let views: Vec<_> = tensors
        .iter()
        .map(|(key, (shape, _))| (key.as_str(), Dtype::F32, shape.as_slice(), data[key].as_slice()))
        .collect();
    assert_eq!(bytes, safetensors_of(&views), "the bytes that the safetensors crate writes");
    SafeTensors::deserialize(&bytes).unwrap();
    let weights = Weights::open(folder.path()).unwrap();
    for (key, (shape, expected)) in &tensors {
        assert_eq!(&weights.get(key).unwrap().shape, shape);
        assert_eq!(floats(&values(&weights, key)), floats(expected), "{key}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside");
}

#[test]
fn arrays_that_cannot_be_written() {
    let folder = folder(&[]);
    let wrong = [("a".to_owned(), (vec![2], vec![1.0]))].into();
    let refused = weights::write(&folder.path().join("m.safetensors"), &wrong, &[]).unwrap_err();
    assert!(chain(&refused).contains("tensor `a` has 1 values, expected those of shape [2]"));
    let nowhere = weights::write(&folder.path().join("no/m.safetensors"), &BTreeMap::new(), &[]).unwrap_err();
    assert!(chain(&nowhere).contains("cannot write it"));
    let empty = folder.path().join("model.safetensors");
    weights::write(&empty, &BTreeMap::new(), &[]).unwrap();
    assert_eq!(Weights::open(folder.path()).unwrap().keys().count(), 0);
}
