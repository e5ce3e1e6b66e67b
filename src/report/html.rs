//! Text in HTML.

use crate::printable::printable;

/// Returns the text so that HTML shows it as it is, in an element or in a quoted attribute. Control
/// characters are escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in printable(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            character => out.push(character),
        }
    }
    out
}
