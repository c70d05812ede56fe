//! What a SentencePiece file says: pieces, and the settings that encoding depends on.

use std::collections::BTreeMap;

use super::protobuf::{Field, Fields, WireError};

/// Why a file is no SentencePiece model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PiecesError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("piece {id} has type {found}, expected 1 to 6")]
    UnknownKind { id: usize, found: u64 },
    #[error("piece {id} is empty")]
    Empty { id: usize },
    #[error("piece {id} has score {score}, expected a finite number")]
    Score { id: usize, score: f32 },
    #[error("pieces {first} and {second} are the same")]
    Repeated { first: usize, second: usize },
    #[error("{found} pieces are of type unknown, expected 1")]
    Unknown { found: usize },
    #[error("{found} pieces stand for bytes, expected {expected}")]
    Bytes { found: usize, expected: usize },
}

/// A SentencePiece model, borrowing the file.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) trainer: Trainer,
    pub(crate) normalizer: Normalizer<'a>,
}

/// A piece; its id is its position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// Pieces of higher score are merged first.
    pub(crate) score: f32,
    pub(crate) kind: PieceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// How the model was trained, as far as encoding depends on it.
#[derive(Debug)]
pub(crate) struct Trainer {
    /// 1 is Unigram, 2 byte pairs, 3 words, 4 characters.
    pub(crate) model_type: u64,
    /// Negative where there is none.
    pub(crate) bos_id: i64,
    pub(crate) byte_fallback: bool,
    pub(crate) space_is_suffix: bool,
}

/// What happens to a text before it is cut into pieces.
#[derive(Debug)]
pub(crate) struct Normalizer<'a> {
    pub(crate) name: &'a str,
    pub(crate) has_charsmap: bool,
    pub(crate) add_dummy_prefix: bool,
    pub(crate) remove_extra_whitespaces: bool,
    pub(crate) escape_whitespaces: bool,
}

impl<'a> Pieces<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, PiecesError> {
        // What `sentencepiece_model.proto` gives as defaults.
        let trainer = Trainer { model_type: 1, bos_id: 1, byte_fallback: false, space_is_suffix: false };
        let normalizer = Normalizer {
            name: "",
            has_charsmap: false,
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        };
        let mut model = Self { pieces: Vec::new(), trainer, normalizer };
        for field in Fields::new(bytes) {
            let field = field?;
            match field.number {
                1 => model.pieces.push(read_piece(model.pieces.len(), field)?),
                2 => model.trainer.read(field)?,
                3 => model.normalizer.read(field)?,
                _ => {}
            }
        }
        model.check()?;
        Ok(model)
    }

    /// Where each piece stands.
    pub(crate) fn ids(&self) -> BTreeMap<&'a str, usize> {
        self.pieces.iter().enumerate().map(|(id, piece)| (piece.text, id)).collect()
    }

    pub(crate) fn of(&self, kind: PieceKind) -> impl Iterator<Item = &Piece<'a>> + Clone {
        self.pieces.iter().filter(move |piece| piece.kind == kind)
    }

    fn check(&self) -> Result<(), PiecesError> {
        let mut ids = BTreeMap::new();
        for (id, piece) in self.pieces.iter().enumerate() {
            if piece.text.is_empty() {
                return Err(PiecesError::Empty { id });
            }
            if !piece.score.is_finite() {
                return Err(PiecesError::Score { id, score: piece.score });
            }
            if let Some(first) = ids.insert(piece.text, id) {
                return Err(PiecesError::Repeated { first, second: id });
            }
        }
        let found = self.of(PieceKind::Unknown).count();
        if found != 1 {
            return Err(PiecesError::Unknown { found });
        }
        let expected = if self.trainer.byte_fallback { 256 } else { 0 };
        let is_byte = |byte: &u8| ids.get(byte_piece(*byte).as_str()).map(|id| self.pieces[*id].kind);
        let named = (0..=u8::MAX).filter(|byte| is_byte(byte) == Some(PieceKind::Byte)).count();
        let found = self.of(PieceKind::Byte).count();
        if found != expected || named != expected {
            return Err(PiecesError::Bytes { found: named, expected });
        }
        Ok(())
    }
}

fn byte_piece(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

fn read_piece<'a>(id: usize, field: Field<'a>) -> Result<Piece<'a>, PiecesError> {
    let mut piece = Piece { text: "", score: 0.0, kind: PieceKind::Normal };
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => piece.text = field.text()?,
            2 => piece.score = field.float()?,
            3 => {
                piece.kind = match field.number()? {
                    1 => PieceKind::Normal,
                    2 => PieceKind::Unknown,
                    3 => PieceKind::Control,
                    4 => PieceKind::UserDefined,
                    5 => PieceKind::Unused,
                    6 => PieceKind::Byte,
                    found => return Err(PiecesError::UnknownKind { id, found }),
                }
            }
            _ => {}
        }
    }
    Ok(piece)
}

impl Trainer {
    fn read(&mut self, field: Field<'_>) -> Result<(), WireError> {
        for field in field.message()? {
            let field = field?;
            match field.number {
                3 => self.model_type = field.number()?,
                24 => self.space_is_suffix = field.flag()?,
                35 => self.byte_fallback = field.flag()?,
                // A negative number is written in two's complement, extended to 64 bits.
                41 => self.bos_id = field.number()?.cast_signed(),
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Normalizer<'a> {
    fn read(&mut self, field: Field<'a>) -> Result<(), WireError> {
        for field in field.message()? {
            let field = field?;
            match field.number {
                1 => self.name = field.text()?,
                2 => self.has_charsmap = !field.bytes("bytes")?.is_empty(),
                3 => self.add_dummy_prefix = field.flag()?,
                4 => self.remove_extra_whitespaces = field.flag()?,
                5 => self.escape_whitespaces = field.flag()?,
                _ => {}
            }
        }
        Ok(())
    }
}
