//! The table of settings.

use super::*;

#[test]
fn every_setting_has_its_own_name_and_every_switch_its_own_opposite() {
    let mut names: Vec<&str> = ALL.iter().map(|s| s.name).collect();
    for setting in ALL {
        if let ValueKind::Switch { opposite } = setting.kind {
            let expected = setting
                .name
                .strip_prefix("no-")
                .map_or(format!("no-{}", setting.name), str::to_owned);
            assert_eq!(opposite, expected);
            names.push(opposite);
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_variable_is_named_after_its_setting() {
    assert_eq!(ON_DUPLICATE.environment_variable(), "S3_TO_MYSQL_ON_DUPLICATE");
}

#[test]
fn only_secrets_have_no_flag() {
    for setting in ALL {
        assert_eq!(setting.secret, setting.flag == Flag::None, "{}", setting.name);
    }
}
