//! Why there is no place, and when there may be one.

use std::time::Duration;

use domain::{Failure, FailureKind, Waiting, ports::NotBefore};
use tokio::time::Instant;

use super::{Lane, Lanes, Picked, Route, View};
use crate::{
    health::Standing,
    limit::Room,
    need::{Need, Wants},
};

/// What asking for a place now would come to.
#[derive(Debug)]
pub(crate) enum Outlook {
    Free,
    NotBefore(NotBefore),
    Closed,
}

impl Lanes {
    /// Returns what asking for a place now would come to, were there no line.
    pub(crate) fn outlook(&self, asked: usize, tried: &[usize], need: Need) -> Outlook {
        let now = Instant::now();
        let mut fleet = self.shared.fleet();
        let (lanes, _) = fleet.seen_by(&self.slots);
        let routes = self.routes();
        let is_free = [Some(asked), routes[asked].instead].into_iter().flatten().any(|number| {
            let members = &routes[number].members;
            let wants = need.abilities.of_members(members, tried, &lanes, now);
            members.iter().any(|upstream| !tried.contains(upstream) && lanes[*upstream].takes(wants, need, now))
        });
        if is_free {
            return Outlook::Free;
        }
        match self.why_none(asked, tried, need, (&lanes, &routes), now) {
            Picked::NotBefore(wait) => Outlook::NotBefore(wait),
            Picked::Place(_) | Picked::Closed(_) => Outlook::Closed,
        }
    }

    /// Says why there is no place.
    pub(super) fn why_none(
        &self,
        asked: usize,
        tried: &[usize],
        need: Need,
        (lanes, routes): (&View<'_>, &[Route]),
        now: Instant,
    ) -> Picked {
        let others = routes[asked].instead.map_or(&[][..], |instead| &routes[instead].members[..]);
        let members = &routes[asked].members;
        let all = members.iter().chain(others.iter().filter(|other| !members.contains(other)));
        let hard = Wants { schema: false, ..need.abilities };
        let mut able = all.clone().filter(|upstream| lanes[**upstream].can(hard)).peekable();
        if able.peek().is_none() {
            return Picked::Closed(unable(&routes[asked].name, all.map(|upstream| &lanes[*upstream]), hard));
        }
        let left = able.filter(|upstream| !tried.contains(upstream)).map(|upstream| &lanes[*upstream]);
        // Who was failed by one waits for those that are only busy, and in vain for what is broken: it may stay so, and
        // there is a failure to tell, on which somebody can act.
        let is_hope = |lane: &Lane| !matches!(lane.health.standing(now), Standing::Dead | Standing::OpenUntil(_));
        if !tried.is_empty() && !left.clone().any(is_hope) {
            return Picked::Closed(Failure::new(FailureKind::Unavailable, "no other upstream can be asked"));
        }
        refusal(left, need, self.outage, now)
    }
}

/// Says what the upstreams of a route lack of what a request needs.
fn unable<'a>(route: &str, lanes: impl Iterator<Item = &'a Lane>, wants: Wants) -> Failure {
    let lack = |lane: &Lane| Some(format!("`{}` {}", lane.name, wants.lacking(lane.abilities)?));
    let lacks: Vec<String> = lanes.filter_map(lack).collect();
    let message = format!("no model of `{route}` can do what the request needs: {}", lacks.join("; "));
    Failure::new(FailureKind::Rejected, message)
}

/// Says why none of the route's upstreams can be asked now, and when one perhaps can.
fn refusal<'a>(lanes: impl Iterator<Item = &'a Lane> + Clone, need: Need, outage: Duration, now: Instant) -> Picked {
    let mut earliest: Option<(Instant, Waiting)> = None;
    let mut probed: Option<&Lane> = None;
    let (mut is_full, mut is_limited) = (false, false);
    for lane in lanes.clone() {
        let (at, reason) = match lane.health.standing(now) {
            Standing::Well | Standing::ProbeDue => match lane.limit.room(need, now) {
                Room::At(at) => {
                    is_limited = true;
                    (at, Waiting::Rate)
                }
                // A place that is freed is told.
                Room::Full => {
                    is_full = true;
                    continue;
                }
                // It does not take the schema that another one would take.
                Room::Free => continue,
            },
            Standing::CoolsUntil(at) => (at, Waiting::Throttled),
            Standing::OpenUntil(Some(at)) => (at, Waiting::Outage(lane.trouble(now))),
            Standing::OpenUntil(None) => {
                probed = Some(lane);
                continue;
            }
            Standing::Dead => continue,
        };
        if earliest.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
            earliest = Some((at, reason));
        }
    }
    if is_full || is_limited {
        // One that is busy is well: that others are not is no reason to speak of.
        let reason = if is_full { Waiting::Width } else { Waiting::Rate };
        return Picked::NotBefore(NotBefore { at: earliest.map(|(at, _)| at.into_std()), reason });
    }
    let is_over = |lane: &Lane| {
        let too_long = lane.health.troubled_since().is_some_and(|since| now - since >= outage);
        too_long || lane.health.standing(now) == Standing::Dead
    };
    if lanes.clone().all(is_over) {
        // The one that may come back gives the kind; where all are dead, the first.
        let alive = lanes.clone().find(|lane| lane.health.standing(now) != Standing::Dead);
        let Some(lane) = alive.or_else(|| lanes.clone().next()) else {
            return Picked::Closed(Failure::new(FailureKind::Internal, "a route leads nowhere"));
        };
        let kind = lane.health.last().map_or(FailureKind::Unavailable, |last| last.kind);
        let troubles: Vec<String> = lanes.map(|lane| lane.trouble(now)).collect();
        return Picked::Closed(Failure::new(kind, troubles.join("; ")).costing_the_lane());
    }
    let (at, reason) = match (earliest, probed) {
        (Some((at, reason)), _) => (Some(at.into_std()), reason),
        // The end of the probe frees its place, and that is told.
        (None, Some(lane)) => (None, Waiting::Outage(lane.trouble(now))),
        (None, None) => (None, Waiting::Width),
    };
    Picked::NotBefore(NotBefore { at, reason })
}
