//! Waiting for sockets, and for moments that are nearer than the runtime's milliseconds.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags},
};

/// The token of the timer, which no source has.
const TIMER: u64 = u64::MAX;

/// What a source is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Something to read, or the end.
    Read,
    /// That, and room to write.
    Both,
    /// Room to write.
    Write,
    /// Only its end.
    Nothing,
}

/// The sockets of one thread, and its timer.
pub(super) struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set to; setting it again costs a call.
    set_to: Option<Instant>,
    events: Vec<Event>,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // A timer of its own and not epoll's: the kernel may be 50 µs late with the latter.
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self { epoll, timer, set_to: None, events: Vec::with_capacity(1024) })
    }

    /// Watches a source under a token.
    pub(super) fn add(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Changes what a source is watched for.
    pub(super) fn change(&self, source: impl AsFd, token: u64, watch: Watch) -> io::Result<()> {
        let flags = match watch {
            Watch::Read => EventFlags::IN,
            Watch::Both => EventFlags::IN | EventFlags::OUT,
            Watch::Write => EventFlags::OUT,
            Watch::Nothing => EventFlags::empty(),
        };
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(token), flags)?)
    }

    /// Waits until a source is ready or a moment has come. `ready` then holds the tokens of what is ready.
    pub(super) fn wait(&mut self, until: Option<Instant>, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let is_over = left == Some(Duration::ZERO);
        if let Some(left) = left
            && !is_over
            && self.set_to != until
        {
            let value = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(left) };
            rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
            self.set_to = until;
        }
        let at_once = timespec(Duration::ZERO);
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, is_over.then_some(&at_once)) {
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::INTR => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let token = event.data.u64();
            if token != TIMER {
                ready.push(token);
                continue;
            }
            // Read, or it stays ready.
            let mut expirations = [0; 8];
            let _ = rustix::io::read(&self.timer, &mut expirations);
            self.set_to = None;
        }
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
