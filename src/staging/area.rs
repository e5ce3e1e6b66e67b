//! The disk space of one object's text, which grows while a packed object is unpacked.
//!
//! A plain object has the size of its listing, and takes its slot at its first byte. The size of
//! what a packed object unpacks to is known at its end. The text of a small one is kept in memory
//! until then, so that it gets an exact slot beside other small ones. A larger one has a file of
//! its own, and takes more of the budget as it grows.
//!
//! Nothing here waits. If the budget, or the memory of decoders, has no more to give, the object
//! gives back all that it holds, and begins again with what it will need ([`Wanted`]).

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::budget::{Budget, DECODER_MEMORY, PERMIT_BYTES, shrink, split_beyond};
use super::slot::{StagingFiles, StagingSlot};
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::object::Object;
use crate::unpack::{MAX_MEMORY_BYTES, TextFault, TextSource};

/// The most text of one packed object that is kept in memory. Sixty-four small objects may be
/// downloaded at once.
const IN_MEMORY_BYTES: usize = 256 * 1024;
/// The usual limit on how far packed text expands: most has a third to a tenth of its size when
/// packed.
const USUAL_RATIO: u64 = 12;

/// The limits that the downloads of a table share: the files, and the budget of disk and memory.
#[derive(Clone, Debug)]
pub struct StagingArea {
    pub(super) files: StagingFiles,
    pub(super) budget: Budget,
    /// The longest text of a packed object that is staged whole. A longer one is split.
    whole_bytes: u64,
}

/// The space that an object needs to be staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub text_bytes: u64,
    pub memory_bytes: u64,
}

/// The space that an object may take without asking.
#[derive(Debug)]
pub struct Reserved {
    text: OwnedSemaphorePermit,
    memory: Option<OwnedSemaphorePermit>,
}

impl StagingArea {
    /// Creates the area in `dir`. Small objects share files of `shared_bytes`.
    #[must_use]
    pub fn new(dir: &Path, shared_bytes: u64, budget: Budget) -> Self {
        Self {
            files: StagingFiles::new(dir.to_owned(), shared_bytes),
            budget,
            whole_bytes: u64::MAX,
        }
    }

    /// Sets the length of text above which a packed object is not staged whole, but split.
    #[must_use]
    pub fn splitting_above(self, text_bytes: Option<u64>) -> Self {
        Self { whole_bytes: text_bytes.unwrap_or(u64::MAX), ..self }
    }

    /// Returns true if an object with that much text is to be split.
    #[must_use]
    pub fn splits(&self, wanted: Wanted) -> bool {
        wanted.text_bytes > self.whole_bytes
    }

    /// Waits until `object` may be staged: with the space of its listing, or with `wanted`. The
    /// caller must hold no space, and none of what the holders of space wait for.
    ///
    /// # Errors
    /// `ObjectTooLarge` if it can never fit.
    pub async fn reserve(&self, object: &Object, wanted: Option<Wanted>) -> Result<Reserved> {
        let Some(Wanted { text_bytes, memory_bytes }) = wanted else {
            return Ok(Reserved { text: self.budget.reserve(object).await?, memory: None });
        };
        // First, because nobody waits for memory while he holds disk space.
        let memory = self.reserve_memory(memory_bytes).await?;
        let text = self.budget.reserve_text(object, text_bytes).await?;
        Ok(Reserved { text, memory: Some(memory) })
    }

    /// Waits until decoders may take this much memory. The caller must hold none of it, and no disk
    /// space.
    pub(super) async fn reserve_memory(&self, memory_bytes: u64) -> Result<OwnedSemaphorePermit> {
        let permits = Self::permits(memory_bytes);
        Arc::clone(&self.budget.memory).acquire_many_owned(permits).await.map_err(|error| {
            Error::new(ErrorKind::Bug, "the memory of decoders was closed").caused_by(error)
        })
    }

    /// Takes permits for this much memory in all, without waiting. Returns false if too few are
    /// free.
    pub(super) fn try_memory(
        &self,
        held: &mut Option<OwnedSemaphorePermit>,
        memory_bytes: u64,
    ) -> bool {
        let had = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing =
            Self::permits(memory_bytes).saturating_sub(u32::try_from(had).unwrap_or(u32::MAX));
        if missing == 0 {
            return true;
        }
        let Ok(more) = Arc::clone(&self.budget.memory).try_acquire_many_owned(missing) else {
            return false;
        };
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        true
    }

    /// Returns the permits for memory; all of them for a decoder that needs more than there is.
    fn permits(memory_bytes: u64) -> u32 {
        let most = u32::try_from(DECODER_MEMORY.bytes() / PERMIT_BYTES).unwrap_or(1);
        u32::try_from(memory_bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX).min(most)
    }
}

enum Place {
    /// Nothing is written yet.
    Reserved(OwnedSemaphorePermit),
    Slot(StagingSlot),
    Memory(Vec<u8>, OwnedSemaphorePermit),
    Growing(Arc<File>, OwnedSemaphorePermit),
}

/// The space of one object.
pub(super) struct Space {
    area: StagingArea,
    /// `None` only after an error.
    place: Option<Place>,
    memory: Option<OwnedSemaphorePermit>,
    /// The space for text, beyond the bytes of an object that is decoded later.
    for_text: Option<OwnedSemaphorePermit>,
    /// The bytes of the object, if they are on disk beside this text.
    beside_bytes: u64,
    /// The space without which the object cannot go on.
    pub(super) wanted: Option<Wanted>,
}

impl Space {
    pub(super) fn new(area: StagingArea, reserved: Reserved) -> Self {
        let Reserved { text, memory } = reserved;
        let place = Some(Place::Reserved(text));
        Self { area, place, memory, for_text: None, beside_bytes: 0, wanted: None }
    }

    /// Keeps what is reserved beyond the bytes of the object for the text that they are decoded
    /// into.
    pub(super) fn keep_for_text(&mut self, object: &Object) {
        if let Some(Place::Reserved(permit)) = &mut self.place {
            self.for_text = split_beyond(permit, object.size_bytes);
        }
    }

    /// Returns the space for the text of the object that this one holds, and nothing else.
    pub(super) fn text_beside(&mut self, object: &Object) -> Result<Self> {
        let permit = self.for_text.take().ok_or_else(|| lost(object))?;
        Ok(Self {
            area: StagingArea { whole_bytes: u64::MAX, ..self.area.clone() },
            place: Some(Place::Reserved(permit)),
            memory: None,
            for_text: None,
            beside_bytes: object.size_bytes,
            wanted: None,
        })
    }

    /// Waits until the decoder of the object may take this much memory. Nobody who holds memory of
    /// decoders may wait for disk space meanwhile.
    pub(super) async fn wait_for_memory(&mut self, memory_bytes: u64) -> Result<()> {
        self.memory = Some(self.area.reserve_memory(memory_bytes).await?);
        Ok(())
    }

    /// Returns the space without what was written to it.
    pub(super) fn cleared(self) -> Self {
        let place = match self.place {
            Some(Place::Memory(_, permit) | Place::Growing(_, permit)) => {
                Some(Place::Reserved(permit))
            }
            place => place,
        };
        Self { place, ..self }
    }

    /// Writes the bytes of a plain object.
    pub(super) fn write(&mut self, object: &Object, bytes: &[u8], at: u64) -> Result<()> {
        let slot = match self.place.take() {
            Some(Place::Reserved(permit)) => {
                self.area.files.take(object, object.size_bytes, permit)?
            }
            Some(Place::Slot(slot)) => slot,
            _ => return Err(lost(object)),
        };
        let written = slot.region.write_all_at(bytes, at);
        self.place = Some(Place::Slot(slot));
        written.map_err(|error| unstaged(object, error))
    }

    /// Writes text of a packed object.
    pub(super) fn grow(&mut self, object: &Object, text: &[u8], at: u64) -> Result<()> {
        let size_bytes = at + text.len() as u64;
        let mut place = match self.place.take() {
            Some(Place::Reserved(permit)) => Place::Memory(Vec::new(), permit),
            Some(place) => place,
            None => return Err(lost(object)),
        };
        if let Place::Memory(mut held, mut permit) = place {
            let is_small = held.len() + text.len() <= IN_MEMORY_BYTES;
            if is_small && size_bytes <= self.area.whole_bytes {
                held.extend_from_slice(text);
                self.place = Some(Place::Memory(held, permit));
                return Ok(());
            }
            // Enough for most. If that much is not free, it grows step by step.
            let usual = object.size_bytes.saturating_mul(USUAL_RATIO).min(self.area.whole_bytes);
            self.area.extend(&mut permit, usual);
            let file = Arc::new(self.area.files.file(object)?);
            self.extend(object, &mut permit, held.len() as u64)?;
            write_at(object, &file, &held, 0)?;
            place = Place::Growing(file, permit);
        }
        let Place::Growing(file, mut permit) = place else { return Err(lost(object)) };
        self.extend(object, &mut permit, size_bytes)?;
        write_at(object, &file, text, at)?;
        self.place = Some(Place::Growing(file, permit));
        Ok(())
    }

    /// Takes permits for `size_bytes` of text in all. An error leaves the object without a place.
    fn extend(
        &mut self,
        object: &Object,
        permit: &mut OwnedSemaphorePermit,
        size_bytes: u64,
    ) -> Result<()> {
        let total = self.area.budget.total();
        if size_bytes > self.area.whole_bytes {
            return self.want(object, size_bytes, None);
        }
        if size_bytes.saturating_add(self.beside_bytes) > total.bytes() {
            let message = format!(
                "{object}: what it unpacks to does not fit into the staging budget of {total}"
            );
            return Err(Error::new(ErrorKind::ObjectTooLarge, message));
        }
        // Grow by half, so that the permits are not asked for each block.
        let more = size_bytes + (size_bytes / 2).min(16 << 20);
        if self.area.extend(permit, more) || self.area.extend(permit, size_bytes) {
            return Ok(());
        }
        let most_bytes = total.bytes().saturating_sub(self.beside_bytes);
        let text_bytes = size_bytes.saturating_mul(2).min(most_bytes).min(self.area.whole_bytes);
        self.want(object, text_bytes, None)
    }

    /// Gives an unpacker the memory that its fault asks for.
    pub(super) fn allow(
        &mut self,
        object: &Object,
        unpacker: &mut TextSource,
        fault: &TextFault,
    ) -> Result<()> {
        let Some(needed) = fault.needed_memory() else {
            return Err(refused(object, fault));
        };
        if needed > MAX_MEMORY_BYTES {
            return Err(refused(object, fault)
                .with_hint("pack it with a smaller window, as with `zstd --long=27`"));
        }
        // The other decoder keeps what it has.
        let all = needed + unpacker.memory_bytes();
        self.remember(object, all)?;
        unpacker.allow(needed);
        Ok(())
    }

    /// Takes permits for this much memory in all.
    pub(super) fn remember(&mut self, object: &Object, memory_bytes: u64) -> Result<()> {
        if self.area.try_memory(&mut self.memory, memory_bytes) {
            return Ok(());
        }
        let text_bytes = self.text_bytes().max(object.size_bytes);
        self.want(object, text_bytes, Some(memory_bytes))
    }

    /// Returns the text that fits into the permits that are held.
    fn text_bytes(&self) -> u64 {
        let permits = match &self.place {
            Some(
                Place::Reserved(permit) | Place::Memory(_, permit) | Place::Growing(_, permit),
            ) => permit.num_permits(),
            Some(Place::Slot(_)) | None => 0,
        };
        permits as u64 * PERMIT_BYTES
    }

    fn want(&mut self, object: &Object, text_bytes: u64, memory_bytes: Option<u64>) -> Result<()> {
        let held = self.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let memory_bytes = memory_bytes.unwrap_or(held as u64 * PERMIT_BYTES);
        let text_bytes = text_bytes.saturating_add(self.beside_bytes);
        self.wanted = Some(Wanted { text_bytes, memory_bytes });
        // Never shown: the object begins again.
        let message = format!("{object}: it needs more space to be unpacked");
        Err(Error::new(ErrorKind::ObjectTooLarge, message))
    }

    /// Returns what is written so far, in a file.
    pub(super) fn received(&self, object: &Object, size_bytes: u64) -> Result<FileSlice> {
        match &self.place {
            Some(Place::Slot(slot)) => Ok(slot.region.clone()),
            Some(Place::Growing(file, _)) => Ok(FileSlice::new(Arc::clone(file), 0, size_bytes)),
            Some(Place::Memory(text, _)) => {
                let file = Arc::new(self.area.files.file(object)?);
                write_at(object, &file, text, 0)?;
                Ok(FileSlice::new(file, 0, size_bytes))
            }
            Some(Place::Reserved(_)) => {
                Ok(FileSlice::new(Arc::new(self.area.files.file(object)?), 0, 0))
            }
            None => Err(lost(object)),
        }
    }

    /// Gives the decoders' memory back, and the disk space beyond `size_bytes`.
    pub(super) fn settle(&mut self, object: &Object, size_bytes: u64) -> Result<()> {
        let place = match self.place.take() {
            Some(Place::Memory(text, mut permit)) => {
                if !self.area.extend(&mut permit, size_bytes) {
                    return self.want(object, size_bytes, None);
                }
                shrink(&mut permit, size_bytes);
                let slot = self.area.files.take(object, size_bytes, permit)?;
                let written = slot.region.write_all_at(&text, 0);
                written.map_err(|error| unstaged(object, error))?;
                Place::Slot(slot)
            }
            Some(Place::Growing(file, mut permit)) => {
                shrink(&mut permit, size_bytes);
                Place::Slot(StagingSlot::alone(FileSlice::new(file, 0, size_bytes), permit))
            }
            Some(Place::Reserved(permit)) => {
                Place::Slot(self.area.files.take(object, size_bytes, permit)?)
            }
            Some(place) => place,
            None => return Err(lost(object)),
        };
        self.place = Some(place);
        self.memory = None;
        Ok(())
    }

    /// Returns the slot of a settled space.
    pub(super) fn into_slot(self, object: &Object) -> Result<StagingSlot> {
        match self.place {
            Some(Place::Slot(slot)) => Ok(slot),
            _ => Err(lost(object)),
        }
    }
}

impl StagingArea {
    /// Takes permits for `size_bytes` in all, if they are free.
    fn extend(&self, permit: &mut OwnedSemaphorePermit, size_bytes: u64) -> bool {
        let held = permit.num_permits() as u64 * PERMIT_BYTES;
        held >= size_bytes || self.budget.try_extend(permit, size_bytes - held)
    }
}

/// Returns the error for a fault of an object's packed bytes.
pub(super) fn refused(object: &Object, fault: &impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Malformed, format!("{object}: {fault}"))
}

fn write_at(object: &Object, file: &File, bytes: &[u8], at: u64) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    file.write_all_at(bytes, at).map_err(|error| unstaged(object, error))
}

fn unstaged(object: &Object, error: std::io::Error) -> Error {
    Error::new(ErrorKind::StagingFailed, format!("{object}: cannot be staged")).caused_by(error)
}

fn lost(object: &Object) -> Error {
    Error::new(ErrorKind::Bug, format!("{object}: its place on disk was lost"))
}
