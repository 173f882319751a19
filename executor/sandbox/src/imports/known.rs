//! The interfaces that a component may import, and the highest version of each.
//!
//! wasmtime's linker takes any version of a known track (`0.2.999` is satisfied by `0.2.12`), so refusing a version
//! that nobody here knows is done before linking.

/// Interfaces of one package, and the version that the host has.
struct Package {
    name: &'static str,
    version: Version,
    interfaces: &'static [&'static str],
}

enum Version {
    /// `0.2.n` up to this n.
    UpTo(u64),
    /// Exactly one of these; none stands for no version at all.
    OneOf(&'static [Option<&'static str>]),
}

/// The `n` of the WASI 0.2.n that the host has.
const WASI: Version = Version::UpTo(12);

const KNOWN: [Package; 10] = [
    Package { name: "lictor:policy", version: Version::OneOf(&[Some("1.0.0")]), interfaces: &["types", "host"] },
    Package { name: "wasi:http", version: WASI, interfaces: &["types", "outgoing-handler"] },
    Package { name: "wasi:keyvalue", version: Version::OneOf(&[Some("0.2.0-draft")]), interfaces: &["store"] },
    Package { name: "wasi:logging", version: Version::OneOf(&[Some("0.1.0-draft"), None]), interfaces: &["logging"] },
    Package { name: "wasi:clocks", version: WASI, interfaces: &["wall-clock", "monotonic-clock"] },
    Package { name: "wasi:random", version: WASI, interfaces: &["random", "insecure", "insecure-seed"] },
    Package { name: "wasi:io", version: WASI, interfaces: &["error", "poll", "streams"] },
    Package {
        name: "wasi:cli",
        version: WASI,
        interfaces: &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    },
    Package { name: "wasi:filesystem", version: WASI, interfaces: &["types", "preopens"] },
    Package {
        name: "wasi:sockets",
        version: WASI,
        interfaces: &[
            "network",
            "instance-network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
            "ip-name-lookup",
        ],
    },
];

/// Whether the import `name` is one a policy may have; if not, why.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let (path, version) = match name.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (name, None),
    };
    let outside = || format!("the import `{name}` is outside the world of a policy: no host gives it");
    let (package, interface) = path.split_once('/').ok_or_else(outside)?;
    let known = KNOWN
        .iter()
        .find(|known| known.name == package && known.interfaces.contains(&interface))
        .ok_or_else(outside)?;
    known.version.check(version).map_err(|highest| {
        format!("the import `{name}` has a version that is not known here: the highest is {highest}")
    })
}

/// What stands behind an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provision {
    /// The host, for every policy.
    Host,
    /// The host, for a policy that was granted this capability.
    Granted(&'static str),
    /// A stand-in: empty, or access denied.
    Inert,
    /// Nothing: a component with this import is refused, for this reason.
    Outside(String),
}

impl Provision {
    /// The interfaces that a component may import, each with the highest version that is known.
    pub fn interfaces() -> Vec<String> {
        let of = |known: &'static Package| {
            let versions = known.version.highest();
            known.interfaces.iter().flat_map(move |interface| {
                let name = format!("{}/{interface}", known.name);
                versions.clone().into_iter().map(move |version| format!("{name}{version}"))
            })
        };
        KNOWN.iter().flat_map(of).collect()
    }

    /// What stands behind the import `name`.
    pub fn of(name: &str) -> Self {
        if let Err(why) = check(name) {
            return Self::Outside(why);
        }
        let path = name.split('@').next().unwrap_or(name);
        match path {
            "wasi:http/outgoing-handler" => Self::Granted("http"),
            "wasi:keyvalue/store" => Self::Granted("context"),
            "lictor:policy/host" => Self::Granted("host"),
            _ if super::inert::is_inert(name) => Self::Inert,
            _ => Self::Host,
        }
    }
}

impl Version {
    /// The end of a name, for each track of versions.
    fn highest(&self) -> Vec<String> {
        match self {
            Self::UpTo(highest) => vec![format!("@0.2.{highest}")],
            Self::OneOf(all) => all.iter().map(|it| it.map_or(String::new(), |it| format!("@{it}"))).collect(),
        }
    }

    fn check(&self, version: Option<&str>) -> Result<(), String> {
        match self {
            Self::UpTo(highest) => {
                let minor =
                    version.and_then(|text| text.strip_prefix("0.2.")).and_then(|text| text.parse::<u64>().ok());
                if minor.is_some_and(|minor| minor <= *highest) { Ok(()) } else { Err(format!("0.2.{highest}")) }
            }
            Self::OneOf(all) if all.contains(&version) => Ok(()),
            Self::OneOf(all) => Err(all.iter().flatten().copied().next().unwrap_or("none").to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_link_up_to_the_highest_known() {
        for name in
            ["wasi:cli/exit@0.2.0", "wasi:http/types@0.2.12", "wasi:logging/logging", "lictor:policy/host@1.0.0"]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (name, said) in [
            ("wasi:cli/exit@0.2.999", "0.2.12"),
            ("wasi:cli/exit@0.3.0", "0.2.12"),
            ("wasi:cli/exit", "0.2.12"),
            ("wasi:cli/exit@0.2.x", "0.2.12"),
            ("wasi:http/incoming-handler@0.2.0", "outside"),
            ("wasi:keyvalue/store@0.2.0", "0.2.0-draft"),
            ("lictor:policy/host@1.1.0", "1.0.0"),
            ("env", "outside"),
            ("acme:files/read@1.0.0", "outside"),
        ] {
            assert!(check(name).unwrap_err().contains(said), "{name}");
        }
    }

    #[test]
    fn every_import_is_given_granted_inert_or_outside() {
        for (name, provision) in [
            ("wasi:clocks/wall-clock@0.2.0", Provision::Host),
            ("wasi:http/types@0.2.0", Provision::Host),
            ("wasi:http/outgoing-handler@0.2.0", Provision::Granted("http")),
            ("wasi:keyvalue/store@0.2.0-draft", Provision::Granted("context")),
            ("lictor:policy/host@1.0.0", Provision::Granted("host")),
            ("wasi:filesystem/types@0.2.0", Provision::Inert),
        ] {
            assert_eq!(Provision::of(name), provision, "{name}");
        }
        assert!(matches!(Provision::of("acme:files/read@1.0.0"), Provision::Outside(_)));
    }
}
