//! A connection among the others: its place in the count of its peer (`ConnectionLimiter`), whether a request is in hand
//! on it, and whether its bytes move (`StallDetector`). The framework times the head of the first request and idleness,
//! and nothing else: a reader that takes a byte now and then, a second request that never ends, a body nobody wants are
//! ended here.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt;
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::JoinHandle;
use bytes::Bytes;
use parking_lot::Mutex;

use super::limits::{LEAST_BYTES, Limits, REFUSED_FOR};
use super::proxies::TrustedProxies;
use super::socket::{Socket, Traffic};
use crate::telemetry::Metrics;

/// Greets new connections, and lets each peer have so many.
pub struct ConnectionLimiter {
    limits: Limits,
    proxies: TrustedProxies,
    peers: Arc<Peers>,
    metrics: Metrics,
}

/// What a request finds out about its connection.
pub struct Connection {
    state: Rc<State>,
    watch: Option<JoinHandle<()>>,
    _place: Place,
}

struct State {
    refused: bool,
    /// The last answer was given: the connection is of no use any more.
    ended: Cell<bool>,
    requests_in_hand: Cell<u32>,
    idle_since: Cell<Instant>,
}

impl ConnectionLimiter {
    pub(super) fn new(limits: Limits, proxies: TrustedProxies, metrics: Metrics) -> ConnectionLimiter {
        ConnectionLimiter { limits, proxies, peers: Arc::default(), metrics }
    }

    /// Called on the connection's own thread, before anything is read. Whoever has too many connections is told so
    /// on each further one, and beyond twice as many is told nothing.
    pub fn greet(&self, connection: &dyn Any, data: &mut Extensions) {
        let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
        let Ok(peer) = stream.peer_addr() else { return };
        let socket = Socket::of(stream);
        socket.prepare(self.limits.patience);
        let place = Peers::enter(&self.peers, peer.ip(), &self.metrics);
        // A proxy's connections are those of all its callers.
        let most = if self.proxies.trusts(peer.ip()) { 0 } else { self.limits.max_connections_per_peer };
        let refused = most > 0 && place.number > most;
        let state =
            Rc::new(State { refused, ended: Cell::new(false), requests_in_hand: Cell::new(0), idle_since: Cell::new(Instant::now()) });
        let watch = if refused && place.number > most.saturating_mul(2) {
            self.metrics.cut("too_many");
            socket.cut();
            None
        } else {
            Some(rt::spawn(watch(socket, state.clone(), self.limits, self.metrics.clone())))
        };
        data.insert(Connection { state, watch, _place: place });
    }
}

impl Connection {
    /// Has its peer too many?
    pub fn is_refused(&self) -> bool {
        self.state.refused
    }

    /// No further request is wanted: the connection ends with the answer under way.
    pub fn end_after_answer(&self) {
        self.state.ended.set(true);
    }

    /// A request is in hand until the answer's body is sent or dropped.
    pub fn begin(&self) -> Turn {
        self.state.requests_in_hand.set(self.state.requests_in_hand.get() + 1);
        Turn { state: self.state.clone() }
    }
}

impl Drop for Connection {
    /// The watch holds the bare descriptor. Both live on one thread, so it never looks after this.
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
    }
}

/// A request in hand.
pub struct Turn {
    state: Rc<State>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.state.requests_in_hand.set(self.state.requests_in_hand.get().saturating_sub(1));
        self.state.idle_since.set(Instant::now());
    }
}

impl Turn {
    /// The body, with the request in hand until it is sent.
    pub fn held_by(self, body: BoxBody) -> BoxBody {
        BoxBody::new(Held { body, _turn: self })
    }
}

struct Held {
    body: BoxBody,
    _turn: Turn,
}

impl MessageBody for Held {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}

async fn watch(socket: Socket, state: Rc<State>, limits: Limits, metrics: Metrics) {
    let mut stalls = StallDetector::new(Instant::now(), limits);
    loop {
        rt::time::sleep(limits.look()).await;
        let now = Instant::now();
        let idle = if state.requests_in_hand.get() == 0 { Some(now.duration_since(state.idle_since.get())) } else { None };
        let seen = Seen { traffic: socket.traffic(), idle, refused: state.refused, ended: state.ended.get() };
        if let Some(reason) = stalls.look(now, &seen) {
            metrics.cut(reason);
            tracing::debug!(reason, "a connection was cut");
            return socket.cut();
        }
    }
}

/// Decides when a connection is cut.
struct StallDetector {
    limits: Limits,
    opened: Instant,
    /// Where the running measure began: when, and at how many bytes taken by the peer.
    since: Instant,
    acked_then: u64,
}

struct Seen {
    traffic: Option<Traffic>,
    /// For how long no request has been in hand.
    idle: Option<std::time::Duration>,
    refused: bool,
    ended: bool,
}

impl StallDetector {
    fn new(now: Instant, limits: Limits) -> StallDetector {
        StallDetector { limits, opened: now, since: now, acked_then: 0 }
    }

    /// Why the connection must go.
    fn look(&mut self, now: Instant, seen: &Seen) -> Option<&'static str> {
        if seen.refused && now.duration_since(self.opened) >= REFUSED_FOR {
            return Some("too_many");
        }
        let waits = seen.traffic.is_some_and(|traffic| traffic.waits_for_peer);
        let acked = seen.traffic.map_or(0, |traffic| traffic.acked_bytes);
        if !waits || acked.saturating_sub(self.acked_then) >= LEAST_BYTES {
            (self.since, self.acked_then) = (now, acked);
        } else if now.duration_since(self.since) >= self.limits.patience {
            return Some("slow_reader");
        }
        match seen.idle {
            Some(_) if seen.ended && !waits => Some("ended"),
            Some(idle) if idle >= self.limits.between_requests() => Some("slow_request"),
            _ => None,
        }
    }
}

/// Open connections by peer.
#[derive(Default)]
struct Peers {
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// Counted as long as it lives.
struct Place {
    peers: Arc<Peers>,
    network: IpAddr,
    /// How many its peer had when it came, itself included.
    number: usize,
    metrics: Metrics,
}

impl Peers {
    fn enter(peers: &Arc<Peers>, peer: IpAddr, metrics: &Metrics) -> Place {
        let network = network(peer);
        let mut open = peers.open.lock();
        let count = open.entry(network).or_insert(0);
        *count += 1;
        metrics.connections(1);
        Place { peers: peers.clone(), network, number: *count, metrics: metrics.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.connections(-1);
        let mut open = self.peers.open.lock();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// Whom an address belongs to: with IPv6 everybody has 2^64 of them.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn seen(waits_for_peer: bool, acked_bytes: u64) -> Seen {
        Seen { traffic: Some(Traffic { waits_for_peer, acked_bytes }), idle: None, refused: false, ended: false }
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_reader_must_take_something_within_the_patience() {
        let start = Instant::now();
        let mut stalls = StallDetector::new(start, Limits::default());
        for second in (0..300).step_by(5) {
            assert_eq!(stalls.look(at(start, second), &seen(true, second * 2_000)), None, "2 kB/s is a line, at {second} s");
        }
        let taken = 295 * 2_000;
        // The running measure began at 280 s.
        assert_eq!(stalls.look(at(start, 339), &seen(true, taken + 400)), None);
        assert_eq!(stalls.look(at(start, 340), &seen(true, taken + 700)), Some("slow_reader"));
        // Nothing to read is no slowness: an event stream, a long computation.
        let mut stalls = StallDetector::new(start, Limits::default());
        assert_eq!(stalls.look(at(start, 3_600), &seen(false, 10)), None);
        assert_eq!(stalls.look(at(start, 3_601), &seen(true, 10)), None);
        let unknown = Seen { traffic: None, ..seen(false, 0) };
        assert_eq!(stalls.look(at(start, 9_999), &unknown), None);
    }

    #[test]
    fn a_connection_without_a_request_ends() {
        let start = Instant::now();
        let limits = Limits::default();
        let idle = |seconds, ended, waits| Seen { idle: Some(Duration::from_secs(seconds)), ended, ..seen(waits, 0) };
        let mut stalls = StallDetector::new(start, limits);
        assert_eq!(stalls.look(at(start, 1), &idle(39, false, false)), None);
        assert_eq!(stalls.look(at(start, 1), &idle(40, false, false)), Some("slow_request"));
        assert_eq!(stalls.look(at(start, 1), &idle(0, true, true)), None, "the answer is on its way");
        assert_eq!(stalls.look(at(start, 1), &idle(0, true, false)), Some("ended"));
        let refused = Seen { refused: true, ..seen(false, 0) };
        assert_eq!(stalls.look(start, &refused), None);
        assert_eq!(stalls.look(at(start, 1), &refused), Some("too_many"));
    }

    #[test]
    fn peers_are_counted_by_their_network() {
        let (peers, metrics) = (Arc::<Peers>::default(), Metrics::new().unwrap());
        let enter = |text: &str| Peers::enter(&peers, text.parse().unwrap(), &metrics);
        let (first, second) = (enter("2001:db8::1"), enter("2001:db8::ffff:1"));
        let (other, mapped) = (enter("2001:db8:0:1::1"), enter("::ffff:10.0.0.1"));
        assert_eq!((first.number, second.number, other.number, mapped.number), (1, 2, 1, 1));
        drop(first);
        assert_eq!((enter("2001:db8::2").number, enter("10.0.0.1").number), (2, 2));
        drop((second, other, mapped));
        assert!(peers.open.lock().is_empty(), "what is gone is forgotten");
    }
}
