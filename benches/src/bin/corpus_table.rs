//! A corpus of any size: random words, users of unlike sizes, one text in twenty a copy of another of its user.
//!
//! `cargo run -p userprint-benches --bin corpus-table -- corpus.parquet --documents 1000000`

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::Parser;
use parquet::arrow::ArrowWriter;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use userprint_core::Seed;

/// Write a corpus of random texts.
#[derive(Debug, Parser)]
struct Args {
    /// File to write.
    file: PathBuf,
    /// How many documents.
    #[arg(long, default_value_t = 1_000_000)]
    documents: u64,
}

/// Documents of a row group.
const BATCH: u64 = 1 << 16;

/// Different words.
const WORDS: usize = 20_000;

/// A word of 2 to 11 letters.
fn word(rng: &mut impl Rng) -> String {
    let length = rng.random_range(2..=11);
    (0..length).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

/// From 20 to 140 words.
fn text(rng: &mut impl Rng, words: &[String]) -> String {
    let mut text = String::new();
    for _ in 0..rng.random_range(20..=140) {
        // Some words are much more frequent than others.
        let place = rng.random::<f64>().powi(3);
        text.push_str(&words[(place * words.len() as f64) as usize]);
        text.push(' ');
    }
    text
}

/// User, id and text of a document.
fn document(row: u64, n_users: u64, words: &[String]) -> (String, String, String) {
    let mut rng = Seed(row).named("document").rng();
    let user = (rng.random::<f64>().powi(2) * n_users as f64) as u64;
    let text = match rng.random_range(0..20) {
        0 => text(&mut Seed(user * 4 + rng.random_range(0..4)).named("copied").rng(), words),
        _ => text(&mut rng, words),
    };
    (format!("user-{user:08}"), format!("{row:010}"), text)
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut rng = Seed(0).named("words").rng();
    let words: Vec<String> = (0..WORDS).map(|_| word(&mut rng)).collect();
    let n_users = (args.documents / 50).max(100);
    let mut writer: Option<ArrowWriter<File>> = None;
    for first in (0..args.documents).step_by(BATCH as usize) {
        let rows: Vec<u64> = (first..(first + BATCH).min(args.documents)).collect();
        let documents: Vec<_> = rows.par_iter().map(|&row| document(row, n_users, &words)).collect();
        let column = |of: fn(&(String, String, String)) -> &String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(documents.iter().map(of)))
        };
        let columns =
            [("user_id", column(|d| &d.0)), ("example_id", column(|d| &d.1)), ("text", column(|d| &d.2))];
        let batch = RecordBatch::try_from_iter(columns)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(ArrowWriter::try_new(File::create(&args.file)?, batch.schema(), None)?),
        };
        writer.write(&batch)?;
        writer.flush()?;
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}
