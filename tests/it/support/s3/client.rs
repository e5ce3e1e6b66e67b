//! Clients of the AWS SDK for an endpoint: path-style, with one attempt per request, so that a test
//! sees every failure.

use super::{ACCESS_KEY, Endpoint, REGION, SECRET_KEY};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};

/// A client that signs with the endpoint's keys.
pub fn client(endpoint: &Endpoint) -> Client {
    client_with_keys(endpoint.url(), ACCESS_KEY, SECRET_KEY)
}

/// A client that signs with these keys.
pub fn client_with_keys(url: &str, access_key: &str, secret_key: &str) -> Client {
    let credentials = Credentials::new(access_key, secret_key, None, None, "test");
    Client::from_conf(builder(url).credentials_provider(credentials).build())
}

/// A client that does not sign, as under `--no-sign-request`.
pub fn anonymous_client(url: &str) -> Client {
    Client::from_conf(builder(url).allow_no_auth().build())
}

fn builder(url: &str) -> Builder {
    Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new(REGION))
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
}
