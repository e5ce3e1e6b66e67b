//! The settings of throughput: the speed of a run, and the load that it puts on the server.

use crate::settings::{Resolver, Setting, table as s};
use crate::throttle::{BatchConfig, ThroughputConfig};
use crate::units::ByteSize;

/// The maximum number of small objects that share a transaction. One statement of the ledger is
/// still quick for this number.
const BATCH_OBJECTS: usize = 500;

pub(super) fn resolve(resolver: &mut Resolver) -> ThroughputConfig {
    let batch = BatchConfig {
        bytes: size(resolver, &s::BATCH_BYTES).map_or(1, ByteSize::bytes),
        objects: if resolver.switch(&s::NO_BATCH) { 1 } else { BATCH_OBJECTS },
    };
    let part_size = size(resolver, &s::PART_SIZE);
    let is_split = !resolver.switch(&s::NO_SPLIT);
    ThroughputConfig {
        batch,
        part_size: part_size.filter(|_| is_split),
        max_rate: max_rate(resolver),
        max_threads_running: resolver.optional(&s::MAX_THREADS_RUNNING, |text| {
            match text.trim().parse() {
                Ok(threads) if threads > 0 => Ok(threads),
                _ => Err("it must be a number of threads, at least 1"),
            }
        }),
        max_lag: resolver.optional(&s::MAX_LAG, crate::units::parse_duration),
        replicas: resolver.list(&s::REPLICAS).0,
    }
}

/// The rate below which a run warns that it may be a slip.
const SLOWEST_BYTES: u64 = 1024;

fn max_rate(resolver: &mut Resolver) -> Option<ByteSize> {
    let rate = size(resolver, &s::MAX_RATE)?;
    if rate.bytes() < SLOWEST_BYTES {
        let bytes = rate.bytes();
        resolver.warnings.push(format!(
            "max-rate is {bytes} bytes a second: a number without a unit is in bytes, \
             so write {bytes}MiB for megabytes"
        ));
    }
    Some(rate)
}

fn size(resolver: &mut Resolver, setting: &'static Setting) -> Option<ByteSize> {
    resolver.optional(setting, |text| match text.parse::<ByteSize>() {
        Ok(size) if size.bytes() == 0 => Err("it must be at least 1 byte".to_owned()),
        Ok(size) => Ok(size),
        Err(error) => Err(error.to_string()),
    })
}
