//! Items that were begun and are not settled: gathered from notes, parkings and failed attempts, in order.

use std::collections::{HashMap, HashSet};

use domain::{Entry, Header, Member, RecordKey, SettledSet, Spent, ports::OpenItem};

#[derive(Default)]
pub(super) struct Items {
    open: HashMap<RecordKey, OpenItem>,
    /// Records that came back from an item since its last note or parking.
    left: HashSet<RecordKey>,
}

impl Items {
    /// Takes what happened to an item.
    pub(super) fn take(&mut self, entry: Entry, settled: &SettledSet, spent: &mut HashMap<RecordKey, Spent>) {
        match entry.header {
            Header::Noted(noted) if has_unsettled(&noted.members, settled) => {
                self.rejoin(&noted.members);
                let item = self.open.entry(noted.id).or_default();
                item.members.clone_from(&noted.members);
                item.notes.push((noted, entry.raw));
            }
            Header::Parked(parked) if has_unsettled(&parked.members, settled) => {
                self.rejoin(&parked.members);
                let item = self.open.entry(parked.id).or_default();
                item.members.clone_from(&parked.members);
                item.parked = Some(parked);
            }
            Header::Attempted(attempted) => {
                let Some(group) = attempted.failure.kind.group() else { return };
                for key in attempted.members.iter().flat_map(keys).filter(|key| !settled.contains(key)) {
                    spent.entry(key).or_default().add(group);
                }
            }
            _ => {}
        }
    }

    /// A record came back from its item and is on its own again.
    pub(super) fn leave(&mut self, key: &RecordKey) {
        self.left.insert(*key);
    }

    /// Members that are named anew are members, whatever they were before.
    fn rejoin(&mut self, members: &[Member]) {
        if !self.left.is_empty() {
            for key in members.iter().flat_map(keys) {
                self.left.remove(&key);
            }
        }
    }

    /// Returns the items with members that are still out.
    pub(super) fn finish(mut self, settled: &SettledSet) -> HashMap<RecordKey, OpenItem> {
        if !self.left.is_empty() {
            for item in self.open.values_mut() {
                item.members = item
                    .members
                    .iter()
                    .flat_map(keys)
                    .filter(|key| !self.left.contains(key))
                    .map(|first| Member { first, n: 1 })
                    .collect();
            }
        }
        self.open.retain(|_, item| has_unsettled(&item.members, settled));
        self.open
    }
}

fn keys(member: &Member) -> impl Iterator<Item = RecordKey> {
    let first = member.first;
    (0..member.n).map(move |n| RecordKey { position: first.position + n, ..first })
}

fn has_unsettled(members: &[Member], settled: &SettledSet) -> bool {
    members.iter().flat_map(keys).any(|key| !settled.contains(&key))
}
