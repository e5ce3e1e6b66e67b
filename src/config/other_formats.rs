//! Settings that say nothing about the format of the objects.

use super::conflicts::contradiction;
use crate::dialect::{Dialect, FormatConfig, Preset};
use crate::settings::{Resolver, Setting, table as s};

/// Returns the settings of a dialect, the preset first, and true for those that are set.
pub(super) fn of_dialect(
    preset: Preset,
    format: &FormatConfig,
    dialect: &Dialect,
) -> [(&'static Setting, bool); 5] {
    let sent = &format.dialect;
    [
        (&s::PRESET, preset != Preset::Mysql),
        (&s::FIELDS_TERMINATED_BY, dialect.fields_terminated_by != sent.fields_terminated_by),
        (&s::FIELDS_ENCLOSED_BY, dialect.fields_enclosed_by != sent.fields_enclosed_by),
        (&s::FIELDS_ESCAPED_BY, dialect.fields_escaped_by != sent.fields_escaped_by),
        (&s::LINES_TERMINATED_BY, dialect.lines_terminated_by != sent.lines_terminated_by),
    ]
}

/// Reports the settings that are set: a preset alone, because its parts are not reported beside it.
pub(super) fn report(
    resolver: &mut Resolver,
    settings: impl IntoIterator<Item = (&'static Setting, bool)>,
    why: &str,
) {
    for (setting, _) in settings.into_iter().filter(|(_, is_set)| *is_set) {
        is_for_another(resolver, setting, why);
        if setting.name == s::PRESET.name {
            return;
        }
    }
}

pub(super) fn is_for_another(resolver: &mut Resolver, setting: &'static Setting, why: &str) {
    contradiction(
        resolver,
        &format!("{} {why}", setting.name),
        [setting, &s::FORMAT],
        &format!("leave out --{}, or choose another --format", setting.name),
    );
}
