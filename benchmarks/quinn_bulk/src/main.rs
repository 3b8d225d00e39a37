//! Bytes over one QUIC stream of quinn, to compare with; the same two roles and the same requests as
//! benchmarks/quic_bulk.py: two lengths and UP bytes, answered with DOWN bytes.
//!
//!     quinn-bulk server ADDRESS DATAGRAM CERTIFICATE KEY             prints its port
//!     quinn-bulk client ADDRESS DATAGRAM PORT UP DOWN DEPTH SECONDS  prints a line of JSON
//!
//! DATAGRAM is the payload of one, in bytes.
//! Each end has one thread, as in quinn's own bulk benchmark. The settings are those that quinn's documentation names for
//! speed: large windows, and packets for the path's MTU from the start.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

type Failure = Box<dyn Error + Send + Sync>;

const ALPN: &[u8] = b"smb";
const WINDOW_BYTES: u32 = 16 << 20;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match words[..] {
            ["server", address, datagram, certificate, key] => {
                serve(address.parse()?, transport(datagram.parse()?), certificate, key).await
            }
            ["client", address, datagram, port, up, down, depth, seconds] => {
                let server = SocketAddr::new(address.parse()?, port.parse()?);
                let shape = Shape { up: up.parse()?, down: down.parse()?, depth: depth.parse()? };
                let duration = Duration::from_secs_f64(seconds.parse()?);
                load(server, transport(datagram.parse()?), shape, duration).await
            }
            _ => Err("other arguments are needed".into()),
        }
    })
}

fn transport(datagram: u16) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(u64::from(WINDOW_BYTES))
        .initial_mtu(datagram);
    Arc::new(config)
}

// -- server

async fn serve(
    address: IpAddr,
    transport: Arc<TransportConfig>,
    certificate: &str,
    key: &str,
) -> Result<(), Failure> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport);
    let endpoint = Endpoint::server(config, SocketAddr::new(address, 0))?;
    println!("{}", endpoint.local_addr()?.port());
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                if let Ok((sender, receiver)) = connection.accept_bi().await {
                    // Ends with the client's connection.
                    let _ = answer(sender, receiver).await;
                }
            }
        });
    }
    Ok(())
}

async fn answer(mut sender: SendStream, mut receiver: RecvStream) -> Result<(), Failure> {
    let mut lengths = [0; 8];
    let mut data = Vec::new();
    loop {
        receiver.read_exact(&mut lengths).await?;
        let length = |at: usize| u32::from_be_bytes(lengths[at..at + 4].try_into().expect("four bytes"));
        skip(&mut receiver, length(0) as usize).await?;
        data.resize(length(4) as usize, 0);
        sender.write_all(&data).await?;
    }
}

/// Receives so many bytes without copying them.
async fn skip(receiver: &mut RecvStream, mut bytes: usize) -> Result<(), Failure> {
    while bytes > 0 {
        let chunk = receiver.read_chunk(bytes, true).await?.ok_or("the stream has ended")?;
        bytes -= chunk.bytes.len();
    }
    Ok(())
}

// -- client

#[derive(Clone, Copy)]
struct Shape {
    up: u32,
    down: u32,
    depth: usize,
}

async fn load(
    server: SocketAddr,
    transport: Arc<TransportConfig>,
    shape: Shape,
    duration: Duration,
) -> Result<(), Failure> {
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Everybody(aws_lc_rs::default_provider())))
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport);
    let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(server, "localhost")?.await?;
    let (mut sender, mut receiver) = connection.open_bi().await?;
    let request: Vec<u8> =
        [&shape.up.to_be_bytes()[..], &shape.down.to_be_bytes()[..], &vec![0; shape.up as usize]].concat();
    let (used, begun) = (processor_seconds(), Instant::now());
    let (again, mut wanted) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..shape.depth {
        again.send(())?;
    }
    let writing = tokio::spawn(async move {
        while wanted.recv().await.is_some() {
            sender.write_all(&request).await?;
        }
        Ok::<_, Failure>(())
    });
    let mut answered = 0u64;
    while begun.elapsed() < duration {
        skip(&mut receiver, shape.down as usize).await?;
        answered += 1;
        again.send(())?;
    }
    let (took, used) = (begun.elapsed().as_secs_f64(), processor_seconds() - used);
    println!("{{\"operations\": {answered}, \"seconds\": {took}, \"client_s\": {used}}}");
    writing.abort();
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    Ok(())
}

/// Processor time of this process.
fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Takes any certificate: the server is a process that the same command has started.
#[derive(Debug)]
struct Everybody(CryptoProvider);

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
