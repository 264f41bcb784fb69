//! Addresses that no request of ours may go to, whoever asked for it.
//!
//! What an operator configured may stand in a private network or on this machine. Link-local addresses and the services where clouds
//! hand out credentials are never a destination, nor is what the registries of special-purpose addresses (IANA, RFC 6890) keep from
//! being one host of the Internet. Each address that a name resolves to is looked at, and the connection goes to that very address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4: address, length of the prefix, what it is.
const V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(100, 100, 100, 200), 32, "a cloud's metadata service"), // Alibaba Cloud
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's metadata service"),   // Azure's wire server
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),                     // the metadata service of most clouds too
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),           // Oracle's metadata service too
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// Networks of IPv6: address, length of the prefix, what it is.
const V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, "translated to IPv4"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "translated to IPv4"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discarded"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved for protocols"), // Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "for segment routing"),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128, "a cloud's metadata service"), // Oracle Cloud
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32, "a cloud's metadata service"),           // EC2
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0), 32, "a cloud's metadata service"),            // Google Cloud
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// Why no request may go to this address; `None` if one may.
pub fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    let inside = |network: Ipv4Addr, prefix: u32| (address.to_bits() ^ network.to_bits()).leading_zeros() >= prefix;
    V4.iter().find(|(network, prefix, _)| inside(*network, *prefix)).map(|(.., what)| *what)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return forbidden_v4(mapped);
    }
    // ::/96 held addresses of IPv4 once (RFC 4291 §2.5.5.1); only ::1 of it is in use.
    if address.to_bits() >> 32 == 0 && address != Ipv6Addr::LOCALHOST {
        return Some("unspecified");
    }
    let inside = |network: Ipv6Addr, prefix: u32| (address.to_bits() ^ network.to_bits()).leading_zeros() >= prefix;
    V6.iter().find(|(network, prefix, _)| inside(*network, *prefix)).map(|(.., what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_may_configure_passes() {
        let allowed = "127.0.0.1 127.8.9.1 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.254 192.168.1.1 100.64.0.1 100.100.100.199 \
                       100.100.100.201 168.63.129.15 1.0.0.0 169.253.255.255 169.255.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 \
                       198.17.255.255 198.20.0.0 198.51.99.1 203.0.112.255 223.255.255.255 8.8.8.8 ::1 fc00::1 fd00:ec1::1 fd00:ec3::1 \
                       fd00:c1::a9fe:a9fd 2001:200::1 2001:db7::1 2001:db9::1 2003::1 2a00::1 fe7f::1 64:ff9c::1 64:ff9b:2::1 101::1 \
                       ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:93.184.216.34 3ffe::1 4000::1 5eff::1 5f01::1";
        for address in allowed.split_whitespace() {
            assert_eq!(forbidden(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn the_first_and_last_of_each_forbidden_range_are_refused() {
        let refused = [
            ("unspecified", "0.0.0.0 0.0.0.1 0.255.255.255 :: ::2 ::127.0.0.1 ::169.254.169.254 ::ffff:0.0.0.0"),
            (
                "a cloud's metadata service",
                "100.100.100.200 168.63.129.16 fd00:ec2::254 fd00:ec2::23 fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff fd20:ce::254 \
                 fd00:c1::a9fe:a9fe ::ffff:100.100.100.200",
            ),
            (
                "link-local",
                "169.254.0.0 169.254.169.254 169.254.170.2 169.254.255.255 fe80:: fe80::1 febf:ffff::1 ::ffff:169.254.169.254 \
                 ::ffff:a9fe:a9fe",
            ),
            (
                "reserved for protocols",
                "192.0.0.0 192.0.0.192 192.0.0.255 2001:: 2001:0:1::1 2001:2::1 2001:20::1 2001:1ff:ffff::1",
            ),
            (
                "for documentation",
                "192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 2001:db8:: 2001:db8:ffff::1 3fff:: \
                 3fff:fff:ffff::1 ::ffff:192.0.2.1",
            ),
            ("for benchmarks", "198.18.0.0 198.19.255.255"),
            ("multicast", "224.0.0.0 239.255.255.255 ff00:: ff02::1 ffff:ffff::1 ::ffff:224.0.0.1"),
            ("broadcast", "255.255.255.255 ::ffff:255.255.255.255"),
            ("reserved", "240.0.0.0 255.255.255.254"),
            ("a 6to4 relay", "192.88.99.0 192.88.99.255"),
            ("6to4", "2002:: 2002:a9fe:a9fe::1 2002:ffff:ffff::1"),
            (
                "translated to IPv4",
                "64:ff9b:: 64:ff9b::169.254.169.254 64:ff9b::ffff:ffff 64:ff9b:1:: 64:ff9b:1:ffff::1",
            ),
            ("discarded", "100:: 100::ffff:ffff"),
            ("site-local", "fec0:: feff:ffff::1"),
            ("for segment routing", "5f00:: 5f00:ffff::1"),
        ];
        for (why, addresses) in refused {
            for address in addresses.split_whitespace() {
                assert_eq!(forbidden(address.parse().unwrap()), Some(why), "{address}");
            }
        }
    }
}
