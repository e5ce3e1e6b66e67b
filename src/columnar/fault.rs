//! The reasons why a file cannot be read.

use thiserror::Error;

use crate::error::Error as LoadError;

/// The reason why a file cannot be read, or not into this table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ColumnarFault {
    /// The bytes are damaged.
    #[error("{0}")]
    Damaged(String),
    /// The file has something that this program does not read.
    #[error("{why}")]
    Unsupported { why: String, hint: String },
}

impl ColumnarFault {
    pub(super) fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged(why.into())
    }

    pub(super) fn unsupported(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unsupported { why: why.into(), hint: hint.into() }
    }
}

/// The reason why the rows of a file could not be written.
#[derive(Debug)]
pub(crate) enum WriteFault {
    File(ColumnarFault),
    /// The receiver of the text refused it.
    Text(LoadError),
}

impl From<ColumnarFault> for WriteFault {
    fn from(fault: ColumnarFault) -> Self {
        Self::File(fault)
    }
}

impl From<LoadError> for WriteFault {
    fn from(error: LoadError) -> Self {
        Self::Text(error)
    }
}
