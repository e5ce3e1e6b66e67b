//! Numbers with a comma before their decimals, by `--decimal-comma`.

use super::number::trim;

/// Returns the number with a point before its decimals, and without what separates groups: 1.234,5
/// becomes 1234.5. `None` if it is not written in this way.
pub(super) fn with_point(text: &[u8]) -> Option<Vec<u8>> {
    let text = trim(text);
    let (sign, unsigned) = match text.first()? {
        b'-' | b'+' => text.split_at(1),
        _ => text.split_at(0),
    };
    let end = unsigned.iter().position(|byte| matches!(byte, b',' | b'e' | b'E'));
    let (whole, rest) = unsigned.split_at(end.unwrap_or(unsigned.len()));
    let mut number = sign.to_vec();
    append_groups(whole, &mut number)?;
    match rest {
        [b',', decimals @ ..] if !decimals.contains(&b',') && !decimals.contains(&b'.') => {
            number.push(b'.');
            number.extend_from_slice(decimals);
        }
        [b',', ..] => return None,
        rest => number.extend_from_slice(rest),
    }
    Some(number)
}

/// Appends the digits of groups of three. The first may be shorter, or the only one.
fn append_groups(text: &[u8], number: &mut Vec<u8>) -> Option<()> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (first, mut rest) = text.split_at(digits);
    number.extend_from_slice(first);
    if rest.is_empty() {
        return Some(());
    }
    let separators = [".", " ", "\u{A0}", "\u{202F}"].map(str::as_bytes);
    let separator = separators.into_iter().find(|separator| rest.starts_with(separator))?;
    // No group before another begins with a zero: 0.125 has a decimal point.
    if !(1..=3).contains(&digits) || first.starts_with(b"0") {
        return None;
    }
    while !rest.is_empty() {
        let group = rest.strip_prefix(separator)?;
        let (group, after) = group.split_at_checked(3)?;
        if !group.iter().all(u8::is_ascii_digit) {
            return None;
        }
        number.extend_from_slice(group);
        rest = after;
    }
    Some(())
}
