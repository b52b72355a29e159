//! How a client reaches the server, and how patient it is.

use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::Error;

/// How a [`Client`](crate::Client) reaches the server, and how patient it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Where the server is: `http://HOST:PORT`, or `https://HOST:PORT`.
    pub endpoint: String,
    /// How long making one connection may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long one call may take with all its retries; for a watch, how long until the stream
    /// is open. Default 30 s.
    pub request_timeout: Duration,
    /// How a call that did not reach a working server is tried again.
    pub retry: RetryConfig,
    /// How long a watch goes on without hearing from the server before it ends with the last
    /// error. Default 5 min.
    pub watch_patience: Duration,
    /// The certificate authorities, as PEM, that a server behind `https` is checked against.
    /// Default: those that the system trusts, or those of the file that `SSL_CERT_FILE` names.
    pub ca_certificate: Option<Vec<u8>>,
    /// The largest answer that is accepted, in bytes. A page of jobs carries their payloads.
    /// Default 64 MiB.
    pub max_response_bytes: usize,
    /// What the client calls itself. Default `headway-client/VERSION`.
    pub user_agent: String,
    /// Who the audit log says did what this client asks for; at most 128 bytes of ASCII count.
    /// Default: nobody.
    pub user: String,
}

/// How a call is tried again: attempt n waits about `initial_backoff * 2^(n-1)`, at most
/// `max_backoff`, half of it random, and never less than the server asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryConfig {
    /// How often a call is tried in all, at least 1. A watch is bound by
    /// [`ClientConfig::watch_patience`] instead. Default 4.
    pub max_attempts: u32,
    /// The first delay. Default 100 ms.
    pub initial_backoff: Duration,
    /// The longest delay that the client chooses by itself. Default 5 s.
    pub max_backoff: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
        }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            endpoint: "http://127.0.0.1:6420".to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            retry: RetryConfig::default(),
            watch_patience: Duration::from_secs(300),
            ca_certificate: None,
            max_response_bytes: 64 * 1024 * 1024,
            user: String::new(),
            user_agent: concat!("headway-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl ClientConfig {
    /// The defaults, for the server at `endpoint`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            ..Self::default()
        }
    }

    /// The same, with what the audit log says of who asks.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            ..self
        }
    }

    /// The transport's form of this configuration.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the endpoint is no URL, has a scheme other than `http` and `https`,
    /// or is `https` where no certificate authority can be read.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, Error> {
        let refuse = |why: &str| Error::config(format!("server address {:?} {why}", self.endpoint));
        let secure = match self.endpoint.split_once("://") {
            Some(("http", _)) => false,
            Some(("https", _)) => true,
            _ => return Err(refuse("does not begin with http:// or https://")),
        };
        let endpoint = Endpoint::from_shared(self.endpoint.clone())
            .and_then(|endpoint| endpoint.user_agent(self.user_agent.clone()))
            .map_err(|_| refuse("is not a valid URL"))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            // A peer that vanished without a word is noticed within half a minute, also while
            // a watch is silent.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        if !secure {
            return Ok(endpoint);
        }
        let tls = match &self.ca_certificate {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        endpoint
            .tls_config(tls)
            .map_err(|error| refuse(&format!("cannot be used: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for (address, why) in [
            ("localhost:6420", "does not begin with"),
            ("ftp://localhost", "does not begin with"),
            ("http://", "is not a valid URL"),
            ("http://exa mple", "is not a valid URL"),
        ] {
            let error = ClientConfig::new(address).endpoint().unwrap_err();
            assert!(error.message().contains(why), "{address}: {error}");
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
        }
        assert!(ClientConfig::new("http://[::1]:6420").endpoint().is_ok());
    }
}
