//! One attempt: one upstream after the other, each asked at most once.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    Cost, Failure, FailureKind,
    ports::{ModelAnswer, ModelRequest, Permit},
};
use provider::Failed;
use tokio::time::Instant;

use crate::{
    forward::Forward,
    lanes::{Lanes, Picked, Place},
};

/// Sends the request with the permit, and where that fails, to the route's other upstreams that are well and have a
/// place. Nobody waits here: a place that is not free now is the engine's next attempt.
pub(crate) async fn attempt(
    lanes: &Arc<Lanes>,
    forward: &dyn Forward,
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
        let sent = Instant::now();
        if tried.is_empty() && sent.into_std() >= request.deadline {
            let message = "the deadline passed before the request was sent";
            return Err((Failure::new(FailureKind::Timeout, message), Bytes::new()));
        }
        let upstream = place.upstream;
        let failed = match forward.forward(upstream, &request.body, request.deadline).await {
            Ok(replied) => {
                place.tell(Ok(()));
                return Ok(ModelAnswer {
                    body: replied.body,
                    upstream: Arc::clone(&names[upstream]),
                    latency: sent.elapsed(),
                    request_id: replied.request_id,
                    usage: None,
                });
            }
            Err(failed) => failed,
        };
        let cost = place.tell(Err(&failed));
        let may_another_help = is_upstreams_own(failed.failure.kind) && Instant::now().into_std() < request.deadline;
        let told = told(failed, cost, &names[upstream]);
        if !may_another_help {
            return Err(told);
        }
        tried.push(upstream);
        let Picked::Place(next) = lanes.pick(&request.route, &tried) else { return Err(told) };
        // The place of the one that failed is freed here.
        permit = Permit::new(next);
    }
}

/// Returns whether the failure says something about the upstream rather than about the request.
fn is_upstreams_own(kind: FailureKind) -> bool {
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
