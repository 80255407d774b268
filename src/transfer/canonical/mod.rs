//! One form for each value, so that equal values give equal bytes on both sides.
//!
//! Most types have it already: what is encoded from the source is what the server sends back. Two have not: jsonb sorts
//! keys, drops duplicates and rewrites numbers, and numeric keeps how many digits were written behind the point.

mod json;

use crate::transfer::cast::Type;

/// Brings the rows of one table to their normal form.
pub struct Canonical {
    types: Vec<Type>,
    /// Is there a column whose fields change?
    changes: bool,
    json: json::Normal,
    row: Vec<u8>,
}

impl Canonical {
    /// For rows with columns of these types.
    pub fn new(types: Vec<Type>) -> Self {
        let changes = types.iter().any(Type::has_normal_form);
        Self { types, changes, json: json::Normal::default(), row: Vec::new() }
    }

    /// The bytes to be hashed of a row of binary COPY: its fields, each behind its length, without their number.
    /// Nothing when these are not the fields of such a row.
    pub fn row<'a>(&'a mut self, row: &'a [u8]) -> Option<&'a [u8]> {
        if !self.changes {
            return Some(row);
        }
        self.row.clear();
        let mut rest = row;
        for ty in &self.types {
            let length;
            (length, rest) = rest.split_first_chunk()?;
            self.row.extend_from_slice(length);
            // NULL is -1.
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { continue };
            let field;
            (field, rest) = rest.split_at_checked(length)?;
            let start = self.row.len();
            match ty {
                Type::Numeric(_) => numeric(field, &mut self.row),
                Type::Json => self.json.append(field, &mut self.row),
                Type::Jsonb => self.json.append(field.get(1..).unwrap_or_default(), &mut self.row),
                _ => {
                    self.row.extend_from_slice(field);
                    continue;
                }
            }
            let length = u32::try_from(self.row.len() - start).ok()?;
            self.row[start - 4..start].copy_from_slice(&length.to_be_bytes());
        }
        rest.is_empty().then_some(&self.row)
    }
}

/// A numeric without its scale and without groups of zeros at either end; what is not one stays as it is.
fn numeric(field: &[u8], out: &mut Vec<u8>) {
    const HEADER: usize = 8;
    let (head, groups) = field.split_at(field.len().min(HEADER));
    let [_, _, weight_high, weight_low, sign_high, sign_low, _, _] = *head else {
        out.extend_from_slice(field);
        return;
    };
    let is_zero = |group: &&[u8]| group.iter().all(|byte| *byte == 0);
    let leading = groups.chunks(2).take_while(is_zero).count();
    let trailing = groups.chunks(2).skip(leading).rev().take_while(is_zero).count();
    let groups = &groups[2 * leading..groups.len() - 2 * trailing];
    // Zero has no weight.
    let weight = match groups.is_empty() {
        true => 0,
        false => i16::from_be_bytes([weight_high, weight_low]).wrapping_sub(leading as i16),
    };
    out.extend_from_slice(&[sign_high, sign_low]);
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(groups);
}

#[cfg(test)]
mod tests;
