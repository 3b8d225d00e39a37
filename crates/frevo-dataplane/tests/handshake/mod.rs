//! Certificates made in memory, and a client and a server of QUIC that speak with each other without sockets.
#![allow(dead_code)] // Each suite uses its part of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use frevo_dataplane::quic::client::{ClientParts, ClientTls, Verify};
use frevo_dataplane::quic::refusal::alert_of;
use frevo_dataplane::quic::server::{ClientAccess, ServerParts, ServerTls};
use frevo_dataplane::quic::session::{failure, failure_of, secured, Secured};
use quinn_proto::{
    AcceptError, ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Endpoint,
    EndpointConfig, Event, ServerConfig,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};

/// A certificate and its key, and what is needed to sign others with it.
pub struct Made {
    pub der: Vec<u8>,
    pub key: Vec<u8>,
    params: CertificateParams,
}

impl Made {
    /// As the parts of a configuration have it, with the certificates above it.
    pub fn with(&self, above: &[&Made]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let chain = std::iter::once(self).chain(above.iter().copied()).map(|one| one.der.clone()).collect();
        (chain, self.key.clone())
    }

    pub fn sha256(&self) -> [u8; 32] {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der).as_ref().try_into().unwrap()
    }

    /// As the only CA that is trusted.
    pub fn alone(&self) -> &[Vec<u8>] {
        std::slice::from_ref(&self.der)
    }

    fn issuer(&self) -> Issuer<'static, KeyPair> {
        Issuer::new(self.params.clone(), KeyPair::try_from(self.key.as_slice()).unwrap())
    }

    /// Its list of revoked certificates.
    pub fn crl(&self, revoked: &[&Made], next_update: i32) -> Vec<u8> {
        let revoked = revoked.iter().map(|one| RevokedCertParams {
            serial_number: one.params.serial_number.clone().unwrap(),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().der().to_vec()
    }
}

/// Makes a certificate, signed by `issuer` or itself. `change` has the last word on what is in it.
pub fn make(name: &str, issuer: Option<&Made>, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2124, 1, 1);
    let key = KeyPair::generate().unwrap();
    params.serial_number = Some(SerialNumber::from_slice(&key.public_key_raw()[1..9]));
    change(&mut params);
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, &issuer.issuer()).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Made { der: certificate.der().to_vec(), key: key.serialize_der(), params }
}

pub fn ca(name: &str, issuer: Option<&Made>) -> Made {
    make(name, issuer, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    })
}

pub fn server(hosts: &[&str], issuer: &Made) -> Made {
    make(hosts[0], Some(issuer), |params| name_hosts(params, hosts))
}

/// Makes it a server's certificate for hosts, which may be addresses.
pub fn name_hosts(params: &mut CertificateParams, hosts: &[&str]) {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    params.subject_alt_names = CertificateParams::new(hosts).unwrap().subject_alt_names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
}

pub fn client(name: &str, issuer: &Made) -> Made {
    make(name, Some(issuer), |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
}

/// The parts of a server that asks its clients for nothing.
pub fn server_parts<'a>(certificates: &'a [(Vec<Vec<u8>>, Vec<u8>)]) -> ServerParts<'a> {
    ServerParts {
        certificates,
        client_access: ClientAccess::No,
        client_cas: &[],
        crls: &[],
        entries: vec![],
        key_log: None,
        machine: b"here",
    }
}

/// The parts of a client without a certificate that is as strict as it can be.
pub fn client_parts<'a>(server_name: &'a str, cas: &'a [Vec<u8>]) -> ClientParts<'a> {
    ClientParts {
        server_name,
        verify: Verify::AsStrictAsPossible,
        cas,
        crls: &[],
        fingerprint: None,
        certificate: None,
        key_log: None,
    }
}

/// Why an end has no connection: its sentence, and the alert that it sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub sentence: String,
    pub alert: Option<u8>,
}

/// How a handshake went.
#[derive(Debug)]
pub struct Outcome {
    pub client: Result<Secured, Failed>,
    pub server: Result<Secured, Failed>,
}

impl Outcome {
    /// The sentences of client and server of a handshake that failed with an alert.
    pub fn failed(&self, alert: u8) -> (&str, &str) {
        let (Err(client), Err(server)) = (&self.client, &self.server) else { panic!("{self:?}") };
        assert_eq!((client.alert, server.alert), (Some(alert), Some(alert)), "{self:?}");
        (&client.sentence, &server.sentence)
    }

    /// What client and server agreed on.
    pub fn done(&self) -> (&Secured, &Secured) {
        match (&self.client, &self.server) {
            (Ok(client), Ok(server)) => (client, server),
            _ => panic!("{self:?}"),
        }
    }
}

/// One end: its endpoint, its connection, and what became of it.
struct End {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    outcome: Option<Result<Secured, Failed>>,
    address: SocketAddr,
}

impl End {
    fn new(port: u16, config: Option<Arc<ServerConfig>>) -> End {
        let endpoint =
            Endpoint::new(Arc::new(EndpointConfig::default()), config, false, Some([port as u8; 32]));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        End { endpoint, connection: None, outcome: None, address }
    }

    /// Takes a datagram; datagrams that must be sent at once.
    fn receive(&mut self, now: Instant, from: SocketAddr, data: &[u8], retry: &mut bool) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let event = self.endpoint.handle(now, from, None, None, BytesMut::from(data), &mut out);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) if std::mem::take(retry) => {
                drop(self.endpoint.retry(incoming, &mut out).unwrap());
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                match self.endpoint.accept(incoming, now, &mut out, None) {
                    Ok(accepted) => self.connection = Some(accepted),
                    Err(AcceptError { cause, .. }) => {
                        let failed = Failed { sentence: failure_of(&cause, false), alert: alert_of(&cause) };
                        self.outcome = Some(Err(failed));
                    }
                }
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
        if out.is_empty() {
            vec![]
        } else {
            vec![out]
        }
    }

    /// Moves the connection on; the datagrams that it sends.
    fn turn(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let Some((handle, connection)) = &mut self.connection else { return vec![] };
        connection.handle_timeout(now);
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                // A peer that is quinn-proto's own does not say what it has agreed on.
                Event::Connected => self.outcome = Some(Ok(secured(connection).unwrap_or_default())),
                Event::ConnectionLost { reason } if reason != ConnectionError::TimedOut => {
                    let sentence = failure(connection, &reason);
                    self.outcome = Some(Err(Failed { sentence, alert: alert_of(&reason) }));
                }
                _ => {}
            }
        }
        let mut out = vec![];
        let mut datagram = Vec::new();
        while connection.poll_transmit(now, 1, &mut datagram).is_some() {
            out.push(std::mem::take(&mut datagram));
        }
        out
    }
}

/// A complete handshake.
pub fn shake(client: Arc<ClientTls>, server: Arc<ServerTls>) -> Outcome {
    shake_with(ClientConfig::new(client), server, false)
}

/// A complete handshake of any client and server, with a stateless retry if so wished.
pub fn shake_with(
    client: ClientConfig,
    server: Arc<dyn quinn_proto::crypto::ServerConfig>,
    mut retry: bool,
) -> Outcome {
    let mut now = Instant::now();
    let mut server = End::new(443, Some(Arc::new(ServerConfig::with_crypto(server))));
    let mut client_end = End::new(50_000, None);
    client_end.connection = Some(client_end.endpoint.connect(now, client, server.address, "unused").unwrap());
    // After the last datagram each way come loss timers and delayed acknowledgements: some quiet rounds are the end.
    let mut quiet = 0;
    while quiet < 5 {
        let sent = client_end.turn(now);
        quiet = if sent.is_empty() { quiet + 1 } else { 0 };
        for datagram in sent {
            for answer in server.receive(now, client_end.address, &datagram, &mut retry) {
                client_end.receive(now, server.address, &answer, &mut false);
            }
        }
        for datagram in server.turn(now) {
            client_end.receive(now, server.address, &datagram, &mut false);
        }
        // Time stands still while there is something to say: a closed connection forgets what it says in no time.
        now += if quiet == 0 { Duration::ZERO } else { Duration::from_millis(30) };
    }
    Outcome {
        client: client_end.outcome.expect("the client's handshake ends"),
        server: server.outcome.expect("the server's handshake ends"),
    }
}
