//! The meaning of JSON: one form for all texts with the same values.

use serde::de::IgnoredAny;

use super::kinds::Kind;
use super::meaning::number_form;

/// Returns the form of a text that is JSON.
pub(super) fn meaning(text: &str, _: &Kind) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut reader = Reader { rest: text };
    reader.value()
}

/// Returns the form of a text that the server shows.
pub(super) fn canonical(text: &str) -> String {
    Reader { rest: text }.value().unwrap_or_else(|| format!("no JSON: {text}"))
}

/// Reads a text that has been found to be JSON.
struct Reader<'text> {
    rest: &'text str,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '{' => {
                let mut members = self.list('}', |reader| {
                    reader.rest = reader.rest.trim_start();
                    let name = reader.string()?;
                    reader.rest = reader.rest.trim_start().strip_prefix(':')?;
                    Some(format!("{name}:{}", reader.value()?))
                })?;
                members.sort();
                Some(format!("{{{}}}", members.join(",")))
            }
            '[' => Some(format!("[{}]", self.list(']', Self::value)?.join(","))),
            '"' => self.string(),
            _ => {
                let end = self.rest.find(|letter: char| {
                    !letter.is_ascii_alphanumeric() && !"+-.".contains(letter)
                });
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                let is_word = matches!(word, "true" | "false" | "null");
                Some(if is_word { word.to_owned() } else { number_form(word) })
            }
        }
    }

    fn list(
        &mut self,
        close: char,
        item: impl Fn(&mut Self) -> Option<String>,
    ) -> Option<Vec<String>> {
        let mut items = Vec::new();
        self.rest = self.rest[1..].trim_start();
        if let Some(rest) = self.rest.strip_prefix(close) {
            self.rest = rest;
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            let mut letters = self.rest.trim_start().chars();
            let next = letters.next()?;
            self.rest = letters.as_str();
            if next == close {
                return Some(items);
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut is_escaped = false;
        let end = self.rest.char_indices().skip(1).find(|&(_, letter)| {
            let is_end = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            is_end
        })?;
        let (string, rest) = self.rest.split_at(end.0 + 1);
        self.rest = rest;
        // Lone surrogates are no string.
        Some(format!("{:?}", serde_json::from_str::<String>(string).ok()?))
    }
}
