//! Any bytes in place of weights: an error or tensors that the file has room for, and never a panic.
//!
//! Runs some thousand inputs under `cargo test`, and without end under `cargo bolero test`.

use std::fs;
use std::path::Path;

use bolero::check;
use tempfile::TempDir;
use userprint_model::weights::{StoredDtype, Weights};

/// One change of a file: what, where, and with which byte.
type Change = (u8, u16, u8);

/// A safetensors file of two tensors.
fn safetensors() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]}} "#;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[1; 12]].concat()
}

/// The pickle of `{"a": torch.ones(2), "p": Parameter(bfloat16)}`, as `torch.save` writes it.
fn pickle() -> Vec<u8> {
    [
        &b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00aq\x02ctorch._utils\n_rebuild_tensor_v2\nq\x03"[..],
        b"((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07K\x02tq\x08Q",
        b"K\x00K\x02\x85q\x09K\x01\x85q\x0a\x89h\x00)Rq\x0btq\x0cRq\x0d",
        b"X\x01\x00\x00\x00pq\x0ectorch._utils\n_rebuild_parameter\nq\x0fh\x03((h\x04ctorch\nBFloat16Storage\nq\x10h\x06h\x07K\x04tQ",
        b"J\x01\x00\x00\x00K\x03K\x01\x86\x8a\x01\x01K\x01\x86\x89h\x00)RtR\x88h\x00)R\x87Ru}X\x09\x00\x00\x00_metadatah\x00)Rsb.",
    ]
    .concat()
}

/// A zip archive of stored entries, without checksums: no reader of weights computes them.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let u16 = |n: usize| (n as u16).to_le_bytes();
    let u32 = |n: usize| (n as u32).to_le_bytes();
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let sizes = [u32(bytes.len()), u32(bytes.len())].concat();
        let header_at = u32(file.len());
        file.extend(
            [b"PK\x03\x04", &[0; 14][..], &sizes, &u16(name.len()), &u16(0), name.as_bytes(), bytes].concat(),
        );
        directory.extend(
            [b"PK\x01\x02", &[0; 16][..], &sizes, &u16(name.len()), &[0; 12], &header_at, name.as_bytes()]
                .concat(),
        );
    }
    let end =
        [&u16(entries.len())[..], &u16(entries.len()), &u32(directory.len()), &u32(file.len()), &u16(0)]
            .concat();
    [&file[..], &directory, b"PK\x05\x06\0\0\0\0", &end].concat()
}

fn bin(pickle: &[u8]) -> Vec<u8> {
    archive(&[("m/data.pkl", pickle), ("m/byteorder", b"little"), ("m/data/0", &[1; 8])])
}

fn changed(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    // Few, so that some files stay good enough for the deeper checks.
    for (kind, at, byte) in changes.iter().take(3) {
        let at = usize::from(*at) % (file.len() + 1);
        match kind % 6 {
            0 if at < file.len() => file[at] ^= 1 << (byte % 8),
            1 if at < file.len() => file[at] = *byte,
            2 => file.insert(at, *byte),
            3 => drop(file.drain(at..(at + usize::from(byte % 16)).min(file.len()))),
            4 => file[at..].iter_mut().take(4).for_each(|old| *old = 0xff),
            _ => file.truncate(file.len() - usize::from(byte % 4).min(file.len())),
        }
    }
    file
}

/// Reads everything in a file of that name; whether it could be opened.
fn read(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("the test can be set up");
    let Ok(weights) = Weights::open(folder) else { return false };
    for key in weights.keys() {
        let tensor = weights.get(key).expect("the test can be set up");
        let n_bytes = match tensor.dtype {
            StoredDtype::F64 => 8,
            StoredDtype::F32 => 4,
            StoredDtype::F16 | StoredDtype::Bf16 => 2,
            _ => continue,
        };
        let room = tensor.n_values().checked_mul(n_bytes).expect("the size can be counted");
        assert!(room <= bytes.len(), "tensor of {room} bytes in a file of {}", bytes.len());
        assert_eq!(tensor.read().expect("what was found can be read").len(), tensor.n_values());
    }
    true
}

#[test]
fn files_before_they_are_changed() {
    let folder = TempDir::new().unwrap();
    assert!(read(folder.path(), "pytorch_model.bin", &bin(&pickle())));
    assert!(read(folder.path(), "model.safetensors", &safetensors()));
}

#[test]
fn any_bytes() {
    let folder = TempDir::new().unwrap();
    check!().with_iterations(500).for_each(|bytes: &[u8]| {
        for name in ["model.safetensors", "pytorch_model.bin"] {
            read(folder.path(), name, bytes);
            fs::remove_file(folder.path().join(name)).unwrap();
        }
    });
}

#[test]
fn any_pickle() {
    let folder = TempDir::new().unwrap();
    check!().with_iterations(1000).for_each(|bytes: &[u8]| {
        read(folder.path(), "pytorch_model.bin", &bin(bytes));
    });
}

#[test]
fn any_header() {
    let folder = TempDir::new().unwrap();
    check!().with_iterations(500).for_each(|bytes: &[u8]| {
        read(folder.path(), "model.safetensors", &[&(bytes.len() as u64).to_le_bytes(), bytes].concat());
    });
}

#[test]
fn changed_safetensors() {
    let folder = TempDir::new().unwrap();
    check!().with_iterations(2000).with_type::<Vec<Change>>().for_each(|changes| {
        read(folder.path(), "model.safetensors", &changed(safetensors(), changes));
    });
}

#[test]
fn changed_archive() {
    let folder = TempDir::new().unwrap();
    check!().with_iterations(2000).with_type::<Vec<Change>>().for_each(|changes| {
        read(folder.path(), "pytorch_model.bin", &changed(bin(&pickle()), changes));
    });
}

#[test]
fn changed_pickle() {
    let folder = TempDir::new().unwrap();
    check!().with_iterations(2000).with_type::<Vec<Change>>().for_each(|changes| {
        read(folder.path(), "pytorch_model.bin", &bin(&changed(pickle(), changes)));
    });
}
