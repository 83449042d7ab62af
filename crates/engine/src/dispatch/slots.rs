//! The places of marks.

/// The slot of work that was never in flight.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// Numbers for marks: as few as there are attempts in flight.
#[derive(Default)]
pub(super) struct Slots {
    free: Vec<u32>,
    next: u32,
}

impl Slots {
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    pub(super) fn give_back(&mut self, slot: u32) {
        if slot != NO_SLOT {
            self.free.push(slot);
        }
    }
}
