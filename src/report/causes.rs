//! Groups the objects in which something is wrong by what is wrong with them, and shows the groups.
//!
//! Objects of one export often fail alike: thirty objects lack the same hint, and not thirty. Two
//! objects have the same cause if what is said about them, or about the first bad row of each,
//! differs only in quoted texts and in words with digits.

use std::collections::{BTreeSet, HashMap, HashSet};

use indicatif::HumanCount;
use strum::IntoStaticStr;

use crate::error::{BadRow, BadRows};
use crate::printable::printable;
use crate::terminal::Paint;

/// The number of causes that are kept. Objects with other causes are only counted.
const CAUSES_KEPT: usize = 100;
/// The number of objects that are named for each cause.
const EXAMPLES: usize = 3;
/// The number of messages about rows that are shown for one of several objects.
const MESSAGES_SHOWN: usize = 3;
/// The number of lines that all causes together may take on the screen.
const SCREEN_LINES: usize = 40;

/// The fate of an object in which something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub(super) enum Verdict {
    #[strum(serialize = "failed")]
    Failed,
    #[strum(serialize = "would fail")]
    WouldFail,
    #[strum(serialize = "would lose rows")]
    WouldLoseRows,
    #[strum(serialize = "would load")]
    WouldLoad,
}

/// Everything that is wrong with one object.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// The URI of the object, printable.
    pub(super) object: String,
    /// The message, without the object.
    pub(super) message: String,
    pub(super) rows: BadRows,
    /// Further lines, below those about rows.
    pub(super) details: Vec<String>,
    pub(super) hint: Option<String>,
}

/// The objects that have the same cause.
#[derive(Debug)]
struct Cause {
    first: Finding,
    /// Lines that name the first objects, in the order of their keys.
    examples: Vec<String>,
    objects: u64,
    /// The number of their bad rows, if it is known for all of them.
    rows: Option<u64>,
    columns: BTreeSet<String>,
}

/// All causes of a run.
#[derive(Debug, Default)]
pub(super) struct Causes {
    kept: Vec<Cause>,
    by_template: HashMap<String, usize>,
    /// The number of objects with causes that are not kept.
    others: u64,
}

/// A cause as pages for people show it.
pub(super) struct ShownCause {
    pub(super) is_failure: bool,
    pub(super) headline: String,
    /// The examples and the hints, indented.
    pub(super) below: Vec<String>,
}

impl Causes {
    pub(super) fn add(&mut self, finding: Finding) {
        let template = finding.template();
        if let Some(&index) = self.by_template.get(&template) {
            self.kept[index].add(&finding);
        } else if self.kept.len() < CAUSES_KEPT {
            self.by_template.insert(template, self.kept.len());
            self.kept.push(Cause::of(finding));
        } else {
            self.others += 1;
        }
    }

    /// Returns the causes, those of most objects first.
    pub(super) fn shown(&self) -> Vec<ShownCause> {
        let shown = self.sorted().into_iter().map(|cause| {
            let mut below = cause.lines(false);
            let headline = below.remove(0);
            below.extend(cause.hints(&mut HashSet::new()));
            ShownCause { is_failure: cause.is_failure(), headline, below }
        });
        shown.collect()
    }

    /// Returns the number of objects whose causes are not among them.
    pub(super) fn not_kept(&self) -> u64 {
        self.others
    }

    fn sorted(&self) -> Vec<&Cause> {
        let mut causes: Vec<&Cause> = self.kept.iter().collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.objects));
        causes
    }

    /// Returns the text for the screen: the causes of most objects first, failures in red, and each
    /// hint once. `said` has the hints that are shown elsewhere.
    pub(super) fn text(&self, said: &[&str], paint: Paint) -> String {
        let mut hints: HashSet<&str> = said.iter().copied().collect();
        let causes = self.sorted();
        let is_only_one = causes.len() == 1 && self.others == 0;
        let mut lines = Vec::new();
        let mut shown = 0;
        for cause in &causes {
            let headline = lines.len();
            let mut more = cause.lines(is_only_one);
            more.extend(cause.hints(&mut hints));
            if shown > 0 && lines.len() + more.len() > SCREEN_LINES {
                break;
            }
            lines.extend(more);
            shown += 1;
            if cause.is_failure() {
                lines[headline] = paint.red(&lines[headline]);
            }
        }
        let left: u64 = causes[shown..].iter().map(|cause| cause.objects).sum();
        if left + self.others > 0 {
            lines.push(format!(
                "and {} with other causes; --report FILE has all",
                counted(left + self.others, "object")
            ));
        }
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

impl Cause {
    fn of(finding: Finding) -> Self {
        Self {
            examples: vec![finding.example()],
            objects: 1,
            rows: finding.rows.count,
            columns: finding.columns().map(str::to_owned).collect(),
            first: finding,
        }
    }

    fn add(&mut self, finding: &Finding) {
        self.objects += 1;
        self.rows = self.rows.zip(finding.rows.count).map(|(sum, rows)| sum + rows);
        self.columns.extend(finding.columns().map(str::to_owned));
        self.examples.push(finding.example());
        self.examples.sort_unstable();
        self.examples.truncate(EXAMPLES);
    }

    fn is_failure(&self) -> bool {
        matches!(self.first.verdict, Verdict::Failed | Verdict::WouldFail)
    }

    fn lines(&self, is_only_one: bool) -> Vec<String> {
        if self.objects == 1 {
            return self.first.lines(if is_only_one { usize::MAX } else { MESSAGES_SHOWN });
        }
        let verdict: &str = self.first.verdict.into();
        let objects = counted(self.objects, "object");
        let rows = match self.rows {
            Some(rows) if rows > 0 => format!(", {}", counted(rows, "row")),
            _ => String::new(),
        };
        let columns = match self.columns.len() {
            0 => String::new(),
            1 => " (column ".to_owned() + &self.listed_columns() + ")",
            _ => " (columns ".to_owned() + &self.listed_columns() + ")",
        };
        let what = printable(self.first.what());
        let mut lines = vec![format!("{verdict}: {objects}{rows}: {what}{columns}")];
        lines.extend(self.examples.iter().map(|example| format!("  {example}")));
        let more = self.objects - self.examples.len() as u64;
        if more > 0 {
            lines.push(format!("  and {} more", HumanCount(more)));
        }
        lines
    }

    fn listed_columns(&self) -> String {
        let names = self.columns.iter().take(EXAMPLES).map(|name| printable(name).into_owned());
        let mut names: Vec<String> = names.collect();
        if self.columns.len() > EXAMPLES {
            names.push(format!("and {} more", self.columns.len() - EXAMPLES));
        }
        names.join(", ")
    }

    /// Returns the lines of hints that are not yet among `hints`.
    fn hints<'a>(&'a self, hints: &mut HashSet<&'a str>) -> Vec<String> {
        let lines = self.first.hint.iter().flat_map(|hint| hint.lines());
        lines
            .filter(|hint| hints.insert(hint))
            .map(|hint| format!("  hint: {}", printable(hint)))
            .collect()
    }
}

impl Finding {
    /// Returns what is wrong: the reason of the first bad row, or else the message.
    fn what(&self) -> &str {
        self.rows.shown.first().map_or(&self.message, BadRow::what)
    }

    fn template(&self) -> String {
        let verdict: &str = self.verdict.into();
        let mut text = format!("{verdict}: {}", template(self.what()));
        for line in &self.details {
            text.push('\n');
            text.push_str(&template(line));
        }
        text
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        let of_cause = self.rows.shown.first().map(|first| template(first.what()));
        self.rows
            .shown
            .iter()
            .filter(move |row| Some(template(row.what())) == of_cause)
            .filter_map(|row| row.column.as_deref())
    }

    /// Returns a line that names the object as one of several.
    fn example(&self) -> String {
        match self.rows.shown.first() {
            Some(row) => format!("{}, {}", self.object, row.example()),
            None => self.object.clone(),
        }
    }

    /// Returns everything about the object, with at most this number of messages about rows.
    fn lines(&self, messages: usize) -> Vec<String> {
        let verdict: &str = self.verdict.into();
        let headline = format!("{verdict}: {}: {}", self.object, self.message);
        let rows = self.rows.first(messages);
        let text = rows.below(&headline);
        let details = self.details.iter().map(|line| format!("  {}", printable(line)));
        text.lines().map(str::to_owned).chain(details).collect()
    }
}

/// Returns the text without what differs between objects with the same cause: quoted texts are
/// empty, and a word with a digit is `#`.
fn template(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(character) = rest.chars().next() {
        let opens = matches!(character, '\'' | '"') && !before.is_alphanumeric();
        let quoted = opens.then(|| rest[1..].find(character)).flatten();
        if let Some(length) = quoted {
            out.extend([character, character]);
            rest = &rest[length + 2..];
            before = character;
            continue;
        }
        let is_word = |it: char| it.is_alphanumeric();
        let length = rest.find(|it| !is_word(it)).unwrap_or(rest.len());
        let word = &rest[..length.max(character.len_utf8())];
        out.push_str(if word.contains(|it: char| it.is_numeric()) { "#" } else { word });
        before = word.chars().next_back().unwrap_or(' ');
        rest = &rest[word.len()..];
    }
    out
}

/// Returns `1 object` or `2,000 objects`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", HumanCount(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(line: u64, column: &str, reason: &str) -> BadRow {
        BadRow {
            line: Some(line),
            row: Some(line),
            is_misnumbered: false,
            column: Some(column.to_owned()),
            level: String::new(),
            code: 1366,
            reason: reason.to_owned(),
            raw: None,
        }
    }

    fn finding(object: &str, rows: Vec<BadRow>) -> Finding {
        let count = Some(rows.len() as u64);
        Finding {
            verdict: Verdict::Failed,
            object: object.to_owned(),
            message: format!("{} of 9 rows are bad; no row was loaded", rows.len()),
            rows: BadRows { shown: rows, more: 0, count },
            details: Vec::new(),
            hint: Some("use --on-bad-row reject\nor fix them".to_owned()),
        }
    }

    fn date(object: &str, line: u64, column: &str, value: &str) -> Finding {
        let reason = format!("column {column} (datetime): '{value}' is not a date and time");
        finding(object, vec![bad(line, column, &reason)])
    }

    fn text(findings: Vec<Finding>) -> String {
        let mut causes = Causes::default();
        for finding in findings {
            causes.add(finding);
        }
        causes.text(&[], Paint::PLAIN)
    }

    #[test]
    fn objects_that_fail_alike_are_one_cause_with_three_examples_and_one_hint() {
        let mut findings: Vec<Finding> =
            (1..=29).map(|n| date(&format!("s3://b/{n:02}"), n, "at", "2026-01-01T1Z")).collect();
        findings.swap(0, 1);
        findings.push(date("s3://b/x", 2, "sent", "x"));
        let mut no_key = finding("s3://b/y", Vec::new());
        no_key.message = "the object is archived".to_owned();
        findings.insert(3, no_key);
        let expected = "failed: 30 objects, 30 rows: '2026-01-01T1Z' is not a date and time \
                        (columns at, sent)\n\
                        \x20 s3://b/01, line 1, column at: '2026-01-01T1Z'\n\
                        \x20 s3://b/02, line 2, column at: '2026-01-01T1Z'\n\
                        \x20 s3://b/03, line 3, column at: '2026-01-01T1Z'\n\
                        \x20 and 27 more\n\
                        \x20 hint: use --on-bad-row reject\n\
                        \x20 hint: or fix them\n\
                        failed: s3://b/y: the object is archived\n";
        assert_eq!(text(findings), expected);
    }

    #[test]
    fn one_object_is_shown_whole_and_several_are_shown_briefly() {
        let rows = |n| (1..=n).map(|line| bad(line, "a", &format!("column a (int): 'x{line}' is")));
        let alone = text(vec![finding("s3://b/a", rows(5).collect())]);
        assert_eq!(alone.matches("' is").count(), 5, "{alone}");
        let other = finding("s3://b/b", vec![bad(1, "a", "NULL in a NOT NULL column")]);
        let both = text(vec![finding("s3://b/a", rows(5).collect()), other]);
        assert!(both.contains("'x3'") && !both.contains("'x4'"), "{both}");
        assert!(both.contains("\n  and 2 more\n"), "{both}");
    }

    #[test]
    fn many_causes_take_no_more_than_a_screen() {
        let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
        let mut findings = Vec::new();
        for first in words {
            for second in words {
                let mut one = finding(&format!("s3://b/{first}{second}"), Vec::new());
                one.message = format!("the reason {first} and {second}");
                one.hint = None;
                findings.push(one);
            }
        }
        let text = text(findings);
        assert_eq!(text.lines().count(), SCREEN_LINES + 1, "{text}");
        let last = "and 129 objects with other causes; --report FILE has all\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn a_template_leaves_out_what_differs_between_objects() {
        let same = |a: &str, b: &str| template(a) == template(b);
        assert!(same("Row 1 doesn't contain 'x'", "Row 22 doesn't contain 'y z'"));
        assert!(same("404 (request AB12): \"e1\"", "404 (request ZZ9): \"e2\""));
        assert!(!same("'x' is too long", "'x' is too short"));
        assert!(!same("the zone", "the hour"));
        assert_eq!(template("ends with '"), "ends with '");
        assert_eq!(template("größe ½ 'ä'"), "größe # ''");
    }
}
