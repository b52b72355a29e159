//! Places that clients share: a number in all, and a part of them for one client's address, so that
//! one client cannot take what all others need.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A client, as far as it can be told apart: its address, or for IPv6 the network that one customer
/// has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

/// Bits of an IPv6 address that name one customer's network.
const NETWORK: u32 = 64;

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let mask = u128::MAX << (128 - NETWORK);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        })
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    All,
    /// This client has used its share.
    OfClient,
}

/// The places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    share: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<Client, usize>,
}

impl Shares {
    /// This many places, of which one client may take a percentage, but at least one.
    pub(crate) fn new(most: usize, percent: u32) -> Self {
        let percent = usize::try_from(percent.min(100)).unwrap_or(100);
        Self(Arc::new(Inner {
            most,
            share: most.saturating_mul(percent).div_ceil(100).max(1),
            taken: Mutex::default(),
        }))
    }

    /// Takes a place. Dropping it gives it back.
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn take(&self, client: Client) -> Result<Place, Full> {
        let mut taken = self.0.lock();
        if taken.all >= self.0.most {
            return Err(Full::All);
        }
        let of_client = taken.by.entry(client).or_default();
        if *of_client >= self.0.share {
            return Err(Full::OfClient);
        }
        *of_client += 1;
        taken.all += 1;
        Ok(Place(client, self.clone()))
    }

    /// How many are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.0.lock().all
    }
}

impl Inner {
    /// No code can panic while it holds the lock, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that a client holds. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place(Client, Shares);

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.1.0.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_client) = taken.by.get_mut(&self.0) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                taken.by.remove(&self.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn one_client_has_its_share_and_all_have_the_whole() {
        let shares = Shares::new(4, 50);
        let (one, two, three) = (client("10.0.0.1"), client("10.0.0.2"), client("10.0.0.3"));
        let first: Vec<_> = (0..2).map(|_| shares.take(one).unwrap()).collect();
        assert_eq!(shares.take(one).unwrap_err(), Full::OfClient);
        let second: Vec<_> = (0..2).map(|_| shares.take(two).unwrap()).collect();
        assert_eq!(shares.take(three).unwrap_err(), Full::All);
        drop(first);
        assert!(shares.take(three).is_ok());
        drop(second);
        assert_eq!(shares.taken(), 0);
        assert!(shares.0.lock().by.is_empty());
    }

    #[test]
    fn a_client_is_its_address_or_network() {
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
    }
}
