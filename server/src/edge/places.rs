//! Which places a call takes: among the calls, among the watches, or those of standard services.

use super::EdgeLayer;
use crate::{
    grpc::status::ApiError,
    shares::{Client, Full, Place, Shares},
};

/// Calls of standard services, whose errors are the standard's.
const STANDARD: &str = "/grpc.";

/// The places that a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// A place among the calls until its answer begins.
    Call,
    /// The same, and then one among the watches of jobs.
    JobWatch,
    /// The same, and then one among the watches of partitions.
    PartitionWatch,
    /// A place of their own for standard services: health must answer however busy the server is.
    Standard,
}

impl Takes {
    pub(super) fn of(path: &str) -> Self {
        let method = path.rsplit('/').next().unwrap_or_default();
        match method {
            _ if path.starts_with(STANDARD) => Self::Standard,
            "WatchJob" => Self::JobWatch,
            _ if method.starts_with("Watch") => Self::PartitionWatch,
            _ => Self::Call,
        }
    }
}

impl EdgeLayer {
    /// The places that a call holds until its answer begins, and until it has ended.
    pub(super) fn places(
        &self,
        takes: Takes,
        client: Client,
    ) -> Result<(Option<Place>, Option<Place>), ApiError> {
        let call = |shares: &Shares| {
            shares.take(client).map_err(|full| match full {
                Full::All => ApiError::Overloaded,
                Full::OfClient => ApiError::ClientBusy("calls"),
            })
        };
        let watch = |shares: &Shares, most| {
            shares.take(client).map_err(|full| match full {
                Full::All => ApiError::TooManyWatches(most),
                Full::OfClient => ApiError::ClientBusy("watches"),
            })
        };
        Ok(match takes {
            Takes::Call => (Some(call(&self.calls)?), None),
            Takes::JobWatch => {
                let most = self.limits.watches;
                (
                    Some(call(&self.calls)?),
                    Some(watch(&self.job_watches, most)?),
                )
            }
            Takes::PartitionWatch => {
                let most = self.limits.partition_watches;
                (
                    Some(call(&self.calls)?),
                    Some(watch(&self.partition_watches, most)?),
                )
            }
            Takes::Standard => (None, Some(call(&self.standard)?)),
        })
    }
}
