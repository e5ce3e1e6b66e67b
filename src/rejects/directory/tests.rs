use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};

use super::*;
use crate::rejects::name::ObjectName;
use crate::rejects::spool::{Spool, SpoolPlace};
use crate::rejects::tests::listed;

fn names(key: &str) -> Names {
    let object =
        ObjectName { bucket: "b".into(), key: key.into(), etag: "e".into(), object_id: "0".into() };
    Names::new(&object, None)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_new_directory_is_for_the_user_alone_and_an_old_one_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/b");
    Directory::open(&path).unwrap();
    assert_eq!([mode(&home.path().join("a")), mode(&path)], [0o700; 2]);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    Directory::open(&path).unwrap();
    assert_eq!(mode(&path), 0o755);
    assert_eq!(listed(&path), [""; 0], "no probe is left");
}

#[test]
fn what_is_no_directory_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Directory::open(&file).is_err());
    assert!(Directory::open(&file.join("below")).is_err());
}

#[test]
fn a_directory_is_what_a_link_to_it_names() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("real")).unwrap();
    symlink("real", home.path().join("link")).unwrap();
    assert!(Directory::open(&home.path().join("link")).is_ok());
}

#[test]
fn a_temporary_file_is_private_and_gone_when_dropped() {
    let home = tempfile::tempdir().unwrap();
    let directory = Directory::open(home.path()).unwrap();
    let name = names("k").data;
    let file = directory.temporary(&name).unwrap();
    let listed_now = listed(home.path());
    assert!(listed_now.len() == 1 && is_temporary(&listed_now[0]), "{listed_now:?}");
    assert_eq!(mode(&home.path().join(&listed_now[0])), 0o600);
    drop(file);
    assert_eq!(listed(home.path()), [""; 0]);
}

#[test]
fn what_a_killed_run_left_goes_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let directory = Directory::open(home.path()).unwrap();
    let Names { data, sidecar } = names("k");
    let writing = directory.temporary(&data).unwrap();
    let kept = listed(home.path());
    let abandoned = [format!(".{data}.0123456789Ab.tmp"), format!(".{sidecar}.0123456789Ab.tmp")];
    let others = [
        data.clone(),
        format!(".{data}.short.tmp"),
        format!(".{data}.0123456789Ab"),
        ".x.rejected.0123456789Ab.tmp".to_owned(),
    ];
    for name in abandoned.iter().chain(&others) {
        fs::write(home.path().join(name), "").unwrap();
    }
    let link = format!(".{data}.0123456789Xy.tmp");
    symlink("elsewhere", home.path().join(&link)).unwrap();

    Directory::open(home.path()).unwrap();
    let mut expected: Vec<String> = kept.into_iter().chain(others).chain([link]).collect();
    expected.sort();
    assert_eq!(listed(home.path()), expected);
    writing.rename(&directory.file(&data)).unwrap();
}

#[test]
fn a_link_at_the_name_is_replaced_and_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let directory = std::sync::Arc::new(Directory::open(&home.path().join("rejects")).unwrap());
    let names = names("k");
    let precious = home.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    for name in [&names.data, &names.sidecar] {
        symlink(&precious, directory.file(name)).unwrap();
    }
    let spool = |name: &str, content: &[u8]| {
        let place = SpoolPlace::Beside {
            directory: std::sync::Arc::clone(&directory),
            name: name.to_owned(),
        };
        let mut spool = Spool::new(place, u64::MAX);
        spool.append(content).unwrap();
        spool
    };
    directory
        .publish(
            &names,
            spool(&names.data, b"row").finish().unwrap(),
            spool(&names.sidecar, b"why").finish().unwrap(),
        )
        .unwrap();
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    for (name, content) in [(&names.data, b"row"), (&names.sidecar, b"why")] {
        let path = directory.file(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (content.to_vec(), 0o600));
    }
}

#[test]
fn a_file_that_is_being_read_keeps_its_content_when_it_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let directory = Directory::open(home.path()).unwrap();
    let path = directory.file(&names("k").data);
    fs::write(&path, "old").unwrap();
    let reader = File::open(&path).unwrap();
    let new = directory.temporary(&names("k").data).unwrap();
    new.file.write_all_at(b"new", 0).unwrap();
    new.rename(&path).unwrap();
    assert_eq!(std::io::read_to_string(reader).unwrap(), "old");
    assert_eq!(fs::read(&path).unwrap(), b"new");
}
