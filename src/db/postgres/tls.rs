//! TLS to a database server, by rustls.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsConnector, client};

use super::super::{Error, Result};

/// Whose certificate is good.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// Anybody's: what is sent cannot be read on the way, but by whoever pretends to be the server.
    Anybody,
    /// One for the server's name, by the roots of this file, or else by the system's.
    Certified(Option<PathBuf>),
}

/// Makes TLS of connections.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    pub fn new(trust: &Trust) -> Result<Tls> {
        let provider = Arc::new(ring::default_provider());
        let failed = |e: rustls::Error| Error::Engine(format!("TLS: {e}"));
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(failed)?;
        let config = match trust {
            Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unasked(provider))).with_no_client_auth(),
            Trust::Certified(roots) => builder.with_root_certificates(trusted(roots.as_deref())?).with_no_client_auth(),
        };
        Ok(Tls(TlsConnector::from(Arc::new(config))))
    }
}

fn trusted(file: Option<&Path>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match file {
        None => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        Some(file) => {
            let wrong = |e: String| Error::Engine(format!("the root certificates in {}: {e}", file.display()));
            for certificate in CertificateDer::pem_file_iter(file).map_err(|e| wrong(e.to_string()))? {
                store.add(certificate.map_err(|e| wrong(e.to_string()))?).map_err(|e| wrong(e.to_string()))?;
            }
        }
    }
    match store.is_empty() {
        true => Err(Error::Engine("no root certificates were found; name a file of them with sslrootcert".into())),
        false => Ok(store),
    }
}

/// Asks no certificate who it is of, only whether the server has its key.
#[derive(Debug)]
struct Unasked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unasked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Secured;
    type TlsConnect = ToServer;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> std::result::Result<ToServer, InvalidDnsNameError> {
        // A socket of this machine has no name, and no TLS.
        let host = if host.is_empty() { "localhost" } else { host };
        Ok(ToServer { connector: self.0.clone(), name: ServerName::try_from(host.to_owned())? })
    }
}

pub(super) struct ToServer {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for ToServer {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { self.connector.connect(self.name, socket).await.map(|stream| Secured(Box::new(stream))) })
    }
}

/// A connection nobody reads along.
pub(super) struct Secured(Box<client::TlsStream<Socket>>);

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
