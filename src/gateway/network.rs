//! The network that an address is counted as: one client, the network of one client, or an address that all users
//! share; and the wider networks that it is in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `64:ff9b::/96`, without the 32 bits that follow.
const TRANSLATOR: u128 = 0x0064_ff9b << 64;

/// How many networks an address is counted in: those of the provider and of the customer, and its own.
pub(super) const LEVELS: usize = 3;

/// The prefixes of these networks, the widest first. Bits.
const V4: [u32; LEVELS] = [96 + 16, 96 + 24, 96 + 32];
const V6: [u32; LEVELS] = [32, 48, 64];

/// The origin of connections and of attempts to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network {
    /// An IPv4 address in its IPv6-mapped form, or the /64 of an IPv6 address: the lower half is zero.
    bits: u128,
    /// Whether the address belongs to one client. Other addresses (Docker's bridge, a provider's ingress, a carrier's
    /// NAT) may be shared by all users of this machine, its owner included.
    pub(super) public: bool,
}

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        let v6 = match address.to_canonical() {
            IpAddr::V4(v4) => return Self { bits: v4.to_ipv6_mapped().to_bits(), public: !is_shared_v4(v4) },
            IpAddr::V6(v6) => v6,
        };
        // An address translator (RFC 6052): the IPv4 address is at the end.
        if v6.to_bits() >> 32 == TRANSLATOR {
            let [.., a, b, c, d] = v6.octets();
            return Self::of(Ipv4Addr::new(a, b, c, d).into());
        }
        let shared =
            v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local();
        // A client with one IPv6 address has 2^64 of them.
        Self { bits: v6.to_bits() & !u128::from(u64::MAX), public: !shared }
    }

    /// A browser in which the right password was typed before. It is counted separately from all other clients of its
    /// address. No network has such bits.
    pub(super) fn of_browser(id: [u8; 16], peer: IpAddr) -> Self {
        Self { bits: u128::from_be_bytes(id) | 1 << 127 | 1, public: Self::of(peer).public }
    }

    /// The same network for guesses of another kind, which are counted separately. No other network has such bits.
    pub(super) fn aside(self) -> Self {
        Self { bits: self.bits | 1 << 63, ..self }
    }

    /// The networks that contain this one, from the widest to itself.
    pub(super) fn within(self) -> [u128; LEVELS] {
        let lengths = if self.bits >> 32 == 0xffff {
            V4
        } else if self.bits & 1 == 1 {
            // A browser is in no other network.
            [128; LEVELS]
        } else {
            V6
        };
        lengths.map(|length| self.bits & !u128::MAX.checked_shr(length).unwrap_or(0))
    }

    /// One address that represents the whole network.
    pub(super) fn address(self) -> IpAddr {
        Ipv6Addr::from_bits(self.bits).to_canonical()
    }
}

/// Whether an address is not a public address of the internet.
pub(super) fn is_shared(address: IpAddr) -> bool {
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
            let found = Network::of(address.parse().unwrap());
            assert_eq!((found.address(), found.public), (network.parse().unwrap(), public), "{address}");
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
        assert_ne!(Network::of(peer).aside(), Network::of(peer));
        let browsers = [[0; 16], [1; 16]].map(|id| Network::of_browser(id, peer));
        assert_ne!(browsers[0].within(), browsers[1].within());
        assert!(!browsers[0].public && Network::of_browser([0; 16], "203.0.113.9".parse().unwrap()).public);
    }
}
