//! The names under which the server may be asked.
//!
//! A page of another site can make its own name point to this server (DNS rebinding); its scripts then
//! count as ours. Such a name is not on the list.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// The names and addresses that a request may be for.
///
/// Always accepted are loopback names and addresses, the address that the server listens on (any, when
/// it listens on all), and names without a dot, which only the own network can resolve. Other names
/// have to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    bound: IpAddr,
    names: Arc<[HostName]>,
}

/// The name of a host, such as `plant.example`, without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl Hosts {
    /// Accepts what is asked of the address `bound`, and of hosts with these names.
    pub fn new(bound: IpAddr, names: impl IntoIterator<Item = HostName>) -> Self {
        Self { bound, names: names.into_iter().collect() }
    }

    /// Returns `true` if a request may be for a host, which is what [`host_of`] returns.
    pub(crate) fn accept(&self, host: &str) -> bool {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_listed = || self.names.iter().any(|name| name.0.eq_ignore_ascii_case(host));
        match literal.map(|address| address.to_canonical()) {
            Ok(address) => {
                address.is_loopback()
                    || self.bound.is_unspecified()
                    || address == self.bound.to_canonical()
                    || is_listed()
            }
            Err(_) => match host.rsplit_once('.') {
                None => true,
                Some((_, domain)) => domain.eq_ignore_ascii_case("localhost") || is_listed(),
            },
        }
    }
}

/// Returns the host in the value of a `Host` header; `None` when it has none.
pub(crate) fn host_of(header: &str) -> Option<&str> {
    let is_literal = header.starts_with('[');
    let (host, port) = match header.rsplit_once(':') {
        Some((host, port)) if !is_literal || host.ends_with(']') => (host, port),
        _ => (header, ""),
    };
    let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port { named(host) } else { None }
}

/// Returns a name or an address literal without a dot at its end; `None` when it is neither.
pub(crate) fn named(host: &str) -> Option<&str> {
    const LEN_MAX: usize = 253;
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = !host.is_empty() && host.len() <= LEN_MAX && host.bytes().all(is_name_byte);
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_literal = || literal.is_some_and(|literal| literal.parse::<Ipv6Addr>().is_ok());
    (is_name || is_literal()).then_some(host)
}

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refusal = "must be the name of a host without a port, such as plant.example";
        named(text).map(|name| Self(name.into())).ok_or(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_sites_are_not_accepted() {
        let accepts = |bound: &str, host: &str| {
            let names = ["Plant.example".parse().unwrap(), "192.0.2.9".parse().unwrap()];
            let hosts = Hosts::new(bound.parse().unwrap(), names);
            hosts.accept(host_of(host).unwrap())
        };
        for host in [
            "localhost:5000",
            "x",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "a.localhost",
            "plant.example:80",
            "PLANT.EXAMPLE.",
            "192.0.2.9",
        ] {
            assert!(accepts("127.0.0.1", host), "{host}");
        }
        for host in ["evil.example", "plant.example.evil.example", "192.0.2.1", "[2001:db8::1]"] {
            assert!(!accepts("127.0.0.1", host), "{host}");
        }
        assert!(accepts("192.0.2.1", "192.0.2.1:5000") && accepts("192.0.2.1", "127.0.0.1"));
        assert!(accepts("0.0.0.0", "198.51.100.7") && accepts("::", "[2001:db8::1]:5000"));
        assert!(!accepts("0.0.0.0", "evil.example"));
    }

    #[test]
    fn malformed_hosts_are_refused() {
        for text in
            ["", "a/b", "a@b", "a, b", "a b", "a:x", "a:1:2", "[::1", "[zz]", "::1", "a:123456"]
        {
            assert_eq!(host_of(text), None, "{text}");
        }
        assert_eq!(host_of(&"a".repeat(254)), None);
        assert_eq!(host_of("a:"), Some("a"), "an empty port is allowed");
    }
}
