//! A proxy in front of a real server that simulates network failures: it cuts, freezes or delays connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::postgres::{PASSWORD, USER, url};
use super::{DEFAULT_TIMEOUT, wait_until};

/// The side of a connection that sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Client,
    Server,
}

/// A proxy. Dropping it cuts its connections. Only unencrypted traffic can be searched for a pattern.
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The actions that are pending: each happens once, at the next message of that side that contains the pattern.
    actions: Vec<(Peer, Vec<u8>, Action)>,
    cuts: usize,
    is_holding: bool,
    frozen: bool,
    streams: Vec<TcpStream>,
    /// For each connection so far, whether it is silenced.
    silent: Vec<Arc<AtomicBool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Cut,
    Silence,
    Hold,
}

impl State {
    /// Returns the action that this message triggers, and removes it.
    fn take_action(&mut self, peer: Peer, message: &[u8]) -> Option<Action> {
        let is_met = |(side, pattern, _): &(_, Vec<u8>, _)| *side == peer && contains(message, pattern);
        self.actions.iter().position(is_met).map(|at| self.actions.remove(at).2)
    }

    fn close_all(&mut self) {
        for stream in self.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Proxy {
    /// Starts a proxy in front of the server on this loopback port.
    pub fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port to listen on");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
                if let Ok(server) = TcpStream::connect(address) {
                    join(client, server, &shared);
                }
            }
        });
        Self { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the superuser's URL for a database of the server, through the proxy.
    pub fn url(&self, database: &str) -> String {
        url(USER, PASSWORD, self.port, database)
    }

    /// Cuts all connections at the next message of `peer` that contains `pattern`, before it is forwarded. Happens
    /// once.
    ///
    /// The server's `b"COMMIT\0"` is its answer to a COMMIT that has happened; the client's is the request.
    pub fn cut_at(&self, peer: Peer, pattern: &[u8]) {
        self.schedule(peer, pattern, Action::Cut);
    }

    /// Returns how often `cut_at` has cut the connections.
    pub fn cuts(&self) -> usize {
        self.state.lock().expect("proxy").cuts
    }

    /// Silences the connection at the next message of `peer` that contains `pattern`: it forwards nothing any more and
    /// stays open.
    pub fn silence_at(&self, peer: Peer, pattern: &[u8]) {
        self.schedule(peer, pattern, Action::Silence);
    }

    /// Holds the next message of `peer` that contains `pattern` until `release` is called, so that a test can act at
    /// exactly this moment.
    pub fn hold_at(&self, peer: Peer, pattern: &[u8]) {
        self.schedule(peer, pattern, Action::Hold);
    }

    /// Waits until `hold_at` holds a message.
    #[track_caller]
    pub fn wait_for_hold(&self) {
        wait_until("the proxy holds the message", DEFAULT_TIMEOUT, || self.state.lock().expect("proxy").is_holding);
    }

    /// Forwards the message that was held.
    pub fn release(&self) {
        self.state.lock().expect("proxy").is_holding = false;
    }

    fn schedule(&self, peer: Peer, pattern: &[u8], action: Action) {
        self.state.lock().expect("proxy").actions.push((peer, pattern.to_vec(), action));
    }

    /// Cuts all connections now. New ones are accepted.
    pub fn cut(&self) {
        self.state.lock().expect("proxy").close_all();
    }

    /// Silences one of the connections: nothing is forwarded any more in either direction, and it stays open. `pick`
    /// chooses among the given number of connections, old ones included.
    pub fn silence_one(&self, pick: impl FnOnce(usize) -> usize) {
        let state = self.state.lock().expect("proxy");
        if !state.silent.is_empty() {
            state.silent[pick(state.silent.len())].store(true, Ordering::SeqCst);
        }
    }

    /// Forwards nothing any more in either direction, and leaves all connections open.
    pub fn freeze(&self) {
        self.state.lock().expect("proxy").frozen = true;
    }

    /// Ends a freeze. Nothing was lost.
    pub fn thaw(&self) {
        self.state.lock().expect("proxy").frozen = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.release();
        self.thaw();
    }
}

/// Forwards bytes in both directions until one side closes.
pub(super) fn forward(client: TcpStream, server: TcpStream) {
    join(client, server, &Arc::default());
}

fn join(client: TcpStream, server: TcpStream, state: &Arc<Mutex<State>>) {
    let silent = Arc::new(AtomicBool::new(false));
    state.lock().expect("proxy").silent.push(Arc::clone(&silent));
    let second = |stream: &TcpStream| stream.try_clone().expect("a second handle on a connection");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("nodelay");
        state.lock().expect("proxy").streams.push(second(stream));
    }
    let (from_client, to_server, shared) = (second(&client), second(&server), Arc::clone(state));
    let silent_too = Arc::clone(&silent);
    thread::spawn(move || pump(Peer::Client, from_client, to_server, &shared, &silent_too));
    let shared = Arc::clone(state);
    thread::spawn(move || pump(Peer::Server, server, client, &shared, &silent));
}

fn pump(peer: Peer, mut from: TcpStream, mut start: TcpStream, state: &Mutex<State>, silent: &AtomicBool) {
    let mut buffer = [0; 8192];
    // The end of the previous data: a pattern may arrive in two pieces.
    let mut tail: Vec<u8> = Vec::new();
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        while state.lock().expect("proxy").frozen {
            thread::sleep(Duration::from_millis(5));
        }
        // The stream's other handle keeps it open until the proxy cuts it.
        if silent.load(Ordering::SeqCst) {
            return;
        }
        if count == 0 {
            break;
        }
        tail.extend_from_slice(&buffer[..count]);
        let mut locked_state = state.lock().expect("proxy");
        match locked_state.take_action(peer, &tail) {
            // The stream's other handle keeps it open until the proxy is dropped.
            Some(Action::Silence) => return,
            Some(Action::Cut) => {
                locked_state.cuts += 1;
                locked_state.close_all();
                break;
            }
            Some(Action::Hold) => {
                locked_state.is_holding = true;
                while locked_state.is_holding {
                    drop(locked_state);
                    thread::sleep(Duration::from_millis(5));
                    locked_state = state.lock().expect("proxy");
                }
            }
            None => {}
        }
        drop(locked_state);
        tail.drain(..tail.len().saturating_sub(64));
        if start.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = start.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}
