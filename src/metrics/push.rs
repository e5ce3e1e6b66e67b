//! Pushes metrics to a Pushgateway.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use secrecy::ExposeSecret as _;

use super::options::{Label, PushUrl};
use crate::error::{Error, ErrorKind, Result};
use crate::printable::printable;

/// The time limit for a push. A run must not hang at its end because nobody answers.
const LIMIT: Duration = Duration::from_secs(10);
/// The length of an answer that is quoted.
const ANSWER_LIMIT_BYTES: usize = 300;

/// Sends the metrics of a target, in a group of the target and the labels. They replace all that
/// the group has, or with `keeps_others` only those of the same names.
///
/// # Errors
/// `TargetUnreachable` if the gateway does not take them within ten seconds. There is no retry.
pub async fn push(
    to: &PushUrl,
    target: &str,
    labels: &[Label],
    keeps_others: bool,
    text: String,
) -> Result<()> {
    let failed = |why: String| {
        Error::new(ErrorKind::TargetUnreachable, format!("the push to {to} failed: {why}"))
    };
    let sent = send(to, target, labels, keeps_others, text);
    match tokio::time::timeout(LIMIT, sent).await {
        Ok(sent) => sent.map_err(failed),
        Err(_) => Err(failed(format!("no answer within {LIMIT:?}"))),
    }
}

async fn send(
    to: &PushUrl,
    target: &str,
    labels: &[Label],
    keeps_others: bool,
    text: String,
) -> std::result::Result<(), String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(provider)
        .map_err(|error| error.to_string())?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let mut request = Request::builder()
        .method(if keeps_others { Method::POST } else { Method::PUT })
        .uri(format!("{}{}", to.base, group(target, labels)))
        .header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    if !to.user.is_empty() || to.has_password() {
        let login = STANDARD.encode(format!("{}:{}", to.user, to.password.expose_secret()));
        request = request.header(AUTHORIZATION, format!("Basic {login}"));
    }
    let request = request.body(Full::from(text)).map_err(|error| error.to_string())?;
    let answer = client.request(request).await.map_err(|error| with_causes(&error))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = Limited::new(answer.into_body(), ANSWER_LIMIT_BYTES).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    Err(format!("it answered {status} {}", printable(body.trim())).trim_end().to_owned())
}

/// Returns the path of the group, with values in base64, because they may hold slashes.
fn group(target: &str, labels: &[Label]) -> String {
    let target = URL_SAFE_NO_PAD.encode(target);
    let mut path = format!("/metrics/job/s3-to-mysql/target@base64/{target}");
    for Label { name, value } in labels {
        let value = URL_SAFE_NO_PAD.encode(value);
        path.extend(["/", name, "@base64/", &value]);
    }
    path
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.extend([": ", &cause.to_string()]);
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_in_base64_so_that_a_slash_ends_nothing() {
        let label = Label { name: "env".to_owned(), value: "a/b?".to_owned() };
        assert_eq!(
            group("d.`a/b`", &[label]),
            "/metrics/job/s3-to-mysql/target@base64/ZC5gYS9iYA/env@base64/YS9iPw"
        );
    }
}
