//! Calls the `parquet` crate, which may panic if a file is damaged.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use parquet::errors::ParquetError;

use super::fault::ColumnarFault;

thread_local! {
    /// True while this thread runs code whose panics are reported as faults of a file.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Returns the result of `work`. Its errors and panics are faults of the file. Whatever `work`
/// changes must not be used after a fault.
pub(super) fn caught<T>(
    work: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, ColumnarFault> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                others(panic);
            }
        }));
    });
    let was_quiet = IS_QUIET.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(was_quiet);
    match done {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(fault(&error)),
        Err(panic) => {
            let why = format!("the decoder stopped: {}", message(panic.as_ref()));
            Err(ColumnarFault::Damaged(why))
        }
    }
}

fn fault(error: &ParquetError) -> ColumnarFault {
    let text = error.to_string();
    // The words before the colon name the kind of the error: "Parquet error: ", "EOF: ".
    let why = match error {
        ParquetError::General(why) | ParquetError::EOF(why) => why.clone(),
        ParquetError::NYI(why) => {
            return ColumnarFault::unsupported(why, "write it again with other options");
        }
        _ => text,
    };
    ColumnarFault::Damaged(why)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
