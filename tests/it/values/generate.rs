//! Values for the types: chosen ones, and others near them.

use fastrand::Rng;

use super::kinds::Kind;

/// The way in which values are generated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// Numbers around the boundaries, in many notations.
    Numbers,
    /// Dates and times, in many notations.
    Moments,
    /// The usual values with other characters here and there.
    Edits(&'static str),
    /// Texts of about 255 bytes.
    Long(&'static str),
    /// JSON texts.
    Json,
}

/// Values that are odd in any column. A NUL byte, digits of other scripts, blanks.
const ODD: &[&str] = &[
    "",
    " ",
    "0",
    "1",
    "-1",
    "+1",
    "-0",
    "1.9",
    "127.4",
    "1e-1",
    "0.5",
    "1.0",
    "1.",
    ".5",
    ".",
    "-",
    "+",
    "--1",
    "1-",
    "1 1",
    "- 1",
    "1e3",
    "1E+2",
    "1e",
    "1e+",
    "e1",
    "0x10",
    "007",
    "1\0",
    "\0",
    "\u{661}\u{662}",
    "\u{ff11}",
    "\u{b2}",
    "1\u{a0}",
    "\u{a0}1",
    " 1",
    "1 ",
    "\t1",
    "1\t",
    "\n1",
    "1\n",
    "\r1",
    "1\r",
    "\u{b}1",
    "1\u{c}",
    "true",
    "false",
    "null",
    "NULL",
    "NaN",
    "inf",
    "1,5",
    "1,234",
    "1_0",
    "1e400",
    "1e-400",
    "0e999",
    "-0e5",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "99999999999999999999999999",
    "0.00000000000000000000000000001",
    "2",
    "5",
    "20260131",
    "2026-01-31",
    "12:30",
    "x",
    "'1'",
    "\"1\"",
    "9007199254740993",
    "9007199254740993.0",
    "1e00000000000000000003",
    "000000000000000000000000000000000001",
    "1.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
];

/// Returns `count` values, all different but for chance: the chosen ones first.
pub(super) fn values(kind: &Kind, count: usize, rng: &mut Rng) -> Vec<String> {
    let mut values: Vec<String> =
        kind.usual.iter().chain(ODD).map(|&text| text.to_owned()).collect();
    while values.len() < count {
        let value = match kind.source {
            Source::Numbers => number(kind, rng),
            Source::Moments => moment(kind, rng),
            Source::Edits(alphabet) => edited(pick(kind.usual, rng), alphabet, rng),
            Source::Long(alphabet) => long(alphabet, rng),
            Source::Json if rng.bool() => {
                edited(pick(kind.usual, rng), "{}[]\",:0129eE.-+ \\u", rng)
            }
            Source::Json => json(rng, 3),
        };
        values.push(value);
    }
    values
}

fn pick<'items>(items: &[&'items str], rng: &mut Rng) -> &'items str {
    items[rng.usize(..items.len())]
}

fn edited(text: &str, alphabet: &str, rng: &mut Rng) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..rng.usize(1..=3) {
        let character = alphabet[rng.usize(..alphabet.len())];
        let at = rng.usize(..=characters.len());
        match rng.u8(..3) {
            0 => characters.insert(at, character),
            1 if at < characters.len() => characters[at] = character,
            _ if at < characters.len() => drop(characters.remove(at)),
            _ => characters.push(character),
        }
    }
    characters.into_iter().collect()
}

fn digits(length: usize, rng: &mut Rng) -> String {
    (0..length).map(|_| char::from(b'0' + rng.u8(..10))).collect()
}

/// Returns a number near a boundary or anywhere, in one of many notations.
fn number(kind: &Kind, rng: &mut Rng) -> String {
    let near: Option<i128> = pick(kind.usual, rng).parse().ok();
    let mut text = match (rng.u8(..6), near) {
        (0..=2, Some(near)) => (near + i128::from(rng.i8(-3..=3))).to_string(),
        (0..=3, _) => {
            let length = rng.usize(1..=22);
            digits(length, rng)
        }
        (4, _) => {
            let (whole, decimals) = (rng.usize(..12), rng.usize(..12));
            format!("{}.{}", digits(whole, rng), digits(decimals, rng))
        }
        _ => edited(pick(kind.usual, rng), "0123459.eE+-, \0", rng),
    };
    if rng.u8(..5) == 0 {
        text.insert(0, if rng.bool() { '-' } else { '+' });
    }
    match rng.u8(..12) {
        0 => text.push_str(".0"),
        1 => text.push_str("e0"),
        2 => {
            let shift = rng.usize(1..=4);
            text.extend([format!("{}e-{shift}", "0".repeat(shift))]);
        }
        3 => text.extend([format!("e{}", rng.i16(-330..=330))]),
        4 => text.extend([format!("e{}", rng.i8(-6..=6))]),
        5 => text.push(if rng.bool() { ' ' } else { '\r' }),
        6 => text.insert(0, if rng.bool() { ' ' } else { '\n' }),
        7 => text.insert_str(0, "000"),
        8 => text.extend([format!(".{}", digits(rng.usize(1..=35), rng))]),
        _ => {}
    }
    text
}

/// Returns a date or a date and time, in one of many notations.
fn moment(kind: &Kind, rng: &mut Rng) -> String {
    if rng.u8(..3) == 0 {
        return edited(pick(kind.usual, rng), "0123459-/:. TZ+\n", rng);
    }
    let year = match rng.u8(..4) {
        0 => rng.u16(..10_000),
        _ => rng.u16(1969..=2040),
    };
    let (month, day) = (rng.u8(..=13), rng.u8(..=32));
    let date = match rng.u8(..6) {
        0 => format!("{year:04}/{month}/{day}"),
        1 => format!("{year:04}{month:02}{day:02}"),
        2 => format!("{year:04}-{month}-{day}"),
        3 => format!("{day:02}.{month:02}.{year:04}"),
        _ => format!("{year:04}-{month:02}-{day:02}"),
    };
    if rng.u8(..4) == 0 {
        return date;
    }
    let (hour, minute, second) = (rng.u8(..=24), rng.u8(..=60), rng.u8(..=60));
    let clock = match rng.u8(..4) {
        0 => format!("{hour}:{minute}:{second}"),
        1 => format!("{hour:02}:{minute:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    };
    let fraction = match rng.u8(..3) {
        0 => format!(".{}", digits(rng.usize(1..=9), rng)),
        1 => format!(".{}000", digits(rng.usize(1..=6), rng)),
        _ => String::new(),
    };
    let offset = ["", "", "", "Z", "+02:00", "-0930", "+14", " +01:00", "z"][rng.usize(..9)];
    let between = ["T", " ", " ", "t", "  "][rng.usize(..5)];
    format!("{date}{between}{clock}{fraction}{offset}")
}

fn long(alphabet: &str, rng: &mut Rng) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let is_mixed = rng.bool();
    let filler = alphabet[rng.usize(..alphabet.len())];
    let bytes = 250 + rng.usize(..12);
    let mut text = String::new();
    while text.len() < bytes {
        text.push(if is_mixed { alphabet[rng.usize(..alphabet.len())] } else { filler });
        // Half of the texts are in pairs of bytes, which a set of two bytes takes half of.
        if filler == 'a' && text.len() == 125 {
            break;
        }
    }
    text.push_str(&" ".repeat(rng.usize(..4)));
    text
}

fn json(rng: &mut Rng, depth: usize) -> String {
    let kinds = if depth == 0 { 4 } else { 6 };
    match rng.u8(..kinds) {
        0 => {
            let length = rng.usize(1..=22);
            digits(length, rng)
        }
        1 => format!("{}.{}", rng.u64(..), digits(rng.usize(1..=18), rng)),
        2 => format!("-{}e{}", digits(rng.usize(1..=18), rng), rng.i16(-320..=310)),
        3 => ["\"a\\u0041\\n\"", "true", "null", "\"\u{e9}\\ud83d\\ude00\"", "\"\"", "1.50"]
            [rng.usize(..6)]
        .to_owned(),
        4 => {
            let items: Vec<String> = (0..rng.usize(..4)).map(|_| json(rng, depth - 1)).collect();
            format!("[{}]", items.join(", "))
        }
        _ => {
            let names = ["\"a\"", "\"b\"", "\"\\u0061\"", "\"A\"", "\"\""];
            let items: Vec<String> = (0..rng.usize(..4))
                .map(|_| format!("{}:{}", names[rng.usize(..names.len())], json(rng, depth - 1)))
                .collect();
            format!("{{{}}}", items.join(" ,"))
        }
    }
}
