//! One attempt: one upstream after the other, each asked at most once.
//!
//! An upstream that refuses a request for what it asks beyond the question itself is asked again at once, for less: it has
//! not begun to work on it. That is no retry over time, and it ends, since there is ever less to ask for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    Cost, Failure, FailureKind,
    ports::{ModelAnswer, ModelRequest, Permit},
};
use provider::{Failed, Lack, Question, Replied};
use tokio::time::Instant;

use crate::{
    abilities::AllAbilities,
    forward::Forward,
    lanes::{Answered, Lanes, Picked, Place},
};

/// Sends the request with the permit, and where that fails, to the route's other upstreams that are well and have a
/// place. Nobody waits here: a place that is not free now is the engine's next attempt.
pub(crate) async fn attempt(
    lanes: &Arc<Lanes>,
    forward: &dyn Forward,
    abilities: &AllAbilities,
    names: &[Arc<str>],
    request: ModelRequest,
    mut permit: Permit,
) -> Result<ModelAnswer, (Failure, Bytes)> {
    let mut tried = Vec::new();
    loop {
        let Some(place) = permit.place::<Place>().filter(|place| place.is_of(lanes)) else {
            let message = "a permit was used at a gateway that did not give it";
            return Err((Failure::new(FailureKind::Internal, message), Bytes::new()));
        };
        if tried.is_empty() && is_over(&request) {
            let message = "the deadline passed before the request was sent";
            return Err((Failure::new(FailureKind::Timeout, message), Bytes::new()));
        }
        let upstream = place.upstream;
        let failed = match asked(forward, abilities, place, &request).await {
            Ok((replied, latency)) => {
                if let Some(hints) = &replied.hints {
                    place.hint(hints);
                }
                // Reading the answer costs more than the rest of this: only where somebody wants to know.
                let wants_tokens = lanes.wants_tokens(upstream);
                let usage = wants_tokens.then(|| provider::watch::usage_in(&replied.body)).flatten();
                place.tell(Ok(Answered { first_byte: None, usage }));
                return Ok(ModelAnswer {
                    body: replied.body,
                    upstream: Arc::clone(&names[upstream]),
                    latency,
                    request_id: replied.request_id,
                    usage: None,
                });
            }
            Err(failed) => failed,
        };
        if let Some(hints) = &failed.hints {
            place.hint(hints);
        }
        let (cost, need) = (place.tell(Err(&failed)), place.need);
        let may_another_help = is_upstreams_own(failed.failure.kind) && !is_over(&request);
        let told = told(failed, cost, &names[upstream]);
        if !may_another_help {
            return Err(told);
        }
        tried.push(upstream);
        let Picked::Place(next) = lanes.pick(&request.route, &tried, need) else { return Err(told) };
        // The place of the one that failed is freed here.
        permit = Permit::new(next);
    }
}

/// Asks one upstream, for less where it refuses what it does not take. Ends with the answer and how long it took.
async fn asked(
    forward: &dyn Forward,
    abilities: &AllAbilities,
    place: &Place,
    request: &ModelRequest,
) -> Result<(Replied, Duration), Failed> {
    let upstream = place.upstream;
    let mut asks = abilities.of(upstream);
    let mut refusals: Vec<(Lack, String)> = Vec::new();
    loop {
        let sent = Instant::now();
        let ModelRequest { ask, body, deadline, .. } = request;
        let question = Question { ask: *ask, body, abilities: asks, deadline: *deadline };
        match forward.forward(upstream, question).await {
            Ok(replied) => {
                // What was understood of a refusal is believed when asking for less was answered.
                if !refusals.is_empty() {
                    abilities.learn(upstream, asks, &refusals);
                }
                return Ok((replied, sent.elapsed()));
            }
            Err(failed) => {
                let Some(lack) = failed.lacks.filter(|_| !is_over(request)) else { return Err(failed) };
                let Some(less) = abilities.less(upstream, asks, lack) else { return Err(failed) };
                asks = less;
                place.sent_again();
                refusals.push((lack, failed.failure.message));
            }
        }
    }
}

fn is_over(request: &ModelRequest) -> bool {
    Instant::now().into_std() >= request.deadline
}

/// Returns whether the failure says something about the upstream rather than about the request.
pub(crate) fn is_upstreams_own(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Throttled
            | FailureKind::Unavailable
            | FailureKind::Timeout
            | FailureKind::Unauthorized
            | FailureKind::ExhaustedCredit
    )
}

/// Adds who pays and who it was.
fn told(failed: Failed, cost: Cost, upstream: &str) -> (Failure, Bytes) {
    let Failed { mut failure, body, .. } = failed;
    failure.cost = cost;
    failure.message = format!("`{upstream}`: {}", failure.message);
    (failure, body)
}
