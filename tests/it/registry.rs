//! Tests register themselves: a test needs only `#[apply(load_test)]` or `#[apply(plain_test)]`
//! above its `async fn` to run.
//!
//! A test function without its attribute is dead code, which the compiler reports.

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;
pub(crate) use macro_rules_attribute::apply;

use crate::support::program::TestEnv;

pub(crate) type BoxedTest = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A test that runs on each kind of server, with a schema and an S3 endpoint of its own.
pub(crate) struct LoadTest {
    pub(crate) path: &'static str,
    pub(crate) run: fn(TestEnv) -> BoxedTest,
}

/// A test that needs no database and runs once.
pub(crate) struct PlainTest {
    pub(crate) path: &'static str,
    pub(crate) run: fn() -> BoxedTest,
}

inventory::collect!(LoadTest);
inventory::collect!(PlainTest);

/// Registers an `async fn name(env: TestEnv) -> Result<()>`.
macro_rules! load_test {
    ($(#[$attribute:meta])* async fn $name:ident $($rest:tt)*) => {
        $(#[$attribute])*
        async fn $name $($rest)*

        inventory::submit! {
            $crate::registry::LoadTest {
                path: concat!(module_path!(), "::", stringify!($name)),
                run: |env| Box::pin($name(env)),
            }
        }
    };
}

/// Registers an `async fn name() -> Result<()>`.
macro_rules! plain_test {
    ($(#[$attribute:meta])* async fn $name:ident $($rest:tt)*) => {
        $(#[$attribute])*
        async fn $name $($rest)*

        inventory::submit! {
            $crate::registry::PlainTest {
                path: concat!(module_path!(), "::", stringify!($name)),
                run: || Box::pin($name()),
            }
        }
    };
}

pub(crate) use {load_test, plain_test};

/// Returns a test's name without that of the binary, such as
/// `source::nothing_matched_is_no_success`.
pub(crate) fn short_name(path: &'static str) -> &'static str {
    path.strip_prefix("it::").unwrap_or(path)
}
