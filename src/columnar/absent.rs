//! Stands for the reader of Parquet in a program that was built without it. The settings refuse
//! `--format parquet` there, so nothing calls it.

use super::fault::{ColumnarFault, WriteFault};
use super::pairing::PairingOptions;
use super::target_kind::ColumnTarget;
use crate::error::Result;
use crate::file_slice::FileSlice;

pub(crate) struct ParquetFooter;
pub(crate) struct TextColumn;
pub(crate) struct ParquetRows;

pub(crate) enum Tail {
    Whole(Box<ParquetFooter>),
    Needs(u64),
}

fn absent() -> ColumnarFault {
    ColumnarFault::unsupported("this program was built without Parquet", "")
}

impl ParquetFooter {
    pub(crate) fn read(_: &FileSlice) -> std::result::Result<Self, ColumnarFault> {
        Err(absent())
    }

    pub(crate) fn of_tail(_: Vec<u8>, _: u64) -> std::result::Result<Tail, ColumnarFault> {
        Err(absent())
    }

    #[must_use]
    pub(crate) fn with_fields(self, _: &[(String, Vec<String>)]) -> Self {
        self
    }

    pub(crate) fn names(&self) -> Vec<String> {
        Vec::new()
    }

    pub(crate) fn text_columns(
        &self,
        _: &[(usize, ColumnTarget)],
        _: PairingOptions,
    ) -> std::result::Result<Vec<TextColumn>, ColumnarFault> {
        Err(absent())
    }
}

impl ParquetRows {
    pub(crate) fn new(_: ParquetFooter, _: Vec<TextColumn>, _: FileSlice) -> Self {
        Self
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        0
    }

    pub(crate) fn write(
        self,
        _: &mut dyn FnMut(&[u8]) -> Result<bool>,
    ) -> std::result::Result<u64, WriteFault> {
        Err(absent().into())
    }
}
