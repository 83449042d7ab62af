//! Asking a gateway how it does.

use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::AUTHORIZATION};
use provider::transport::{Endpoint, Form, Limits, Payload, Request, Transport};
use tokio::time::Instant;

use super::sample::Sample;
use crate::{args::GatewayTop, compose::environment, exit::ConfigurationError};

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What asks.
pub(super) struct Fetch {
    transport: Transport,
    endpoint: Endpoint,
    models: Form,
    metrics: Form,
}

impl Fetch {
    /// # Errors
    /// Where the address is none, or the key is not there.
    pub(super) fn new(args: &GatewayTop) -> anyhow::Result<Self> {
        // What is printed when a gateway begins to serve may be given as it stands.
        let url = args.url.trim_end_matches('/');
        let url = url.strip_suffix("/v1").unwrap_or(url);
        let wrong = |e: provider::transport::EndpointError| ConfigurationError(format!("`{}` (--url): {e}", args.url));
        let endpoint = Endpoint::parse(url).map_err(wrong)?;
        let mut headers = HeaderMap::new();
        if let Some(name) = &args.key {
            let Some(key) = environment::variable(name) else {
                let message = format!("the environment variable `{name}` (--key) is not set");
                return Err(ConfigurationError(message).into());
            };
            let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", key.trim())) else {
                let message = format!("the key in `{name}` holds characters that a header cannot carry");
                return Err(ConfigurationError(message).into());
            };
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let form = |path| Form::new(&endpoint, Method::GET, path, headers.clone()).map_err(wrong);
        let (models, metrics) = (form("/admin/models")?, form("/metrics")?);
        Ok(Self { transport: Transport::new(Limits::default()), endpoint, models, metrics })
    }

    /// Looks once.
    ///
    /// # Errors
    /// Where the gateway cannot be reached, or does not tell.
    pub(super) async fn sample(&self) -> anyhow::Result<Sample> {
        let models = self.get(&self.models).await?;
        let metrics = self.get(&self.metrics).await?;
        let sample = Sample::read(&models, &String::from_utf8_lossy(&metrics), Instant::now());
        sample.ok_or_else(|| anyhow::anyhow!("what answers at {} is no gateway of Tidemill's", self.endpoint.address()))
    }

    async fn get(&self, form: &Form) -> anyhow::Result<Bytes> {
        let (headers, body) = (HeaderMap::new(), Payload::from(Bytes::new()));
        let request = Request { form, headers: std::borrow::Cow::Owned(headers), body, is_stream: false };
        let address = self.endpoint.address();
        let reply = self.transport.send(&self.endpoint, request, (Instant::now() + PATIENCE).into()).await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(e) => bail!(
                "no gateway answers at {address}: {e}; start one with: tidemill gateway, or give its address with --url"
            ),
        };
        match reply.status {
            StatusCode::OK => Ok(reply.body),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => bail!(
                "the gateway at {address} shows this only to keys with `admin: true`: give the name of the variable that \
                 holds one with --key"
            ),
            status => bail!("what answers at {address} is no gateway of Tidemill's: it says {status}"),
        }
    }
}
