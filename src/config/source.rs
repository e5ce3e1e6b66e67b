//! Resolves the settings of the source: what to load, which keys count, and how to reach the store.

use std::path::PathBuf;

use globset::Glob;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::Regex;

use crate::dialect::Preset;
use crate::s3_uri::SourceUri;
use crate::settings::{Origin, Problem, Resolver, Scope, Setting, Value, table as s};
use crate::source::SourceConfig;

pub(super) fn resolve(
    resolver: &mut Resolver,
    preset: Preset,
    is_parquet: bool,
    scope: Scope,
) -> SourceConfig {
    let (uris, keys_from) = uris_and_keys_from(resolver, scope);
    let modified_after = resolver.optional(&s::MODIFIED_AFTER, parse_time);
    let modified_before = resolver.optional(&s::MODIFIED_BEFORE, parse_time);
    if let (Some(after), Some(before)) = (modified_after, modified_before)
        && after >= before
    {
        resolver.problems.push(Problem {
            what: "no object can match: modified-after is not before modified-before".to_owned(),
            origin: None,
            remedy: "swap them, or leave one out".to_owned(),
        });
    }
    let skip_hidden = if resolver.find(&s::SKIP_HIDDEN).is_some() {
        resolver.switch(&s::SKIP_HIDDEN)
    } else {
        let skips = is_parquet || preset.skips_hidden();
        let origin = if is_parquet { Origin::Default } else { Origin::Preset(preset.name()) };
        resolver.record_derived(&s::SKIP_HIDDEN, skips.to_string(), origin);
        skips
    };
    let path_style = if resolver.find_set(&s::PATH_STYLE).is_some() {
        Some(resolver.switch(&s::PATH_STYLE))
    } else {
        // The host of the endpoint decides, which may be known to the SDK alone.
        resolver.record_unset(&s::PATH_STYLE, Origin::Default);
        None
    };
    let include = globs(resolver, &s::INCLUDE);
    let exclude = globs(resolver, &s::EXCLUDE);
    SourceConfig {
        uris,
        keys_from,
        include,
        exclude,
        key_regex: resolver.optional(&s::KEY_REGEX, |text| {
            Regex::new(text).map(|_| text.to_owned()).map_err(|error| regex_problem(&error))
        }),
        modified_after,
        modified_before,
        skip_hidden,
        refuse_lakes: is_parquet && !resolver.switch(&s::ALLOW_LAKE_FILES),
        allow_empty: resolver.switch(&s::ALLOW_EMPTY),
        region: resolver.text(&s::REGION).map(|(text, _)| text),
        profile: resolver.text(&s::PROFILE).map(|(text, _)| text),
        endpoint_url: resolver.optional(&s::ENDPOINT_URL, endpoint_url),
        path_style,
        no_sign_request: resolver.switch(&s::NO_SIGN_REQUEST),
        request_payer: resolver.switch(&s::REQUEST_PAYER),
        connect_timeout: resolver.duration(&s::CONNECT_TIMEOUT),
        stall_timeout: resolver.duration(&s::STALL_TIMEOUT),
    }
}

/// Resolves the two settings that together say what to load. The strongest place that gives either
/// of them hides both in weaker places.
fn uris_and_keys_from(resolver: &mut Resolver, scope: Scope) -> (Vec<SourceUri>, Option<PathBuf>) {
    let rank = |found: Option<(usize, _)>| found.map_or(usize::MAX, |(rank, _)| rank);
    let uris_rank = rank(resolver.find(&s::URIS));
    let keys_rank = rank(resolver.find_set(&s::KEYS_FROM));
    let force_prefix = resolver.switch(&s::PREFIX);

    let keys_from = if keys_rank <= uris_rank {
        resolver.path(&s::KEYS_FROM)
    } else {
        resolver.record_unset(&s::KEYS_FROM, Origin::Default);
        None
    };
    let texts = if uris_rank <= keys_rank {
        let (texts, origin) = resolver.list(&s::URIS);
        texts.into_iter().map(|text| (text, origin.clone())).collect()
    } else {
        resolver.record(&s::URIS, Value::List(Vec::new()), Origin::Default);
        Vec::new()
    };
    if texts.is_empty() && keys_from.is_none() {
        match scope {
            Scope::Load => {
                let remedy = "name an S3 URI such as s3://BUCKET/PREFIX/, or --keys-from FILE";
                resolver.missing(&s::URIS, "there is nothing to load", remedy);
            }
            Scope::Forget => {
                let remedy = "on the command line, name s3://BUCKET/KEY, \
                              or s3://BUCKET/PREFIX/ for everything below it";
                resolver.missing(&s::URIS, "there is nothing to forget", remedy);
            }
            Scope::Ack => {
                let remedy = "on the command line, name s3://BUCKET/KEY of a failed object, \
                              or s3://BUCKET/PREFIX/ for all that failed below it";
                resolver.missing(&s::URIS, "there is nothing to acknowledge", remedy);
            }
            Scope::Status | Scope::Wait => {}
        }
    }
    let mut uris = Vec::new();
    for (text, origin) in texts {
        match SourceUri::parse(&text, force_prefix) {
            Ok(uri) => uris.push(uri),
            Err(why) => resolver.bad(&s::URIS, &text, &origin, why),
        }
    }
    (uris, keys_from)
}

fn globs(resolver: &mut Resolver, setting: &'static Setting) -> Vec<String> {
    let (globs, origin) = resolver.list(setting);
    for glob in &globs {
        if let Err(why) = Glob::new(glob) {
            resolver.bad(setting, glob, &origin, why.kind());
        }
    }
    globs
}

/// Returns the last line of the error, which has the reason. The lines before it are a drawing.
fn regex_problem(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default();
    format!("not a regular expression: {}", reason.strip_prefix("error: ").unwrap_or(reason))
}

/// Parses RFC 3339 with an offset, or a date, which means midnight UTC, because S3's times are UTC.
fn parse_time(text: &str) -> Result<Timestamp, &'static str> {
    const EXPECTED: &str =
        "it must be a time with its offset, as in 2026-01-31T18:00:00Z, or a date";
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // The parser of Date would ignore a time of day after the date.
    let is_date =
        text.len() == "2026-01-31".len() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date: Date = is_date.then(|| text.parse().ok()).flatten().ok_or(EXPECTED)?;
    date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|_| EXPECTED)
}

fn endpoint_url(text: &str) -> Result<String, &'static str> {
    let url = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url =
        url.ok_or("it must be a URL such as https://s3.example.com or http://127.0.0.1:9000")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it must not contain credentials; put them in the AWS environment variables or files",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must have no query and no fragment");
    }
    Ok(text.to_owned())
}
