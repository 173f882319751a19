//! Ids, uris, origins, references to code, addresses: everything that is one text.

use std::{
    fmt::{Debug, Display},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use lictor_model::{
    AssetUri, CodeRef, Digest, ExecutorId, HostUri, Origin, PolicyUri, Time,
    address::{AllowPrivate, is_public},
    job::check_id,
};

/// What is read is written so that it reads as the same, and no text shows what a url keeps secret.
pub(crate) fn name(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    stable(text, PolicyUri::from_str);
    stable(text, AssetUri::from_str);
    stable(text, ExecutorId::from_str);
    stable(text, Digest::from_str);
    stable(text, HostUri::parse);
    stable(text, Origin::parse);
    stable(text, |text| Time::parse(text).ok_or(()));
    if let Ok(code @ CodeRef::Asset(_)) = text.parse() {
        assert_eq!(code.to_string().parse().ok(), Some(code));
    }
    if check_id(text).is_ok() {
        assert!(!text.contains('/') && !text.chars().any(char::is_control));
    }
    if let Ok(allowed) = AllowPrivate::parse([text]) {
        let public = IpAddr::from([203, 0, 113, 7]);
        // Whatever is admitted, asking is answered.
        let _: (bool, bool) = (allowed.permits(text, public), allowed.permits("localhost", Ipv4Addr::LOCALHOST.into()));
    }
    keeps_secrets(text);
}

fn stable<T: Display + PartialEq + Debug, E: Debug>(text: &str, parse: impl Fn(&str) -> Result<T, E>) {
    if let Ok(read) = parse(text) {
        let written = read.to_string();
        assert_eq!(parse(&written).expect("what is written can be read"), read, "{written}");
    }
}

/// In capitals, which a host never has.
const SECRET: &str = "S3CR3T";

/// A password, or the value of a parameter, of a url is not shown, be it taken or not.
fn keeps_secrets(rest: &str) {
    if rest.contains(SECRET) || rest.contains(['?', '#', '@', '\\']) {
        return;
    }
    for url in [format!("https://{rest}?key={SECRET}"), format!("http://name:{SECRET}@{rest}")] {
        let shown = match url.parse::<CodeRef>() {
            Ok(code) => format!("{code} {code:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let shown = match HostUri::parse(&format!("http://name:{SECRET}@{rest}")) {
        Ok(uri) => uri.to_string(),
        Err(why) => why,
    };
    assert!(!shown.contains(SECRET), "{shown}");
}

/// The bytes of an address. One that stands for another is not more public than that.
pub(crate) fn address(data: &[u8]) {
    if let Ok(bytes) = <[u8; 4]>::try_from(data) {
        let v4 = Ipv4Addr::from(bytes);
        let [a, b] = [[bytes[0], bytes[1]], [bytes[2], bytes[3]]].map(u16::from_be_bytes);
        for v6 in [
            v4.to_ipv6_mapped(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
            Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
        ] {
            assert!(is_public(v4.into()) || !is_public(v6.into()), "{v6} stands for {v4}");
        }
        assert!(!is_public(v4.into()) || !(v4.is_private() || v4.is_loopback() || v4.is_link_local()), "{v4}");
    } else if let Ok(bytes) = <[u8; 16]>::try_from(data) {
        let v6 = Ipv6Addr::from(bytes);
        let own = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast();
        assert!(!is_public(v6.into()) || !own, "{v6}");
    }
}
