//! An answer on its way to a client, piece by piece.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use domain::{Failure, FailureKind};
use hyper::body::SizeHint;
use provider::{
    transport::{Answering, TransportError},
    watch::{Events, Watch},
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    account::{Account, Outcome},
    ask::Ask,
    body::Broken,
    live::Serving,
    problem::Problem,
    relay::{self, Answered, Begun, Refused},
};
use crate::lanes::Place;

/// A comment, which says that somebody is still there. <https://html.spec.whatwg.org/multipage/server-sent-events.html>
const STILL_THERE: &[u8] = b": keep-alive\n\n";
/// The end of an answer in events.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// What the way to an answer ends in, with the account of it.
pub(super) type Relayed = (Result<Answered, Refused>, Account);

/// An answer that is handed on as it comes.
///
/// It reads no more than the client takes: who reads slowly slows the upstream down, and holds one piece.
pub(super) struct Forwarding {
    state: State,
    front: VecDeque<Bytes>,
    /// The beginning of a line that may say that all is well: it is held until that is known to be true.
    held: Bytes,
    account: Option<Account>,
    ask: Arc<Ask>,
    serving: Arc<Serving>,
    timer: Option<Pin<Box<Sleep>>>,
    heard: Instant,
    said: Instant,
    idle_limit: Duration,
}

enum State {
    /// The client got its head before any upstream began to answer.
    Waiting(Pin<Box<dyn Future<Output = Relayed> + Send>>),
    Open {
        answering: Answering,
        watch: Option<Watch>,
        place: Place,
    },
    Ended,
}

impl Forwarding {
    pub(super) fn new(begun: Begun, account: Account, ask: Arc<Ask>, serving: Arc<Serving>) -> Self {
        let now = Instant::now();
        let mut forwarding = Self {
            state: State::Ended,
            front: VecDeque::new(),
            held: Bytes::new(),
            account: Some(account),
            ask,
            serving,
            timer: None,
            heard: now,
            said: now,
            idle_limit: Duration::MAX,
        };
        forwarding.open(begun);
        forwarding
    }

    /// Forwards an answer that is still waited for.
    pub(super) fn waiting(
        relayed: Pin<Box<dyn Future<Output = Relayed> + Send>>,
        ask: Arc<Ask>,
        serving: Arc<Serving>,
    ) -> Self {
        let now = Instant::now();
        Self {
            state: State::Waiting(relayed),
            front: VecDeque::from([Bytes::from_static(STILL_THERE)]),
            held: Bytes::new(),
            account: None,
            ask,
            serving,
            timer: None,
            heard: now,
            said: now,
            idle_limit: Duration::MAX,
        }
    }

    fn open(&mut self, begun: Begun) {
        let Begun { front, answering, watch, place, .. } = begun;
        self.idle_limit = self.serving.ways[place.upstream].idle_timeout;
        self.heard = Instant::now();
        self.state = State::Open { answering, watch, place };
        for piece in front {
            let piece = self.held_back(piece);
            self.front.push_back(piece);
        }
        if let Some(account) = &mut self.account {
            account.is_stream = true;
            account.answering();
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.state {
            // What was announced is announced again, where nothing of it is ours to change.
            State::Open { answering, watch: None, .. } => {
                let held: usize = self.front.iter().map(Bytes::len).sum();
                answering.announced().map_or(SizeHint::default(), |n| SizeHint::with_exact(n + held as u64))
            }
            _ => SizeHint::default(),
        }
    }

    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            if let Some(piece) = self.front.pop_front() {
                if piece.is_empty() {
                    continue;
                }
                if let Some(account) = &mut self.account {
                    account.bytes_out += piece.len() as u64;
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Waiting(relayed) => match relayed.as_mut().poll(cx) {
                    Poll::Ready((relayed, account)) => self.begin(relayed, account),
                    Poll::Pending => std::task::ready!(self.poll_timer(cx)),
                },
                State::Open { answering, watch, .. } => match answering.poll_piece(cx) {
                    Poll::Ready(Ok(Some(piece))) => {
                        if let Some(watch) = watch {
                            watch.look(&piece, &mut |_| {});
                        }
                        let now = Instant::now();
                        (self.heard, self.said) = (now, now);
                        let piece = self.held_back(piece);
                        self.front.push_back(piece);
                    }
                    Poll::Ready(Ok(None)) => {
                        if let Some(broken) = self.finish() {
                            return Poll::Ready(Some(Err(broken)));
                        }
                    }
                    Poll::Ready(Err(error)) => {
                        if let Some(broken) = self.cut(relay_failure(error)) {
                            return Poll::Ready(Some(Err(broken)));
                        }
                    }
                    Poll::Pending => {
                        std::task::ready!(self.poll_timer(cx));
                        if self.heard.elapsed() >= self.idle_limit {
                            let error = TransportError::Silent { limit: self.idle_limit };
                            if let Some(broken) = self.cut(relay_failure(error)) {
                                return Poll::Ready(Some(Err(broken)));
                            }
                        }
                    }
                },
            }
        }
    }

    /// Waits until there is something to do while nothing comes. A timer is not set anew for each piece that comes: when
    /// it rings, it is looked at how long ago the last one was.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let keep_alive = self.serving.settings.keep_alive;
        loop {
            let now = Instant::now();
            let comment_at = self.said + keep_alive;
            let due = self.heard.checked_add(self.idle_limit).map_or(comment_at, |idle| idle.min(comment_at));
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if now < due {
                timer.as_mut().reset(due);
                continue;
            }
            if comment_at <= now {
                self.said = now;
                if self.may_say_something() {
                    self.front.push_back(Bytes::from_static(STILL_THERE));
                }
            }
            self.timer = None;
            return Poll::Ready(());
        }
    }

    /// Returns whether a comment may stand here: between two events, and in events at all.
    fn may_say_something(&self) -> bool {
        match &self.state {
            State::Waiting(_) => true,
            State::Open { watch, .. } => watch.as_ref().is_some_and(Watch::is_between_events),
            State::Ended => false,
        }
    }

    /// Takes what the wait for an upstream ended in, after the client got its head.
    fn begin(&mut self, relayed: Result<Answered, Refused>, account: Account) {
        self.account = Some(account);
        let problem = match relayed {
            Ok(Answered::Begun(begun)) => return self.open(begun),
            Ok(Answered::Whole(_)) => Problem::new(
                http::StatusCode::BAD_GATEWAY,
                "upstream_does_not_stream",
                "the upstream answered whole, after the answer had been begun as a stream; ask without `stream`",
            ),
            Err(Refused::Ours(problem)) => problem,
            Err(Refused::Theirs(own, wait)) => {
                let said = String::from_utf8_lossy(&own.body).into_owned();
                Problem::new(own.status, "upstream_error", said).after(wait)
            }
        };
        self.end_with(&problem, Outcome::Refused);
    }

    /// Returns what of a piece may be handed on. The vendor's word that all is done is not, while something is missing.
    fn held_back(&mut self, piece: Bytes) -> Bytes {
        let State::Open { watch: Some(watch), .. } = &self.state else { return piece };
        let piece = if self.held.is_empty() {
            piece
        } else {
            let held = std::mem::take(&mut self.held);
            [held, piece].concat().into()
        };
        if watch.is_done() && !watch.is_whole() {
            let done = memchr::memmem::rfind(&piece, b"data: [DONE]")
                .or_else(|| memchr::memmem::rfind(&piece, b"data:[DONE]"));
            return done.map_or(piece.clone(), |at| piece.slice(..at));
        }
        let tail = memchr::memrchr(b'\n', &piece).map_or(0, |at| at + 1);
        let line = &piece[tail..];
        if !line.is_empty() && !watch.is_whole() && (DONE.starts_with(line) || b"data:[DONE]".starts_with(line)) {
            self.held = piece.slice(tail..);
            return piece.slice(..tail);
        }
        piece
    }

    /// The upstream has said all that it will say.
    fn finish(&mut self) -> Option<Broken> {
        let State::Open { watch, place, .. } = &self.state else { return None };
        let (mut done, mut usage) = (Bytes::new(), None);
        if let Some(watch) = watch {
            usage = watch.usage();
            if !watch.is_whole() {
                let failure = match watch.error() {
                    Some(event) => self.serving.ways[place.upstream].model.refused_in_stream(event),
                    None => Failure::new(FailureKind::Unavailable, "the stream ended before the answer was complete"),
                };
                return self.cut(failure);
            }
            // The answer is whole, and clients wait for the word.
            if !watch.is_done() && self.ask.call.events() == Some(Events::Choices) {
                let gap: &[u8] = if watch.is_between_events() { b"" } else { b"\n\n" };
                done = [gap, DONE].concat().into();
            }
        }
        place.tell(Ok(()));
        if let Some(account) = &mut self.account {
            account.usage = usage;
            account.outcome = Outcome::Answered;
        }
        self.front.push_back(std::mem::take(&mut self.held));
        self.front.push_back(done);
        self.state = State::Ended;
        None
    }

    /// The upstream breaks off: the client is told, and never that all is done.
    fn cut(&mut self, failure: Failure) -> Option<Broken> {
        let State::Open { watch, place, .. } = &self.state else { return None };
        let way = &self.serving.ways[place.upstream];
        let message = format!("`{}`: {}", way.name, failure.message);
        place.tell(Err(&relay::failed(failure)));
        let Some(watch) = watch else {
            self.note(Outcome::Cut, message);
            self.state = State::Ended;
            return Some(Broken);
        };
        let was_told = watch.error().is_some() && watch.is_between_events();
        let usage = watch.usage();
        if let Some(account) = &mut self.account {
            account.usage = usage;
        }
        if was_told {
            // The vendor's own words are with the client already.
            self.note(Outcome::Cut, message);
            self.state = State::Ended;
            return None;
        }
        if !watch.is_between_events() {
            self.front.push_back(Bytes::from_static(b"\n\n"));
        }
        let problem = Problem::new(http::StatusCode::BAD_GATEWAY, "stream_cut", message).with_usage(usage);
        self.end_with(&problem, Outcome::Cut);
        None
    }

    fn end_with(&mut self, problem: &Problem, outcome: Outcome) {
        self.held = Bytes::new();
        self.front.push_back(problem.event(self.ask.call.events()));
        self.note(outcome, problem.message.clone());
        self.state = State::Ended;
    }

    fn note(&mut self, outcome: Outcome, trouble: String) {
        if let Some(account) = &mut self.account {
            account.outcome = outcome;
            account.trouble = Some(trouble);
        }
    }
}

fn relay_failure(error: TransportError) -> Failure {
    provider::Failed::from(error).failure
}
