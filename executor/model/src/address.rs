//! Which network addresses may be reached: public ones, and those an operator listed.
//!
//! Everything Lictor connects to on behalf of a document or a guest is judged here, at the moment of connecting and by
//! the address itself, never by a name or by how a URL spells it. Public means assigned by IANA for use across the
//! internet; an address that carries another one (mapped, NAT64, 6to4) is as public as the one it carries.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::field::shorten;

/// Whether an address belongs to the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match carried(v6) {
            Some(v4) => is_public_v4(v4),
            None => GLOBAL_UNICAST.contains(ip) && !RESERVED_V6.iter().any(|net| net.contains(ip)),
        },
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    !RESERVED_V4.iter().any(|net| net.contains(IpAddr::V4(v4)))
}

/// The IPv4 address that a packet to `v6` ends up at, where `v6` is of a kind that carries one.
fn carried(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        // Mapped, and NAT64.
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

/// From IANA's special-purpose registry; what is marked there as globally reachable is refused all the same.
const RESERVED_V4: [Network; 17] = [
    // This network.
    Network::v4(0, 0, 0, 0, 8),
    // Private.
    Network::v4(10, 0, 0, 0, 8),
    Network::v4(172, 16, 0, 0, 12),
    Network::v4(192, 168, 0, 0, 16),
    // Shared between carrier and customer (CGNAT).
    Network::v4(100, 64, 0, 0, 10),
    // Loopback.
    Network::v4(127, 0, 0, 0, 8),
    // Link-local, where clouds keep their metadata; and the one cloud that keeps it at a public address.
    Network::v4(169, 254, 0, 0, 16),
    Network::v4(168, 63, 129, 16, 32),
    // Protocol assignments, and the relays of 6to4.
    Network::v4(192, 0, 0, 0, 24),
    Network::v4(192, 88, 99, 0, 24),
    // Documentation.
    Network::v4(192, 0, 2, 0, 24),
    Network::v4(198, 51, 100, 0, 24),
    Network::v4(203, 0, 113, 0, 24),
    // Benchmarking.
    Network::v4(198, 18, 0, 0, 15),
    // Multicast; reserved, with broadcast at its end.
    Network::v4(224, 0, 0, 0, 4),
    Network::v4(240, 0, 0, 0, 4),
    Network::v4(255, 255, 255, 255, 32),
];

/// All that IANA has given out for the internet. Outside it are `::`, `::1`, IPv4-compatible, discard-only, local
/// NAT64, unique local, link-local, site-local and multicast addresses.
const GLOBAL_UNICAST: Network = Network::v6(0x2000, 0, 3);

/// What is special inside of it.
const RESERVED_V6: [Network; 3] = [
    // Protocol assignments: Teredo, benchmarking, ORCHID.
    Network::v6(0x2001, 0, 23),
    // Documentation.
    Network::v6(0x2001, 0xdb8, 32),
    Network::v6(0x3fff, 0, 20),
];

/// The addresses that share their first `prefix` bits with `ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    ip: IpAddr,
    prefix: u32,
}

impl Network {
    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u32) -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(a: u16, b: u16, prefix: u32) -> Self {
        Self { ip: IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)), prefix }
    }

    fn contains(&self, ip: IpAddr) -> bool {
        let ((ours, width), (theirs, their_width)) = (bits(self.ip), bits(ip));
        width == their_width && (ours ^ theirs).checked_shr(width - self.prefix).unwrap_or(0) == 0
    }

    /// `10.0.0.1`, `::1`, `[::1]`, `10.0.0.0/8`; `None` if it is not meant as an address at all.
    fn parse(text: &str) -> Option<Result<Self, Wrong>> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let Ok(ip) = bare.parse::<IpAddr>() else { return prefix.map(|_| Err(Wrong::Network)) };
        let Some(prefix) = prefix else {
            let ip = ip.to_canonical();
            return Some(Ok(Self { ip, prefix: bits(ip).1 }));
        };
        Some(Self::with_prefix(ip, prefix))
    }

    fn with_prefix(ip: IpAddr, prefix: &str) -> Result<Self, Wrong> {
        let (value, width) = bits(ip);
        let digits = prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|&prefix| digits && prefix <= width).ok_or(Wrong::Prefix(width))?;
        // `10.0.0.1/8` is more likely a slip for one machine than a wish for sixteen million.
        let below = value & 1_u128.checked_shl(width - prefix).unwrap_or(0).wrapping_sub(1);
        if below == 0 { Ok(Self { ip, prefix }) } else { Err(Wrong::HostBits) }
    }
}

/// The address as a number, and how many bits that number has.
fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(v4) => (v4.to_bits().into(), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// The addresses that may be reached although they are not public. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowPrivate {
    hosts: Vec<Box<str>>,
    networks: Vec<Network>,
}

impl AllowPrivate {
    /// Reads what `--allow-private` was given: host names, addresses and networks in CIDR notation.
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, ParseAllowPrivateError> {
        let mut res = Self::default();
        for entry in entries {
            let entry = entry.as_ref();
            res.add(entry).map_err(|wrong| ParseAllowPrivateError { entry: shorten(entry, 80), wrong })?;
        }
        Ok(res)
    }

    fn add(&mut self, entry: &str) -> Result<(), Wrong> {
        match Network::parse(entry) {
            Some(network) => self.networks.push(network?),
            None => self.hosts.push(parse_host(entry)?),
        }
        Ok(())
    }

    /// Whether a connection to `ip` may be made because something named `host`, the host of a URL.
    ///
    /// A host that was listed by name may have any address; every other is judged by its address alone.
    pub fn permits(&self, host: &str, ip: IpAddr) -> bool {
        let same = |listed: &str| listed.eq_ignore_ascii_case(host.strip_suffix('.').unwrap_or(host));
        let ip = ip.to_canonical();
        is_public(ip)
            || self.networks.iter().any(|net| net.contains(ip))
            || self.hosts.iter().any(|listed| same(listed))
    }
}

fn parse_host(text: &str) -> Result<Box<str>, Wrong> {
    let host = text.strip_suffix('.').unwrap_or(text);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    // A name whose last label is a number is an IPv4 address to a URL, and would never be asked for by this name.
    let last = host.rsplit('.').next().unwrap_or(host);
    let numeric = last.starts_with(|c: char| c.is_ascii_digit());
    if host.len() > 253 || numeric || !host.split('.').all(label) {
        return Err(Wrong::Host);
    }
    Ok(host.to_ascii_lowercase().into())
}

/// An entry of `--allow-private` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAllowPrivateError {
    entry: String,
    wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Host,
    Network,
    Prefix(u32),
    HostBits,
}

impl fmt::Display for ParseAllowPrivateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.entry)?;
        match self.wrong {
            Wrong::Host => f.write_str("is neither a host name nor an address nor a network such as `10.0.0.0/8`"),
            Wrong::Network => f.write_str("has no address before its `/`"),
            Wrong::Prefix(width) => write!(f, "has a prefix length that is not 0 to {width}"),
            Wrong::HostBits => f.write_str("has bits set beyond its prefix: name the network itself, or one address"),
        }
    }
}

impl std::error::Error for ParseAllowPrivateError {}

#[cfg(test)]
mod tests;
