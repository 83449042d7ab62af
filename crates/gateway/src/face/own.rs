//! What the gateway says about itself.

use std::net::IpAddr;

use domain::Clock;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{body::FaceBody, endpoint::Own, guard::Client, live::Serving, problem::Problem};

/// Lists the models as OpenAI does, or one of them.
pub(super) fn models(serving: &Serving, name: Option<&str>) -> Response<FaceBody> {
    let created = serving.since.0 / 1000;
    let model = |name: &str| json!({ "id": name, "object": "model", "created": created, "owned_by": "tidemill" });
    match name {
        None => {
            let data: Vec<Value> = serving.listed().iter().map(|name| model(name)).collect();
            as_json(StatusCode::OK, &json!({ "object": "list", "data": data }))
        }
        Some(name) if serving.listed().contains(&name) => as_json(StatusCode::OK, &model(name)),
        Some(name) => {
            let message = format!("there is no model `{name}` here; `GET /v1/models` lists those that there are");
            Problem::new(StatusCode::NOT_FOUND, "model_not_found", message).response()
        }
    }
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
            as_json(status, &json!({ "ready": is_ready, "available_models": n_available, "total_models": n_all }))
        }
        Own::Metrics | Own::AdminModels | Own::AdminHealth => match Client::admin(headers, peer, serving) {
            Ok(()) => serving.behind_the_scenes(what, clock),
            Err(problem) => problem.response(),
        },
        Own::OpenApi => as_json(StatusCode::OK, &json!({})),
    }
}

pub(super) fn as_json(status: StatusCode, value: &Value) -> Response<FaceBody> {
    let mut response = Response::new(FaceBody::whole(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
