//! The network that an address is counted as when guesses are counted: one client, the network of one client, or an
//! address that all users share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `64:ff9b::/96`, without the 32 bits that follow.
const TRANSLATOR: u128 = 0x0064_ff9b << 64;

/// The origin of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// One address that represents the whole network.
    pub(super) address: IpAddr,
    /// Whether the address belongs to one client. Other addresses (Docker's bridge, a provider's ingress, a carrier's
    /// NAT) may be shared by all users of this machine, its owner included.
    pub(super) public: bool,
}

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self { address: v4.into(), public: !is_shared_v4(v4) },
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v6(v6: Ipv6Addr) -> Self {
        let bits = v6.to_bits();
        // An address translator (RFC 6052): the IPv4 address is at the end.
        if let (TRANSLATOR, Ok(v4)) = (bits >> 32, u32::try_from(bits & 0xffff_ffff)) {
            return Self::of(Ipv4Addr::from_bits(v4).into());
        }
        let shared =
            v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local();
        // A client with one IPv6 address has 2^64 of them.
        Self { address: Ipv6Addr::from_bits(bits & !u128::from(u64::MAX)).into(), public: !shared }
    }
}

/// How many networks an address is counted in: those of the provider and of the customer, and its own.
pub(super) const LEVELS: usize = 3;

impl Network {
    /// A browser in which the right password was typed before. It is counted separately from all other clients of its
    /// address. No network has such an address: the lower half of network addresses is zero.
    pub(super) fn of_browser(id: [u8; 16], peer: IpAddr) -> Self {
        let address = Ipv6Addr::from_bits(u128::from_be_bytes(id) | 1 << 127 | 1);
        Self { address: address.into(), public: Self::of(peer).public }
    }

    /// The same network for guesses of another kind, which are counted separately. No other network has such an
    /// address.
    pub(super) fn aside(self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() | 2),
        };
        Self { address: address.into(), ..self }
    }

    /// The networks that contain this one, from the widest to itself.
    pub(super) fn within(self) -> [u128; LEVELS] {
        let (bits, lengths) = match self.address {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), [96 + 16, 96 + 24, 96 + 32]),
            // A browser is in no other network.
            IpAddr::V6(v6) if v6.to_bits() & 1 == 1 => (v6.to_bits(), [128; LEVELS]),
            IpAddr::V6(v6) => (v6.to_bits(), [32, 48, 64]),
        };
        lengths.map(|length| bits & !u128::MAX.checked_shr(length).unwrap_or(0))
    }

    /// The address in a format of the same length for IPv4 and IPv6.
    pub(super) fn bytes(self) -> [u8; 16] {
        match self.address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        }
    }
}

/// Whether an address is not a public address of the internet.
pub(in crate::gateway) fn is_shared(address: IpAddr) -> bool {
    !Network::of(address).public
}

fn is_shared_v4(v4: Ipv4Addr) -> bool {
    // 100.64.0.0/10 is for carriers' NAT (RFC 6598).
    let [a, b, ..] = v4.octets();
    let carrier = a == 100 && b & 0xc0 == 64;
    v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || carrier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_addresses_are_recognised_and_a_network_has_one_address() {
        for (address, network, public) in [
            ("203.0.113.9", "203.0.113.9", true),
            ("127.0.0.1", "127.0.0.1", false),
            ("127.9.9.9", "127.9.9.9", false),
            ("10.0.0.1", "10.0.0.1", false),
            ("172.16.0.1", "172.16.0.1", false),
            ("172.32.0.1", "172.32.0.1", true),
            ("192.168.1.1", "192.168.1.1", false),
            ("169.254.0.1", "169.254.0.1", false),
            ("100.63.255.255", "100.63.255.255", true),
            ("100.64.0.1", "100.64.0.1", false),
            ("100.127.255.255", "100.127.255.255", false),
            ("100.128.0.0", "100.128.0.0", true),
            ("::ffff:203.0.113.9", "203.0.113.9", true),
            ("::ffff:10.0.0.1", "10.0.0.1", false),
            ("64:ff9b::203.0.113.9", "203.0.113.9", true),
            ("64:ff9b::10.0.0.1", "10.0.0.1", false),
            ("::1", "::", false),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", true),
            ("fd00::1", "fd00::", false),
            ("fe80::1", "fe80::", false),
        ] {
            let expected = Network { address: network.parse().unwrap(), public };
            assert_eq!(Network::of(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn networks_are_within_wider_networks() {
        for (address, within) in [
            ("203.0.113.9", ["::ffff:203.0.0.0", "::ffff:203.0.113.0", "::ffff:203.0.113.9"]),
            ("2001:db8:1:2:3::4", ["2001:db8::", "2001:db8:1::", "2001:db8:1:2::"]),
        ] {
            let within = within.map(|text| text.parse::<Ipv6Addr>().unwrap().to_bits());
            assert_eq!(Network::of(address.parse().unwrap()).within(), within, "{address}");
        }
        let peer = "10.0.0.1".parse().unwrap();
        let browsers = [[0; 16], [1; 16]].map(|id| Network::of_browser(id, peer));
        assert_ne!(browsers[0].within(), browsers[1].within());
        assert!(!browsers[0].public && Network::of_browser([0; 16], "203.0.113.9".parse().unwrap()).public);
    }
}
