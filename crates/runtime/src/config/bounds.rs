//! What a setting may be.

use std::path::{Component, Path};
use std::time::Duration;

use crate::duration;
use crate::layers::Problem;
use crate::secret::SecretUrl;

pub(super) fn check(
    holds: bool,
    key: &'static str,
    message: impl FnOnce() -> String,
) -> Option<Problem> {
    (!holds).then(|| Problem::new(key, message()))
}

pub(super) fn is_prefix(prefix: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&prefix.len()) && prefix.bytes().all(allowed)
}

/// A host's name in ASCII, or `*.` before one.
pub(super) fn is_host(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let name = host.strip_prefix("*.").unwrap_or(host);
    (1..=253).contains(&name.len()) && name.bytes().all(allowed)
}

/// A scheme, a host and perhaps a port, as browsers send it.
pub(super) fn is_origin(origin: &str) -> bool {
    let host = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(allowed))
}

pub(super) fn is_plain_absolute(path: &Path) -> bool {
    let leads_up = |component| component == Component::ParentDir;
    path.is_absolute() && !path.components().any(leads_up)
}

pub(super) fn is_schema(schema: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=63).contains(&schema.len()) && schema.bytes().all(allowed)
}

pub(super) fn has_scheme(
    key: &'static str,
    url: Option<&SecretUrl>,
    schemes: &[&str],
) -> Option<Problem> {
    // Only PostgreSQL's and AMQP's addresses always have a host, hence `://`.
    let usable = |url: &SecretUrl| {
        schemes.contains(&url.scheme())
            && (url.scheme() == "sqlite" || url.expose().contains("://"))
    };
    check(url.is_none_or(usable), key, || {
        format!(
            "must be an address that begins with {}",
            schemes.join(": or ") + ":"
        )
    })
}

pub(super) fn in_range(key: &'static str, value: u32, least: u32, most: u32) -> Option<Problem> {
    check((least..=most).contains(&value), key, || {
        format!("must be {least} to {most}, not {value}")
    })
}

pub(super) fn lasts(
    key: &'static str,
    value: Duration,
    least: Duration,
    most: Duration,
) -> Option<Problem> {
    check((least..=most).contains(&value), key, || {
        let [least, most, value] = [least, most, value].map(duration::format);
        format!("must be {least} to {most}, not {value}")
    })
}
