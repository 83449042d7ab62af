//! Memory for the bodies of requests, bounded over all clients.
//!
//! A body takes its memory before it is read, all at once, and gives it back when its request has no more use for it. So
//! nobody waits for more while he holds some, and no two can wait for each other. A quarter is kept for short bodies, which
//! are nearly all: they never stand behind long ones. What is left over of the long ones' part they may use as well, as
//! long as none of these waits.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

/// A body that is not longer is a short one, in bytes.
pub(super) const SHORT: u64 = 64 * 1024;

/// Returns how much of `all` is for long bodies: none can be longer.
pub(crate) fn longest_body(all: u64) -> u64 {
    all - all / 4
}

/// The bodies that are held now.
///
/// As long as there is room, taking some is one look and one exchange of a number, and giving it back the same.
#[derive(Default)]
pub(super) struct Bodies {
    parts: [Part; 2],
    lines: Mutex<[VecDeque<Waiter>; 2]>,
}

#[derive(Default)]
struct Part {
    capacity: AtomicU64,
    used: AtomicU64,
    n_waiting: AtomicUsize,
}

/// Which part of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Short,
    Long,
}

struct Waiter {
    n_bytes: u64,
    since: Instant,
    told: oneshot::Sender<Held>,
}

/// Memory that a body has, until this is dropped.
pub(super) struct Held {
    bodies: Arc<Bodies>,
    sort: Sort,
    n_bytes: u64,
}

/// There is no memory for a body.
#[derive(Debug)]
pub(super) struct Full {
    /// When it may help to ask again: nobody knows how long others take, but how long the first of those that wait has waited.
    pub(super) retry_after: Duration,
}

/// How much there is, and how those wait for whom there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Bytes, over all.
    pub(super) all: u64,
    /// How many may wait.
    pub(super) length: usize,
    /// How long one may wait.
    pub(super) wait: Duration,
}

impl Bodies {
    /// Takes memory for a body of so many bytes, or waits for it in line.
    ///
    /// # Errors
    /// Where too many wait already, or the wait was too long.
    pub(super) async fn take(self: &Arc<Self>, n_bytes: u64, terms: Terms) -> Result<Held, Full> {
        self.resize(terms.all);
        let sort = if n_bytes <= SHORT { Sort::Short } else { Sort::Long };
        if let Some(held) = self.at_once(n_bytes, sort) {
            return Ok(held);
        }
        // Few come so far, and the others need not carry the room for it.
        Box::pin(self.in_line(n_bytes, sort, terms)).await
    }

    async fn in_line(self: &Arc<Self>, n_bytes: u64, sort: Sort, terms: Terms) -> Result<Held, Full> {
        let (told, hears) = oneshot::channel();
        {
            let mut lines = self.lines();
            lines.iter_mut().for_each(|line| line.retain(|waiter| !waiter.told.is_closed()));
            if lines.iter().map(VecDeque::len).sum::<usize>() >= terms.length {
                let first = lines[sort as usize].front().map(|first| first.since.elapsed());
                return Err(Full { retry_after: first.unwrap_or_default() });
            }
            lines[sort as usize].push_back(Waiter { n_bytes, since: Instant::now(), told });
            self.count(&lines);
            // Somebody may have given back before he could see that one waits.
            self.serve(&mut lines);
        }
        match timeout(terms.wait, hears).await {
            Ok(Ok(held)) => Ok(held),
            _ => {
                // What was waited behind this one may fit.
                self.serve(&mut self.lines());
                Err(Full { retry_after: terms.wait })
            }
        }
    }

    /// Takes memory if there is some and nobody has waited longer for it.
    fn at_once(self: &Arc<Self>, n_bytes: u64, sort: Sort) -> Option<Held> {
        let is_free = |sort: Sort| self.parts[sort as usize].n_waiting.load(SeqCst) == 0;
        if !is_free(sort) {
            return None;
        }
        let may_overflow = sort == Sort::Short && is_free(Sort::Long);
        self.taken(n_bytes, sort).or_else(|| may_overflow.then(|| self.taken(n_bytes, Sort::Long)).flatten())
    }

    fn taken(self: &Arc<Self>, n_bytes: u64, sort: Sort) -> Option<Held> {
        let Part { capacity, used, .. } = &self.parts[sort as usize];
        let capacity = capacity.load(SeqCst);
        let more = |used: u64| used.checked_add(n_bytes).filter(|used| *used <= capacity);
        used.fetch_update(SeqCst, SeqCst, more).ok()?;
        Some(Held { bodies: Arc::clone(self), sort, n_bytes })
    }

    /// Gives to those who wait, in order, as far as it goes.
    fn serve(self: &Arc<Self>, lines: &mut [VecDeque<Waiter>; 2]) {
        for sort in [Sort::Long, Sort::Short] {
            let is_long_free = lines[Sort::Long as usize].is_empty();
            let line = &mut lines[sort as usize];
            while let Some(first) = line.front() {
                if first.told.is_closed() {
                    line.pop_front();
                    continue;
                }
                let overflow = || (sort == Sort::Short && is_long_free).then(|| self.taken(first.n_bytes, Sort::Long));
                let Some(held) = self.taken(first.n_bytes, sort).or_else(|| overflow().flatten()) else { break };
                let Some(first) = line.pop_front() else { break };
                if let Err(mut held) = first.told.send(held) {
                    // It is given back here: who drops it would wait for the lines.
                    self.parts[held.sort as usize].used.fetch_sub(held.n_bytes, SeqCst);
                    held.n_bytes = 0;
                }
            }
        }
        self.count(lines);
    }

    fn count(&self, lines: &[VecDeque<Waiter>; 2]) {
        for (part, line) in self.parts.iter().zip(lines) {
            part.n_waiting.store(line.len(), SeqCst);
        }
    }

    fn gave_back(self: &Arc<Self>, n_bytes: u64, sort: Sort) {
        self.parts[sort as usize].used.fetch_sub(n_bytes, SeqCst);
        if self.parts.iter().any(|part| part.n_waiting.load(SeqCst) > 0) {
            self.serve(&mut self.lines());
        }
    }

    /// The configuration may have changed since.
    fn resize(&self, all: u64) {
        let long = longest_body(all);
        for (part, capacity) in self.parts.iter().zip([all - long, long]) {
            if part.capacity.load(SeqCst) != capacity {
                part.capacity.store(capacity, SeqCst);
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, [VecDeque<Waiter>; 2]> {
        // Nothing that panics is done while they are held.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Has memory for `n_bytes` of a body whose length was not announced, at once or never: one that waits with what it
    /// holds could wait for another one that does the same.
    ///
    /// # Errors
    /// Where there is none, or others wait for it.
    pub(super) fn grow(&mut self, n_bytes: u64) -> Result<(), Full> {
        let full = Full { retry_after: Duration::ZERO };
        if self.sort == Sort::Short {
            *self = self.bodies.at_once(n_bytes, Sort::Long).ok_or(full)?;
            return Ok(());
        }
        let more = n_bytes.saturating_sub(self.n_bytes);
        let mut more = self.bodies.at_once(more, Sort::Long).ok_or(full)?;
        self.n_bytes += std::mem::take(&mut more.n_bytes);
        Ok(())
    }

    /// Gives back what is more than `n_bytes`.
    pub(super) fn shrink(&mut self, n_bytes: u64) {
        let rest = self.n_bytes.saturating_sub(n_bytes);
        if rest > 0 {
            self.n_bytes -= rest;
            self.bodies.gave_back(rest, self.sort);
        }
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.n_bytes > 0 {
            self.bodies.gave_back(self.n_bytes, self.sort);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.n_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { all: 4_000_000, length: 3, wait: Duration::from_secs(10) };

    fn used(bodies: &Bodies) -> u64 {
        bodies.parts.iter().map(|part| part.used.load(SeqCst)).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn long_bodies_wait_in_order_and_short_ones_do_not_stand_behind_them() {
        let bodies = Arc::<Bodies>::default();
        let first = bodies.take(2_900_000, TERMS).await.unwrap();
        let (order, began) = (Mutex::new(Vec::new()), Instant::now());
        let waits = async |n_bytes: u64| {
            let held = bodies.take(n_bytes, TERMS).await.unwrap();
            order.lock().unwrap().push(n_bytes);
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(held);
        };
        let rest = async {
            // Behind one that is waited for nobody slips in, even where he would fit.
            tokio::task::yield_now().await;
            let short = bodies.take(60_000, TERMS).await.unwrap();
            assert_eq!(began.elapsed(), Duration::ZERO);
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(first);
            short
        };
        let (short, ..) = tokio::join!(biased; rest, waits(3_000_000), waits(70_000), waits(80_000));
        assert_eq!(*order.lock().unwrap(), [3_000_000, 70_000, 80_000]);
        assert_eq!((used(&bodies), began.elapsed().as_secs()), (60_000, 5));
        drop(short);
        assert_eq!(used(&bodies), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_or_goes_away_leaves_nothing_behind() {
        let bodies = Arc::<Bodies>::default();
        let first = bodies.take(3_000_000, TERMS).await.unwrap();
        assert_eq!(bodies.take(1_000_000, TERMS).await.unwrap_err().retry_after, TERMS.wait);
        let gone = timeout(Duration::from_secs(1), bodies.take(1_000_000, TERMS));
        assert!(gone.await.is_err());
        let all = (0..4).map(|_| bodies.take(1_000_000, TERMS));
        let all = async {
            let mut all = Box::pin(futures_util::future::join_all(all));
            // One of them is too many.
            let _ = timeout(Duration::from_secs(2), &mut all).await;
            drop(first);
            all.await
        };
        let all = all.await;
        assert_eq!(all.iter().filter(|held| held.is_ok()).count(), 3);
        assert_eq!(used(&bodies), 3_000_000);
        drop(all);
        assert_eq!(used(&bodies), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn short_bodies_use_what_is_left_and_wait_where_nothing_is() {
        let bodies = Arc::<Bodies>::default();
        let mut all = Vec::new();
        // 4,000,000 hold 15 of them in the quarter that is theirs, and 45 in the rest.
        for _ in 0..60 {
            all.push(timeout(Duration::from_millis(1), bodies.take(64_000, TERMS)).await.unwrap().unwrap());
        }
        let n = used(&bodies);
        assert!(n <= TERMS.all, "{n}");
        let mut more = Box::pin(async {
            let mut more = Vec::new();
            while more.len() < 10 {
                more.push(bodies.take(64_000, TERMS).await.unwrap());
            }
            more
        });
        assert!(timeout(Duration::from_secs(1), &mut more).await.is_err());
        // Wherever the room is that is given back, who waits gets it.
        all.drain(40..);
        assert_eq!(more.await.len(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_unknown_length_grows_at_once_or_not_at_all() {
        let bodies = Arc::<Bodies>::default();
        let (mut one, mut two) = (bodies.take(SHORT, TERMS).await.unwrap(), bodies.take(SHORT, TERMS).await.unwrap());
        assert!(one.grow(2_000_000).is_ok());
        assert!(two.grow(2_000_000).is_err());
        one.shrink(500_000);
        assert!(two.grow(2_000_000).is_ok());
        assert_eq!(used(&bodies), 2_500_000);
    }

    #[test]
    fn many_at_once_never_hold_more_than_there_is_and_all_get_some() {
        let bodies = Arc::<Bodies>::default();
        let terms = Terms { length: 10_000, wait: Duration::from_secs(60), ..TERMS };
        let one = async |n: u64| {
            let held =
                bodies.take(if n.is_multiple_of(3) { 1_000 + n } else { 70_000 + n * 700 }, terms).await.unwrap();
            let n = used(&bodies);
            assert!(n <= terms.all, "{n}");
            tokio::task::yield_now().await;
            drop(held);
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    runtime.block_on(futures_util::future::join_all((0..500).map(one)));
                });
            }
        });
        assert_eq!(used(&bodies), 0);
        assert!(bodies.lines().iter().all(VecDeque::is_empty));
    }
}
