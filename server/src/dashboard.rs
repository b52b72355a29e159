//! The dashboard: files that the build packed into the program (`build.rs`). The server offers them
//! beside the services to browsers of the same origin. If the dashboard was not built, a page says
//! how to get it.

use std::{borrow::Cow, collections::HashMap, io::Read, sync::LazyLock};

use axum::{
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
            CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use crate::grpc::status;

/// A file as the build left it.
#[derive(Debug, Clone, Copy)]
struct File {
    /// Its path, such as `/assets/app.js`.
    path: &'static str,
    bytes: &'static [u8],
    /// Whether `bytes` are compressed.
    gzipped: bool,
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));
static SITE: LazyLock<Site> = LazyLock::new(|| Site::new(FILES));

/// The page for every address within the dashboard; its script reads the address.
const INDEX: &str = "/index.html";
/// The names of files below it change with their contents.
const ASSETS: &str = "/assets/";
/// Everything below it is an address in the dashboard, also if the name of a pipe looks like a
/// file.
const PLACES: &str = "/partitions/";
/// A browser may keep a file that never changes for a year.
const KEEP: &str = "public, max-age=31536000, immutable";
/// A browser asks for a file that may have changed each time, and does not get it again if it has
/// not.
const ASK: &str = "no-cache";

/// What pages of this origin may do: run and show what this origin serves, call it, and nothing
/// else. Nobody may frame them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const SAFETY: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Answers what no service answers: browsers get the dashboard, and callers of unknown services a
/// gRPC error.
pub(crate) async fn serve(request: Request) -> Response {
    let headers = request.headers();
    let content = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content.is_some_and(|content| content.starts_with(b"application/grpc")) {
        return status::unknown_service().into_http();
    }
    SITE.answer(request.method(), request.uri().path(), headers)
}

/// Files by path.
#[derive(Debug)]
struct Site {
    files: HashMap<&'static str, Entry>,
}

#[derive(Debug)]
struct Entry {
    file: File,
    /// The same for both forms, hence weak.
    tag: HeaderValue,
    media: HeaderValue,
}

impl Site {
    fn new(files: &[File]) -> Self {
        let entry = |file: &File| (file.path, Entry::new(*file));
        Self {
            files: files.iter().map(entry).collect(),
        }
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        let mut response = if method != Method::GET && method != Method::HEAD {
            let mut refusal = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD work here\n",
            );
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refusal
        } else {
            match self.find(path) {
                Some(entry) => entry.answer(headers),
                None => text(StatusCode::NOT_FOUND, "there is nothing at this path\n"),
            }
        };
        let headers = response.headers_mut();
        for (name, value) in SAFETY {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if method == Method::HEAD {
            // The headers are those of a GET, the length included.
            *response.body_mut() = Body::empty();
        }
        response
    }

    /// The file at a path. All addresses of the dashboard have its page.
    fn find(&self, path: &str) -> Option<&Entry> {
        if let Some(entry) = self.files.get(path) {
            return Some(entry);
        }
        let is_place = path == "/" || path.starts_with(PLACES);
        is_place.then(|| self.files.get(INDEX)).flatten()
    }
}

impl Entry {
    fn new(file: File) -> Self {
        let hash = Sha256::digest(file.bytes);
        let tag = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&hash[..16]));
        Self {
            file,
            tag: HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("W/\"0\"")),
            media: HeaderValue::from_static(media(file.path)),
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let keep = if self.file.path.starts_with(ASSETS) {
            KEEP
        } else {
            ASK
        };
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
        if self.file.gzipped {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if self.is_known(asked) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, self.media.clone());
        let gzip = self.file.gzipped && takes_gzip(asked);
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let body = if gzip || !self.file.gzipped {
            Ok(Cow::Borrowed(self.file.bytes))
        } else {
            let mut plain = Vec::new();
            GzDecoder::new(self.file.bytes)
                .read_to_end(&mut plain)
                .map(|_| Cow::Owned(plain))
        };
        let body = match body {
            Ok(Cow::Borrowed(bytes)) => Bytes::from_static(bytes),
            Ok(Cow::Owned(bytes)) => Bytes::from(bytes),
            Err(error) => {
                // The build made the file, so the program is broken.
                tracing::error!(%error, path = self.file.path, "cannot unpack a file of the dashboard");
                return text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the file cannot be unpacked\n",
                );
            }
        };
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = Body::from(body);
        response
    }

    /// Whether the client has this file already.
    fn is_known(&self, asked: &HeaderMap) -> bool {
        let bare = |tag: &'_ str| tag.trim().trim_start_matches("W/").to_owned();
        let mine = self.tag.to_str().map(bare).unwrap_or_default();
        let lists = asked.get_all(IF_NONE_MATCH).iter();
        lists
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.split(','))
            .any(|tag| tag.trim() == "*" || bare(tag) == mine)
    }
}

fn text(status: StatusCode, sentence: &'static str) -> Response {
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(ASK));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(sentence.len()));
    response
}

/// Whether the client reads gzip: it names gzip, or anything, with a weight above 0.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let lists = asked.get_all(ACCEPT_ENCODING).iter();
    let codings = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    let mut any = false;
    for coding in codings {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .unwrap_or("1");
        let wanted = weight
            .trim()
            .parse::<f32>()
            .is_ok_and(|weight| weight > 0.0);
        if name.eq_ignore_ascii_case("gzip") {
            return wanted;
        }
        any |= name == "*" && wanted;
    }
    any
}

/// The media type of a file by the end of its name.
fn media(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
