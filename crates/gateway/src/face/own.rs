//! What the gateway says about itself.

use std::net::IpAddr;

use domain::Clock;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    body::FaceBody,
    endpoint::Own,
    guard::Client,
    live::Serving,
    metrics::Now,
    openapi,
    problem::{A_MOMENT, Problem, set_retry_after},
};
use crate::lanes::UpstreamStanding;

/// <https://prometheus.io/docs/instrumenting/exposition_formats/#basic-info>
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Lists the models as OpenAI does, or one of them.
pub(super) fn models(serving: &Serving, name: Option<&str>) -> Response<FaceBody> {
    let created = serving.since.0 / 1000;
    // AI-DataFlux's own word, for those who look for it.
    let owner = if serving.settings.echo_model { "flux-api" } else { "tidemill" };
    let model = |name: &str| json!({ "id": name, "object": "model", "created": created, "owned_by": owner });
    let Some(name) = name else {
        let data: Vec<Value> = serving.listed().map(model).collect();
        return as_json(StatusCode::OK, &json!({ "object": "list", "data": data }));
    };
    let name = decoded(name);
    if serving.names.iter().any(|known| *known.name == *name) {
        return as_json(StatusCode::OK, &model(&name));
    }
    let message = format!("there is no model `{name}` here; `GET /v1/models` lists those that there are");
    Problem::new(StatusCode::NOT_FOUND, "model_not_found", message).response()
}

/// Answers for the gateway itself.
pub(super) fn answer(
    what: Own,
    headers: &HeaderMap,
    peer: IpAddr,
    serving: &Serving,
    clock: &dyn Clock,
) -> Response<FaceBody> {
    match what {
        Own::Root => {
            let version = env!("CARGO_PKG_VERSION");
            as_json(StatusCode::OK, &json!({ "name": "Tidemill", "version": version, "status": "running" }))
        }
        // It answers, so it is alive.
        Own::Healthz => as_json(StatusCode::OK, &json!({ "status": "ok" })),
        Own::Readyz => {
            let (n_available, n_all) = serving.available();
            let is_ready = n_available > 0;
            let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let value = json!({ "ready": is_ready, "available_models": n_available, "total_models": n_all });
            let mut response = as_json(status, &value);
            if !is_ready {
                let soonest = serving.gateway.lanes().standing().iter().filter_map(|upstream| upstream.rest).min();
                set_retry_after(response.headers_mut(), Some(soonest.unwrap_or_default().max(A_MOMENT)));
            }
            response
        }
        Own::Metrics | Own::AdminModels | Own::AdminHealth => match Client::admin(headers, peer, serving) {
            Ok(()) => serving.behind_the_scenes(what, clock),
            Err(problem) => problem.response(),
        },
        Own::OpenApi => as_json(StatusCode::OK, &openapi::document(serving.has_keys())),
    }
}

impl Serving {
    /// Returns how many upstreams can be asked now, and how many there are.
    pub(super) fn available(&self) -> (usize, usize) {
        let standing = self.gateway.lanes().standing();
        (standing.iter().filter(|upstream| upstream.is_available()).count(), standing.len())
    }

    /// Answers what only those may see who run the gateway.
    pub(super) fn behind_the_scenes(&self, what: Own, clock: &dyn Clock) -> Response<FaceBody> {
        let standing = self.gateway.lanes().standing();
        match what {
            Own::Metrics => {
                let now = Now { upstreams: &standing, since: self.since, n_waiting: self.queue.n_waiting() };
                let mut response = Response::new(FaceBody::whole(self.metrics.text(&now)));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROMETHEUS));
                response
            }
            Own::AdminHealth => as_json(StatusCode::OK, &self.health(&standing, clock)),
            _ => as_json(StatusCode::OK, &self.upstreams(&standing)),
        }
    }

    fn health(&self, standing: &[UpstreamStanding], clock: &dyn Clock) -> Value {
        let n_available = standing.iter().filter(|upstream| upstream.is_available()).count();
        let status = match n_available {
            0 => "unhealthy",
            n if n < standing.len() => "degraded",
            _ => "healthy",
        };
        let mut health = json!({
            "status": status,
            "available_models": n_available,
            "total_models": standing.len(),
            "uptime": clock.now().0.saturating_sub(self.since.0) as f64 / 1e3,
        });
        // Beside AI-DataFlux's members: one that waits for a person, like a key that was refused, must be seen here.
        let unavailable = standing.iter().filter(|upstream| !upstream.is_available()).map(|upstream| {
            json!({
                "id": &*upstream.name,
                "state": upstream.state(),
                "rest_seconds": upstream.rest.map(|rest| rest.as_secs_f64()),
                "trouble": upstream.trouble,
            })
        });
        let unavailable: Vec<Value> = unavailable.collect();
        if !unavailable.is_empty() {
            health["unavailable"] = unavailable.into();
        }
        health
    }

    /// The first eight members are AI-DataFlux's; the others say why one is not available, and how busy it is.
    fn upstreams(&self, standing: &[UpstreamStanding]) -> Value {
        let mut n_available = 0;
        let model = |(way, upstream): (&super::live::Way, &UpstreamStanding)| {
            n_available += usize::from(upstream.is_available());
            let record = self.metrics.record(&way.name);
            json!({
                "id": &*way.name,
                "name": &*way.name,
                "model": &*way.vendor_name,
                "weight": upstream.weight,
                "success_rate": record.success_rate,
                "avg_response_time": record.answer_seconds,
                "available": upstream.is_available(),
                "channel": &*way.channel,
                "state": upstream.state(),
                "rest_seconds": upstream.rest.map(|rest| rest.as_secs_f64()),
                "trouble": upstream.trouble,
                "attempts": record.n_attempts,
                "in_flight": upstream.in_flight,
                "width": upstream.width,
            })
        };
        let models: Vec<Value> = self.ways.iter().zip(standing).map(model).collect();
        json!({ "models": models, "total": standing.len(), "available": n_available })
    }
}

/// Returns a part of a path as it was before it was put into one.
pub(super) fn decoded(part: &str) -> String {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let (bytes, mut out, mut at) = (part.as_bytes(), Vec::with_capacity(part.len()), 0);
    while at < bytes.len() {
        let pair = bytes.get(at + 1).zip(bytes.get(at + 2)).filter(|_| bytes[at] == b'%');
        match pair.and_then(|(high, low)| Some(hex(*high)? * 16 + hex(*low)?)) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub(super) fn as_json(status: StatusCode, value: &Value) -> Response<FaceBody> {
    let mut response = Response::new(FaceBody::whole(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn a_name_is_found_as_clients_put_it_into_a_path() {
        let table = [("a/b", "a/b"), ("a%2Fb", "a/b"), ("%E6%A8%A1", "模"), ("50%", "50%"), ("%zz%4", "%zz%4")];
        for (part, name) in table {
            assert_eq!(decoded(part), name);
        }
    }
}
