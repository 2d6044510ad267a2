//! The names under which the server may be asked.
//!
//! A page of another site can make its own name point to this server (DNS rebinding); its scripts then
//! count as ours. Such a name is not on the list.

use std::net::IpAddr;
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

    /// Returns `true` if a request may be for this host.
    pub(crate) fn accept(&self, host: &HostName) -> bool {
        let name = host.0.as_str();
        let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal.map(|address| address.to_canonical()) {
            Ok(address) => {
                address.is_loopback()
                    || self.bound.is_unspecified()
                    || address == self.bound.to_canonical()
                    || self.names.contains(host)
            }
            Err(_) => {
                !name.contains('.') || name.ends_with(".localhost") || self.names.contains(host)
            }
        }
    }
}

impl HostName {
    /// Reads the value of a `Host` header; `None` when it is none.
    pub(crate) fn of_header(text: &str) -> Option<Self> {
        let is_literal = text.starts_with('[');
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !is_literal || name.ends_with(']') => (name, port),
            _ => (text, ""),
        };
        let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
        is_port.then(|| name.parse().ok())?
    }
}

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LEN_MAX: usize = 253;
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_name = !name.is_empty() && name.len() <= LEN_MAX && name.bytes().all(is_name_byte);
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_literal =
            literal.is_some_and(|literal| literal.parse::<std::net::Ipv6Addr>().is_ok());
        if is_name || is_literal {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err("must be the name of a host without a port, such as plant.example")
        }
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
            hosts.accept(&HostName::of_header(host).unwrap())
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
    fn what_is_no_host_is_malformed() {
        for text in
            ["", "a/b", "a@b", "a, b", "a b", "a:x", "a:1:2", "[::1", "[zz]", "::1", "a:123456"]
        {
            assert_eq!(HostName::of_header(text), None, "{text}");
        }
        assert_eq!(HostName::of_header(&"a".repeat(254)), None);
        assert!(HostName::of_header("a:").is_some(), "an empty port is allowed");
    }
}
