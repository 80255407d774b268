//! A real server that speaks the protocol of S3, and a proxy before it that makes it fail.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use rustix::process::Signal;

use super::binary::Run;
use super::process::Daemon;
use super::{DEFAULT_TIMEOUT, free_port, server_directory, tools, unique, wait_until};

/// The secret of the tests, which no output may contain.
pub const SECRET: &str = "canary-of-the-object-store";

/// A login without a signature, which the server does not check.
const LOGIN: &str = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request";

/// A request or an answer of HTTP: its head without the empty line, and its body.
#[derive(Clone, Debug)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 65536];
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut body = bytes.split_off(end + 4);
        let length = header(&head, "content-length").map(|length| length.parse().expect("a length"));
        // An answer without a length goes on to the end of the connection.
        let length = length.unwrap_or(if head.starts_with("HTTP/") { usize::MAX } else { 0 });
        while body.len() < length {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => body.extend_from_slice(&buffer[..read]),
            }
        }
        Some(Self { head, body })
    }

    fn write(&self, stream: &mut TcpStream) {
        let _ = stream.write_all(format!("{}\r\n\r\n", self.head).as_bytes());
        let _ = stream.write_all(&self.body);
    }

    /// Returns the method and the path with the query.
    pub fn target(&self) -> (&str, &str) {
        let mut words = self.head.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let line = head.lines().find(|line| line.split(':').next().is_some_and(|key| key.eq_ignore_ascii_case(name)))?;
    Some(line.split_once(':')?.1.trim())
}

/// The server, which all tests of this process share.
pub struct ObjectStore {
    _daemon: Daemon,
    port: u16,
}

impl ObjectStore {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ObjectStore> = OnceLock::new();
        SHARED.get_or_init(|| {
            let log = server_directory("objects").keep().join("log");
            let port = free_port();
            let arguments = ["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()];
            let mut daemon = Daemon::start(&tools::object_store(), &arguments, &log, Signal::KILL);
            wait_until("the object store listens", DEFAULT_TIMEOUT, || {
                if daemon.has_ended() {
                    panic!("it has ended:\n{}", fs::read_to_string(&log).unwrap_or_default());
                }
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            });
            Self { _daemon: daemon, port }
        })
    }

    /// Makes a bucket that no other test uses.
    pub fn bucket(&'static self) -> TestBucket {
        let bucket = TestBucket { store: self, name: unique("bucket").replace('_', "-") };
        self.request("PUT", &format!("/{}", bucket.name), b"");
        bucket
    }

    #[track_caller]
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Message {
        let answer = exchange(
            self.port,
            &Message {
                head: format!(
                    "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: {LOGIN}\r\n\
                     Content-Type: application/octet-stream\r\nContent-Length: {}",
                    body.len()
                ),
                body: body.to_vec(),
            },
        )
        .expect("an answer");
        assert!(answer.head.starts_with("HTTP/1.1 20"), "{method} {path}: {}", answer.head);
        answer
    }
}

/// Sends a request over a connection of its own.
fn exchange(port: u16, request: &Message) -> Option<Message> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the store listens");
    request.write(&mut stream);
    if request.target().0 != "HEAD" {
        return Message::read(&mut stream);
    }
    let mut head = Vec::new();
    stream.read_to_end(&mut head).ok()?;
    Some(Message { head: String::from_utf8_lossy(&head).trim_end().to_owned(), body: Vec::new() })
}

/// A bucket of a test.
pub struct TestBucket {
    store: &'static ObjectStore,
    pub name: String,
}

impl TestBucket {
    /// Returns the URL for `LOCKKEEPER_BACKUP_DIR`.
    pub fn url(&self) -> String {
        format!("s3://{}/prod/shop", self.name)
    }

    /// Lets a run back up into this bucket.
    pub fn settings(&self, run: Run) -> Run {
        self.settings_through(run, self.store.port)
    }

    /// Lets a run back up into this bucket, through the proxy on this port.
    pub fn settings_through(&self, run: Run, port: u16) -> Run {
        run.env("LOCKKEEPER_BACKUP_DIR", self.url())
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "tests")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    /// Returns the names of all objects, without the prefix, and their sizes.
    pub fn objects(&self) -> BTreeMap<String, u64> {
        let answer = self.store.request("GET", &format!("/{}?list-type=2", self.name), b"");
        let text = String::from_utf8(answer.body).expect("XML");
        let value = |part: &str, tag: &str| {
            let (_, rest) = part.split_once(&format!("<{tag}>")).expect("a value");
            rest.split_once('<').expect("an end").0.to_owned()
        };
        let objects = text.split("<Contents>").skip(1).map(|part| {
            let key = value(part, "Key");
            let name = key.strip_prefix("prod/shop/").unwrap_or(&key).to_owned();
            (name, value(part, "Size").parse().expect("a size"))
        });
        objects.collect()
    }

    /// Returns the names of the backups: of the objects that have a manifest.
    pub fn backups(&self) -> Vec<String> {
        let objects = self.objects();
        let has_manifest = |name: &&String| objects.contains_key(&format!("{name}.json"));
        objects.keys().filter(has_manifest).cloned().collect()
    }

    /// Returns the only backup.
    #[track_caller]
    pub fn only(&self) -> String {
        let found = self.backups();
        assert_eq!(found.len(), 1, "{:?}", self.objects());
        found[0].clone()
    }

    pub fn get(&self, name: &str) -> Vec<u8> {
        self.store.request("GET", &format!("/{}/prod/shop/{name}", self.name), b"").body
    }

    pub fn put(&self, name: &str, content: &[u8]) {
        self.store.request("PUT", &format!("/{}/prod/shop/{name}", self.name), content);
    }

    pub fn delete(&self, name: &str) {
        self.store.request("DELETE", &format!("/{}/prod/shop/{name}", self.name), b"");
    }

    #[track_caller]
    pub fn manifest(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.get(&format!("{name}.json"))).expect("JSON")
    }
}

/// What a proxy does with a request.
pub enum Fault {
    /// Answers with this status, and with this code in a document of S3.
    Refuse(u16, &'static str),
    /// Ends the connection without an answer.
    Cut,
    /// Passes the request on, and changes the answer.
    Change(fn(&mut Message)),
}

/// A proxy before the server, which asks `choose` what to do with a request; `None` passes it on.
pub struct FaultyStore {
    pub port: u16,
    /// The method and the path of all requests so far.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl FaultyStore {
    pub fn start(choose: impl Fn(&str, &str) -> Option<Fault> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (store, choose) = (ObjectStore::shared().port, Arc::new(choose));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, choose, log) = (stream.expect("a client"), Arc::clone(&choose), Arc::clone(&log));
                thread::spawn(move || {
                    while let Some(request) = Message::read(&mut stream) {
                        let (method, path) = request.target();
                        log.lock().expect("requests").push(format!("{method} {path}"));
                        if !pass(&mut stream, store, &request, choose(method, path)) {
                            break;
                        }
                    }
                });
            }
        });
        Self { port, requests }
    }
}

/// Passes a request on as the fault says. Returns whether the connection goes on.
fn pass(stream: &mut TcpStream, store: u16, request: &Message, fault: Option<Fault>) -> bool {
    let change = match fault {
        Some(Fault::Cut) => {
            let _ = stream.shutdown(Shutdown::Both);
            return false;
        }
        Some(Fault::Refuse(status, code)) => {
            let body = format!("<Error><Code>{code}</Code><Message>{code} by the test</Message></Error>");
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nContent-Type: text/xml", body.len());
            Message { head, body: body.into_bytes() }.write(stream);
            return true;
        }
        Some(Fault::Change(change)) => change,
        None => |_: &mut Message| {},
    };
    let head = request.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = head.chain(["Connection: close"]).collect::<Vec<_>>().join("\r\n");
    let Some(mut answer) = exchange(store, &Message { head, body: request.body.clone() }) else { return false };
    change(&mut answer);
    answer.write(stream);
    let _ = stream.shutdown(Shutdown::Both);
    false
}
