//! JSON by value: objects sorted, of members with one key the last, texts without escapes, numbers as decimals.

use crate::transfer::decimal::{Decimal, Form};
use crate::transfer::json::{Broken, Scanner, Token, unescape};

/// Buffers that are used again for each value.
#[derive(Default)]
pub struct Normal {
    /// The members of all objects that are open.
    members: Vec<Member>,
    /// For each list or object that is open, the number of its first member; a list has none.
    open: Vec<usize>,
    sorted: Vec<u8>,
}

/// A member of an object, by places in the output.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    value: usize,
    end: usize,
}

impl Normal {
    /// Appends the form of a JSON text. What is no JSON that PostgreSQL's jsonb takes (a json column may hold it) stays
    /// as it is.
    pub fn append(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.members.clear();
        self.open.clear();
        if self.try_append(text, out).is_err() {
            out.truncate(start);
            out.push(b'?');
            out.extend_from_slice(text);
        }
    }

    /// Every value begins with a letter of its own and says how long it is, or where it ends.
    fn try_append(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut scanner = Scanner::new(text);
        while let Some(token) = scanner.token()? {
            match token {
                Token::Null => out.push(b'0'),
                Token::True => out.push(b't'),
                Token::False => out.push(b'f'),
                Token::Number(digits) => number(digits, out),
                Token::Text(raw) => sized(out, b's', |out| unescape(raw, out)),
                Token::Key(raw) => {
                    self.end_member(out.len());
                    let start = out.len();
                    sized(out, b'k', |out| unescape(raw, out));
                    self.members.push(Member { start, value: out.len(), end: 0 });
                }
                Token::OpenList => {
                    self.open.push(usize::MAX);
                    out.push(b'[');
                }
                Token::CloseList => {
                    self.open.pop();
                    out.push(b']');
                }
                Token::OpenObject => {
                    self.open.push(self.members.len());
                    out.push(b'{');
                }
                Token::CloseObject => {
                    self.end_member(out.len());
                    let first = self.open.pop().unwrap_or_default();
                    self.close_object(first, out);
                    out.push(b'}');
                }
            }
        }
        Ok(())
    }

    /// The open object's last member, if it has one, ends here.
    fn end_member(&mut self, end: usize) {
        let first = self.open.last().copied().unwrap_or(usize::MAX);
        if let Some(member) = self.members.get_mut(first..).and_then(<[Member]>::last_mut) {
            member.end = end;
        }
    }

    /// Sorts the members from `first` on.
    fn close_object(&mut self, first: usize, out: &mut Vec<u8>) {
        let members = &mut self.members[first..];
        let key = |member: &Member| &out[member.start..member.value];
        // By length and bytes, as jsonb has them, so that what the server sends is sorted already.
        if !members.is_sorted_by(|a, b| key(a) < key(b)) {
            let start = members[0].start;
            members.sort_unstable_by(|a, b| key(a).cmp(key(b)).then(a.start.cmp(&b.start)));
            self.sorted.clear();
            for (index, member) in members.iter().enumerate() {
                let is_last = members.get(index + 1).is_none_or(|next| key(next) != key(member));
                if is_last {
                    self.sorted.extend_from_slice(&out[member.start..member.end]);
                }
            }
            out.truncate(start);
            out.extend_from_slice(&self.sorted);
        }
        self.members.truncate(first);
    }
}

/// A letter, four bytes of length, and what `write` appends.
fn sized(out: &mut Vec<u8>, letter: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(letter);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    // Texts come from fields, which have less than 4 GiB.
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// A number by its value: 1, 1.0, 10e-1 are one, and so are 0 and -0.
fn number(text: &[u8], out: &mut Vec<u8>) {
    let Some(decimal) = Decimal::parse(text, Form::Scientific) else {
        // The scanner lets nothing else pass.
        return sized(out, b'?', |out| out.extend_from_slice(text));
    };
    let digits = decimal.digits();
    if digits.is_zero() {
        return sized(out, b'+', |_| ());
    }
    sized(out, if decimal.negative { b'-' } else { b'+' }, |out| {
        out.extend_from_slice(&digits.point.to_be_bytes());
        out.extend(digits.iter());
    });
}
