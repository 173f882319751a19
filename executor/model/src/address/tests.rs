//! Tables of addresses: first and last of each reserved range, and their public neighbours.

use super::*;

#[track_caller]
fn check(public: bool, addresses: &str) {
    for text in addresses.split_whitespace() {
        let ip: IpAddr = text.parse().unwrap();
        assert_eq!(is_public(ip), public, "{text}");
        assert_eq!(AllowPrivate::default().permits("example.com", ip), public, "{text}");
    }
}

#[test]
fn reserved_ipv4_is_not_public_and_its_neighbours_are() {
    check(false, "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 100.100.100.200");
    check(false, "127.0.0.1 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255");
    check(false, "172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255");
    check(false, "198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.9");
    check(false, "224.0.0.1 239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255");
    check(true, "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15");
    check(
        true,
        "169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0",
    );
    check(true, "198.17.255.255 198.20.0.0 198.51.99.255 203.0.112.255 203.0.114.0 223.255.255.255 8.8.8.8");
}

#[test]
fn only_global_unicast_ipv6_is_public() {
    check(false, ":: ::1 ::2 100::1 fc00:: fd00::8 fd00:ec2::254 fe80::1 febf::1 fec0::1 feff::1 ff02::1 ffff::1");
    check(false, "2001:db8::1 3fff::1 3fff:fff::1 5f00::1 64:ff9b:1::1 4000::1 1fff::1");
    // Teredo, benchmarking and ORCHID.
    check(false, "2001::1 2001:0:808:808::1 2001:2::1 2001:20::1 2001:1ff:ffff::");
    check(
        true,
        "2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001::1 2001:db7::1 2001:db9::1 3fff:1000::1 2000::1",
    );
}

#[test]
fn an_address_is_as_public_as_the_one_it_carries() {
    check(false, "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::10.0.0.1");
    check(false, "2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe::");
    check(true, "::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::");
    // IPv4-compatible addresses are long gone; nothing answers there.
    check(false, "::127.0.0.1 ::8.8.8.8");
}

#[test]
fn what_is_listed_is_permitted_and_nothing_else() {
    let rules =
        AllowPrivate::parse(["10.1.0.0/16", "127.0.0.1", "[::1]", "fd00::/8", "Registry.internal.", "localhost"])
            .unwrap();
    let rows = [
        ("a.com", "10.1.255.255", true),
        ("a.com", "10.2.0.0", false),
        ("127.0.0.1", "127.0.0.1", true),
        ("a.com", "127.0.0.2", false),
        ("a.com", "::ffff:127.0.0.1", true),
        ("a.com", "::ffff:127.0.0.2", false),
        ("[::1]", "::1", true),
        ("a.com", "fdff::1", true),
        ("a.com", "fe80::1", false),
        ("registry.internal", "192.168.7.7", true),
        ("REGISTRY.internal.", "169.254.169.254", true),
        ("x.registry.internal", "192.168.7.7", false),
        ("registry.internal.evil.org", "192.168.7.7", false),
        ("localhost", "127.0.0.9", true),
        ("a.com", "8.8.8.8", true),
    ];
    for (host, ip, expected) in rows {
        assert_eq!(rules.permits(host, ip.parse().unwrap()), expected, "{host} {ip}");
    }
    let all = AllowPrivate::parse(["0.0.0.0/0"]).unwrap();
    assert!(all.permits("a.com", "10.0.0.1".parse().unwrap()));
    assert!(!all.permits("a.com", "::1".parse().unwrap()));
    assert!(AllowPrivate::parse(["::/0"]).unwrap().permits("a.com", "::1".parse().unwrap()));
}

#[test]
fn says_what_is_wrong_with_an_entry() {
    let rows = [
        ("", "neither"),
        ("a b", "neither"),
        ("http://a.com", "no address"),
        ("a.com:80", "neither"),
        ("127.1", "neither"),
        ("2130706433", "neither"),
        ("1.2.3.4.5", "neither"),
        ("a..b", "neither"),
        ("*.internal", "neither"),
        ("10.0.0.0/33", "0 to 32"),
        ("::/129", "0 to 128"),
        ("10.0.0.0/+8", "0 to 32"),
        ("10.0.0.0/", "0 to 32"),
        ("a.com/8", "no address"),
        ("10.0.0.1/8", "beyond its prefix"),
        ("fd00::1/8", "beyond its prefix"),
        ("10.0.0.1/0", "beyond its prefix"),
    ];
    for (entry, expected) in rows {
        let message = AllowPrivate::parse([entry]).unwrap_err().to_string();
        assert!(message.contains(expected), "{entry:?}: {message}");
    }
}
