//! A file that is being written. It is appended to through a buffer, and can be rewound to any
//! earlier length.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::directory::Directory;
use super::spool_file::SpoolFile;

/// Rows are small and numerous. Each object in work has two such buffers.
const BUFFER_BYTES: usize = 64 * 1024;

/// The place where a spool creates its file.
#[derive(Debug)]
pub(super) enum SpoolPlace {
    /// A temporary name in the directory where the file ends up.
    Beside { directory: Arc<Directory>, name: String },
    /// A file without a name in the staging directory.
    Unnamed(PathBuf),
}

/// A buffered file. It is created when the buffer is full for the first time, or when the spool is
/// finished.
#[derive(Debug)]
pub(super) struct Spool {
    place: SpoolPlace,
    /// The size of the largest file that the destination takes.
    limit_bytes: u64,
    file: Option<SpoolFile>,
    /// The number of bytes in the file. After a failed write the file may hold more, which the next
    /// write overwrites.
    written_bytes: u64,
    buffer: Vec<u8>,
}

impl Spool {
    pub(super) fn new(place: SpoolPlace, limit_bytes: u64) -> Self {
        Self { place, limit_bytes, file: None, written_bytes: 0, buffer: Vec::new() }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.written_bytes + self.buffer.len() as u64
    }

    #[cfg(test)]
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// # Errors
    /// `FileTooLarge` beyond the limit, and disk errors. Only [`Self::rewind`] removes what a
    /// failed call appended.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size_bytes() + bytes.len() as u64 > self.limit_bytes {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() > BUFFER_BYTES {
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Truncates the file to an earlier length.
    pub(super) fn rewind(&mut self, size_bytes: u64) -> io::Result<()> {
        if let Some(beyond) = self.written_bytes.checked_sub(size_bytes) {
            self.buffer.clear();
            if beyond > 0 {
                self.written_bytes = size_bytes;
            }
        } else {
            let kept = usize::try_from(size_bytes - self.written_bytes).unwrap_or(usize::MAX);
            self.buffer.truncate(kept);
        }
        // Also removes what a half-finished write left behind.
        match &self.file {
            Some(spooled) => spooled.file.set_len(self.written_bytes),
            None => Ok(()),
        }
    }

    /// Returns the complete file.
    pub(super) fn finish(mut self) -> io::Result<SpoolFile> {
        self.flush()?;
        match self.file {
            Some(file) => Ok(file),
            None => self.place.make(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        if written.is_ok() {
            self.buffer.clear();
        }
        written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let spooled = match self.file.take() {
            Some(file) => file,
            None => self.place.make()?,
        };
        let written = spooled.file.write_all_at(bytes, self.written_bytes);
        self.file = Some(spooled);
        written?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }
}

impl SpoolPlace {
    fn make(&self) -> io::Result<SpoolFile> {
        match self {
            Self::Beside { directory, name } => directory.temporary(name),
            Self::Unnamed(dir) => {
                let file = tempfile::tempfile_in(dir)?;
                // Each upload opens the file again, which a umask must not prevent.
                file.set_permissions(Permissions::from_mode(0o600))?;
                Ok(SpoolFile { file, path: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read as _, Seek as _};

    fn spool(limit_bytes: u64) -> Spool {
        Spool::new(SpoolPlace::Unnamed(std::env::temp_dir()), limit_bytes)
    }

    fn content(spool: Spool) -> Vec<u8> {
        let mut file = spool.finish().unwrap().file;
        let mut content = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        content
    }

    #[derive(Clone, Debug)]
    enum FileStep {
        Append(u8, usize),
        /// Rewinds to this fraction of the length, in 255ths.
        Rewind(u8),
    }

    fn step() -> impl Strategy<Value = FileStep> {
        let length = prop_oneof![
            0..2000_usize,
            Just(BUFFER_BYTES - 1),
            Just(BUFFER_BYTES),
            Just(BUFFER_BYTES + 1)
        ];
        let append =
            (any::<u8>(), length).prop_map(|(byte, length)| FileStep::Append(byte, length));
        prop_oneof![3 => append, 1 => any::<u8>().prop_map(FileStep::Rewind)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_appended_and_not_taken_back_is_in_the_file(
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let (mut spool, mut model) = (spool(u64::MAX), Vec::new());
            for step in steps {
                match step {
                    FileStep::Append(byte, length) => {
                        spool.append(&vec![byte; length]).unwrap();
                        model.resize(model.len() + length, byte);
                    }
                    FileStep::Rewind(fraction) => {
                        model.truncate(model.len() * usize::from(fraction) / 255);
                        spool.rewind(model.len() as u64).unwrap();
                    }
                }
                prop_assert_eq!(spool.size_bytes(), model.len() as u64);
                prop_assert!(spool.buffer.capacity() <= 2 * BUFFER_BYTES);
            }
            prop_assert!(content(spool) == model);
        }
    }

    #[test]
    fn nothing_is_on_disk_before_a_buffer_is_full() {
        let mut spool = spool(u64::MAX);
        spool.append(&vec![0; BUFFER_BYTES]).unwrap();
        assert!(spool.file.is_none());
        spool.append(b"x").unwrap();
        assert_eq!(
            spool.file.as_ref().unwrap().file.metadata().unwrap().len(),
            BUFFER_BYTES as u64
        );
    }

    #[test]
    fn a_file_past_the_destinations_limit_is_refused() {
        let mut spool = spool(10);
        spool.append(&[0; 10]).unwrap();
        assert_eq!(spool.append(b"x").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        spool.rewind(9).unwrap();
        spool.append(b"x").unwrap();
    }
}
