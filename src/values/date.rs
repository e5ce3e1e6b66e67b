//! DATE columns. `calendar` has the texts that are dates, and `date_format` reads those of a column
//! with a format.

use super::calendar::{Moment, read};
use super::date_format::DateFormat;
use super::number::trim;
use super::verdict::{BadKind, LossKind, Verdict};

/// The rule of a DATE column.
#[derive(Clone, Debug)]
pub(super) struct DateRule {
    format: Option<DateFormat>,
}

impl DateRule {
    pub(super) fn new(format: Option<DateFormat>) -> Self {
        Self { format }
    }

    pub(super) fn has_format(&self) -> bool {
        self.format.is_some()
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let moment = match moment(text, self.format.as_ref()) {
            Ok(moment) => moment,
            Err(kind) => return Verdict::Bad(kind),
        };
        if moment.offset.is_some() {
            return Verdict::Bad(BadKind::OffsetInDate);
        }
        match moment.clock {
            None if moment.is_plain => Verdict::Exact,
            Some(clock) if !clock.is_midnight() => {
                moment.date.write(out);
                Verdict::Loss(LossKind::TimeOfDay)
            }
            _ => {
                moment.date.write(out);
                Verdict::ExactAs
            }
        }
    }
}

/// Reads a field by the format of its column if it has one, and as the servers read it if not.
pub(super) fn moment<'text>(
    text: &'text [u8],
    format: Option<&DateFormat>,
) -> Result<Moment<'text>, BadKind> {
    let trimmed = trim(text);
    let mut moment = match format {
        None => read(trimmed)?,
        Some(_) if trimmed.is_empty() => return Err(BadKind::Empty),
        Some(format) => format.read(trimmed)?,
    };
    moment.is_plain &= text.len() == trimmed.len();
    Ok(moment)
}
