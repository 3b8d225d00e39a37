//! What a pump has measured: counts, bytes and a histogram of latencies, read by others while it runs.

/// Buckets of the histogram.
const BUCKETS: usize = 1920;

/// The bucket of a latency in ns: 32 buckets for each power of two, so that a bucket is at most 3.2 % wide.
pub fn bucket_of(ns: u64) -> usize {
    let exponent = (u64::BITS - ns.leading_zeros()).saturating_sub(6);
    ((exponent as usize) << 5) + (ns >> exponent) as usize
}

/// The shortest latency of a bucket in ns; that of the bucket after the last one does not fit into u64.
pub fn bucket_floor(bucket: usize) -> u128 {
    let exponent = (bucket >> 5).saturating_sub(1);
    ((bucket - (exponent << 5)) as u128).checked_shl(exponent as u32).unwrap_or(u128::MAX)
}

/// One class of operations.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Successful ones.
    pub operations: u64,
    /// Bytes that they have moved.
    pub bytes: u64,
    /// Sum of their latencies in ns.
    pub sum_ns: u64,
    /// The shortest, 0 when there was none.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// Failed ones by status.
    pub statuses: Vec<(u32, u64)>,
    histogram: Box<[u64]>,
}

impl Default for Measured {
    fn default() -> Measured {
        let histogram = vec![0; BUCKETS].into_boxed_slice();
        let statuses = Vec::new();
        Measured { operations: 0, bytes: 0, sum_ns: 0, min_ns: 0, max_ns: 0, statuses, histogram }
    }
}

impl Measured {
    /// Counts a successful operation.
    pub fn succeeded(&mut self, bytes: u64, ns: u64) {
        self.min_ns = if self.operations == 0 { ns } else { self.min_ns.min(ns) };
        self.max_ns = self.max_ns.max(ns);
        self.operations += 1;
        self.bytes += bytes;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.histogram[bucket_of(ns)] += 1;
    }

    /// Counts a failed one.
    pub fn failed(&mut self, status: u32) {
        match self.statuses.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => self.statuses.push((status, 1)),
        }
    }

    /// Adds those of another one.
    pub fn take(&mut self, other: &Measured) {
        if other.operations > 0 {
            let least = if self.operations == 0 { other.min_ns } else { self.min_ns.min(other.min_ns) };
            self.min_ns = least;
        }
        self.max_ns = self.max_ns.max(other.max_ns);
        self.operations += other.operations;
        self.bytes += other.bytes;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.histogram.iter_mut().zip(&other.histogram).for_each(|(mine, theirs)| *mine += theirs);
        for (status, count) in &other.statuses {
            match self.statuses.iter_mut().find(|(known, _)| known == status) {
                Some((_, mine)) => *mine += count,
                None => self.statuses.push((*status, *count)),
            }
        }
    }

    /// The buckets that are not empty, with their counts.
    pub fn histogram(&self) -> Vec<(usize, u64)> {
        self.histogram.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        assert_eq!((bucket_of(0), bucket_of(63), bucket_of(64), bucket_of(127)), (0, 63, 64, 95));
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        let mut last = 0;
        for shift in 0..63 {
            let bucket = bucket_of(3 << shift >> 1);
            assert!(bucket >= last);
            last = bucket;
        }
        let mut measured = Measured::default();
        measured.succeeded(10, 100);
        measured.succeeded(20, 50);
        measured.failed(5);
        measured.failed(5);
        assert_eq!((measured.operations, measured.bytes, measured.sum_ns), (2, 30, 150));
        assert_eq!((measured.min_ns, measured.max_ns, &measured.statuses[..]), (50, 100, &[(5, 2)][..]));
        assert_eq!(measured.histogram(), [(50, 1), (bucket_of(100), 1)]);
        let mut sum = Measured::default();
        sum.failed(6);
        sum.take(&measured);
        sum.take(&Measured::default());
        sum.succeeded(1, 70);
        sum.take(&measured);
        assert_eq!((sum.operations, sum.bytes, sum.sum_ns, sum.min_ns, sum.max_ns), (5, 61, 370, 50, 100));
        assert_eq!(sum.histogram(), [(50, 2), (bucket_of(70), 1), (bucket_of(100), 2)]);
        assert_eq!(sum.statuses, [(6, 1), (5, 4)]);
    }
}
