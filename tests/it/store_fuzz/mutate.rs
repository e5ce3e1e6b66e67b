//! Changes of an answer's bytes.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::support::raw_store::{Answer, Then};

/// Bytes that mean something in XML, in headers or in keys.
const BYTES: &[u8] = b"<>/&;\"'=0129-aZ \t\r\n\0\x7f\x80\xff%+:";

/// Texts that mean something in an answer.
const TEXTS: &[&str] = &[
    "<Contents>",
    "</Contents>",
    "<Contents/>",
    "</ListBucketResult>",
    "<ListBucketResult>",
    "<Key>in/a</Key>",
    "<Key>",
    "</Key>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?x ?>",
    "<IsTruncated>false</IsTruncated>",
    "<IsTruncated>true</IsTruncated>",
    "<KeyCount>0</KeyCount>",
    "&amp;",
    "&#0;",
    "&#x110000;",
    "&unknown;",
    "\u{feff}",
    "\r\n\r\n",
    "\r\n0\r\n\r\n",
    "true",
    "false",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "in/",
    "../",
    "%",
    "%00",
    "\"\"",
    "ETag: \"other\"\r\n",
    "Content-Length: 0\r\n",
    "Content-Range: bytes 1-2/3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Encoding: gzip\r\n",
    "x-amz-version-id: v\r\n",
    "x-amz-checksum-type: COMPOSITE\r\n",
];

const STATUSES: &[&str] = &[
    "100", "101", "199", "200", "204", "206", "299", "301", "304", "307", "400", "401", "403",
    "404", "408", "412", "416", "429", "500", "501", "503", "600", "999", "0", "20", "2000",
];

const NUMBERS: &[&str] =
    &["0", "1", "2", "3", "4", "-1", "7", "20", "4294967296", "9223372036854775807", "1e3", ""];

/// Returns the answer with one to three changes, and what follows it.
pub(super) fn change(rng: &mut Rng, mut answer: Vec<u8>, others: &[Arc<Vec<u8>>]) -> Answer {
    for _ in 0..rng.u8(1..4) {
        change_once(rng, &mut answer, others);
        if rng.bool() {
            break;
        }
    }
    // Otherwise the length alone would show most changes of a body.
    if rng.u8(..10) < 7 {
        set_length(&mut answer);
    }
    let then = match rng.u16(..1000) {
        0..8 => Then::Stall,
        8..10 => Then::Drip(Duration::from_millis(50)),
        10..12 => Then::Repeat(b"<Contents></Contents>".repeat(1000)),
        _ => Then::Close,
    };
    if !matches!(then, Then::Close) {
        answer.truncate(rng.usize(..=answer.len()));
    }
    Answer { bytes: answer, then }
}

fn change_once(rng: &mut Rng, answer: &mut Vec<u8>, others: &[Arc<Vec<u8>>]) {
    let body = body_start(answer);
    // Where to change: in the head or in the body.
    let range = if rng.bool() && body < answer.len() { body..answer.len() } else { 0..body };
    let at = rng.usize(range.start..=range.end);
    match rng.u8(..16) {
        0 => {
            if let Some(byte) = answer.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        1 => {
            let new = BYTES[rng.usize(..BYTES.len())];
            if let Some(byte) = answer.get_mut(at) {
                *byte = new;
            }
        }
        2 => {
            let end = at + rng.usize(1..=64).min(answer.len() - at);
            answer.drain(at..end);
        }
        3 => {
            let end = at + rng.usize(1..=64).min(answer.len() - at);
            let copy = answer[at..end].to_vec();
            let to = rng.usize(..=answer.len());
            answer.splice(to..to, copy);
        }
        4 => answer.truncate(at),
        5 | 6 => {
            let text = TEXTS[rng.usize(..TEXTS.len())].bytes();
            answer.splice(at..at, text);
        }
        7 | 8 => replace_number(rng, answer, at),
        9 => {
            if let Some(element) = element(rng, answer) {
                answer.drain(element);
            }
        }
        10 => {
            if let Some(from) = element(rng, answer) {
                let copy = answer[from].to_vec();
                let to = element(rng, answer).map_or(at, |element| element.start);
                answer.splice(to..to, copy);
            }
        }
        11 => {
            // The content of one element in place of another's.
            let copied = element(rng, answer).map(|element| answer[element].to_vec());
            if let (Some(copy), Some(to)) = (copied, element(rng, answer)) {
                answer.splice(to, copy);
            }
        }
        12 => change_header(rng, answer, body, others),
        13 => {
            if let Some(other) = rng.choice(others) {
                other.as_slice().clone_into(answer);
            }
        }
        14 => {
            // The body of another answer.
            if let Some(other) = rng.choice(others) {
                answer.truncate(body);
                answer.extend(&other[body_start(other)..]);
            }
        }
        _ => {
            let status = STATUSES[rng.usize(..STATUSES.len())];
            if answer.len() > 12 {
                answer.splice(9..12, status.bytes());
            }
        }
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// Returns the offset of the body.
fn body_start(answer: &[u8]) -> usize {
    find(answer, b"\r\n\r\n").map_or(answer.len(), |end| end + 4)
}

/// Replaces the next number after an offset.
fn replace_number(rng: &mut Rng, answer: &mut Vec<u8>, at: usize) {
    let Some(start) = answer[at..].iter().position(u8::is_ascii_digit).map(|skip| at + skip) else {
        return;
    };
    let end = start + answer[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    answer.splice(start..end, NUMBERS[rng.usize(..NUMBERS.len())].bytes());
}

/// Returns the place of an element of the body, with its tags.
fn element(rng: &mut Rng, answer: &[u8]) -> Option<std::ops::Range<usize>> {
    let body = body_start(answer);
    let starts: Vec<usize> = (body..answer.len())
        .filter(|&at| answer[at] == b'<' && answer.get(at + 1).is_some_and(u8::is_ascii_alphabetic))
        .collect();
    let start = rng.choice(starts)?;
    let name: Vec<u8> =
        answer[start + 1..].iter().copied().take_while(u8::is_ascii_alphanumeric).collect();
    let close = [b"</", name.as_slice(), b">"].concat();
    let end = find(&answer[start..], &close)?;
    Some(start..start + end + close.len())
}

/// Removes, doubles or changes a header, or takes one of another answer.
fn change_header(rng: &mut Rng, answer: &mut Vec<u8>, body: usize, others: &[Arc<Vec<u8>>]) {
    let headers = |bytes: &[u8]| -> Vec<std::ops::Range<usize>> {
        let mut start = 0;
        let mut lines = Vec::new();
        while let Some(length) = find(&bytes[start..], b"\r\n").filter(|length| *length > 0) {
            lines.push(start..start + length + 2);
            start += length + 2;
        }
        lines.into_iter().skip(1).collect()
    };
    let Some(line) = rng.choice(headers(&answer[..body])) else { return };
    match rng.u8(..4) {
        0 => {
            answer.drain(line);
        }
        1 => {
            let copy = answer[line.clone()].to_vec();
            answer.splice(line.start..line.start, copy);
        }
        2 => {
            let at = rng.usize(line);
            answer[at] = BYTES[rng.usize(..BYTES.len())];
        }
        _ => {
            let Some(other) = rng.choice(others) else { return };
            let Some(taken) = rng.choice(headers(&other[..body_start(other)])) else { return };
            answer.splice(line, other[taken].to_vec());
        }
    }
}

/// Sets the `Content-Length` to the length of the body, if there is one.
fn set_length(answer: &mut Vec<u8>) {
    let body = body_start(answer);
    let head = answer[..body].to_ascii_lowercase();
    let Some(start) = find(&head, b"content-length:").map(|at| at + b"content-length:".len())
    else {
        return;
    };
    let Some(length) = find(&head[start..], b"\r\n") else { return };
    // The answer to a HEAD has the length of a body that does not come.
    if body < answer.len() {
        let value = format!(" {}", answer.len() - body);
        answer.splice(start..start + length, value.bytes());
    }
}

/// Returns the listing without its ETags.
pub(super) fn without_etags(answer: &[u8]) -> Vec<u8> {
    let mut answer = answer.to_vec();
    while let Some(start) = find(&answer, b"<ETag>") {
        let Some(length) = find(&answer[start..], b"</ETag>") else { break };
        answer.drain(start..start + length + b"</ETag>".len());
    }
    set_length(&mut answer);
    answer
}

/// Returns true if a page of a listing was changed into one that says itself that it has fewer
/// keys, or does not say how many, or that it is the last.
pub(super) fn is_another_page(from: &[u8], to: &[u8]) -> bool {
    let count = |page: &[u8]| {
        let start = find(page, b"<KeyCount>")? + b"<KeyCount>".len();
        let length = find(&page[start..], b"<")?;
        Some(page[start..start + length].to_vec())
    };
    let has_next = |page: &[u8]| find(page, b"<NextContinuationToken>").is_some();
    count(from).is_some() && (count(from) != count(to) || has_next(from) && !has_next(to))
}
