//! TLS by rustls: a certificate that may change while the server runs, and, where asked for, certificates of clients.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    config::TlsFiles,
    error::{Error, ErrorKind},
};

/// How often the files are looked at.
const AGAIN: Duration = Duration::from_secs(2);
/// How long the two sides may take to agree.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What connections are secured with. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: Arc<ArcSwap<TlsAcceptor>>,
    _following: Arc<tokio_util::sync::DropGuard>,
}

impl Tls {
    /// Reads the files, and follows their changes from then on.
    pub(super) fn start(files: &TlsFiles) -> Result<Self, Error> {
        let seen = Seen::of(files);
        let acceptor = Arc::new(ArcSwap::from_pointee(read(files)?));
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow(files.clone(), Arc::clone(&acceptor), seen)));
        Ok(Self { acceptor, _following: Arc::new(stop.drop_guard()) })
    }

    /// Secures a connection.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::clone(&self.acceptor.load());
        tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await.unwrap_or_else(|late| Err(late.into()))
    }
}

/// When each file was last changed, as far as that can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen(Vec<Option<SystemTime>>);

impl Seen {
    fn of(files: &TlsFiles) -> Self {
        let all = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
        let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        Self(all.into_iter().flatten().map(changed).collect())
    }
}

/// Takes up what the files become. What cannot be used is said once, and what was used before stays.
async fn follow(files: TlsFiles, acceptor: Arc<ArcSwap<TlsAcceptor>>, mut seen: Seen) {
    loop {
        tokio::time::sleep(AGAIN).await;
        let now = Seen::of(&files);
        if now == seen {
            continue;
        }
        match read(&files) {
            Ok(new) => {
                acceptor.store(Arc::new(new));
                tracing::info!("new connections get the certificate that is in the file now");
            }
            // A certificate and its key are two files, so one of them may be the new one already.
            Err(error) => tracing::error!(error = error.chain(), "the certificate stays as it was"),
        }
        seen = now;
    }
}

fn read(files: &TlsFiles) -> Result<TlsAcceptor, Error> {
    let certificates = certificates("tls.certificate", &files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|why| unfit("tls.key", &files.key, why))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| Error::internal("TLS cannot be set up", why))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates("tls.client_ca", path)? {
                roots.add(certificate).map_err(|why| unfit("tls.client_ca", path, why))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|why| unfit("tls.client_ca", path, why))?)
        }
    };
    let config = builder.with_single_cert(certificates, key);
    let mut config = config.map_err(|why| unfit("tls.certificate", &files.certificate, why))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read.map_err(|why| unfit(name, path, why))? {
        none if none.is_empty() => Err(unfit(name, path, "there is no certificate in it")),
        some => Ok(some),
    }
}

fn unfit(name: &str, path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("`{name}`: `{}` cannot be used: {why}", path.display()))
}
