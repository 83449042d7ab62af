//! Identical requests: the first record that makes one is asked for, and the others take its answer.

use std::collections::HashMap;

use domain::{
    End, Entry, Header, Located, Outcome, SettledSet,
    ports::{Journal, KeyTableError, RequestTable},
};

use crate::{feed::Item, run::EngineError};

/// What becomes of an item whose request may have been made before.
pub(super) enum Request {
    /// It is the first one: ask.
    New(Box<Item>),
    /// It is being asked for another record; the item waits for that.
    Asked,
    /// It was answered: here is that outcome.
    Answered(Box<Item>, Box<Entry>),
}

/// Requests that are being asked, and those that were answered.
pub(super) struct Duplicates {
    table: Box<dyn RequestTable>,
    /// By the request of a record that is worked on: others that wait for its end.
    waiting: HashMap<u128, Vec<Item>>,
    n_waiting: usize,
    held: usize,
}

impl Duplicates {
    pub(super) fn new(table: Box<dyn RequestTable>) -> Self {
        Self { table, waiting: HashMap::new(), n_waiting: 0, held: 0 }
    }

    /// Looks the request of an item up.
    pub(super) fn look_up(
        &mut self,
        item: Box<Item>,
        journal: &dyn Journal,
        settled: &SettledSet,
    ) -> Result<Request, EngineError> {
        let [(_, planned)] = item.work.members.as_slice() else { return Ok(Request::New(item)) };
        let Some(request) = planned.request else { return Ok(Request::New(item)) };
        if let Some(waiting) = self.waiting.get_mut(&request) {
            self.n_waiting += 1;
            self.held += item.weight();
            waiting.push(*item);
            return Ok(Request::Asked);
        }
        let answered = match self.table.get(request)? {
            Some(at) => journal.read(at)?,
            None => None,
        };
        if let Some(entry) = answered
            && let Header::Outcome(outcome) = &entry.header
            && outcome.request == Some(request)
            // One that was opened again since is to be asked for anew.
            && settled.contains(&outcome.key)
        {
            return Ok(Request::Answered(item, Box::new(entry)));
        }
        self.waiting.insert(request, Vec::new());
        Ok(Request::New(item))
    }

    /// Books the end of a record that was asked for, which lies at `at`; returns those that waited for it.
    pub(super) fn settled(&mut self, outcome: &Outcome, at: Located) -> Result<Vec<Item>, KeyTableError> {
        let Some(request) = outcome.request else { return Ok(Vec::new()) };
        let Some(waiting) = self.waiting.remove(&request) else { return Ok(Vec::new()) };
        self.n_waiting -= waiting.len();
        self.held -= waiting.iter().map(Item::weight).sum::<usize>();
        // A record that was called off was not answered.
        if outcome.end != End::Cancelled {
            self.table.put(request, at)?;
        }
        Ok(waiting)
    }

    /// Books that an outcome, of whatever record, lies at `at`: the table keeps step with the journal.
    pub(super) fn reached(&mut self, at: Located) -> Result<(), KeyTableError> {
        self.table.reached(at.segment)
    }

    /// Returns how many items wait, and what they weigh.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.n_waiting, self.held)
    }

    /// Takes all that wait: they are called off.
    pub(super) fn take_all(&mut self) -> Vec<Item> {
        (self.n_waiting, self.held) = (0, 0);
        self.waiting.values_mut().flat_map(std::mem::take).collect()
    }

    /// Gives the table back.
    pub(super) fn into_table(self) -> Box<dyn RequestTable> {
        self.table
    }
}
