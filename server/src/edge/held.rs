//! An answer that holds places until its body has ended.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{Status, body::Body, codegen::http};

/// The answer, which holds the guard until its body has ended.
pub(super) fn held<G: Send + Unpin + 'static>(
    answer: http::Response<Body>,
    guard: G,
) -> http::Response<Body> {
    answer.map(|body| {
        Body::new(Held {
            body,
            _guard: guard,
        })
    })
}

struct Held<G> {
    body: Body,
    _guard: G,
}

impl<G: Unpin> http_body::Body for Held<G> {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
