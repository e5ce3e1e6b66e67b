//! The check that the XML document of a listing is whole.
//!
//! The SDK's reader stops without an error where a document ends early or is damaged, and returns
//! what it has read. This check reads the same bytes with the same tokenizer. It accepts only
//! documents that the SDK's reader reads to their end, and in one way.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// The reason why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("its XML document is not valid UTF-8")]
    NotUtf8,
    #[error("its XML document ends before </{0}>")]
    Unclosed(String),
    #[error("its XML document is empty or ends before its first element")]
    NoRoot,
    #[error("its XML document is damaged: {0}")]
    Malformed(String),
}

/// The elements that may occur more than once inside another.
const REPEATED: [&str; 3] = ["Contents", "CommonPrefixes", "ChecksumAlgorithm"];

/// An element that is open.
struct OpenElement<'a> {
    prefix: &'a str,
    name: &'a str,
    children: Vec<&'a str>,
    has_text: bool,
}

/// Accepts the whole answer to a listing. Accepts also what is not an answer of S3 at all, such as
/// a web page, because the SDK's reader reports that itself.
pub(super) fn check_whole(body: &[u8]) -> Result<(), Damage> {
    match std::str::from_utf8(body) {
        Ok(text) if is_foreign(text) => Ok(()),
        Ok(text) => check_elements(text),
        Err(error) => {
            // The part before the damage still shows what the document was to be.
            let valid = body.get(..error.valid_up_to()).unwrap_or_default();
            let is_foreign = std::str::from_utf8(valid).is_ok_and(is_foreign);
            if is_foreign { Ok(()) } else { Err(Damage::NotUtf8) }
        }
    }
}

/// Returns true if the text is not the beginning of an answer of S3.
fn is_foreign(text: &str) -> bool {
    for token in Tokenizer::from(text) {
        match token {
            Ok(Token::ElementStart { local, .. }) => {
                // A name at the end of the text may be the beginning of another.
                let is_whole = local.end() < text.len();
                return is_whole && !matches!(local.as_str(), "ListBucketResult" | "Error");
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let text = text.trim_start_matches('\u{feff}').trim_start();
    !text.is_empty() && !text.starts_with('<')
}

fn check_elements(text: &str) -> Result<(), Damage> {
    let malformed = |what: String| Err(Damage::Malformed(what));
    let mut open: Vec<OpenElement<'_>> = Vec::new();
    let mut has_root = false;
    for token in Tokenizer::from(text) {
        let token = match token {
            Ok(token) => token,
            Err(_) if !has_root => return Err(Damage::NoRoot),
            Err(error) => return malformed(error.to_string().escape_debug().to_string()),
        };
        match token {
            Token::ElementStart { prefix, local, .. } => {
                let name = local.as_str();
                // The SDK's reader skips what is inside an element that it does not know.
                let level = match name {
                    "ListBucketResult" => 0,
                    "Contents" => 1,
                    _ => open.len(),
                };
                if level != open.len() {
                    return malformed(format!("<{name}> stands inside another element"));
                }
                if let Some(parent) = open.last_mut() {
                    if parent.has_text {
                        return malformed(format!(
                            "<{name}> stands in the text of another element"
                        ));
                    }
                    if !REPEATED.contains(&name) {
                        if parent.children.contains(&name) {
                            return malformed(format!("<{name}> occurs twice"));
                        }
                        parent.children.push(name);
                    }
                }
                has_root = true;
                let prefix = prefix.as_str();
                open.push(OpenElement { prefix, name, children: Vec::new(), has_text: false });
            }
            Token::ElementEnd { end: ElementEnd::Open, .. } | Token::Attribute { .. } => {}
            Token::ElementEnd { end: ElementEnd::Empty, .. } => {
                open.pop();
            }
            Token::ElementEnd { end: ElementEnd::Close(prefix, local), .. } => {
                let is_matched = open.pop().is_some_and(|element| {
                    element.prefix == prefix.as_str() && element.name == local.as_str()
                });
                if !is_matched {
                    return malformed(format!("</{local}> closes another element"));
                }
            }
            Token::Text { text } => {
                if let Some(element) = open.last_mut()
                    && !text.trim().is_empty()
                {
                    if !element.children.is_empty() {
                        return malformed(format!("<{}> holds stray text", element.name));
                    }
                    element.has_text = true;
                }
            }
            // The SDK's reader would skip these, in the middle of a key too.
            Token::Comment { .. } | Token::Cdata { .. } | Token::ProcessingInstruction { .. }
                if !open.is_empty() =>
            {
                return malformed(
                    "it holds a comment, a CDATA section or a processing instruction".to_owned(),
                );
            }
            _ => {}
        }
    }
    match open.first() {
        Some(root) => Err(Damage::Unclosed(root.name.to_owned())),
        None if has_root => Ok(()),
        None => Err(Damage::NoRoot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
        xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix/><KeyCount>2\
        </KeyCount><IsTruncated>false</IsTruncated><Contents><Key>a</Key><ChecksumAlgorithm>CRC32\
        </ChecksumAlgorithm><ChecksumAlgorithm>SHA1</ChecksumAlgorithm></Contents>\n<Contents>\
        <Key>&quot;b&#10;</Key><Owner><ID>x</ID></Owner></Contents></ListBucketResult>";

    #[test]
    fn a_document_is_whole_only_when_its_root_is_closed() {
        check_whole(PAGE.as_bytes()).unwrap();
        check_whole(format!("{PAGE}\n ").as_bytes()).unwrap();
        for end in 0..PAGE.len() {
            assert!(check_whole(&PAGE.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_document_that_can_be_read_in_two_ways_is_refused() {
        for (from, to) in [
            ("<Key>a</Key>", "<Key>a</Key><Key>c</Key>"),
            ("<Key>a</Key>", "<Key>a<!-- -->c</Key>"),
            ("<Key>a</Key>", "<Key>a<![CDATA[c]]></Key>"),
            ("<Key>a</Key>", "<Key>a<x/>c</Key>"),
            ("<Key>a</Key>", "<Key>a</key>"),
            ("<Contents>", "<x><Contents/></x><Contents>"),
            ("<KeyCount>2", "<ListBucketResult/><KeyCount>2"),
            ("<Key>a</Key>", "c<Key>a</Key>c"),
            ("<Name>b</Name>", "<Name>b</Name><Name>c</Name>"),
            ("</ListBucketResult>", "</ListBucketResult><ListBucketResult/>"),
            ("</ListBucketResult>", "</ListBucketResult>c"),
        ] {
            let changed = PAGE.replacen(from, to, 1);
            assert_ne!(changed, PAGE);
            assert!(check_whole(changed.as_bytes()).is_err(), "{to}");
        }
        let mut binary = PAGE.as_bytes().to_vec();
        binary[200] = 0xff;
        assert!(matches!(check_whole(&binary), Err(Damage::NotUtf8)));
    }

    #[test]
    fn what_is_no_answer_of_s3_is_left_to_the_sdk() {
        for foreign in [
            "<!DOCTYPE html><html><body><br>Log in</body>",
            "<html>\u{e9}",
            "Service unavailable",
            "{\"error\": 1}",
        ] {
            check_whole(foreign.as_bytes()).unwrap();
        }
        check_whole(b"<html>\xff").unwrap();
    }
}
