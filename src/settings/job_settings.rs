//! The settings that each job of a jobs file may have for itself.

use super::setting::{Section, Setting};
use super::table::{
    CREATE_TABLE, KEYS_FROM, LEDGER_TABLE, LOAD_CONCURRENCY, MAX_LAG, MAX_RATE,
    MAX_THREADS_RUNNING, METRICS_FILE, NO_LEDGER, PRIMARY_KEY, REPLICAS, TABLE, URIS,
};

/// Returns true if a job of a jobs file may have a value of its own.
pub(crate) fn is_of_job(setting: &Setting) -> bool {
    let is_of_all = [
        LOAD_CONCURRENCY.name,
        MAX_RATE.name,
        MAX_THREADS_RUNNING.name,
        MAX_LAG.name,
        REPLICAS.name,
        LEDGER_TABLE.name,
        NO_LEDGER.name,
    ];
    let is_of_target = [TABLE.name, CREATE_TABLE.name, PRIMARY_KEY.name, METRICS_FILE.name];
    match setting.section {
        Section::Source | Section::Format => true,
        Section::Ledger | Section::Loading => !is_of_all.contains(&setting.name),
        _ => is_of_target.contains(&setting.name),
    }
}

/// Returns true if the setting says what a job loads, or where.
pub(crate) fn names_job(setting: &Setting) -> bool {
    [URIS.name, KEYS_FROM.name, TABLE.name, METRICS_FILE.name].contains(&setting.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table;

    #[test]
    fn what_names_a_job_is_of_one_job() {
        for setting in table::ALL {
            assert!(is_of_job(setting) || !names_job(setting), "{}", setting.name);
        }
        assert!(is_of_job(&table::MODE) && !is_of_job(&table::HOST) && !is_of_job(&table::REPORT));
    }
}
