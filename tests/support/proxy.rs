//! A network that fails on demand: a proxy before a real server that cuts, freezes or holds up connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::postgres::{PASSWORD, USER, url};
use super::{SOON, wait_until};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    Client,
    Server,
}

/// A proxy. Dropping it cuts its connections. Only what is not encrypted can be searched for a pattern.
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What is to be done once, when a speaker says something.
    orders: Vec<(Speaker, Vec<u8>, Deed)>,
    cuts: usize,
    holds: bool,
    frozen: bool,
    streams: Vec<TcpStream>,
    /// Whether a connection is silent, for each that there was.
    silent: Vec<Arc<AtomicBool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Cut,
    Swallow,
    Hold,
}

impl State {
    /// The order that these words call for; it is not given again.
    fn take_order(&mut self, speaker: Speaker, words: &[u8]) -> Option<Deed> {
        let is_met = |(who, pattern, _): &(_, Vec<u8>, _)| *who == speaker && contains(words, pattern);
        self.orders.iter().position(is_met).map(|at| self.orders.remove(at).2)
    }

    fn close_all(&mut self) {
        for stream in self.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Proxy {
    /// Starts one before the server on this loopback port.
    pub fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port to listen on");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let theirs = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
                if let Ok(server) = TcpStream::connect(address) {
                    join(client, server, &theirs);
                }
            }
        });
        Self { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's URL for a database of the server, by way of the proxy.
    pub fn url(&self, database: &str) -> String {
        url(USER, PASSWORD, self.port, database)
    }

    /// When `speaker` next says something with `pattern` in it, all connections are cut before it is passed on. Once.
    ///
    /// The server's `b"COMMIT\0"` is its answer to a COMMIT that has happened; the client's is the request.
    pub fn cut_at(&self, speaker: Speaker, pattern: &[u8]) {
        self.order(speaker, pattern, Deed::Cut);
    }

    /// How often `cut_at` has cut.
    pub fn cuts(&self) -> usize {
        self.state.lock().expect("proxy").cuts
    }

    /// When `speaker` next says something with `pattern` in it, that connection passes nothing on any more, and stays open.
    pub fn swallow_at(&self, speaker: Speaker, pattern: &[u8]) {
        self.order(speaker, pattern, Deed::Swallow);
    }

    /// When `speaker` next says something with `pattern` in it, it is kept back until `let_go`: whatever is to happen at
    /// exactly this moment may happen now.
    pub fn hold_at(&self, speaker: Speaker, pattern: &[u8]) {
        self.order(speaker, pattern, Deed::Hold);
    }

    /// Waits until `hold_at` has something to hold.
    #[track_caller]
    pub fn wait_for_hold(&self) {
        wait_until("the proxy holds the message", SOON, || self.state.lock().expect("proxy").holds);
    }

    /// Passes on what was kept back.
    pub fn let_go(&self) {
        self.state.lock().expect("proxy").holds = false;
    }

    fn order(&self, speaker: Speaker, pattern: &[u8], deed: Deed) {
        self.state.lock().expect("proxy").orders.push((speaker, pattern.to_vec(), deed));
    }

    /// Cuts all connections now. New ones are welcome.
    pub fn cut(&self) {
        self.state.lock().expect("proxy").close_all();
    }

    /// Makes one of the connections silent: nothing is passed on any more, in either direction, and it stays open. `pick`
    /// chooses among the given number of connections, old ones included.
    pub fn silence_one(&self, pick: impl FnOnce(usize) -> usize) {
        let state = self.state.lock().expect("proxy");
        if !state.silent.is_empty() {
            state.silent[pick(state.silent.len())].store(true, Ordering::SeqCst);
        }
    }

    /// Passes nothing on any more, in either direction, and leaves all connections open.
    pub fn freeze(&self) {
        self.state.lock().expect("proxy").frozen = true;
    }

    /// Ends a freeze; nothing was lost.
    pub fn thaw(&self) {
        self.state.lock().expect("proxy").frozen = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.let_go();
        self.thaw();
    }
}

/// Passes bytes on in both directions until one side closes.
pub(super) fn pass_on(client: TcpStream, server: TcpStream) {
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
    let (from_client, to_server, ours) = (second(&client), second(&server), Arc::clone(state));
    let silent_too = Arc::clone(&silent);
    thread::spawn(move || pump(Speaker::Client, from_client, to_server, &ours, &silent_too));
    let ours = Arc::clone(state);
    thread::spawn(move || pump(Speaker::Server, server, client, &ours, &silent));
}

fn pump(speaker: Speaker, mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>, silent: &AtomicBool) {
    let mut buffer = [0; 8192];
    // The end of what went before: a pattern may come in two pieces.
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
        let mut facts = state.lock().expect("proxy");
        match facts.take_order(speaker, &tail) {
            // The stream's other handle keeps it open until the proxy is dropped.
            Some(Deed::Swallow) => return,
            Some(Deed::Cut) => {
                facts.cuts += 1;
                facts.close_all();
                break;
            }
            Some(Deed::Hold) => {
                facts.holds = true;
                while facts.holds {
                    drop(facts);
                    thread::sleep(Duration::from_millis(5));
                    facts = state.lock().expect("proxy");
                }
            }
            None => {}
        }
        drop(facts);
        tail.drain(..tail.len().saturating_sub(64));
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}
