//! Raises the operating system's limits on this process where permitted, and names a limit that
//! causes an error.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// The limit on open files that is enough for every setting. Programs that the SDK starts for
/// credentials inherit it, and some of them loop over every possible file descriptor.
const ENOUGH_OPEN_FILES: u64 = 65_536;

/// Raises the limit on open files as far as this process may and needs to.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH_OPEN_FILES, |maximum| maximum.min(ENOUGH_OPEN_FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        // A refusal leaves what there is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit });
    }
}

/// Returns the limit on open files, or `None` if it is unlimited.
#[must_use]
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Makes a write beyond the limit on the size of files an error. By default, such a write ends the
/// process without a word. The effect lasts for as long as the process. Needs a runtime.
///
/// # Errors
/// The error of the operating system, if it refuses a signal handler.
pub fn outlive_file_size_limit() -> io::Result<()> {
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// Returns what to do if the cause of `error` is a limit of the operating system.
#[must_use]
pub fn remedy(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        match code.map(Errno::from_raw_os_error) {
            Some(Errno::MFILE) => {
                let now = open_files().map_or_else(String::new, |limit| format!(" (now {limit})"));
                return Some(format!(
                    "too many open files: raise ulimit -n{now}, or lower --download-concurrency \
                     and --load-concurrency"
                ));
            }
            Some(Errno::NFILE) => {
                return Some(
                    "too many open files on this machine: an administrator must raise fs.file-max"
                        .to_owned(),
                );
            }
            Some(Errno::FBIG) => {
                let limit = getrlimit(Resource::Fsize).current?;
                return Some(format!(
                    "raise ulimit -f, which limits the size of a file to {limit} bytes"
                ));
            }
            _ => next = error.source(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_found_among_the_causes_of_an_error() {
        let full = || io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
        let wrapped = crate::error::Error::new(crate::error::ErrorKind::Bug, "m").caused_by(full());
        for error in [&full() as &(dyn Error + 'static), &wrapped] {
            assert!(remedy(error).is_some_and(|it| it.contains("raise ulimit -n (now ")));
        }
        assert_eq!(remedy(&io::Error::from_raw_os_error(Errno::NOENT.raw_os_error())), None);
    }
}
