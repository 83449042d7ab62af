//! What is called.

use http::Method;
use provider::watch::Events;

use super::own;

/// What a client calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// What models answer.
    Model(Call),
    /// `GET /v1/models`, or one of them.
    Models(Option<String>),
    /// What the gateway says about itself.
    Own(Own),
}

/// A path that models answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Chat,
    Completions,
    Embeddings,
    Responses,
    /// A path below the version that is passed through, with its query.
    Passed(String),
}

/// What the gateway says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Root,
    Healthz,
    Readyz,
    Metrics,
    AdminModels,
    AdminHealth,
    OpenApi,
}

/// Why a path is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    Path,
    /// It is called in another way.
    Method(&'static str),
}

impl Endpoint {
    /// Finds out what is called.
    pub(super) fn of(
        method: &Method,
        path: &str,
        query: Option<&str>,
        pass_through: &[String],
    ) -> Result<Self, NotFound> {
        let call = match path {
            "/v1/chat/completions" => Call::Chat,
            "/v1/completions" => Call::Completions,
            "/v1/embeddings" => Call::Embeddings,
            "/v1/responses" => Call::Responses,
            _ => return Self::other(method, path, query, pass_through),
        };
        if method == Method::POST { Ok(Self::Model(call)) } else { Err(NotFound::Method("POST")) }
    }

    fn other(method: &Method, path: &str, query: Option<&str>, pass_through: &[String]) -> Result<Self, NotFound> {
        let own = match path {
            "/" => Own::Root,
            "/healthz" => Own::Healthz,
            "/readyz" => Own::Readyz,
            "/metrics" => Own::Metrics,
            "/admin/models" => Own::AdminModels,
            "/admin/health" => Own::AdminHealth,
            "/openapi.json" => Own::OpenApi,
            _ => {
                let Some(rest) = path.strip_prefix("/v1/") else { return Err(NotFound::Path) };
                if rest == "models" || rest.starts_with("models/") {
                    let name = rest.strip_prefix("models/").map(str::to_owned);
                    return if is_read(method) { Ok(Self::Models(name)) } else { Err(NotFound::Method("GET")) };
                }
                if !pass_through.iter().any(|pattern| fits(pattern, rest)) {
                    return Err(NotFound::Path);
                }
                let query = query.map_or(String::new(), |query| format!("?{query}"));
                return Ok(Self::Model(Call::Passed(format!("/{rest}{query}"))));
            }
        };
        if is_read(method) { Ok(Self::Own(own)) } else { Err(NotFound::Method("GET")) }
    }
}

impl Call {
    /// Returns in which events it streams, where they are known.
    pub(super) fn events(&self) -> Option<Events> {
        match self {
            Self::Chat | Self::Completions => Some(Events::Choices),
            Self::Responses => Some(Events::Responses),
            Self::Embeddings | Self::Passed(_) => None,
        }
    }

    /// Returns the way below the version at the vendor.
    pub(super) fn path<'a>(&'a self, method: &'a Method) -> provider::Path<'a> {
        match self {
            Self::Chat => provider::Path::Chat,
            Self::Embeddings => provider::Path::Embeddings,
            Self::Completions => provider::Path::Other(method, "/completions"),
            Self::Responses => provider::Path::Other(method, "/responses"),
            Self::Passed(path) => provider::Path::Other(method, path),
        }
    }

    /// Returns its name in metrics: few, whatever is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
            Self::Passed(_) => "passed",
        }
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Returns whether a path fits a pattern: `audio/*` means all below `audio/`.
fn fits(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim_start_matches('/').trim_start_matches("v1/");
    // A path that climbs would be another one at the vendor.
    !climbs(path)
        && match pattern.strip_suffix('*') {
            Some(before) => path.starts_with(before),
            None => path == pattern,
        }
}

/// Returns whether a path leads out of where it seems to be, however that is written: servers read `%2e` and `\`, and
/// some of them read `..;x`, as what it stands for. Nor is one that holds a NUL or the end of a line the path that it seems
/// to be.
fn climbs(path: &str) -> bool {
    let mut path = path.to_owned();
    loop {
        let part = |part: &str| matches!(part.split(';').next(), Some("." | ".."));
        if path.split(['/', '\\']).any(part) || path.contains(char::is_control) {
            return true;
        }
        let plain = own::decoded(&path);
        if plain == path {
            return false;
        }
        path = plain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_is_known_or_declared() {
        let declared = ["audio/*".to_owned(), "/v1/rerank".to_owned()];
        let of = |method: Method, path: &str| Endpoint::of(&method, path, Some("a=1"), &declared);
        assert_eq!(of(Method::POST, "/v1/chat/completions"), Ok(Endpoint::Model(Call::Chat)));
        assert_eq!(of(Method::GET, "/v1/chat/completions"), Err(NotFound::Method("POST")));
        assert_eq!(of(Method::GET, "/v1/models/a/b"), Ok(Endpoint::Models(Some("a/b".to_owned()))));
        assert_eq!(
            of(Method::POST, "/v1/audio/speech"),
            Ok(Endpoint::Model(Call::Passed("/audio/speech?a=1".to_owned())))
        );
        assert_eq!(of(Method::POST, "/v1/rerank"), Ok(Endpoint::Model(Call::Passed("/rerank?a=1".to_owned()))));
        for climbs in
            ["%2e%2e/files", "%2E./files", "..%2ffiles", "%252e%252e/files", "..\\files", "..;a=b/files", "./x"]
        {
            let path = format!("/v1/audio/{climbs}");
            assert_eq!(of(Method::POST, &path), Err(NotFound::Path), "{path}");
        }
        for path in ["/v1/images/generations", "/v1/audio/../models", "/v2/x", "/v1", "/health"] {
            assert_eq!(of(Method::POST, path), Err(NotFound::Path), "{path}");
        }
        assert_eq!(of(Method::POST, "/healthz"), Err(NotFound::Method("GET")));
    }
}
