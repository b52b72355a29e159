//! Who calls. It is read once for each call from its headers, and handed to the methods as an
//! extension of the request. Methods never read metadata for it, because the library may have
//! merged headers with what came behind the body.

use std::task::{Context, Poll};

use axum::http::{HeaderMap, Request, Response};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use headway_domain::{
    Error,
    events::{Caller, is_reserved},
    limits,
    values::text::clean,
};
use tonic::{
    body::Body,
    codegen::{BoxFuture, Service},
};
use tower::Layer;

use crate::{edge::Kind, gate, grpc::status::ApiError};

/// The headers in which a caller gives its name. The one with `-bin` is in base64, for texts that a
/// client library does not send as they are.
const USER: [&str; 2] = ["x-headway-user", "x-headway-user-bin"];
/// The headers in which a caller gives its own id of the request.
const CORRELATION: [&str; 2] = ["x-correlation-id", "x-correlation-id-bin"];

/// gRPC's base64: padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The caller that these headers name.
///
/// # Errors
/// [`Error::Invalid`] if a value cannot be recorded, or if the name is one of Headway's own.
fn caller(headers: &HeaderMap) -> Result<Caller, Error> {
    let user = said(headers, USER)?;
    if is_reserved(&user) {
        let why = "must not be a name of Headway's own: headway, system, or one that begins with headway or system and . : or /";
        return Err(Error::field(USER[0], why));
    }
    Ok(Caller {
        user,
        correlation: said(headers, CORRELATION)?,
    })
}

/// The value of one of two headers, cut to 128 bytes. Empty if neither is there.
fn said(headers: &HeaderMap, keys: [&'static str; 2]) -> Result<String, Error> {
    let [plain, binary] = keys;
    let mut values = keys.iter().flat_map(|key| headers.get_all(*key));
    let Some(value) = values.next() else {
        return Ok(String::new());
    };
    if values.next().is_some() {
        let why = format!("must be said once, as {plain} or as {binary}");
        return Err(Error::field(plain, why));
    }
    let bytes = match headers.contains_key(binary) {
        true => BASE64
            .decode(value.as_bytes())
            .map_err(|_| Error::field(binary, "must be base64"))?,
        false => value.as_bytes().to_vec(),
    };
    let text = String::from_utf8(bytes).map_err(|_| Error::field(plain, "must be UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(Error::field(plain, "must have no control characters"));
    }
    Ok(clean(text.trim(), limits::MAX_ID_BYTES))
}

/// The layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentityLayer;

impl<S> Layer<S> for IdentityLayer {
    type Service = Identity<S>;

    fn layer(&self, inner: S) -> Identity<S> {
        Identity { inner }
    }
}

/// The service within the layer.
#[derive(Debug, Clone)]
pub(crate) struct Identity<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Identity<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if gate::is_method(request.uri().path()) {
            match caller(request.headers()) {
                Ok(caller) => drop(request.extensions_mut().insert(caller)),
                Err(error) => {
                    let refusal = Kind::of(&request).refuse(ApiError::Domain(error));
                    return Box::pin(std::future::ready(Ok(refusal)));
                }
            }
        }
        Box::pin(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(headers: &[(&'static str, &[u8])]) -> Result<Caller, Error> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        caller(&map)
    }

    fn user(name: &str, value: &[u8]) -> Result<String, String> {
        let name = USER.into_iter().find(|known| *known == name).unwrap();
        match of(&[(name, value)]) {
            Ok(caller) => Ok(caller.user),
            Err(Error::Invalid(list)) => Err(list[0].field.clone()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_utf8_as_they_are_or_in_base64() {
        for name in ["ada", "Jürgen", "山田 太郎", "100%"] {
            let encoded = BASE64.encode(name);
            assert_eq!(user(USER[0], name.as_bytes()).as_deref(), Ok(name));
            assert_eq!(user(USER[1], encoded.as_bytes()).as_deref(), Ok(name));
            let bare = encoded.trim_end_matches('=');
            assert_eq!(user(USER[1], bare.as_bytes()).as_deref(), Ok(name));
        }
        assert_eq!(
            user(USER[0], "x".repeat(500).as_bytes()).unwrap().len(),
            128
        );
        assert_eq!(of(&[]), Ok(Caller::default()));
        let both = of(&[(USER[0], b"ada"), (CORRELATION[0], "größe".as_bytes())]).unwrap();
        assert_eq!((&*both.user, &*both.correlation), ("ada", "größe"));
    }

    #[test]
    fn what_cannot_be_recorded_is_refused_and_not_dropped() {
        assert_eq!(user(USER[0], b"J\xfcrgen"), Err(USER[0].to_owned()));
        assert_eq!(user(USER[1], b"!!"), Err(USER[1].to_owned()));
        let line = BASE64.encode("a\nb");
        assert_eq!(user(USER[1], line.as_bytes()), Err(USER[0].to_owned()));
        assert!(of(&[(USER[0], b"ada"), (USER[0], b"eve")]).is_err());
        assert!(of(&[(USER[0], b"ada"), (USER[1], b"ZXZl")]).is_err());
        assert!(of(&[(CORRELATION[0], b"\xff")]).is_err());
    }

    #[test]
    fn nobody_is_called_as_headway_itself() {
        for name in [
            "headway",
            "Headway",
            " HEADWAY ",
            "system",
            "headway.janitor",
            "system:tracking",
        ] {
            assert_eq!(
                user(USER[0], name.as_bytes()),
                Err(USER[0].to_owned()),
                "{name}"
            );
        }
        for name in ["headwayfan", "systems", "ada"] {
            assert_eq!(user(USER[0], name.as_bytes()).as_deref(), Ok(name));
        }
    }
}
