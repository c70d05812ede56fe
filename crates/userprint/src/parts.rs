//! Scoring a corpus part by part: reading and tokenising ahead, writing behind, and going on where a run stopped.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use userprint_core::{Detail, ExampleId, Fingerprint, Fingerprinter, Tokenize, Tokens, UserId};
use userprint_data::{Columns, CorpusRow, ExampleIds, read_rows};
use userprint_model::{HfTokenizer, LocalScorer};
use userprint_score::{Reading, ScoreTable, Scorer, store, zlib_bytes};

use crate::progress::Bar;
use crate::report::grouped;
use crate::run_folder::RunFolder;
use crate::score::Shard;
use crate::stages::StageOutput;

/// Texts that are tokenised at once.
const TOKENISED: usize = 256;
/// Parts that wait before the model and behind it.
const WAITING: usize = 1;

/// Which documents of a corpus.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    pub(crate) path: PathBuf,
    pub(crate) columns: Columns,
    /// Only so many from the beginning.
    pub(crate) n_most: u64,
    pub(crate) shard: Shard,
}

/// What turns documents into parts of a score table.
pub(crate) struct Parts<'a> {
    pub(crate) scorer: &'a LocalScorer,
    pub(crate) tokenizer: &'a HfTokenizer,
    pub(crate) reading: Reading,
    pub(crate) detail: Detail,
    pub(crate) part_tokens: usize,
    /// Whether a few texts are scored before the clock starts.
    pub(crate) warms_up: bool,
}

/// What was scored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Documents, those without anything to score too.
    pub(crate) n_docs: u64,
    /// Documents without anything to score, which the table leaves out.
    pub(crate) n_skipped: u64,
    pub(crate) n_tokens: u64,
    pub(crate) log_likelihood: f64,
    /// Tokens that this run scored, and in how much time.
    pub(crate) n_now: u64,
    pub(crate) seconds: f64,
}

impl Tally {
    pub(crate) fn tokens_per_s(&self) -> f64 {
        if self.seconds > 0.0 { self.n_now as f64 / self.seconds } else { 0.0 }
    }

    pub(crate) fn say(&self, out: &Path) -> String {
        let skipped = match self.n_skipped {
            0 => String::new(),
            n => format!(" ({} with nothing to score left out)", grouped(n)),
        };
        format!(
            "{} texts{skipped}, {} tokens, {} tokens/s\nlog-likelihood {:.6} nats, {:.4} nats per token\n{}",
            grouped(self.n_docs),
            grouped(self.n_tokens),
            grouped(self.tokens_per_s().round() as u64),
            self.log_likelihood,
            -self.log_likelihood / self.n_tokens as f64,
            out.display()
        )
    }
}

/// Documents on their way to the model.
#[derive(Debug, Default)]
struct Part {
    user_id: Vec<UserId>,
    example_id: Vec<ExampleId>,
    n_bytes: Vec<u64>,
    zlib_bytes: Vec<u64>,
    tokens: Tokens,
    n_skipped: u64,
}

impl Parts<'_> {
    /// Scores documents and writes the table. Parts lie beside it until it is whole; those of a run that was stopped
    /// are taken over.
    pub(crate) fn score(
        &self,
        documents: &Documents,
        hash: &Fingerprinter,
        out: &Path,
    ) -> anyhow::Result<Tally> {
        let mut beside = out.as_os_str().to_owned();
        beside.push(".parts");
        refuse_other(Path::new(&beside))?;
        let mut folder = RunFolder::open(Path::new(&beside))?;
        let hash = hash.clone().finish();
        let n_done = (0..).take_while(|part| folder.is_done(&name(*part), hash)).count();
        if n_done > 0 {
            tracing::info!("taken over from a run that was stopped: {n_done} parts");
        }
        let (to_model, from_corpus) = sync_channel(WAITING);
        let (to_disk, from_model) = sync_channel::<(usize, ScoreTable)>(WAITING);
        let mut tally = Tally::default();
        let scored = std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Err(error) = self.read(documents, &to_model) {
                    // Where nobody listens any more, there was an error before.
                    drop(to_model.send(Err(error)));
                }
            });
            let folder = &mut folder;
            let writer = scope.spawn(move || write(folder, hash, &from_model));
            let scored = self.score_parts(from_corpus, n_done, to_disk, documents, &mut tally);
            let written = writer.join().map_err(|_| anyhow!("the writer of parts panicked"))?;
            // What the writer says comes first: the model only sees that it is gone.
            written.and(scored)
        });
        let merged = scored.and_then(|()| self.merge(&folder, hash, out, &mut tally));
        if merged.is_err() && folder.manifest.stages.is_empty() {
            // What went wrong before says more than what a removal would.
            drop(remove(Path::new(&beside)));
        }
        merged?;
        drop(folder);
        remove(Path::new(&beside))?;
        Ok(tally)
    }

    fn read(&self, documents: &Documents, to_model: &SyncSender<anyhow::Result<Part>>) -> anyhow::Result<()> {
        let (mut ids, mut part, mut waiting, mut n_rows) =
            (ExampleIds::default(), Part::default(), Vec::new(), 0);
        let mut failed = None;
        let Documents { path, columns, n_most, shard } = documents;
        read_rows(path, columns, &mut |position, row| {
            n_rows += 1;
            let step = ids.id_of(&position, &row).map_err(anyhow::Error::new).and_then(|id| {
                if (n_rows - 1) % shard.count == shard.index {
                    waiting.push((id, row));
                }
                if waiting.len() == TOKENISED {
                    self.tokenize(&mut waiting, &mut part, to_model)?;
                }
                Ok(())
            });
            match step {
                Ok(()) if n_rows < *n_most => ControlFlow::Continue(()),
                Ok(()) => ControlFlow::Break(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.tokenize(&mut waiting, &mut part, to_model)?;
        send(to_model, part)
    }

    /// Adds documents to a part, and sends it once it has its tokens.
    fn tokenize(
        &self,
        waiting: &mut Vec<(ExampleId, CorpusRow)>,
        part: &mut Part,
        to_model: &SyncSender<anyhow::Result<Part>>,
    ) -> anyhow::Result<()> {
        let texts: Vec<&str> = waiting.iter().map(|(_, row)| row.text.as_str()).collect();
        let tokens = self.tokenizer.encode(&texts)?;
        for (at, (id, row)) in waiting.drain(..).enumerate() {
            let ids = tokens.ids.row(at);
            if self.scorer.n_scored(ids.len()) == 0 {
                part.n_skipped += 1;
                continue;
            }
            part.user_id.push(UserId::new(row.user_id));
            part.example_id.push(id);
            part.n_bytes.push(row.text.len() as u64);
            part.zlib_bytes.push(zlib_bytes(&row.text));
            part.tokens.ids.push(ids.iter().copied());
            part.tokens.spans.push(tokens.spans.row(at).iter().copied());
            if part.tokens.ids.values().len() >= self.part_tokens {
                send(to_model, std::mem::take(part))?;
            }
        }
        Ok(())
    }

    fn score_parts(
        &self,
        from_corpus: Receiver<anyhow::Result<Part>>,
        n_done: usize,
        to_disk: SyncSender<(usize, ScoreTable)>,
        documents: &Documents,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let bar = Bar::counter("score", self.length(documents));
        let (mut n_before, mut start) = (0, None);
        for (index, part) in from_corpus.into_iter().enumerate() {
            let part = part?;
            tally.n_skipped += part.n_skipped;
            let first = n_before + 1;
            n_before += part.user_id.len() as u64 + part.n_skipped;
            bar.advance(part.n_skipped as usize);
            if index < n_done {
                bar.advance(part.user_id.len());
                continue;
            }
            if part.user_id.is_empty() {
                continue;
            }
            if start.is_none() {
                if self.warms_up {
                    self.warm_up(&part)?;
                }
                start = Some(Instant::now());
            }
            let scores = self.scorer.score_tokens(&part.tokens, self.detail, &|n| bar.advance(n));
            let scores = scores.with_context(|| format!("documents from the {first}-th on"))?;
            tally.n_now += scores.n_tokens.iter().map(|&n| u64::from(n)).sum::<u64>();
            tally.seconds = start.map_or(0.0, |start| start.elapsed().as_secs_f64());
            bar.say(&format!("score {} tokens/s", grouped(tally.tokens_per_s() as u64)));
            let table = ScoreTable {
                scorer: self.scorer.id().clone(),
                reading: self.reading.clone(),
                user_id: part.user_id,
                example_id: part.example_id,
                n_bytes: part.n_bytes,
                zlib_bytes: part.zlib_bytes,
                scores,
            };
            if to_disk.send((index, table)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// How many documents there will be, where that is known.
    fn length(&self, documents: &Documents) -> Option<u64> {
        let n_rows = userprint_data::n_rows(&documents.path).ok().flatten();
        let n = match n_rows {
            Some(n) => n.min(documents.n_most),
            None if documents.n_most < u64::MAX => documents.n_most,
            None => return None,
        };
        Some(n / documents.shard.count + u64::from(n % documents.shard.count > documents.shard.index))
    }

    /// Scores the shortest and the longest text of a part.
    fn warm_up(&self, part: &Part) -> anyhow::Result<()> {
        let mut few = Tokens::default();
        let by_length = |row: &usize| part.tokens.ids.row(*row).len();
        let rows = 0..part.tokens.ids.n_rows();
        for row in rows.clone().min_by_key(by_length).into_iter().chain(rows.max_by_key(by_length)) {
            few.ids.push(part.tokens.ids.row(row).iter().copied());
            few.spans.push(part.tokens.spans.row(row).iter().copied());
        }
        self.scorer.score_tokens(&few, self.detail, &|_| ())?;
        Ok(())
    }

    /// One table of all parts.
    fn merge(
        &self,
        folder: &RunFolder,
        hash: Fingerprint,
        out: &Path,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut writer = None;
        for part in (0..).take_while(|part| folder.is_done(&name(*part), hash)) {
            let table = store::read_scores(&folder.file(&file(part)))?;
            tally.n_docs += table.n_bytes.len() as u64;
            tally.n_tokens += table.scores.n_tokens.iter().map(|&n| u64::from(n)).sum::<u64>();
            tally.log_likelihood += table.scores.log_likelihood.iter().sum::<f64>();
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(store::ScoreWriter::create(out, &table)?),
            };
            writer.append(&table)?;
        }
        tally.n_docs += tally.n_skipped;
        let writer = writer
            .context("nothing to score: no text, or none of two tokens, among those that were asked for")?;
        Ok(writer.finish()?)
    }
}

/// Parts go in the end with their folder, so it must hold nothing else.
fn refuse_other(folder: &Path) -> anyhow::Result<()> {
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    ensure!(
        is_empty || folder.join("manifest.json").exists() || folder.join(".lock").exists(),
        "{}: it holds something else than parts of a score table; move it, or choose another --out",
        folder.display()
    );
    Ok(())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("{}: cannot be removed", folder.display()))
}

fn send(to_model: &SyncSender<anyhow::Result<Part>>, part: Part) -> anyhow::Result<()> {
    to_model.send(Ok(part)).map_err(|_| anyhow!("scoring stopped"))
}

fn write(
    folder: &mut RunFolder,
    hash: Fingerprint,
    from_model: &Receiver<(usize, ScoreTable)>,
) -> anyhow::Result<()> {
    for (part, table) in from_model {
        store::write_scores(&folder.file(&file(part)), &table)?;
        let output = StageOutput::new(&[&file(part)], String::new());
        folder.finish(&name(part), hash, &output, 0.0, std::iter::empty())?;
    }
    Ok(())
}

fn name(part: usize) -> String {
    format!("part {part}")
}

fn file(part: usize) -> String {
    format!("{part:06}.parquet")
}
