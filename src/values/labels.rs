//! ENUM and SET columns.
//!
//! The servers look for a label first. If there is none, they take digits for the number of a
//! label, or for the bits of a SET, without a warning. No file means that.

use std::collections::HashSet;

use super::collation::Equality;
use super::number::is_blank;
use super::verdict::{BadKind, Verdict};

/// The rule of an ENUM or SET column.
#[derive(Clone, Debug)]
pub(super) struct LabelRule {
    labels: Vec<String>,
    /// The labels, if they are many. A few are faster to compare one by one.
    index: HashSet<Vec<u8>>,
    equality: Equality,
    is_set: bool,
    /// True if the bytes of fields can be compared with the labels, which are in UTF-8.
    is_utf8: bool,
    /// True if a label may equal digits although its bytes differ, such as `²`.
    has_other_digits: bool,
}

const FEW: usize = 16;

impl LabelRule {
    pub(super) fn new(labels: &[String], collation: &str, is_set: bool, is_utf8: bool) -> Self {
        let is_other_digit = |letter: char| !letter.is_ascii() && letter.is_numeric();
        let equality = Equality::of(collation);
        Self {
            labels: labels.to_vec(),
            index: labels
                .iter()
                .filter(|_| labels.len() > FEW)
                .map(|label| label.clone().into_bytes())
                .collect(),
            equality,
            is_set,
            is_utf8,
            has_other_digits: equality != Equality::Binary
                && labels.iter().any(|label| label.contains(is_other_digit)),
        }
    }

    fn is_label(&self, text: &[u8]) -> bool {
        if self.index.is_empty() {
            self.labels.iter().any(|label| label.as_bytes() == text)
        } else {
            self.index.contains(text)
        }
    }

    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    pub(super) fn check(&self, text: &[u8]) -> Verdict {
        if self.is_label(text) || (self.is_set && text.is_empty()) {
            return Verdict::Exact;
        }
        if !self.is_utf8 && !text.is_ascii() {
            return Verdict::ServerDecides;
        }
        // The servers take no notice of blanks at the end, whatever the collation says of them.
        let end = text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
        let content = &text[..end];
        let found = if self.is_set && !content.is_empty() {
            self.all_parts(content)
        } else {
            self.find(content)
        };
        match found {
            Some(true) => Verdict::Exact,
            None if self.has_other_digits || !is_number(content) => Verdict::ServerDecides,
            _ if text.is_empty() => Verdict::Bad(BadKind::Empty),
            _ if is_number(content) => Verdict::Bad(BadKind::LabelNumber),
            _ => Verdict::Bad(BadKind::NotALabel),
        }
    }

    fn all_parts(&self, content: &[u8]) -> Option<bool> {
        let mut are_found = Some(true);
        for part in content.split(|&byte| byte == b',') {
            match self.find(part) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => are_found = None,
            }
        }
        are_found
    }

    fn find(&self, text: &[u8]) -> Option<bool> {
        if self.is_label(text) {
            return Some(true);
        }
        if text.ends_with(b" ") {
            // A part of a SET, and the collation decides about blanks.
            return None;
        }
        let mut found = Some(false);
        for label in &self.labels {
            match self.equality.are_equal(label.as_bytes(), text) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => found = None,
            }
        }
        found
    }
}

/// Returns true if the servers take the text for a number.
fn is_number(text: &[u8]) -> bool {
    let start = text.iter().position(|&byte| !is_blank(byte)).unwrap_or(text.len());
    let text = &text[start..];
    let digits = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}
