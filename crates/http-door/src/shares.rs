//! Resources that clients share. Each client may hold a part, so that none can take all.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request};
use axum::http::{Extensions, request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Clients that are remembered before those who hold nothing are forgotten.
const CLIENTS_KEPT: usize = 1_024;

/// A client as far as shares are concerned: an IPv4 address, or a network of IPv6, where a client has
/// 2^64 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

/// The client of all requests without a socket.
const UNKNOWN: Client = Client(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

impl Client {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self(Ipv6Addr::from_bits(network).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }

    /// Returns the client of a request. Without a socket, all requests are of one client.
    pub(crate) fn of_request(request: &Request) -> Self {
        Self::of_extensions(request.extensions())
    }

    fn of_extensions(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(UNKNOWN)
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of_extensions(&parts.extensions))
    }
}

/// The parts that clients have of something. A part is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Shares {
    of_each: usize,
    held: Mutex<HashMap<Client, Arc<Semaphore>>>,
}

impl Shares {
    pub(crate) fn new(of_each: usize) -> Self {
        Self { of_each: of_each.min(Semaphore::MAX_PERMITS), held: Mutex::default() }
    }

    /// Returns what the client has.
    pub(crate) fn of(&self, client: Client) -> Arc<Semaphore> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= CLIENTS_KEPT {
            held.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = held.entry(client).or_insert_with(|| Arc::new(Semaphore::new(self.of_each)));
        Arc::clone(share)
    }

    /// Takes one; `None` when the client has its share already.
    pub(crate) fn try_take(&self, client: Client) -> Option<OwnedSemaphorePermit> {
        self.of(client).try_acquire_owned().ok()
    }

    /// Waits until the client may have one more.
    pub(crate) async fn take(&self, client: Client) -> OwnedSemaphorePermit {
        self.of(client).acquire_owned().await.expect("it is never closed")
    }
}

/// An amount of something for all clients, of which each may have a share.
#[derive(Debug)]
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    shares: Shares,
    of_each: u32,
}

/// A part of a [`Budget`], which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    of_client: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl Budget {
    /// Makes a budget of which each client may have three quarters: all may come through one proxy.
    pub(crate) fn new(all: u32) -> Self {
        let of_each = (all / 4 * 3).max(1);
        Self {
            all: Arc::new(Semaphore::new(all as usize)),
            shares: Shares::new(of_each as usize),
            of_each,
        }
    }

    /// Takes a part, or a whole share where that is less; `None` when it is not free.
    pub(crate) fn try_take(&self, client: Client, amount: u32) -> Option<Part> {
        let amount = amount.min(self.of_each);
        let of_client = self.shares.of(client).try_acquire_many_owned(amount).ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_many_owned(amount).ok()?;
        Some(Part { of_client, of_all })
    }

    /// Waits for a part, or for a whole share where that is less.
    pub(crate) async fn take(&self, client: Client, amount: u32) -> Part {
        let amount = amount.min(self.of_each);
        let of_client = self.shares.of(client).acquire_many_owned(amount).await;
        let of_all = Arc::clone(&self.all).acquire_many_owned(amount).await;
        let never_closed = "it is never closed";
        Part { of_client: of_client.expect(never_closed), of_all: of_all.expect(never_closed) }
    }
}

impl Part {
    /// Gives back what is more than `amount`.
    pub(crate) fn shrink_to(&mut self, amount: u32) {
        for permit in [&mut self.of_client, &mut self.of_all] {
            let unneeded = permit.num_permits().saturating_sub(amount as usize);
            drop(permit.split(unneeded));
        }
    }

    /// Adds another part to this one.
    pub(crate) fn merge(&mut self, other: Self) {
        self.of_client.merge(other.of_client);
        self.of_all.merge(other.of_all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_network_share() {
        let network = |text: &str| client(text).0.to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn no_client_takes_all_and_everything_comes_back() {
        let budget = Budget::new(100);
        let (greedy, other) = (client("192.0.2.1"), client("192.0.2.2"));
        let mut taken = budget.try_take(greedy, 1_000).unwrap();
        assert!(budget.try_take(greedy, 1).is_none());
        let rest = budget.try_take(other, 25).unwrap();
        assert!(budget.try_take(other, 1).is_none(), "it is used up");
        taken.shrink_to(10);
        taken.merge(budget.try_take(greedy, 5).unwrap());
        assert!(budget.try_take(greedy, 61).is_none());
        drop((taken, rest));
        assert!(budget.try_take(other, 75).is_some());
    }

    #[tokio::test]
    async fn a_waiting_client_gets_what_is_freed() {
        let budget = Arc::new(Budget::new(100));
        let held = budget.take(client("192.0.2.1"), 75).await;
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { drop(budget.take(client("192.0.2.1"), 50).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }
}
