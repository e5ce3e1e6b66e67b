//! Sums over time, in bins that become coarser as the time becomes longer. So a picture of any
//! number of objects takes little memory.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "places in a picture need few digits"
)]

use std::collections::BTreeMap;

/// The number of bins above which they become coarser. A picture has fewer columns.
const MOST_BINS: usize = 4096;
/// The width of a bin at first: times in reports are to the millisecond.
const FINEST_SECONDS: f64 = 0.001;

/// The sum of something over time.
#[derive(Debug)]
pub(super) struct Density {
    bin_seconds: f64,
    bins: BTreeMap<i64, f64>,
}

impl Default for Density {
    fn default() -> Self {
        Self { bin_seconds: FINEST_SECONDS, bins: BTreeMap::new() }
    }
}

impl Density {
    pub(super) fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// Adds an amount that is spread evenly over the time from `start`.
    pub(super) fn add(&mut self, start: f64, seconds: f64, amount: f64) {
        while seconds / self.bin_seconds > MOST_BINS as f64 {
            self.coarsen();
        }
        let end = start + seconds;
        let (first, last) = (self.bin(start), self.bin(end));
        if first == last {
            *self.bins.entry(first).or_default() += amount;
        } else {
            for bin in first..=last {
                let from = start.max(bin as f64 * self.bin_seconds);
                let to = end.min((bin + 1) as f64 * self.bin_seconds);
                *self.bins.entry(bin).or_default() += amount * ((to - from) / seconds).max(0.0);
            }
        }
        while self.bins.len() > MOST_BINS {
            self.coarsen();
        }
    }

    /// Returns the amounts in this number of columns, which together are the time from `start`.
    pub(super) fn columns(&self, start: f64, seconds: f64, count: usize) -> Vec<f64> {
        let mut columns = vec![0.0; count];
        let width = seconds.max(FINEST_SECONDS) / count as f64;
        let last = count.saturating_sub(1);
        let column = |time: f64| ((((time - start) / width).max(0.0)) as usize).min(last);
        for (&bin, &amount) in &self.bins {
            let from = bin as f64 * self.bin_seconds;
            let to = from + self.bin_seconds;
            let (first, end) = (column(from), column(to));
            for (index, sum) in columns.iter_mut().enumerate().take(end + 1).skip(first) {
                // What lies outside belongs to the first and the last column.
                let left = if index == first { from } else { start + index as f64 * width };
                let right = if index == end { to } else { start + (index + 1) as f64 * width };
                *sum += amount * ((right - left) / self.bin_seconds).clamp(0.0, 1.0);
            }
        }
        columns
    }

    fn bin(&self, time: f64) -> i64 {
        (time / self.bin_seconds).floor() as i64
    }

    fn coarsen(&mut self) {
        self.bin_seconds *= 2.0;
        let mut bins = BTreeMap::new();
        for (bin, amount) in std::mem::take(&mut self.bins) {
            *bins.entry(bin.div_euclid(2)).or_default() += amount;
        }
        self.bins = bins;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f64], expected: &[f64]) {
        let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-3 * b.abs().max(1.0);
        let is_same = found.len() == expected.len() && found.iter().zip(expected).all(is_near);
        assert!(is_same, "{found:?} {expected:?}");
    }

    #[test]
    fn an_amount_is_spread_over_its_time() {
        let mut density = Density::default();
        density.add(10.0, 2.0, 8.0);
        density.add(13.5, 0.0, 3.0);
        near(&density.columns(10.0, 4.0, 4), &[4.0, 4.0, 0.0, 3.0]);
        near(&density.columns(10.0, 4.0, 2), &[8.0, 3.0]);
        // Nothing is lost outside of the columns.
        near(&density.columns(11.0, 1.0, 1), &[11.0]);
    }

    #[test]
    fn many_times_take_no_more_bins_and_lose_nothing() {
        let mut density = Density::default();
        for second in 0..100_000 {
            density.add(1.7e9 + f64::from(second), 0.5, 1.0);
        }
        assert!(density.bins.len() <= MOST_BINS, "{}", density.bins.len());
        near(&density.columns(1.7e9, 100_000.0, 4), &[25_000.0; 4]);
        density.add(1.7e9, 3.0e10, 1.0);
        assert!(density.bins.len() <= MOST_BINS + 1, "{}", density.bins.len());
    }
}
