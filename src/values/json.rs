//! JSON columns: the JSON type of MySQL, and the text columns that MariaDB has for it.

use std::borrow::Cow;

use super::json_number::{Kept, kept};
use super::server::Server;
use super::verdict::{BadKind, LossKind, Verdict};

/// The deepest nesting that the servers take.
const MYSQL_DEPTH: usize = 100;
const MARIADB_DEPTH: usize = 31;
/// The longest key of an object. A longer one fails the whole statement.
const MYSQL_KEY_BYTES: usize = 65_535;

/// Checks a text that must be JSON. MariaDB keeps the text; MySQL keeps values, and may lose some.
pub(super) fn check(text: &[u8], server: Server, is_utf8: bool, out: &mut Vec<u8>) -> Verdict {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Verdict::Bad(BadKind::Empty);
    }
    if !is_utf8 && !text.is_ascii() {
        return Verdict::ServerDecides;
    }
    let max_depth = if server == Server::MySql { MYSQL_DEPTH } else { MARIADB_DEPTH };
    let mut reader = Reader { text, at: 0, keys: Vec::new(), loss: None, max_depth, server };
    match reader.document() {
        Err(kind) => Verdict::Bad(kind),
        Ok(()) => match reader.loss {
            None => Verdict::Exact,
            Some(loss) => {
                out.extend_from_slice(text);
                Verdict::Loss(loss)
            }
        },
    }
}

struct Reader<'text> {
    text: &'text [u8],
    at: usize,
    /// The keys of all objects that are open.
    keys: Vec<Cow<'text, [u8]>>,
    loss: Option<LossKind>,
    max_depth: usize,
    server: Server,
}

/// An object or array that is open. Objects have the place of their first key.
enum OpenValue {
    Array,
    Object(usize),
}

const NOT_JSON: BadKind = BadKind::NotJson;

impl<'text> Reader<'text> {
    /// Reads one value and nothing else. The nesting is on a stack of its own.
    fn document(&mut self) -> Result<(), BadKind> {
        let mut open: Vec<OpenValue> = Vec::new();
        loop {
            self.blanks();
            // A value begins here.
            match self.peek().ok_or(NOT_JSON)? {
                opening @ (b'{' | b'[') => {
                    self.at += 1;
                    if open.len() == self.max_depth {
                        return Err(BadKind::JsonTooDeep);
                    }
                    self.blanks();
                    let (closing, container) = if opening == b'{' {
                        (b'}', OpenValue::Object(self.keys.len()))
                    } else {
                        (b']', OpenValue::Array)
                    };
                    open.push(container);
                    if self.peek() == Some(closing) {
                        self.at += 1;
                        open.pop();
                    } else {
                        if opening == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => drop(self.string()?),
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value has ended.
            loop {
                self.blanks();
                let Some(container) = open.last() else {
                    return if self.at == self.text.len() { Ok(()) } else { Err(NOT_JSON) };
                };
                let next = self.peek().ok_or(NOT_JSON)?;
                self.at += 1;
                match (container, next) {
                    (OpenValue::Array, b',') => break,
                    (OpenValue::Object(_), b',') => {
                        self.blanks();
                        self.key()?;
                        break;
                    }
                    (OpenValue::Array, b']') => drop(open.pop()),
                    (OpenValue::Object(first), b'}') => {
                        let first = *first;
                        self.close_object(first);
                        open.pop();
                    }
                    _ => return Err(NOT_JSON),
                }
            }
        }
    }

    fn close_object(&mut self, first: usize) {
        let keys = &mut self.keys[first..];
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) && self.server == Server::MySql {
            self.loss.get_or_insert(LossKind::JsonKey);
        }
        self.keys.truncate(first);
    }

    fn key(&mut self) -> Result<(), BadKind> {
        if self.peek() != Some(b'"') {
            return Err(NOT_JSON);
        }
        let key = self.string()?;
        if key.len() > MYSQL_KEY_BYTES && self.server == Server::MySql {
            return Err(BadKind::JsonKeyTooLong);
        }
        self.keys.push(key);
        self.blanks();
        if self.peek() != Some(b':') {
            return Err(NOT_JSON);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string from its quote on.
    fn string(&mut self) -> Result<Cow<'text, [u8]>, BadKind> {
        self.at += 1;
        let mut start = self.at;
        let mut resolved = Vec::new();
        loop {
            let byte = self.peek().ok_or(NOT_JSON)?;
            match byte {
                b'"' => {
                    let run = &self.text[start..self.at];
                    self.at += 1;
                    if resolved.is_empty() {
                        return Ok(Cow::Borrowed(run));
                    }
                    resolved.extend_from_slice(run);
                    return Ok(Cow::Owned(resolved));
                }
                b'\\' => {
                    resolved.extend_from_slice(&self.text[start..self.at]);
                    self.at += 1;
                    let character = self.escape()?;
                    resolved.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    start = self.at;
                }
                0..=0x1F => return Err(NOT_JSON),
                _ => self.at += 1,
            }
        }
    }

    /// Reads an escape behind its backslash.
    fn escape(&mut self) -> Result<char, BadKind> {
        let byte = self.peek().ok_or(NOT_JSON)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{C}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = if (0xD800..0xDC00).contains(&first) {
                    if !self.text[self.at..].starts_with(b"\\u") {
                        return Err(NOT_JSON);
                    }
                    self.at += 2;
                    let second = self.hex()?;
                    if !(0xDC00..0xE000).contains(&second) {
                        return Err(NOT_JSON);
                    }
                    0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                } else {
                    first
                };
                char::from_u32(code).ok_or(NOT_JSON)?
            }
            _ => return Err(NOT_JSON),
        })
    }

    fn hex(&mut self) -> Result<u32, BadKind> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(NOT_JSON)?;
        self.at += 4;
        digits.iter().try_fold(0, |value, &digit| {
            let digit = char::from(digit).to_digit(16).ok_or(NOT_JSON)?;
            Ok(value * 16 + digit)
        })
    }

    fn word(&mut self, word: &[u8]) -> Result<(), BadKind> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NOT_JSON);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), BadKind> {
        let start = self.at;
        self.skip(|byte| byte == b'-', 1);
        let zero = self.peek() == Some(b'0');
        let whole = self.skip(|byte| byte.is_ascii_digit(), if zero { 1 } else { usize::MAX });
        if whole == 0 {
            return Err(NOT_JSON);
        }
        if self.skip(|byte| byte == b'.', 1) > 0
            && self.skip(|byte| byte.is_ascii_digit(), usize::MAX) == 0
        {
            return Err(NOT_JSON);
        }
        if self.skip(|byte| matches!(byte, b'e' | b'E'), 1) > 0 {
            self.skip(|byte| matches!(byte, b'+' | b'-'), 1);
            if self.skip(|byte| byte.is_ascii_digit(), usize::MAX) == 0 {
                return Err(NOT_JSON);
            }
        }
        if self.server == Server::MySql {
            match kept(&self.text[start..self.at]) {
                Kept::Whole => {}
                Kept::InPart => {
                    self.loss.get_or_insert(LossKind::JsonNumber);
                }
                Kept::TooLarge => return Err(BadKind::OutOfRange),
            }
        }
        Ok(())
    }

    /// Skips up to `max` bytes, and returns how many.
    fn skip(&mut self, is_one: impl Fn(u8) -> bool, max: usize) -> usize {
        let rest = &self.text[self.at..];
        let skipped = rest.iter().take(max).take_while(|&&byte| is_one(byte)).count();
        self.at += skipped;
        skipped
    }

    fn blanks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'), usize::MAX);
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}
