//! A slice of a temporary file that is read and written like a file of its own, because small
//! objects share files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A slice of a file. Offsets count from its beginning, and nothing beyond its end is reachable.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct FileSlice {
    file: Arc<File>,
    start: u64,
    size_bytes: u64,
}

impl FileSlice {
    /// Creates a slice of `size_bytes` bytes from `start` on. They need not be written yet.
    #[must_use]
    pub fn new(file: Arc<File>, start: u64, size_bytes: u64) -> Self {
        Self { file, start, size_bytes }
    }

    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns the slice of its first `size_bytes` bytes.
    #[must_use]
    pub fn truncate(mut self, size_bytes: u64) -> Self {
        self.size_bytes = self.size_bytes.min(size_bytes);
        self
    }

    /// Fills some of `buffer` and returns the number of bytes; 0 at the end.
    ///
    /// # Errors
    /// Fails like `pread`.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        self.file.read_at(&mut buffer[..length], self.start + offset)
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// Fails like `pread`, and with `UnexpectedEof` if the slice or its file is too short.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.ensure_within(buffer.len(), offset, io::ErrorKind::UnexpectedEof)?;
        self.file.read_exact_at(buffer, self.start + offset)
    }

    /// # Errors
    /// Fails like `pwrite`, and with `WriteZero` if the slice is too short.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.ensure_within(bytes.len(), offset, io::ErrorKind::WriteZero)?;
        self.file.write_all_at(bytes, self.start + offset)
    }

    fn ensure_within(&self, length: usize, offset: u64, kind: io::ErrorKind) -> io::Result<()> {
        let end = offset.saturating_add(length as u64);
        if end <= self.size_bytes { Ok(()) } else { Err(kind.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_in_a_file_do_not_see_each_other() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let left = FileSlice::new(Arc::clone(&file), 0, 3);
        let right = FileSlice::new(file, 3, 4);
        right.write_all_at(b"defg", 0).unwrap();
        left.write_all_at(b"abc", 0).unwrap();
        let mut all = [0; 10];
        assert_eq!(left.read_at(&mut all, 1).unwrap(), 2);
        assert_eq!(&all[..2], b"bc");
        assert_eq!(left.read_at(&mut all, 3).unwrap(), 0);
        assert_eq!(
            left.read_exact_at(&mut all[..3], 1).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(left.write_all_at(b"xx", 2).unwrap_err().kind(), io::ErrorKind::WriteZero);
        right.clone().truncate(2).read_exact_at(&mut all[..2], 0).unwrap();
        assert_eq!(&all[..2], b"de");
        assert!(right.truncate(2).read_exact_at(&mut all[..3], 0).is_err());
    }
}
