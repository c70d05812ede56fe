//! From SentencePiece's scores to merges in the order of their ranks.

use std::collections::BTreeMap;

use super::pieces::{Piece, PieceKind, Pieces};

/// Longer pieces than this could make merges many times the file's size.
const LONGEST_BYTES: usize = 256;

/// Each way to make a piece of two others, highest score first.
///
/// SentencePiece merges the pair of neighbours whose piece has the highest score, the leftmost of equals;
/// `tokenizers` merges the pair of lowest rank, the leftmost of equals.
/// The two agree where no two pieces have one score, and where a piece is never made in two ways by
/// overlapping pairs at once.
/// The longer left part goes first: merging from the left leaves the longer pieces of a run of one
/// character on the left.
///
/// # Errors
/// What could not be kept: a phrase.
pub(crate) fn merges<'a>(pieces: &Pieces<'a>) -> Result<Vec<(&'a str, &'a str)>, String> {
    let ids = pieces.ids();
    let mut ranked: Vec<(usize, &Piece<'a>)> = pieces.pieces.iter().enumerate().collect();
    ranked.retain(|(_, piece)| piece.kind == PieceKind::Normal);
    ranked.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    let mut merges = Vec::new();
    let mut last: Option<(usize, f32)> = None;
    for (id, piece) in ranked {
        let n_merges = merges.len();
        add_splits(&mut merges, pieces, &ids, id)?;
        if merges.len() == n_merges {
            continue;
        }
        if let Some((other, score)) = last
            && score == piece.score
        {
            return Err(format!("pieces {other} and {id}, which have one score"));
        }
        last = Some((id, piece.score));
    }
    Ok(merges)
}

fn add_splits<'a>(
    merges: &mut Vec<(&'a str, &'a str)>,
    pieces: &Pieces<'a>,
    ids: &BTreeMap<&'a str, usize>,
    id: usize,
) -> Result<(), String> {
    let text = pieces.pieces[id].text;
    if text.len() > LONGEST_BYTES {
        return Err(format!("piece {id}, which is longer than {LONGEST_BYTES} bytes"));
    }
    for (at, _) in text.char_indices().rev().filter(|(at, _)| *at > 0) {
        let (left, right) = text.split_at(at);
        let kind = |part: &str| ids.get(part).map(|id| pieces.pieces[*id].kind);
        let is_char = |part: &str| part.chars().nth(1).is_none();
        // A character is always a candidate, a longer part only where merging makes it.
        // What a user defined is kept from merging.
        let can_merge = |part: &str| match kind(part) {
            Some(PieceKind::Normal) => true,
            Some(PieceKind::UserDefined) => false,
            _ => is_char(part),
        };
        if !can_merge(left) || !can_merge(right) {
            continue;
        }
        if kind(left).is_none() || kind(right).is_none() {
            return Err(format!("piece {id}, a character of which is no piece"));
        }
        merges.push((left, right));
    }
    Ok(())
}
