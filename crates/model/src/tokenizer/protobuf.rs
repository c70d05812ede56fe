//! Protocol Buffers' wire format, as far as SentencePiece's files use it.

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("byte {at}: the message ends within a field")]
    Truncated { at: usize },
    #[error("byte {at}: a field claims {claimed} bytes, {left} are left")]
    Length { at: usize, claimed: u64, left: usize },
    #[error("byte {at}: a number of more than 64 bits")]
    Number { at: usize },
    #[error("byte {at}: field {field} has wire type {found}, expected 0, 1, 2 or 5")]
    WireType { at: usize, field: u64, found: u64 },
    #[error("byte {at}: field {field} is not {expected}")]
    Kind { at: usize, field: u64, expected: &'static str },
}

/// The fields of a message, in the file's order; nothing is copied.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    at: usize,
}

/// A field: its number, its value, and the byte of the file where it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    value: Value<'a>,
    at: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    fn field(&mut self) -> Result<Field<'a>, WireError> {
        let at = self.at;
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.array::<8>().map(|_| Value::Eight)?,
            2 => self.bytes().map(Value::Bytes)?,
            5 => self.array().map(Value::Four)?,
            found => return Err(WireError::WireType { at, field: tag >> 3, found }),
        };
        Ok(Field { number: tag >> 3, value, at, end: self.at })
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn number(&mut self) -> Result<u64, WireError> {
        let at = self.at;
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(WireError::Number { at });
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(WireError::Number { at })
    }

    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let at = self.at;
        let claimed = self.number()?;
        let left = self.rest.len();
        let n_bytes = usize::try_from(claimed).ok().filter(|n_bytes| *n_bytes <= left);
        Ok(self.take(n_bytes.ok_or(WireError::Length { at, claimed, left })?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let array = *self.rest.first_chunk().ok_or(WireError::Truncated { at: self.at })?;
        self.take(N);
        Ok(array)
    }

    /// The next bytes, as many as were seen to be left.
    fn take(&mut self, n_bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n_bytes);
        (self.rest, self.at) = (rest, self.at + n_bytes);
        taken
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let field = if self.rest.is_empty() { return None } else { self.field() };
        if field.is_err() {
            self.rest = &[]; // What follows has no known beginning.
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    pub(crate) fn number(self) -> Result<u64, WireError> {
        match self.value {
            Value::Number(number) => Ok(number),
            _ => Err(self.no("a whole number")),
        }
    }

    pub(crate) fn flag(self) -> Result<bool, WireError> {
        Ok(self.number()? != 0)
    }

    pub(crate) fn float(self) -> Result<f32, WireError> {
        match self.value {
            Value::Four(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(self.no("a number of four bytes")),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, WireError> {
        str::from_utf8(self.bytes("text")?).map_err(|_| self.no("UTF-8"))
    }

    pub(crate) fn message(self) -> Result<Fields<'a>, WireError> {
        let rest = self.bytes("a message")?;
        Ok(Fields { rest, at: self.end - rest.len() })
    }

    pub(crate) fn bytes(self, expected: &'static str) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.no(expected)),
        }
    }

    fn no(self, expected: &'static str) -> WireError {
        WireError::Kind { at: self.at, field: self.number, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Field<'_>>, String> {
        Fields::new(bytes).collect::<Result<_, _>>().map_err(|e: WireError| e.to_string())
    }

    #[test]
    fn reads_each_wire_type() {
        let fields = read(b"\x08\x96\x01\x12\x02hi\x1d\0\0\x80\x3f\x21\0\0\0\0\0\0\0\0").unwrap();
        assert_eq!(fields.iter().map(|field| field.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(fields[0].number().unwrap(), 150);
        assert_eq!(fields[1].text().unwrap(), "hi");
        assert_eq!(fields[2].float().unwrap(), 1.0);
    }

    #[test]
    fn largest_number() {
        let fields = read(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").unwrap();
        assert_eq!(fields[0].number().unwrap(), u64::MAX);
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: &str) {
        assert_eq!(read(bytes).unwrap_err(), expected);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        check_refused(b"\x08", "byte 1: the message ends within a field");
        check_refused(b"\x08\x80", "byte 2: the message ends within a field");
        check_refused(b"\x1d\0\0", "byte 1: the message ends within a field");
        check_refused(b"\x12\x05hi", "byte 1: a field claims 5 bytes, 2 are left");
        check_refused(
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "byte 1: a field claims 18446744073709551615 bytes, 0 are left",
        );
        check_refused(
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            "byte 1: a number of more than 64 bits",
        );
        check_refused(
            b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
            "byte 1: a number of more than 64 bits",
        );
        check_refused(b"\x0b", "byte 0: field 1 has wire type 3, expected 0, 1, 2 or 5");
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        let fields = read(b"\x08\x01\x12\x01\xff").unwrap();
        assert_eq!(fields[0].text().unwrap_err().to_string(), "byte 0: field 1 is not text");
        assert_eq!(fields[1].text().unwrap_err().to_string(), "byte 2: field 2 is not UTF-8");
    }
}
