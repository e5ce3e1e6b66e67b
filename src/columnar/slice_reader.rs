//! Reads a file of Parquet by `pread`. The reader of the `parquet` crate for files shares one
//! position among all that read the same file.

use std::io::{self, BufReader, Read};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::file_slice::FileSlice;

/// The size of the buffer through which the headers of pages are read. They have some dozen bytes,
/// unless they have statistics of long texts.
const BUFFER_BYTES: usize = 4096;

/// A staged file.
pub(super) struct SliceReader(pub(super) FileSlice);

/// The bytes of a staged file from some offset on.
pub(super) struct SliceBytes {
    file: FileSlice,
    offset: u64,
}

impl Length for SliceReader {
    fn len(&self) -> u64 {
        self.0.size_bytes()
    }
}

impl ChunkReader for SliceReader {
    type T = BufReader<SliceBytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let bytes = SliceBytes { file: self.0.clone(), offset: start };
        Ok(BufReader::with_capacity(BUFFER_BYTES, bytes))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // Before the memory is taken: a damaged file may name any length.
        let end = u64::try_from(length).ok().and_then(|length| start.checked_add(length));
        if end.is_none_or(|end| end > self.0.size_bytes()) {
            let why = format!("{length} bytes at {start} are beyond the end of the file");
            return Err(ParquetError::EOF(why));
        }
        let mut bytes = vec![0; length];
        self.0
            .read_exact_at(&mut bytes, start)
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(bytes.into())
    }
}

impl Read for SliceBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
