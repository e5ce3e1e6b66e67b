//! The tokens of SQL text that is not our own: the expressions of `--set`, and the definitions that
//! a server shows.
//!
//! The servers run several statements of one packet, so text that ends its statement begins
//! another one. The reader finds where strings and names end, exactly as the servers do, and
//! accepts nothing else but characters that cannot change that. Where the end depends on a
//! `sql_mode`, the text is refused: in `'\'` the string ends only under `NO_BACKSLASH_ESCAPES`. A
//! text in double quotes may be a string or a name, and both end at the same place.

use std::ops::Range;

use thiserror::Error;

/// The reason why a text is not one expression, or not a list of definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("character {at}{}: {why}", shown(*.found))]
pub struct SqlError {
    /// The position of the character, from 1.
    pub at: usize,
    found: Option<char>,
    why: Why,
}

fn shown(found: Option<char>) -> String {
    found.map_or_else(String::new, |found| format!(" ({found:?})"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Why {
    #[error("it would end the statement")]
    EndsStatement,
    #[error("the expression would start another assignment; use one --set for each")]
    Comma,
    #[error("a comment is not allowed, because it would hide what follows")]
    Comment,
    #[error("this quote is not closed")]
    Unclosed,
    #[error(
        "whether a quote after a backslash ends the string depends on the server; to use a quote \
         in a string, write it twice"
    )]
    BackslashQuote,
    #[error("this parenthesis is not closed")]
    Open,
    #[error("this parenthesis closes nothing")]
    Closes,
    #[error("a statement cannot contain a NUL character")]
    Nul,
    #[error("outside of strings and `names` this character is not allowed")]
    Character,
}

impl SqlError {
    /// Returns the same error for a text that begins after `characters` others.
    #[must_use]
    pub fn after(self, characters: usize) -> Self {
        Self { at: self.at + characters, ..self }
    }
}

/// The meaning of a backslash in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backslash {
    /// It may or may not escape a quote.
    Undecided,
    /// It escapes the next character, in `'strings'` alone.
    Escapes,
}

/// One token: a string or name with its quotes, a word or number, or one other character.
struct Token {
    place: Range<usize>,
    first: char,
}

/// Checks that `text` is one expression, as far as its tokens tell: if the server accepts
/// `(text)`, it accepts it as one value.
///
/// # Errors
/// Returns the first character that could end the expression, and why.
pub fn check_expression(text: &str) -> Result<(), SqlError> {
    let mut open = Vec::new();
    for token in tokens(text, Backslash::Undecided)? {
        let error = |why| Err(error_at(text, token.place.start, why));
        match token.first {
            '(' => open.push(token.place.start),
            ')' if open.pop().is_none() => return error(Why::Closes),
            ',' if open.is_empty() => return error(Why::Comma),
            ';' => return error(Why::EndsStatement),
            // Only `:=`, since `:name` and `?` stand for parameters.
            ':' if !text[token.place.end..].starts_with('=') => return error(Why::Character),
            // MySQL reads $$...$$ as a string, and {d '...'} is no common SQL.
            '?' | '$' | '[' | ']' | '{' | '}' | '\\' => return error(Why::Character),
            character if !is_plain(character) => return error(Why::Character),
            _ => {}
        }
    }
    match open.last() {
        Some(&start) => Err(error_at(text, start, Why::Open)),
        None => Ok(()),
    }
}

/// Checks that `text`, in which definitions stand as a server shows them, is one statement.
/// `/*!80023 INVISIBLE */` is read as the server reads it.
///
/// # Errors
/// Returns the first character that could end the statement, and why.
pub fn check_statement(text: &str) -> Result<(), SqlError> {
    let mut open = Vec::new();
    for token in tokens(text, Backslash::Escapes)? {
        let error = |why| Err(error_at(text, token.place.start, why));
        match token.first {
            '(' => open.push(token.place.start),
            ')' if open.pop().is_none() => return error(Why::Closes),
            ';' => return error(Why::EndsStatement),
            '$' | '\\' => return error(Why::Character),
            _ => {}
        }
    }
    match open.last() {
        Some(&start) => Err(error_at(text, start, Why::Open)),
        None => Ok(()),
    }
}

/// Returns the names in an expression: of columns, functions and keywords, and of variables with
/// their `@`. Returns nothing for a text that is no expression.
pub(crate) fn names_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    for token in tokens(text, Backslash::Undecided).unwrap_or_default() {
        let written = &text[token.place];
        match token.first {
            '@' if !name.is_empty() => names.push(std::mem::replace(&mut name, "@".to_owned())),
            '@' | '_' | '$' => name.push(token.first),
            first if first.is_alphanumeric() => name.push(first),
            '`' => name.push_str(&written[1..written.len() - 1].replace("``", "`")),
            _ => names.push(std::mem::take(&mut name)),
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty() && name != "@");
    names
}

/// Returns the user variables that the expressions of `--set` read, each once and without its `@`.
/// A variable that one of them assigns is not read from outside.
pub(crate) fn set_variables(set: &[(String, String)]) -> Vec<String> {
    let mut found: Vec<(String, bool)> = Vec::new();
    for (name, is_assigned) in set.iter().flat_map(|(_, expression)| variables_in(expression)) {
        let lower = name.to_lowercase();
        match found.iter_mut().find(|(known, _)| known.to_lowercase() == lower) {
            Some((_, is_known_assigned)) => *is_known_assigned |= is_assigned,
            None => found.push((name, is_assigned)),
        }
    }
    found.into_iter().filter(|(_, is_assigned)| !is_assigned).map(|(name, _)| name).collect()
}

/// Returns the user variables in a text, without their `@`, each with true if `:=` follows it.
pub(crate) fn variables_in(text: &str) -> Vec<(String, bool)> {
    let tokens = tokens(text, Backslash::Undecided).unwrap_or_default();
    let mut found = Vec::new();
    let mut rest = tokens.as_slice();
    while let [Token { first, .. }, after @ ..] = rest {
        rest = after;
        if *first != '@' {
            continue;
        }
        if let [Token { first: '@', .. }, after @ ..] = rest {
            // A system variable has no user variables in its name.
            rest = after;
            continue;
        }
        let is_word = |first: char| first.is_alphanumeric() || matches!(first, '_' | '$' | '.');
        let name = match rest {
            [Token { first: quote @ ('`' | '\'' | '"'), place }, after @ ..] => {
                rest = after;
                let inner = &text[place.start + 1..place.end - 1];
                inner.replace(&format!("{quote}{quote}"), &quote.to_string())
            }
            _ => {
                let length = rest.iter().take_while(|token| is_word(token.first)).count();
                let (word, after) = rest.split_at(length);
                rest = after;
                word.iter().map(|token| token.first).collect()
            }
        };
        let mut next = rest.iter().map(|token| token.first).skip_while(|it| it.is_whitespace());
        let is_assigned = next.next() == Some(':') && next.next() == Some('=');
        if !name.is_empty() {
            found.push((name, is_assigned));
        }
    }
    found
}

/// Returns true for the characters that an expression may hold outside of strings and names.
fn is_plain(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
        || character.is_ascii_graphic()
        || (!character.is_ascii() && character.is_alphanumeric())
}

fn error_at(text: &str, offset: usize, why: Why) -> SqlError {
    SqlError { at: text[..offset].chars().count() + 1, found: text[offset..].chars().next(), why }
}

fn tokens(text: &str, backslash: Backslash) -> Result<Vec<Token>, SqlError> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    if let Some(nul) = text.find('\0') {
        return Err(error_at(text, nul, Why::Nul));
    }
    while let Some(first) = text[offset..].chars().next() {
        let rest = &text[offset..];
        let length = match first {
            '\'' | '"' | '`' => quoted(text, offset, first, backslash)?,
            '#' => return Err(error_at(text, offset, Why::Comment)),
            // Servers write /*!80023 INVISIBLE */ in definitions, which is no comment to them.
            '/' | '*'
                if backslash == Backslash::Escapes
                    && ["/*!", "/*M!", "/*T!", "*/"].iter().any(|it| rest.starts_with(it)) =>
            {
                2
            }
            '/' if rest.starts_with("/*") => return Err(error_at(text, offset, Why::Comment)),
            '*' if rest.starts_with("*/") => return Err(error_at(text, offset, Why::Comment)),
            // A comment needs a blank or a control character here, and a number none: 5--3.
            '-' if rest.starts_with("--")
                && !rest[2..].starts_with(|next: char| next.is_ascii_graphic()) =>
            {
                return Err(error_at(text, offset, Why::Comment));
            }
            first => first.len_utf8(),
        };
        tokens.push(Token { place: offset..offset + length, first });
        offset += length;
    }
    Ok(tokens)
}

/// Returns the length of the string or name at `offset`, with its quotes.
fn quoted(text: &str, offset: usize, quote: char, backslash: Backslash) -> Result<usize, SqlError> {
    let inside = offset + quote.len_utf8();
    let mut characters = text[inside..].char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            if characters.next_if(|(_, next)| *next == quote).is_none() {
                return Ok(inside + at + quote.len_utf8() - offset);
            }
        } else if character == '\\' && quote != '`' {
            match (backslash, characters.peek()) {
                (Backslash::Undecided, Some((_, next))) if *next == quote => {
                    return Err(error_at(text, inside + at, Why::BackslashQuote));
                }
                // Where a backslash escapes, it escapes this one.
                (Backslash::Undecided, Some((_, '\\'))) => {
                    characters.next();
                }
                (Backslash::Escapes, _) if quote == '\'' => {
                    characters.next();
                }
                _ => {}
            }
        }
    }
    Err(error_at(text, offset, Why::Unclosed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> (usize, Why) {
        let error = check_expression(text).expect_err(text);
        (error.at, error.why)
    }

    #[test]
    fn ordinary_expressions_are_accepted() {
        for text in [
            "DATE(@t)",
            "IF(@x = 1, 2, 3)",
            "CONCAT(@a, ', ; it''s', \"#\", `a;b`)",
            "REPLACE(@x, '\\\\', '/')",
            "5--3 - -2",
            "@a := 1",
            "@j->>'$.name'",
            "(SELECT MAX(`né`) FROM other WHERE né <> '日')",
            "x'0a' + 0x0A | b'1'",
            "CASE WHEN @x IN ('', '\\\\N')\n\tTHEN NULL ELSE @x END",
            "DEFAULT",
        ] {
            assert_eq!(check_expression(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_names_of_an_expression_are_words_and_quoted_names() {
        let names = |text| names_in(text).join(" ");
        assert_eq!(names("NULLIF(@a, 'b')"), "NULLIF @a");
        assert_eq!(names("@`a b`+`c``d`-e"), "@a b c`d e");
        assert_eq!(names("IF(@x=\"@y\", né, 2)"), "IF @x né 2");
        assert_eq!(names("'it''s'"), "");
    }

    #[test]
    fn variables_of_the_user_are_told_from_those_of_the_system() {
        let found = |texts: &[&str]| {
            let set: Vec<(String, String)> =
                texts.iter().map(|text| (String::new(), (*text).to_owned())).collect();
            set_variables(&set).join(" ")
        };
        assert_eq!(found(&["CONCAT(@a, @`b c`, @'d', '@e', @a.b)", "@A + b@c"]), "a b c d a.b c");
        assert_eq!(found(&["@@session.time_zone", "@@x + @y"]), "y");
        assert_eq!(found(&["(@n := @n + 1)", "@m :=1", "@k = 1"]), "k");
        assert_eq!(found(&["1", "@"]), "");
    }

    #[test]
    fn what_could_end_the_expression_is_refused_with_its_position() {
        assert_eq!(refused("1; DROP TABLE victim"), (2, Why::EndsStatement));
        assert_eq!(refused("é, c = 2"), (2, Why::Comma));
        assert_eq!(refused("1) + (2"), (2, Why::Closes));
        assert_eq!(refused("(1 + (2)"), (1, Why::Open));
        for comment in
            ["1 # x", "1 /* x */", "1 /*! x */", "1 /*M!1 x */", "1 */", "1 --", "1 -- x"]
        {
            assert_eq!(refused(comment), (3, Why::Comment), "{comment}");
        }
        assert_eq!(refused("1 --\u{a0}x").1, Why::Comment);
        for (text, at) in [("'a", 1), ("a 'b''", 3), ("\"", 1), ("`a``", 1)] {
            assert_eq!(refused(text), (at, Why::Unclosed), "{text}");
        }
        assert_eq!(refused("'a\\'"), (3, Why::BackslashQuote));
        assert_eq!(refused("\"a\\\\\\\""), (5, Why::BackslashQuote));
        for text in ["$$';'$$", "?", "a:b", "[a]", "\\N", "{d '2020-01-01'}", "a\u{1b}", "\u{2019}"]
        {
            assert_eq!(refused(text).1, Why::Character, "{text}");
        }
        assert_eq!(refused("'\0'"), (2, Why::Nul));
        let shown = check_expression("1; DROP TABLE victim").unwrap_err().after(2).to_string();
        assert_eq!(shown, "character 4 (';'): it would end the statement");
    }

    #[test]
    fn a_definition_is_one_statement_if_nothing_outside_its_names_and_strings_ends_it() {
        for text in [
            "CREATE TABLE t (`a,\n;` int, `b` enum('x,','it\\'s;') DEFAULT ';', KEY (`a`,`b`))",
            "(`a` int /*!80023 INVISIBLE */, PRIMARY KEY (`a`) /*T![clustered_index] CLUSTERED */)",
        ] {
            assert_eq!(check_statement(text), Ok(()), "{text}");
        }
        for text in ["`a` int; DROP TABLE t", "`a` int)", "`a` int #", "`a", "(`a` int", "/* a */"]
        {
            assert!(check_statement(text).is_err(), "{text}");
        }
    }

    /// Returns the statements of `text` as a server with this `sql_mode` separates them, and
    /// everything outside of strings and names, or `None` if a string is not closed. Written apart
    /// from the reader above.
    fn as_a_server(text: &str, ansi_quotes: bool, escapes: bool) -> Option<String> {
        let characters: Vec<char> = text.chars().collect();
        let mut outside = String::new();
        let mut at = 0;
        while at < characters.len() {
            let quote = characters[at];
            at += 1;
            if !matches!(quote, '\'' | '"' | '`') {
                outside.push(quote);
                continue;
            }
            let is_string = quote == '\'' || (quote == '"' && !ansi_quotes);
            loop {
                let character = *characters.get(at)?;
                at += 1;
                if character == '\\' && is_string && escapes {
                    at += 1;
                } else if character == quote {
                    if characters.get(at) != Some(&quote) {
                        break;
                    }
                    at += 1;
                }
            }
            outside.push('q');
        }
        Some(outside)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_token_escapes_an_accepted_expression(
            text in r#"([;,'"`\\#()a1 @$\n]|--|/\*|\*/|''|\\\\|/\*!){0,12}"#
        ) {
            if check_expression(&text).is_ok() {
                for (ansi_quotes, escapes) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let outside = as_a_server(&text, ansi_quotes, escapes);
                    prop_assert!(outside.is_some(), "a string is not closed: {text}");
                    let outside = outside.unwrap_or_default();
                    prop_assert!(!outside.contains([';', '#', '$', '\\']), "{text}");
                    prop_assert!(!outside.contains("/*") && !outside.contains("-- "), "{text}");
                    let mut depth = 0_i32;
                    for character in outside.chars() {
                        depth += i32::from(character == '(') - i32::from(character == ')');
                        prop_assert!(depth >= 0, "{text}");
                        prop_assert!(depth > 0 || character != ',', "{text}");
                    }
                    prop_assert_eq!(depth, 0);
                }
            }
        }
    }
}
