//! Distributions of whole numbers in constant memory.
//!
//! Numbers below 128 are counted one by one, greater ones in 64 classes for each doubling: a percentile is off by 0.8 %
//! at most, whether a hundred numbers were counted or ten million.

/// Classes for each doubling.
const CLASSES: u64 = 64;
const CLASS_BITS: u32 = CLASSES.trailing_zeros();
/// The most bars that a plot gets.
const MAX_BINS: u64 = 36;
/// Where the greatest number is more than so many times the smallest, bars become wider with what they hold.
const WIDE: u64 = 8;

/// How often which numbers came.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    n: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// So many numbers from `from` up to, but without, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bin {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) count: u64,
}

impl Histogram {
    /// Counts a number.
    pub(super) fn add(&mut self, number: u64) {
        let class = class_of(number);
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += 1;
        self.min = if self.n == 0 { number } else { self.min.min(number) };
        self.max = self.max.max(number);
        self.n += 1;
        self.sum += u128::from(number);
    }

    /// Adds all that another one counted.
    pub(super) fn extend(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.min = if self.n == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.n += other.n;
        self.sum += other.sum;
    }

    /// Returns how many numbers were counted.
    pub(super) fn n(&self) -> u64 {
        self.n
    }

    /// Returns the mean, exactly; 0 where nothing was counted.
    pub(super) fn mean(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.sum as f64 / self.n as f64 }
    }

    /// Returns the smallest number, exactly.
    pub(super) fn min(&self) -> u64 {
        self.min
    }

    /// Returns the greatest number, exactly.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// Returns the number below or at which `share` (0 to 1) of all lie.
    pub(super) fn percentile(&self, share: f64) -> u64 {
        let rank = ((self.n as f64 * share).ceil() as u64).clamp(1, self.n.max(1));
        let mut before = 0;
        for (class, count) in self.counts.iter().enumerate() {
            before += count;
            if before >= rank {
                let (from, to) = bounds(class);
                // The last class reaches up to the end of what a number can be.
                return (from + (to.saturating_sub(1) - from) / 2).clamp(self.min, self.max);
            }
        }
        self.max
    }

    /// Returns bars for a plot, from the smallest to the greatest number: one for each number where they are few, bars of
    /// one width where all numbers are of the same size, and otherwise bars that become wider. The flag says whether
    /// they do.
    pub(super) fn bins(&self) -> (bool, Vec<Bin>) {
        if self.n == 0 {
            return (false, Vec::new());
        }
        let range = self.max - self.min;
        let (is_widening, borders) = if range < MAX_BINS {
            (false, (self.min..=self.max).chain([self.max.saturating_add(1)]).collect())
        } else if self.max / WIDE <= self.min {
            (false, self.even_borders(range))
        } else {
            (true, self.widening_borders())
        };
        let borders: Vec<u64> = borders;
        // Rounding what lies below each border, and not what lies between two, keeps the sum.
        let below: Vec<u64> = borders.iter().map(|border| self.below(*border)).collect();
        let bins = borders.windows(2).zip(below.windows(2));
        (is_widening, bins.map(|(at, n)| Bin { from: at[0], to: at[1], count: n[1] - n[0] }).collect())
    }

    fn even_borders(&self, range: u64) -> Vec<u64> {
        // 1, 2 or 5 and zeros: widths that a reader can count with. One bar more may be needed to reach the ends.
        let least = range / (MAX_BINS - 2) + 1;
        let unit = 10_u64.pow(least.ilog10());
        let width = [1, 2, 5, 10].into_iter().map(|n| unit.saturating_mul(n)).find(|width| *width >= least);
        let width = width.unwrap_or(least);
        let first = self.min / width * width;
        let mut borders = vec![first];
        let mut at = first;
        while at <= self.max && at < u64::MAX {
            at = at.saturating_add(width);
            borders.push(at);
        }
        borders
    }

    fn widening_borders(&self) -> Vec<u64> {
        let mut borders = if self.min == 0 { vec![0, 1] } else { vec![self.min] };
        let mut at = self.min.max(1);
        let ratio = (self.max as f64 / at as f64).powf(1.0 / (MAX_BINS - 2) as f64).max(1.05);
        while at <= self.max && at < u64::MAX {
            at = ((at as f64 * ratio).round() as u64).max(at.saturating_add(1));
            borders.push(at);
        }
        borders
    }

    /// Returns how many numbers lie below one; within a class they are taken to lie evenly.
    fn below(&self, number: u64) -> u64 {
        if number > self.max {
            return self.n;
        }
        let class = class_of(number);
        let before: u64 = self.counts[..class].iter().sum();
        let (from, to) = bounds(class);
        before + (self.counts[class] as f64 * ((number - from) as f64 / (to - from) as f64)).round() as u64
    }
}

/// Returns the class of a number.
fn class_of(number: u64) -> usize {
    let class = match number.checked_ilog2() {
        Some(doubling) if doubling > CLASS_BITS => {
            let shift = doubling - CLASS_BITS;
            u64::from(shift) * CLASSES + (number >> shift)
        }
        _ => number,
    };
    // 64 doublings of 32 classes: it fits anywhere.
    class as usize
}

/// Returns the first number of a class, and the first one behind it.
fn bounds(class: usize) -> (u64, u64) {
    let class = class as u64;
    if class < 2 * CLASSES {
        return (class, class + 1);
    }
    let shift = class / CLASSES - 1;
    let from = (class - shift * CLASSES) << shift;
    (from, from.saturating_add(1 << shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_lie_side_by_side_and_hold_their_numbers() {
        let mut expected = 0;
        for class in 0..3776 {
            let (from, to) = bounds(class);
            assert_eq!(from, expected, "class {class}");
            assert_eq!((class_of(from), class_of(to - 1)), (class, class));
            // No class is wider than a 32nd of what it holds.
            assert!(to - from <= 1 || to - from <= from / CLASSES, "class {class} is too wide");
            expected = to;
        }
        assert_eq!(bounds(class_of(u64::MAX)).1, u64::MAX);
    }

    #[test]
    fn percentiles_are_near_the_exact_ones() {
        let mut draw = testkit::Draw::new(11);
        for scale in [3, 40, 5_000, 90_000_000] {
            let mut numbers: Vec<u64> = (0..5000).map(|_| draw.below(scale) * draw.below(scale) / scale).collect();
            let mut histogram = Histogram::default();
            numbers.iter().for_each(|number| histogram.add(*number));
            numbers.sort_unstable();
            for share in [0.0, 0.01, 0.5, 0.9, 0.99, 1.0] {
                let rank = ((5000.0 * share) as usize).clamp(1, 5000);
                let (exact, told) = (numbers[rank - 1] as f64, histogram.percentile(share) as f64);
                assert!((exact - told).abs() <= 1.0 + exact / 120.0, "{share} of {scale}: {told} for {exact}");
            }
            assert_eq!((histogram.min(), histogram.max()), (numbers[0], numbers[4999]));
            let (_, bins) = histogram.bins();
            assert!(bins.len() as u64 <= MAX_BINS + 1, "{}", bins.len());
            assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), 5000);
            assert!(bins[0].from <= numbers[0] && bins[bins.len() - 1].to > numbers[4999]);
            assert!(bins.windows(2).all(|pair| pair[0].to == pair[1].from), "{bins:?}");
        }
    }

    #[test]
    fn two_histograms_are_added_as_if_they_had_been_one() {
        let (mut both, mut a, mut b) = (Histogram::default(), Histogram::default(), Histogram::default());
        for number in [5, 900, 70] {
            both.add(number);
            a.add(number);
        }
        for number in [1_000_000, 2] {
            both.add(number);
            b.add(number);
        }
        a.extend(&b);
        a.extend(&Histogram::default());
        assert_eq!(format!("{a:?}"), format!("{both:?}"));
    }

    #[test]
    fn nothing_counted_is_no_number() {
        let nothing = Histogram::default();
        assert_eq!(
            (nothing.n(), nothing.percentile(0.5), nothing.max(), nothing.bins()),
            (0, 0, 0, (false, Vec::new()))
        );
        let mut one = Histogram::default();
        one.add(u64::MAX);
        one.add(0);
        assert!(one.bins().1.len() as u64 <= MAX_BINS + 1);
    }

    #[test]
    fn bars_are_of_one_width_unless_the_numbers_are_of_different_sizes() {
        let of = |numbers: std::ops::Range<u64>| {
            let mut histogram = Histogram::default();
            numbers.for_each(|number| histogram.add(number));
            histogram.bins()
        };
        let (is_widening, bins) = of(16..24);
        assert_eq!((is_widening, bins.len(), bins[0]), (false, 8, Bin { from: 16, to: 17, count: 1 }));
        // Whatever came evenly is shown as even, in the classes of one number each and in the wide ones.
        let (is_widening, bins) = of(1000..5000);
        assert!(!is_widening);
        assert!(
            bins[1..bins.len() - 1].iter().all(|bin| bin.to - bin.from == 200 && bin.count.abs_diff(200) < 8),
            "{bins:?}"
        );
        let (is_widening, bins) = of(10..20_000);
        assert!(is_widening && bins.len() as u64 <= MAX_BINS + 1, "{}", bins.len());
        let density = |bin: &Bin| bin.count as f64 / (bin.to - bin.from) as f64;
        assert!(bins[..bins.len() - 1].iter().all(|bin| (density(bin) - 1.0).abs() < 0.05), "{bins:?}");
    }
}
