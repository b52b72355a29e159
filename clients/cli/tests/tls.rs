//! The program against a server with a certificate.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

// Each test program uses another part of it.
#[allow(dead_code)]
#[path = "../../rust/tests/fake/mod.rs"]
mod fake;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use fake::Fake;
use headway::v1::{CountJobsResponse, JobState, JobStateCount};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::process::Command;
use tonic::transport::{Identity, Server, ServerTlsConfig};

/// A server with one running job whose certificate an authority has signed, and the file of that
/// authority.
async fn secure_server(folder: &Path) -> (SocketAddr, PathBuf) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = folder.join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
    let tls = ServerTlsConfig::new().identity(identity);
    let fake = Fake::default();
    fake.script().counts = CountJobsResponse {
        counts: vec![JobStateCount {
            state: JobState::Active.into(),
            job_count: 1,
        }],
    };
    let server = Server::builder().tls_config(tls).unwrap();
    (fake.serve_by(server).await.unwrap(), file)
}

/// What `headway count` says of it.
async fn count(address: SocketAddr, change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headway"));
    command
        .args(["count", "--timeout", "10s", "--server"])
        .arg(format!("https://localhost:{}", address.port()))
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR");
    change(&mut command);
    let output = command.output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[tokio::test]
async fn the_system_says_which_certificates_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    let (address, authority) = secure_server(folder.path()).await;
    let (status, text) = count(address, |command| {
        command.env("SSL_CERT_FILE", &authority);
    })
    .await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("ACTIVE"), "{text}");

    let (status, text) = count(address, |command| {
        command.arg("--ca-file").arg(&authority);
    })
    .await;
    assert_eq!(status, Some(0), "{text}");

    let (status, text) = count(address, |_| ()).await;
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("--ca-file"), "{text}");
}
