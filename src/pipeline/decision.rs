//! Decides what happens to a listed object, from its state in the ledger and the settings.

use crate::error::{Error, ErrorKind};
use crate::ledger::{LedgerConfig, ObjectState, content_changed, partial_changed};
use crate::object::Object;
use crate::policy::OnChanged;
use crate::report::counted;

/// The decision about an object, from its state in the ledger.
#[derive(Debug)]
pub(crate) enum Decision {
    Load { again: bool },
    Over(Disposition),
}

#[derive(Debug)]
pub(crate) enum Disposition {
    AlreadyLoaded,
    SkippedChanged,
    /// Somebody has acknowledged that this content cannot be loaded.
    Acknowledged,
    Failed(Error),
}

pub(crate) fn decide(config: &LedgerConfig, object: &Object, known: &ObjectState) -> Decision {
    if known.is_acknowledged && !known.is_loaded {
        return Decision::Over(Disposition::Acknowledged);
    }
    if let Some(partial) = &known.partial_etag {
        let error = partial_changed(object, partial, object.etag.trim_matches('"'));
        return Decision::Over(Disposition::Failed(error));
    }
    if config.force {
        return Decision::Load { again: known.is_loaded };
    }
    if known.is_loaded {
        return Decision::Over(Disposition::AlreadyLoaded);
    }
    if let Some(failed) = known.failed.as_ref().filter(|failed| failed.is_same_content)
        && !config.retry_failed
        // Changed content was never tried: it is decided again below. Neither was an object whose
        // claim was held.
        && failed.error_code != ErrorKind::ContentChanged.code()
        && failed.attempts > 0
    {
        let message = format!(
            "{object}: failed in an earlier run ({}, {}) and is not retried",
            failed.error_code,
            counted(u64::from(failed.attempts), "attempt")
        );
        return Decision::Over(Disposition::Failed(Error::new(ErrorKind::FailedBefore, message)));
    }
    match (&known.loaded_etag, config.on_changed) {
        (None, _) | (Some(_), OnChanged::Load) => Decision::Load { again: false },
        (Some(_), OnChanged::Skip) => Decision::Over(Disposition::SkippedChanged),
        (Some(loaded), OnChanged::Error) => {
            let error = content_changed(object, loaded, object.etag.trim_matches('"'));
            Decision::Over(Disposition::Failed(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::EarlierFailure;

    fn says(config: &LedgerConfig, known: &ObjectState) -> String {
        let object = Object::of_size(1);
        match decide(config, &object, known) {
            Decision::Load { again } => if again { "again" } else { "load" }.to_owned(),
            Decision::Over(Disposition::AlreadyLoaded) => "already loaded".to_owned(),
            Decision::Over(Disposition::SkippedChanged) => "skipped".to_owned(),
            Decision::Over(Disposition::Acknowledged) => "acknowledged".to_owned(),
            Decision::Over(Disposition::Failed(error)) => error.kind.code().to_owned(),
        }
    }

    const CONFIG: LedgerConfig = LedgerConfig {
        table: None,
        on_changed: OnChanged::Error,
        force: false,
        retry_failed: true,
    };

    #[test]
    fn what_the_ledger_lacks_is_loaded_and_what_it_has_is_not() {
        assert_eq!(says(&CONFIG, &ObjectState::default()), "load");
        let loaded = ObjectState {
            is_loaded: true,
            loaded_etag: Some("older".into()),
            ..ObjectState::default()
        };
        assert_eq!(says(&CONFIG, &loaded), "already loaded");
        assert_eq!(says(&LedgerConfig { force: true, ..CONFIG }, &loaded), "again");
    }

    #[test]
    fn what_is_acknowledged_is_not_tried_unless_it_is_loaded() {
        let acknowledged = ObjectState {
            is_acknowledged: true,
            loaded_etag: Some("older".into()),
            partial_etag: Some("older".into()),
            ..ObjectState::default()
        };
        for force in [false, true] {
            assert_eq!(says(&LedgerConfig { force, ..CONFIG }, &acknowledged), "acknowledged");
        }
        let loaded = ObjectState { is_loaded: true, partial_etag: None, ..acknowledged };
        assert_eq!(says(&CONFIG, &loaded), "already loaded");
    }

    #[test]
    fn content_that_changed_is_the_users_decision() {
        let changed = ObjectState { loaded_etag: Some("older".into()), ..ObjectState::default() };
        assert_eq!(says(&CONFIG, &changed), "content_changed");
        assert_eq!(says(&LedgerConfig { on_changed: OnChanged::Load, ..CONFIG }, &changed), "load");
        assert_eq!(
            says(&LedgerConfig { on_changed: OnChanged::Skip, ..CONFIG }, &changed),
            "skipped"
        );
    }

    #[test]
    fn an_object_whose_parts_are_of_another_content_fails_whatever_is_asked() {
        let partial = ObjectState { partial_etag: Some("older".into()), ..ObjectState::default() };
        for on_changed in [OnChanged::Error, OnChanged::Load, OnChanged::Skip] {
            for force in [false, true] {
                assert_eq!(
                    says(&LedgerConfig { on_changed, force, ..CONFIG }, &partial),
                    "partial_changed"
                );
            }
        }
        assert_eq!(
            says(&CONFIG, &ObjectState { is_partial: true, ..ObjectState::default() }),
            "load"
        );
    }

    #[test]
    fn a_failure_is_tried_again_unless_it_must_not_or_the_content_is_new() {
        let failed = |is_same_content| ObjectState {
            failed: Some(EarlierFailure {
                is_same_content,
                error_code: "bad_rows".into(),
                attempts: 1,
            }),
            ..ObjectState::default()
        };
        assert_eq!(says(&CONFIG, &failed(true)), "load");
        let no_retry = LedgerConfig { retry_failed: false, ..CONFIG };
        assert_eq!(says(&no_retry, &failed(true)), "failed_before");
        assert_eq!(says(&no_retry, &failed(false)), "load");
    }
}
