//! An answer on its way to a client, piece by piece.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use domain::{Failure, FailureKind, json};
use provider::{
    transport::{Answering, TransportError},
    watch::{Events, Watch},
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    account::{Account, Outcome, word},
    ask::Ask,
    attempt,
    bodies::SHORT,
    body::Broken,
    ending,
    exchange::Worker,
    live::Serving,
    problem::Problem,
    relay::{self, Answered, Begun, Own, Refused},
    so_far::SoFar,
    unstreamed::as_events,
};
use crate::lanes::{self, Place};

/// A comment, which says that somebody is still there. <https://html.spec.whatwg.org/multipage/server-sent-events.html>
const STILL_THERE: &[u8] = b": keep-alive\n\n";
/// The end of an answer in events.
const DONE: &[u8] = b"data: [DONE]\n\n";
/// How vendors write it.
const DONES: [&[u8]; 2] = [b"data: [DONE]", b"data:[DONE]"];
/// A line that is longer is handed on in the parts in which it comes.
const HELD_LINE: usize = 64 * 1024;

/// What the way to an answer ends in, with the account of it.
pub(super) type Relayed = (Result<Answered, Refused>, Account);

/// An answer that is handed on as it comes.
///
/// It reads no more than the client takes: who reads slowly slows the upstream down, and holds one piece.
pub(super) struct Forwarding {
    state: State,
    front: VecDeque<Bytes>,
    /// The beginning of a line, until the rest of it is here.
    held: Bytes,
    account: Option<Account>,
    ask: Arc<Ask>,
    serving: Arc<Serving>,
    timer: Option<Pin<Box<Sleep>>>,
    heard: Instant,
    said: Instant,
    idle_limit: Duration,
    worker: Arc<Worker>,
    /// Where another upstream shall go on after a cut: what it would go on from.
    said_so_far: Option<SoFar>,
}

enum State {
    /// The client got its head before any upstream began to answer.
    Waiting(Pin<Box<dyn Future<Output = Relayed> + Send>>),
    Open {
        answering: Box<Answering>,
        watch: Option<Watch>,
        place: Place,
    },
    Ended,
}

impl Forwarding {
    pub(super) fn new(
        begun: Begun,
        account: Account,
        ask: Arc<Ask>,
        serving: Arc<Serving>,
        worker: Arc<Worker>,
    ) -> Self {
        let mut forwarding = Self::of(State::Ended, ask, serving, worker);
        forwarding.account = Some(account);
        forwarding.open(begun);
        forwarding
    }

    /// Forwards an answer that is still waited for.
    pub(super) fn waiting(
        relayed: Pin<Box<dyn Future<Output = Relayed> + Send>>,
        ask: Arc<Ask>,
        serving: Arc<Serving>,
        worker: Arc<Worker>,
    ) -> Self {
        let mut forwarding = Self::of(State::Waiting(relayed), ask, serving, worker);
        forwarding.front.push_back(Bytes::from_static(STILL_THERE));
        forwarding
    }

    fn of(state: State, ask: Arc<Ask>, serving: Arc<Serving>, worker: Arc<Worker>) -> Self {
        let now = Instant::now();
        Self {
            state,
            front: VecDeque::new(),
            held: Bytes::new(),
            account: None,
            said_so_far: SoFar::of(&ask),
            ask,
            serving,
            timer: None,
            heard: now,
            said: now,
            idle_limit: Duration::MAX,
            worker,
        }
    }

    fn open(&mut self, begun: Begun) {
        let Begun { front, answering, watch, place, .. } = begun;
        self.idle_limit = self.serving.ways[place.upstream].idle_timeout;
        self.heard = Instant::now();
        self.state = State::Open { answering, watch, place };
        if let Some(so_far) = &mut self.said_so_far {
            // What was held was looked at by another eye; here only its words are wanted.
            let mut words = Watch::new(Events::Choices, 1);
            front.iter().for_each(|piece| words.look(piece, &mut |data| so_far.add(data)));
        }
        // The watch has seen all of it, so it is cut where it must be as one piece.
        let mut front = front;
        let front = if front.len() > 1 { Some(front.make_contiguous().concat().into()) } else { front.pop_front() };
        if let Some(front) = front {
            let piece = self.held_back(front);
            self.front.push_back(piece);
        }
        if let Some(account) = &mut self.account {
            account.is_stream = true;
            account.answering();
        }
        // Nobody else will be asked, and a stream may last for long.
        if self.said_so_far.is_none() && self.ask.n_bytes > SHORT {
            self.ask = Arc::new(self.ask.without_body());
            if let Some(account) = &mut self.account {
                account.keep(&self.ask);
            }
        }
    }

    /// Returns how long it is, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        let State::Open { answering, watch: None, .. } = &self.state else { return None };
        // What was announced is announced again, where nothing of it is ours to change.
        let held: usize = self.front.iter().map(Bytes::len).sum();
        answering.announced().map(|n| n + held as u64)
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
                State::Open { .. } if self.worker.ending.is_here() => {
                    if let Some(broken) = self.stop() {
                        return Poll::Ready(Some(Err(broken)));
                    }
                }
                State::Open { answering, watch, .. } => match answering.poll_piece(cx) {
                    Poll::Ready(Ok(Some(piece))) => {
                        match (watch, &mut self.said_so_far) {
                            (Some(watch), Some(so_far)) => watch.look(&piece, &mut |data| so_far.add(data)),
                            (Some(watch), None) => watch.look(&piece, &mut |_| {}),
                            (None, _) => {}
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
    fn begin(&mut self, relayed: Result<Answered, Refused>, mut account: Account) {
        // The client has its head, whatever comes now.
        account.status = http::StatusCode::OK.as_u16();
        self.account = Some(account);
        let problem = match relayed {
            Ok(Answered::Begun(begun)) if begun.watch.is_some() => return self.open(*begun),
            Ok(Answered::Whole(own)) if self.say_whole(&own) => return,
            // It cannot be looked into, or is no answer: in events it would be something else.
            Ok(_) => Problem::new(
                http::StatusCode::BAD_GATEWAY,
                "upstream_does_not_stream",
                "the upstream answered whole, after the answer had been begun as a stream, and with what cannot be one; ask \
                 without `stream`",
            ),
            Err(Refused::Ours(problem)) => problem,
            Err(Refused::Theirs(own, _)) => return self.end_with_their(&own),
        };
        self.end_with(&problem, Outcome::Refused);
    }

    /// Returns what of a piece may be handed on: whole lines, so that a cut leaves no half event with the client. The
    /// vendor's word that all is done is held back while something is missing.
    fn held_back(&mut self, piece: Bytes) -> Bytes {
        let State::Open { watch: Some(watch), .. } = &self.state else { return piece };
        let piece = if self.held.is_empty() {
            piece
        } else {
            let held = std::mem::take(&mut self.held);
            [held, piece].concat().into()
        };
        if watch.is_done() && !watch.is_whole() {
            let done = DONES.iter().find_map(|done| memchr::memmem::rfind(&piece, done));
            return done.map_or(piece.clone(), |at| piece.slice(..at));
        }
        let tail = memchr::memrchr(b'\n', &piece).map_or(0, |at| at + 1);
        if tail == piece.len() || piece.len() - tail > HELD_LINE {
            return piece;
        }
        self.held = piece.slice(tail..);
        piece.slice(..tail)
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
        let since = self.account.as_ref().and_then(|account| account.first_byte);
        let first_byte = since.map(|since| self.ask.began + since);
        place.tell(Ok(lanes::Answered { first_byte, usage }));
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
        if let Some(account) = &mut self.account {
            account.trouble = Some(word(failure.kind).to_owned());
        }
        place.tell(Err(&attempt::failed(failure)));
        let Some(watch) = watch else {
            self.note(Outcome::Cut, "stream_cut");
            self.state = State::Ended;
            return Some(Broken);
        };
        let is_between = watch.is_between_events();
        let was_told = watch.error().is_some() && is_between;
        let usage = watch.usage();
        if let Some(account) = &mut self.account {
            account.usage = usage;
        }
        if !was_told && self.go_on() {
            return None;
        }
        if was_told {
            // The vendor's own words are with the client already.
            self.note(Outcome::Cut, "stream_cut");
            self.state = State::Ended;
            return None;
        }
        if !is_between {
            self.front.push_back(Bytes::from_static(b"\n\n"));
        }
        let problem = Problem::new(http::StatusCode::BAD_GATEWAY, "stream_cut", message).with_usage(usage);
        self.end_with(&problem, Outcome::Cut);
        None
    }

    /// The gateway ends before the answer does, which is nobody's fault.
    fn stop(&mut self) -> Option<Broken> {
        let State::Open { watch, .. } = &self.state else { return None };
        let Some(watch) = watch else {
            self.note(Outcome::Cut, "gateway_stopping");
            self.state = State::Ended;
            return Some(Broken);
        };
        if watch.is_whole() {
            return self.finish();
        }
        let usage = watch.usage();
        if !watch.is_between_events() {
            self.front.push_back(Bytes::from_static(b"\n\n"));
        }
        if let Some(account) = &mut self.account {
            account.usage = usage;
        }
        self.end_with(&ending::problem().with_usage(usage), Outcome::Cut);
        None
    }

    /// Has another upstream go on from what was said so far, where the client wants that and one can; returns whether it
    /// will be tried.
    fn go_on(&mut self) -> bool {
        let State::Open { watch: Some(watch), place, .. } = &self.state else { return false };
        let is_between = watch.is_between_events();
        let upstream = place.upstream;
        let Some(so_far) = &mut self.said_so_far else { return false };
        so_far.broken.push(upstream);
        let Some(body) = so_far.request(&self.ask) else { return false };
        let Ok(ask) = self.ask.going_on(body) else { return false };
        let Some((place, tried)) = self.serving.place_to_go_on(&ask, &so_far.broken) else { return false };
        let Some(mut account) = self.account.take() else { return false };
        account.failed(FailureKind::Unavailable, None);
        account.failed_over();
        let (serving, worker) = (Arc::clone(&self.serving), Arc::clone(&self.worker));
        let told = format!(": continued by {}\n\n", serving.ways[place.upstream].name);
        self.held = Bytes::new();
        if !is_between {
            self.front.push_back(Bytes::from_static(b"\n\n"));
        }
        self.front.push_back(told.into());
        // The silence of the one that broke off is not that of the next.
        self.idle_limit = Duration::MAX;
        self.state = State::Waiting(Box::pin(async move {
            let relayed = relay::relay_from((place, tried), &serving, &worker, &ask, &mut account).await;
            (relayed, account)
        }));
        true
    }

    /// Says an answer that came whole in events, if it is one.
    fn say_whole(&mut self, own: &Own) -> bool {
        let Some(events) = self.ask.call.events() else { return false };
        let echoed = self.serving.settings.echo_model.then(|| relay::echoed(own.body.clone(), &self.ask.model));
        let Some(said) = as_events(events, echoed.as_ref().unwrap_or(&own.body)) else { return false };
        self.front.push_back(said);
        if let Some(account) = &mut self.account {
            account.is_stream = true;
            account.answering();
            account.outcome = Outcome::Answered;
        }
        self.state = State::Ended;
        true
    }

    /// Tells an upstream's own error, as the last event.
    fn end_with_their(&mut self, own: &Own) {
        // It has OpenAI's shape: whoever refuses sees to that.
        let said = std::str::from_utf8(&own.body).unwrap_or("{}");
        if self.ask.call.events() == Some(Events::Choices) {
            let mut event = "data: ".to_owned();
            json::compact(said, &mut event);
            event.push_str("\n\n");
            self.held = Bytes::new();
            self.front.push_back(event.into());
            self.note(Outcome::Refused, "upstream_error");
            self.state = State::Ended;
            return;
        }
        let value: serde_json::Value = serde_json::from_str(said).unwrap_or_default();
        let message = value["error"]["message"].as_str().unwrap_or(said);
        self.end_with(&Problem::new(own.status, "upstream_error", message), Outcome::Refused);
    }

    fn end_with(&mut self, problem: &Problem, outcome: Outcome) {
        self.held = Bytes::new();
        self.front.push_back(problem.event(self.ask.call.events()));
        self.note(outcome, problem.code);
        self.state = State::Ended;
    }

    fn note(&mut self, outcome: Outcome, trouble: &'static str) {
        if let Some(account) = &mut self.account {
            account.outcome = outcome;
            // What the upstream did says more than what came of it.
            account.trouble.get_or_insert_with(|| trouble.to_owned());
        }
    }
}

fn relay_failure(error: TransportError) -> Failure {
    provider::Failed::from(error).failure
}
