//! What is answered to which request, over a small site of its own.

use axum::body::to_bytes;
use flate2::{Compression, read::GzEncoder};

use super::*;

const PAGE: &[u8] = b"<!doctype html><title>Headway</title>";
const SCRIPT: &[u8] = b"console.log('a'); console.log('a'); console.log('a'); console.log('a');";
const PICTURE: &[u8] = b"\x89PNG";

fn site() -> Site {
    let mut small = Vec::new();
    let encoder = GzEncoder::new(SCRIPT, Compression::best()).read_to_end(&mut small);
    encoder.unwrap();
    let file = |path, bytes, gzipped| File {
        path,
        bytes,
        gzipped,
    };
    Site::new(&[
        file("/index.html", PAGE, false),
        file("/assets/app-1a2b.js", small.leak(), true),
        file("/icon.png", PICTURE, false),
    ])
}

fn asked(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), value.parse().unwrap())
    };
    pairs.iter().map(header).collect()
}

fn get(path: &str, pairs: &[(&'static str, &str)]) -> Response {
    site().answer(&Method::GET, path, &asked(pairs))
}

async fn body(response: Response) -> Vec<u8> {
    to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap()
        .into()
}

/// The value of a header, as text.
fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn which_file_answers_which_path() {
    let html = "text/html; charset=utf-8";
    let table = [
        ("/", Some((html, PAGE, ASK))),
        ("/index.html", Some((html, PAGE, ASK))),
        ("/partitions/default", Some((html, PAGE, ASK))),
        (
            "/partitions/default/jobs/x%2Fy%20z",
            Some((html, PAGE, ASK)),
        ),
        (
            "/partitions/default/pipes/documents.export",
            Some((html, PAGE, ASK)),
        ),
        ("/somewhere/else", None),
        ("/metrics", None),
        ("/healthz/", None),
        ("/icon.png", Some(("image/png", PICTURE, ASK))),
        (
            "/assets/app-1a2b.js",
            Some(("text/javascript; charset=utf-8", SCRIPT, KEEP)),
        ),
        ("/assets/app-old.js", None),
        ("/assets/", None),
        ("/assets/nothing", None),
        ("/favicon.ico", None),
        ("/../index.html", None),
        ("/partitions.html", None),
    ];
    for (path, expected) in table {
        let response = get(path, &[]);
        for (name, value) in SAFETY {
            assert_eq!(header(&response, name.as_str()), Some(value), "{path}");
        }
        let status = response.status();
        let Some((media, content, keep)) = expected else {
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            continue;
        };
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(header(&response, "content-type"), Some(media), "{path}");
        assert_eq!(header(&response, "cache-control"), Some(keep), "{path}");
        assert_eq!(
            header(&response, "content-length"),
            Some(content.len().to_string().as_str()),
            "{path}"
        );
        assert_eq!(body(response).await, content, "{path}");
    }
}

#[tokio::test]
async fn what_is_compressed_is_sent_so_to_those_who_read_it() {
    let table = [
        (None, false),
        (Some("gzip"), true),
        (Some("br, GZIP;q=0.5"), true),
        (Some("*"), true),
        (Some("*;q=0"), false),
        (Some("gzip;q=0, *"), false),
        (Some("gzip; q=0.0"), false),
        (Some("br"), false),
        (Some("identity"), false),
    ];
    for (accepted, gzipped) in table {
        let pairs: Vec<_> = accepted
            .iter()
            .map(|value| ("accept-encoding", *value))
            .collect();
        let response = get("/assets/app-1a2b.js", &pairs);
        let coding = header(&response, "content-encoding");
        assert_eq!(coding, gzipped.then_some("gzip"), "{accepted:?}");
        assert_eq!(header(&response, "vary"), Some("accept-encoding"));
        let length: usize = header(&response, "content-length")
            .unwrap()
            .parse()
            .unwrap();
        let mut content = body(response).await;
        assert_eq!(content.len(), length, "{accepted:?}");
        if gzipped {
            let mut plain = Vec::new();
            GzDecoder::new(&content[..])
                .read_to_end(&mut plain)
                .unwrap();
            assert!(content.len() < plain.len());
            content = plain;
        }
        assert_eq!(content, SCRIPT, "{accepted:?}");
        // What is not kept compressed is sent as it is.
        assert_eq!(header(&get("/icon.png", &pairs), "content-encoding"), None);
    }
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again() {
    let first = get("/", &[]);
    let tag = header(&first, "etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\"") && tag.ends_with('"'), "{tag}");
    assert_ne!(header(&get("/icon.png", &[]), "etag"), Some(tag.as_str()));
    let strong = tag.trim_start_matches("W/").to_owned();
    let listed = format!("\"other\", {tag}");
    let table = [
        (tag.as_str(), StatusCode::NOT_MODIFIED),
        (strong.as_str(), StatusCode::NOT_MODIFIED),
        (listed.as_str(), StatusCode::NOT_MODIFIED),
        ("*", StatusCode::NOT_MODIFIED),
        ("\"other\"", StatusCode::OK),
        ("", StatusCode::OK),
    ];
    for (value, status) in table {
        let response = get("/", &[("if-none-match", value)]);
        assert_eq!(response.status(), status, "{value}");
        assert_eq!(header(&response, "etag"), Some(tag.as_str()), "{value}");
        let is_empty = body(response).await.is_empty();
        assert_eq!(is_empty, status == StatusCode::NOT_MODIFIED, "{value}");
    }
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let site = site();
    let head = site.answer(&Method::HEAD, "/icon.png", &HeaderMap::new());
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(header(&head, "content-length"), Some("4"));
    assert_eq!(header(&head, "content-type"), Some("image/png"));
    assert!(body(head).await.is_empty());
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
    ] {
        let refused = site.answer(&method, "/", &HeaderMap::new());
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(header(&refused, "allow"), Some("GET, HEAD"));
    }
}

#[tokio::test]
async fn the_program_has_a_page_and_all_that_it_names() {
    let index = SITE.find("/").expect("a page").answer(&HeaderMap::new());
    let index = body(index).await;
    let index = String::from_utf8(index).unwrap();
    let named = index.split(['"', '\'']).filter(|word| {
        word.starts_with('/')
            && word
                .rsplit('/')
                .next()
                .is_some_and(|last| last.contains('.'))
    });
    let named: Vec<_> = named.collect();
    assert!(!named.is_empty(), "{index}");
    for path in named {
        assert!(SITE.files.contains_key(path), "{path} is missing");
    }
    // The policy forbids them, so a page that has them does not work.
    assert!(
        !index.contains("<style") && !index.contains(" style="),
        "{index}"
    );
    for piece in index.split("<script").skip(1) {
        assert!(piece.trim_start().contains("src="), "{index}");
    }
}
