#![expect(
    clippy::disallowed_methods,
    reason = "they stand in for the library, whose errors are statuses"
)]

use std::convert::Infallible;

use tonic_types::StatusExt;

use super::*;

const METHOD: &str = "/headway.v1.JobService/GetJob";

fn edge() -> EdgeLayer {
    EdgeLayer::new(&Limits {
        calls: 1,
        call_timeout: Duration::from_secs(1),
        client_share: 100,
        ..Limits::default()
    })
}

fn call(path: &str, headers: &[(&str, &str)]) -> Call {
    let mut request = http::Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Call::of(&request.body(()).unwrap())
}

fn someone() -> Client {
    Client::from(IpAddr::from([127, 0, 0, 1]))
}

fn reason(response: &http::Response<Body>) -> Option<String> {
    Some(
        status_of(response)?
            .get_error_details()
            .error_info()?
            .reason
            .clone(),
    )
}

async fn answer(
    edge: &EdgeLayer,
    path: &str,
    result: http::Response<Body>,
) -> http::Response<Body> {
    let answer = edge.answer(call(path, &[]), || async { Ok::<_, Infallible>(result) });
    answer.await.unwrap()
}

#[tokio::test]
async fn errors_of_the_library_get_details_and_ours_stay() {
    let edge = edge();
    let bare = Status::internal("recursion limit reached").into_http();
    let detailed = answer(&edge, METHOD, bare).await;
    assert_eq!(reason(&detailed).as_deref(), Some("MALFORMED_REQUEST"));
    assert_eq!(detailed.headers()["grpc-status"], "3");

    let ours = Status::from(ApiError::Stopping).into_http();
    let same = answer(&edge, METHOD, ours).await;
    assert_eq!(reason(&same).as_deref(), Some("SERVER_STOPPING"));

    let standard = Status::not_found("service not registered").into_http();
    let same = answer(&edge, "/grpc.health.v1.Health/Check", standard).await;
    assert_eq!(same.headers()["grpc-status"], "5");
    assert_eq!(reason(&same), None);
}

#[tokio::test]
async fn too_many_calls_are_told_to_come_back_but_health_answers() {
    let edge = edge();
    let held = edge.calls.take(someone()).unwrap();
    let fine = || Status::ok("").into_http();
    let refused = answer(&edge, METHOD, fine()).await;
    assert_eq!(reason(&refused).as_deref(), Some("SERVER_OVERLOADED"));
    let health = answer(&edge, "/grpc.health.v1.Health/Check", fine()).await;
    assert_eq!(health.headers()["grpc-status"], "0");
    drop(held);
    let taken = answer(&edge, METHOD, fine()).await;
    assert_eq!(taken.headers()["grpc-status"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_ended() {
    let edge = edge();
    let hang = std::future::pending::<Result<http::Response<Body>, Infallible>>;
    let answer = edge.answer(call(METHOD, &[]), hang).await.unwrap();
    assert_eq!(reason(&answer).as_deref(), Some("SERVER_TOO_SLOW"));
    assert_eq!(edge.calls.taken(), 0);
}

#[tokio::test]
async fn browsers_can_read_refusals_and_pages_are_left_alone() {
    let edge = edge();
    let _held = edge.calls.take(someone()).unwrap();
    let fine = || async { Ok::<_, Infallible>(http::Response::new(Body::empty())) };
    let content = http::HeaderValue::from_static("application/grpc-web+proto");
    let web = call(METHOD, &[("content-type", "application/grpc-web+proto")]);
    let refused = edge.answer(web, fine).await.unwrap();
    assert_eq!(refused.headers()[http::header::CONTENT_TYPE], content);
    assert_eq!(reason(&refused).as_deref(), Some("SERVER_OVERLOADED"));
    let page = edge.answer(call("/healthz", &[]), fine).await.unwrap();
    assert!(page.headers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clients_deadline_is_answered_before_it_passes() {
    let edge = edge();
    for (said, least, most) in [("500m", 400, 500), ("20m", 15, 20), ("100000u", 80, 100)] {
        let began = Instant::now();
        let hang = std::future::pending::<Result<http::Response<Body>, Infallible>>;
        let call = call(METHOD, &[("grpc-timeout", said)]);
        let answer = edge.answer(call, hang).await.unwrap();
        assert_eq!(reason(&answer).as_deref(), Some("DEADLINE_EXCEEDED"));
        assert_eq!(answer.headers()["grpc-status"], "4");
        let passed = began.elapsed().as_millis();
        assert!((least..most).contains(&passed), "{passed} of {said}");
    }
    let of = |text: &str| time_of(&http::HeaderValue::from_str(text).unwrap());
    assert_eq!(of("2H"), Some(Duration::from_secs(7200)));
    assert_eq!(of("3M"), Some(Duration::from_secs(180)));
    for bad in ["", "5", "m", "123456789S", "-1S", "1x"] {
        assert_eq!(of(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn a_method_that_panics_is_an_internal_fault() {
    let edge = edge();
    let answer = edge.answer(call(METHOD, &[]), || async {
        if edge.calls.taken() == 1 {
            panic!("secret");
        }
        Ok::<_, Infallible>(Status::ok("").into_http())
    });
    let answer = answer.await.unwrap();
    assert_eq!(reason(&answer).as_deref(), Some("INTERNAL"));
    assert!(!format!("{:?}", answer.headers()).contains("secret"));
    assert_eq!(edge.calls.taken(), 0);
}

#[tokio::test]
async fn a_stream_has_its_place_until_it_ends() {
    let edge = edge();
    let watch = "/headway.v1.JobService/WatchJob";
    let open = answer(
        &edge,
        watch,
        http::Response::new(Body::new("a message".to_owned())),
    )
    .await;
    assert_eq!((edge.calls.taken(), edge.job_watches.taken()), (0, 1));
    let health = "/grpc.health.v1.Health/Watch";
    let other = answer(
        &edge,
        health,
        http::Response::new(Body::new("a message".to_owned())),
    )
    .await;
    assert_eq!(edge.standard.taken(), 1);
    drop((open, other));
    assert_eq!((edge.job_watches.taken(), edge.standard.taken()), (0, 0));
}
