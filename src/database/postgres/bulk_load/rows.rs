//! A parser for the stream of a binary COPY, which arrives in chunks of any size (manual, COPY, "Binary Format"). The
//! parser does no input or output.

use thiserror::Error;

/// The beginning of every stream; four bytes of flags and the length of an extension follow.
pub(crate) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The lowest flag that changes the format: a reader that does not know such a flag must stop.
const FIRST_CRITICAL_FLAG: u32 = 1 << 16;

/// The reason why a stream is not a valid binary COPY.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CopyFormatError {
    /// The stream does not begin with the signature.
    #[error("it does not begin as a binary COPY does")]
    Signature,
    /// The header has these unknown critical flags.
    #[error("its header has flags that are not known: {0:#x}")]
    Flags(u32),
    /// The row with the number `row` (from 1) has an impossible number of `fields`.
    #[error("row {row} has {fields} fields")]
    Fields {
        /// The number of the row, from 1.
        row: u64,
        /// The number of fields that the row announces.
        fields: i16,
    },
    /// The row with the number `row` (from 1) has a field with an impossible `length` in bytes.
    #[error("row {row} has a field of {length} bytes")]
    Length {
        /// The number of the row, from 1.
        row: u64,
        /// The length in bytes that the field announces.
        length: i32,
    },
    /// Bytes follow the end marker.
    #[error("it goes on behind its end")]
    Trailing,
    /// The stream stops without the end marker, after this number of rows.
    #[error("it ends after {0} rows without saying so")]
    Cut(u64),
}

/// A row with its fields as the server has sent them.
#[derive(Clone, Copy, Debug)]
pub struct CopyRow<'a> {
    /// The fields, each preceded by its length.
    bytes: &'a [u8],
}

impl<'a> CopyRow<'a> {
    /// Returns the bytes of all fields, each preceded by its length.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the fields in the order of the columns; `None` is NULL.
    pub fn fields(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut remaining = self.bytes;
        std::iter::from_fn(move || {
            let (length, after) = remaining.split_first_chunk::<4>()?;
            // A negative length is NULL; a row consists only of complete fields.
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (field, after) = after.split_at_checked(length.unwrap_or(0))?;
            remaining = after;
            Some(length.map(|_| field))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowPart {
    Header,
    Rows,
    Nothing,
}

/// A parser that reads the stream chunk by chunk and keeps only a row that is incomplete.
pub struct CopyReader {
    part: RowPart,
    incomplete: Vec<u8>,
    rows_read: u64,
}

impl Default for CopyReader {
    fn default() -> CopyReader {
        CopyReader { part: RowPart::Header, incomplete: Vec::new(), rows_read: 0 }
    }
}

impl CopyReader {
    /// Passes every row that ends in this chunk to `each`.
    ///
    /// # Errors
    /// Fails when the stream is not a binary COPY.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(CopyRow<'_>)) -> Result<(), CopyFormatError> {
        if self.incomplete.is_empty() {
            let consumed = self.parse(chunk, &mut each)?;
            self.incomplete.extend_from_slice(&chunk[consumed..]);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.incomplete);
        bytes.extend_from_slice(chunk);
        let consumed = self.parse(&bytes, &mut each)?;
        bytes.drain(..consumed);
        self.incomplete = bytes;
        Ok(())
    }

    /// Ends the stream and returns the number of its rows.
    ///
    /// # Errors
    /// Fails when the end marker is missing.
    pub fn finish(self) -> Result<u64, CopyFormatError> {
        match self.part {
            RowPart::Nothing => Ok(self.rows_read),
            _ => Err(CopyFormatError::Cut(self.rows_read)),
        }
    }

    /// Parses the complete parts and returns the number of bytes that they have.
    fn parse(&mut self, bytes: &[u8], each: &mut impl FnMut(CopyRow<'_>)) -> Result<usize, CopyFormatError> {
        let mut at = 0;
        loop {
            let remaining = &bytes[at..];
            at += match self.part {
                RowPart::Header => match header(remaining)? {
                    Some(length) => {
                        self.part = RowPart::Rows;
                        length
                    }
                    None => return Ok(at),
                },
                RowPart::Rows => match self.row(remaining)? {
                    Some(ParsedRow::Row { length }) => {
                        self.rows_read += 1;
                        each(CopyRow { bytes: &remaining[FIELD_COUNT_BYTES..length] });
                        length
                    }
                    Some(ParsedRow::End) => {
                        self.part = RowPart::Nothing;
                        FIELD_COUNT_BYTES
                    }
                    None => return Ok(at),
                },
                RowPart::Nothing if remaining.is_empty() => return Ok(at),
                RowPart::Nothing => return Err(CopyFormatError::Trailing),
            }
        }
    }

    /// Parses the row at the beginning of the bytes; returns `None` while the row is incomplete.
    fn row(&self, bytes: &[u8]) -> Result<Option<ParsedRow>, CopyFormatError> {
        let row = self.rows_read + 1;
        let Some((count, mut remaining)) = bytes.split_first_chunk::<FIELD_COUNT_BYTES>() else {
            return Ok(None);
        };
        let fields = i16::from_be_bytes(*count);
        match fields {
            -1 => return Ok(Some(ParsedRow::End)),
            0.. => {}
            _ => return Err(CopyFormatError::Fields { row, fields }),
        }
        for _ in 0..fields {
            let Some((length, after)) = remaining.split_first_chunk::<4>() else {
                return Ok(None);
            };
            let length = i32::from_be_bytes(*length);
            let after_field = match length {
                -1 => Some(after),
                0.. => usize::try_from(length).ok().and_then(|length| after.get(length..)),
                _ => return Err(CopyFormatError::Length { row, length }),
            };
            let Some(after) = after_field else {
                return Ok(None);
            };
            remaining = after;
        }
        Ok(Some(ParsedRow::Row { length: bytes.len() - remaining.len() }))
    }
}

/// The size in bytes of a row's number of fields.
const FIELD_COUNT_BYTES: usize = 2;

enum ParsedRow {
    Row { length: usize },
    End,
}

/// Returns the length of the header in bytes; `None` while the header is incomplete.
fn header(bytes: &[u8]) -> Result<Option<usize>, CopyFormatError> {
    let length = bytes.len().min(SIGNATURE.len());
    if bytes[..length] != SIGNATURE[..length] {
        return Err(CopyFormatError::Signature);
    }
    let Some((flags, remaining)) = bytes[length..].split_first_chunk::<4>() else {
        return Ok(None);
    };
    let flags = u32::from_be_bytes(*flags);
    if flags >= FIRST_CRITICAL_FLAG {
        return Err(CopyFormatError::Flags(flags));
    }
    let Some((extension, remaining)) = remaining.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let extension = usize::try_from(u32::from_be_bytes(*extension)).unwrap_or(usize::MAX);
    Ok(remaining.get(extension..).map(|remaining| bytes.len() - remaining.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields = Vec<Option<Vec<u8>>>;

    fn stream(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 3, b'e', b'x', b't']);
        for row in rows {
            bytes.extend((row.len() as i16).to_be_bytes());
            for field in *row {
                bytes.extend(field.map_or(-1, |field| field.len() as i32).to_be_bytes());
                bytes.extend(field.unwrap_or_default());
            }
        }
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    fn read(chunks: &[&[u8]]) -> Result<(Vec<Fields>, u64), CopyFormatError> {
        let (mut rows, mut found) = (CopyReader::default(), Vec::new());
        for chunk in chunks {
            rows.feed(chunk, |row| found.push(row.fields().map(|field| field.map(<[u8]>::to_vec)).collect()))?;
        }
        Ok((found, rows.finish()?))
    }

    #[test]
    fn rows_are_the_same_wherever_the_stream_is_cut() {
        let expected: &[&[Option<&[u8]>]] =
            &[&[Some(b"one"), None, Some(b"")], &[], &[None], &[Some(&[0xff; 300]), Some(b"x")]];
        let bytes = stream(expected);
        let owned: Vec<Fields> =
            expected.iter().map(|row| row.iter().map(|field| field.map(<[u8]>::to_vec)).collect()).collect();
        assert_eq!(read(&[&bytes]), Ok((owned.clone(), 4)));
        for cut in 0..bytes.len() {
            assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), Ok((owned.clone(), 4)), "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), Ok((owned, 4)));
    }

    #[test]
    fn what_is_no_binary_copy_is_refused() {
        let good = stream(&[&[Some(b"a")]]);
        let at = 22;
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            bad
        };
        for (bytes, complaint) in [
            (b"1|a\n".to_vec(), CopyFormatError::Signature),
            (with(11, &[0, 1, 0, 0]), CopyFormatError::Flags(FIRST_CRITICAL_FLAG)),
            (with(at, &(-2_i16).to_be_bytes()), CopyFormatError::Fields { row: 1, fields: -2 }),
            (with(at + 2, &(-2_i32).to_be_bytes()), CopyFormatError::Length { row: 1, length: -2 }),
            ([good.as_slice(), b"x"].concat(), CopyFormatError::Trailing),
            (good[..good.len() - 2].to_vec(), CopyFormatError::Cut(1)),
            (good[..at + 3].to_vec(), CopyFormatError::Cut(0)),
            (Vec::new(), CopyFormatError::Cut(0)),
        ] {
            assert_eq!(read(&[&bytes]), Err(complaint));
        }
    }
}
