//! Documents of a split, drawn user by user from its file: how many a second, and in how much memory.
//!
//! `cargo run -p userprint-benches --bin user-documents -- split/documents.parquet`

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use userprint_core::{Membership, Role, Seed};
use userprint_data::UserDocuments;

/// Draw documents of a split, some of some users at a time.
#[derive(Debug, Parser)]
struct Args {
    /// The documents.parquet of a split.
    file: PathBuf,
    /// Users of a draw.
    #[arg(long, default_value_t = 4)]
    users: usize,
    /// Documents of each.
    #[arg(long, default_value_t = 2)]
    documents: usize,
    /// Draws that are timed.
    #[arg(long, default_value_t = 100_000)]
    draws: u32,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let start = Instant::now();
    let documents = UserDocuments::open(&args.file)?;
    let open_s = start.elapsed().as_secs_f64();
    let held_in: Vec<usize> = (0..documents.users().len())
        .filter(|&user| documents.membership(user) == Membership::HeldIn)
        .collect();
    let mut rng = Seed(1).rng();
    let (mut n_documents, mut n_bytes) = (0_u64, 0);
    let start = Instant::now();
    for _ in 0..args.draws {
        for draw in documents.draw(&held_in, args.users, args.documents, Role::Train, &mut rng)? {
            n_documents += draw.texts.len() as u64;
            n_bytes += draw.texts.iter().map(String::len).sum::<usize>();
        }
    }
    let wall_s = start.elapsed().as_secs_f64();
    let per_s = n_documents as f64 / wall_s;
    let said = serde_json::json!({
        "n_users": held_in.len(), "n_documents": n_documents, "n_bytes": n_bytes, "open_s": open_s,
        "wall_s": wall_s, "documents_per_s": per_s,
    });
    anyhow::ensure!(n_documents > 0, "no document of any held-in user is to train on");
    #[expect(clippy::print_stdout, reason = "what the program is for")]
    {
        println!("{said}");
    }
    Ok(())
}
