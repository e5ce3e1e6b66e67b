//! Counts and judges the rows of an object while it downloads.

use std::sync::Arc;

use super::context::Context;
use super::header::{HEADER_BYTES, header_too_long};
use super::parquet_object::ParquetDecoder;
use super::row_judge::{Judged, RowJudge};
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::load_data::ObjectLayout;
use crate::object::Object;
use crate::split::{Malformed, RowReader, Scan, TextPlaces};
use crate::staging::{ByteObserver, ExpectedText, FileDecoder};
use crate::unpack::RecordsAt;

/// Feeds the bytes of a download to the splitter, which counts rows, and judges them.
pub(super) struct RowCounter {
    context: Arc<Context>,
    object: Object,
    /// The name of the object in messages.
    name: String,
    layout: ObjectLayout,
    reader: RowReader,
    /// The number of bytes that the reader has got.
    read_bytes: u64,
    judging: Judging,
    /// The bytes so far, if the reader waits for the header, which decides the layout.
    head: Option<Vec<u8>>,
    places: TextPlaces,
    malformed: Option<Malformed>,
    /// The number of rows to check; `None` for all.
    sample: Option<u64>,
    expected_text: ExpectedText,
    records: Option<RecordsAt>,
    /// The number of rows that the decoder of the object wrote.
    decoded_rows: Option<u64>,
}

impl RowCounter {
    pub(super) fn new(
        context: &Arc<Context>,
        object: &Object,
        layout: &ObjectLayout,
        sample: Option<u64>,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            object: object.clone(),
            name: object.to_string(),
            reader: layout.reader.clone(),
            read_bytes: 0,
            judging: if sample.is_some() { Judging::Impossible } else { Judging::NotBegun },
            head: context.layouts.go_by_name().then(Vec::new),
            places: TextPlaces::new(&layout.reader),
            malformed: None,
            sample,
            expected_text: context.expected_text(layout.fields_per_row()),
            records: context.records(),
            decoded_rows: None,
            layout: layout.clone(),
        }
    }

    /// Looks for the header in the bytes so far, and reads them by it.
    fn look_for_header(&mut self, head: Vec<u8>, is_cut: bool) -> Result<()> {
        if let Some(names) = self.context.header_names(&head, is_cut) {
            self.layout = self.context.layout(&self.object, Some(names))?;
            self.reader = self.layout.reader.clone();
            return self.read(&head);
        }
        if is_cut && head.len() as u64 <= HEADER_BYTES {
            self.head = Some(head);
            return Ok(());
        }
        // Without a header there are no rows, or something is wrong with it.
        self.read(&head)?;
        if is_cut {
            return Err(header_too_long(&self.object));
        }
        Ok(())
    }

    /// Reads an object that ended before its header did, and returns the layout of its rows.
    ///
    /// # Errors
    /// `Malformed`, and the errors of the layout.
    pub(super) fn settle_layout(&mut self, received: &FileSlice) -> Result<ObjectLayout> {
        if let Some(head) = self.head.take() {
            let read = self.look_for_header(head, false);
            read.map_err(|refusal| self.locate(refusal, received))?;
        }
        Ok(self.layout.clone())
    }

    /// Ends the object, whose text `received` holds.
    ///
    /// # Errors
    /// `Malformed`.
    pub(super) fn finish(self, received: &FileSlice) -> Result<(Scan, Judging)> {
        let Self { reader, places, name, judging, decoded_rows, .. } = self;
        match reader.finish() {
            Ok(scan) if decoded_rows.is_some_and(|rows| rows != scan.rows) => {
                let (counted, decoded) = (scan.rows, decoded_rows.unwrap_or_default());
                let message =
                    format!("{name}: {decoded} rows were decoded, and their text has {counted}");
                Err(Error::new(ErrorKind::CountMismatch, message))
            }
            Ok(scan) => Ok((scan, judging)),
            Err(malformed) => Err(refused(&name, &located(&places, malformed, received))),
        }
    }

    fn read(&mut self, chunk: &[u8]) -> Result<()> {
        self.reader.feed(chunk).or_else(|malformed| {
            // What lies beyond the sample is not checked.
            let is_beyond = self.sample.is_some_and(|rows| malformed.row > rows);
            if is_beyond {
                return Ok(());
            }
            let error = refused(&self.name, &malformed);
            self.malformed = Some(malformed);
            Err(error)
        })?;
        self.judge(chunk);
        Ok(())
    }

    /// Judges the rows in the next bytes, which the reader has got.
    fn judge(&mut self, chunk: &[u8]) {
        let chunk_start = self.read_bytes;
        self.read_bytes += chunk.len() as u64;
        let mut rows = chunk;
        if let Judging::NotBegun = self.judging
            && let Some((data_start, terminator)) = self.reader.data_start()
        {
            let skipped = data_start.checked_sub(chunk_start).map(usize::try_from);
            self.judging = match skipped {
                Some(Ok(skipped)) => {
                    rows = chunk.get(skipped..).unwrap_or_default();
                    let format = &self.context.options.format;
                    Judging::Begun(Box::new(RowJudge::new(&self.layout, format, terminator)))
                }
                // Rows went by before their terminator was known.
                _ => Judging::Impossible,
            };
        }
        if let Judging::Begun(judge) = &mut self.judging
            && judge.feed(rows).is_err()
        {
            self.judging = Judging::Impossible;
        }
    }
}

/// The judgement of the rows of a download.
pub(super) enum Judging {
    /// The first row or the line terminator is not known.
    NotBegun,
    Begun(Box<RowJudge>),
    /// The rows can be judged only when all of them are there.
    Impossible,
}

impl Judging {
    /// Returns the verdicts on all rows, if all were judged.
    pub(super) fn finish(self, missing_terminator: &[u8]) -> Option<Judged> {
        match self {
            Self::Begun(judge) => judge.finish(missing_terminator).ok(),
            Self::NotBegun | Self::Impossible => None,
        }
    }
}

impl ByteObserver for RowCounter {
    fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        if self.is_satisfied() {
            return Ok(());
        }
        match self.head.take() {
            Some(mut head) => {
                head.extend_from_slice(chunk);
                self.look_for_header(head, true)
            }
            None => self.read(chunk),
        }
    }

    fn locate(&self, refusal: Error, received: &FileSlice) -> Error {
        match &self.malformed {
            Some(malformed) => {
                refused(&self.name, &located(&self.places, malformed.clone(), received))
            }
            None => refusal,
        }
    }

    fn records(&self) -> Option<RecordsAt> {
        self.records.clone()
    }

    fn decoder(&self) -> Option<Box<dyn FileDecoder>> {
        self.context.options.format.parquet.as_ref()?;
        Some(Box::new(ParquetDecoder::new(&self.context, &self.object)))
    }

    fn expect_rows(&mut self, rows: u64) {
        self.decoded_rows = Some(rows);
    }

    fn expected_text(&self) -> ExpectedText {
        self.expected_text
    }

    fn is_satisfied(&self) -> bool {
        self.sample.is_some_and(|rows| self.reader.rows() >= rows)
    }
}

/// Returns the defect with its line and column. Without them if the bytes cannot be read again.
fn located(places: &TextPlaces, mut malformed: Malformed, received: &FileSlice) -> Malformed {
    let read = |buffer: &mut [u8], at| received.read_exact_at(buffer, at);
    malformed.find_places(|offset| places.find(read, 0, 0, offset).ok());
    malformed
}

fn refused(object: &str, malformed: &Malformed) -> Error {
    Error::new(ErrorKind::Malformed, format!("{object}: {malformed}"))
}
