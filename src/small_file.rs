//! Files that are small by nature: configuration, passwords, certificates.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Far more than a bundle of all public certificates.
const LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// The time that a pipe may be silent.
const PIPE_WAIT: Duration = Duration::from_secs(10);

/// Reads the file, which may also be a pipe. Blocking.
///
/// # Errors
/// The errors of reading; `FileTooLarge` for a file that is larger than 4 MiB, of which no more is
/// read; `TimedOut` for a pipe to which nothing is written for ten seconds.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, PIPE_WAIT)
}

fn read_within(path: &Path, wait: Duration) -> io::Result<Vec<u8>> {
    let is_pipe = path.metadata().is_ok_and(|found| found.file_type().is_fifo());
    // Otherwise a pipe is not even opened before somebody writes to it.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    loop {
        if is_pipe {
            await_writer(&file, wait)?;
        }
        let room = LIMIT_BYTES + 1 - bytes.len() as u64;
        match (&file).take(room).read_to_end(&mut bytes) {
            Ok(_) => break,
            // The writer of a pipe has more to write.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    if bytes.len() as u64 > LIMIT_BYTES {
        let message = "it is larger than 4 MiB, the limit for such a file";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Waits until the pipe has bytes, or its last writer has closed it.
fn await_writer(pipe: &File, wait: Duration) -> io::Result<()> {
    let limit = Timespec::try_from(wait).map_err(io::Error::other)?;
    loop {
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&limit)) {
            Ok(0) => {
                let message = format!("nothing was written to this pipe for {} s", wait.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Replaces the file by one with this text, which all users can read. A reader sees either the old
/// or the new one. Blocking.
///
/// # Errors
/// The errors of writing. The old file is unchanged then.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    replace_with(path, text, 0o644)
}

/// Does the same as [`replace`] with a file that only its owner can read.
///
/// # Errors
/// The errors of [`replace`].
pub fn replace_private(path: &Path, text: &str) -> io::Result<()> {
    replace_with(path, text, 0o600)
}

fn replace_with(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        // A pipe or a device cannot be replaced.
        return OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let mut file =
        tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".tmp").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Does the same as [`read`] for a text.
///
/// # Errors
/// The errors of [`read`], and `InvalidData` for what is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not valid UTF-8"))
}

/// Checks a file that a library will read as a whole, and perhaps more than once. Blocking. A file
/// that cannot be read is left to the library.
///
/// # Errors
/// `InvalidInput` for a pipe, a socket or a device other than `/dev/null`. `FileTooLarge` as in
/// [`read`].
pub fn check(path: &Path) -> io::Result<()> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    if metadata.is_file() {
        return match read(path) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(error),
            _ => Ok(()),
        };
    }
    let is_empty = path.canonicalize().is_ok_and(|path| path == Path::new("/dev/null"));
    if metadata.is_dir() || is_empty {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused_and_one_at_the_limit_is_read() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 4 MiB, the limit for such a file");
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LIMIT_BYTES).unwrap();
        assert_eq!(read(file.path()).unwrap().len() as u64, LIMIT_BYTES);
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = read_within(&pipe, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let to = pipe.clone();
        let writer = std::thread::spawn(move || {
            let mut writer = OpenOptions::new().write(true).open(to).unwrap();
            for part in ["one ", "two"] {
                std::thread::sleep(Duration::from_millis(50));
                writer.write_all(part.as_bytes()).unwrap();
            }
        });
        assert_eq!(read_text(&pipe).unwrap(), "one two");
        writer.join().unwrap();
    }

    #[test]
    fn a_library_gets_regular_files_and_the_empty_device() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), Path::new("/dev/null"), Path::new("/"), Path::new("/nowhere")] {
            assert!(check(path).is_ok(), "{}", path.display());
        }
        assert_eq!(check(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        file.as_file().set_len(LIMIT_BYTES + 1).unwrap();
        assert_eq!(check(file.path()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_others_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.prom");
        for text in ["a longer text", "b"] {
            replace(&path, text).unwrap();
            assert_eq!(read_text(&path).unwrap(), text);
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        replace_private(&path, "c").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(dir.path(), "a directory").is_err());
        assert!(replace(&dir.path().join("no/such"), "").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        replace(Path::new("/dev/null"), "x").unwrap();
    }

    #[test]
    fn a_text_is_utf_8() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\xff").unwrap();
        assert_eq!(read_text(file.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
