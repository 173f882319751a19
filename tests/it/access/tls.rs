//! TLS: certificates that change, clients that must show one, and who does not speak it.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use lictor_tests::{Builder, TestServer, eventually};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// Somebody who makes certificates.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn identity(&self) -> Identity {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// A client that trusts nobody else, and shows this identity.
    fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.issuer.der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
                builder.with_client_auth_cert(vec![identity.certificate.der().clone()], key).unwrap()
            }
        })
    }
}

/// Where a server finds its files.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, identity: &Identity) {
        std::fs::write(self.path("key.pem"), identity.key.serialize_pem()).unwrap();
        std::fs::write(self.path("cert.pem"), identity.certificate.pem()).unwrap();
    }

    fn builder(&self, more: &str) -> Builder {
        let path = |name| toml(&self.path(name));
        let config = format!("[tls]\ncertificate = {}\nkey = {}\n{more}", path("cert.pem"), path("key.pem"));
        TestServer::builder().config(&config)
    }
}

fn toml(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// Asks for a policy over TLS: the status, or why there is none.
fn status(server: &TestServer, client: &Arc<ClientConfig>) -> Result<u16, String> {
    let connection = ClientConnection::new(Arc::clone(client), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, server.connect().unwrap());
    let request = "GET /policy/a:1-b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    // Whoever closes without saying so has still answered.
    let read = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| format!("{read:?} {text}"))
}

#[test]
fn a_certificate_may_change_while_the_server_runs() {
    let (old, new, files) = (Authority::new(), Authority::new(), Files::new());
    files.put(&old.identity());
    let server = files.builder("").start();
    assert!(server.stdout().starts_with("listening on https://"), "{}", server.stdout());
    let (trusts_old, trusts_new) = (old.client(None), new.client(None));
    assert_eq!(status(&server, &trusts_old), Ok(200));
    assert!(status(&server, &trusts_new).is_err());
    // A file that is not whole yet changes nothing.
    std::fs::write(files.path("cert.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    eventually("the broken file to be noticed", || {
        if server.log().contains("the certificate stays as it was") { Ok(()) } else { Err(server.log()) }
    });
    assert_eq!(status(&server, &trusts_old), Ok(200));
    files.put(&new.identity());
    eventually("the new certificate to be shown", || {
        status(&server, &trusts_new).and_then(|it| (it == 200).then_some(()).ok_or_else(String::new))
    });
    assert!(status(&server, &trusts_old).is_err());
}

#[test]
fn clients_show_a_certificate_where_that_is_asked_for() {
    let (authority, other, files) = (Authority::new(), Authority::new(), Files::new());
    files.put(&authority.identity());
    std::fs::write(files.path("ca.pem"), authority.issuer.pem()).unwrap();
    let server = files.builder(&format!("client_ca = {}", toml(&files.path("ca.pem")))).start();
    assert_eq!(status(&server, &authority.client(Some(&authority.identity()))), Ok(200));
    assert!(status(&server, &authority.client(None)).is_err());
    assert!(status(&server, &authority.client(Some(&other.identity()))).is_err());
    // Health needs neither.
    assert_eq!(server.admin().get("/healthz").status, 200);
}

#[test]
fn who_does_not_speak_it_is_told_nothing_and_holds_up_nobody() {
    let (authority, files) = (Authority::new(), Files::new());
    files.put(&authority.identity());
    let server = files.builder("").start();
    let _silent: Vec<_> = (0..20).map(|_| server.connect().unwrap()).collect();
    let plain = server.raw(b"GET /policy/a:1-b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(plain.closed && plain.parse().is_none(), "{plain:?}");
    assert!(server.raw(&[0x16, 3, 1, 0xff, 0xff, 0, 0, 0]).parse().is_none());
    assert_eq!(status(&server, &authority.client(None)), Ok(200));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (authority, files) = (Authority::new(), Files::new());
    let refusal = |says: &str| {
        let refused = files.builder("").try_start().err().unwrap();
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(says), "{says}: {refused:?}");
    };
    refusal("`tls.certificate`");
    files.put(&authority.identity());
    std::fs::write(files.path("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    refusal("`tls.certificate`");
    std::fs::write(files.path("key.pem"), "").unwrap();
    refusal("`tls.key`");
    let refused = TestServer::builder().config("[tls]\ncertificate = \"a\"").try_start().err().unwrap();
    assert!(refused.stderr.contains("key"), "{refused:?}");
}
