//! Resolves the settings of the metrics.

use crate::metrics::{Label, MetricsConfig, PushUrl};
use crate::settings::{Origin, Resolver, Value, table as s};

pub(super) fn resolve(resolver: &mut Resolver) -> MetricsConfig {
    MetricsConfig {
        file: resolver.path(&s::METRICS_FILE),
        push: push_url(resolver),
        labels: labels(resolver),
    }
}

/// Returns the address of the Pushgateway. What is shown of it has no login.
fn push_url(resolver: &mut Resolver) -> Option<PushUrl> {
    let (text, origin) = resolver.text(&s::METRICS_PUSH)?;
    match PushUrl::parse(&text) {
        Ok(url) => {
            if url.has_password() && matches!(origin, Origin::CommandLine(_)) {
                resolver.warnings.push(
                    "other users of this machine can read the password in --metrics-push (ps); \
                     give it in S3_TO_MYSQL_METRICS_PUSH or the configuration file"
                        .to_owned(),
                );
            }
            resolver.record(&s::METRICS_PUSH, Value::Text(url.to_string()), origin);
            Some(url)
        }
        Err(why) => {
            // The text may hold a password.
            resolver.bad(&s::METRICS_PUSH, "", &origin, why);
            resolver.record_unset(&s::METRICS_PUSH, origin);
            None
        }
    }
}

fn labels(resolver: &mut Resolver) -> Vec<Label> {
    let (texts, origin) = resolver.list(&s::METRICS_LABELS);
    let mut labels: Vec<Label> = Vec::new();
    for text in texts {
        match Label::parse(&text) {
            Ok(label) if labels.iter().any(|other| other.name == label.name) => {
                resolver.bad(&s::METRICS_LABELS, &text, &origin, "the label is given twice");
            }
            Ok(label) => labels.push(label),
            Err(why) => resolver.bad(&s::METRICS_LABELS, &text, &origin, why),
        }
    }
    labels
}
