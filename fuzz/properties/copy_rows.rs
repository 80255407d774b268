//! The parser of the server's answer to a binary COPY: it gives the same rows however the bytes are divided, with all
//! fields inside of their rows.

use lockkeeper::database::postgres::bulk_load::rows::CopyReader;
use lockkeeper::transfer::canonical::CanonicalForm;
use lockkeeper::transfer::cast::WritableType;

type Field = Option<Vec<u8>>;

/// Checks the bytes of a stream.
pub fn check(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    for piece in [1, 3, 7] {
        assert_eq!(whole, read(data, piece), "in pieces of {piece} bytes");
    }
    let types = || vec![WritableType::Json, WritableType::Jsonb, WritableType::Text];
    // Any bytes may be converted to the canonical form, also those that are no row.
    let mut canonical = CanonicalForm::new(types());
    let once = canonical.row(data).map(<[u8]>::to_vec);
    let again = CanonicalForm::new(types()).row(data).map(<[u8]>::to_vec);
    assert_eq!(once, again);
}

/// Returns the rows of a stream up to its end or its first error, and the result at the end.
fn read(data: &[u8], piece: usize) -> (Vec<Vec<Field>>, Result<u64, String>) {
    let mut rows = CopyReader::default();
    let mut found = Vec::new();
    for chunk in data.chunks(piece) {
        let ended = rows.feed(chunk, |row| {
            let fields: Vec<Field> = row.fields().map(|field| field.map(<[u8]>::to_vec)).collect();
            let bytes: usize = fields.iter().map(|field| 4 + field.as_ref().map_or(0, Vec::len)).sum();
            assert_eq!(bytes, row.bytes().len(), "bytes of a row are in none of its fields");
            found.push(fields);
        });
        if let Err(malformed) = ended {
            return (found, Err(malformed.to_string()));
        }
    }
    (found, rows.finish().map_err(|malformed| malformed.to_string()))
}
