//! A scripted server that answers each connection as a database does that is starting, failing or not a database at
//! all.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::postgres::{PASSWORD, USER, url};
use super::proxy::forward;

/// The answer to one connection.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Reads the startup packet and answers it with an error of severity FATAL; a request for TLS is declined.
    Error { code: &'static str, message: &'static str },
    /// Asks the client for the md5 answer to a login, then repeats that answer in a notice and an error.
    Repeat,
    /// Closes the connection as soon as it is accepted.
    Close,
    /// Accepts the connection and stays silent for as long as the client stays.
    Silent,
    /// Answers the client's first message with these bytes, such as HTTP or garbage, then closes the connection.
    Bytes(Vec<u8>),
    /// Forwards the connection, byte by byte, to a real server.
    Forward(SocketAddr),
}

/// The scripted server. It listens until the test process ends.
pub struct Scripted {
    port: u16,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Scripted {
    /// Starts a server. The last answer of the script is repeated for all further connections.
    pub fn start(script: Vec<Answer>) -> Self {
        assert!(!script.is_empty(), "a script needs an answer");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port to listen on");
        let port = listener.local_addr().expect("an address").port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&received);
        thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                let answer = script[number.min(script.len() - 1)].clone();
                shared.lock().expect("heard").push(Vec::new());
                let received = Arc::clone(&shared);
                let record = move |bytes: &[u8]| received.lock().expect("heard")[number].extend_from_slice(bytes);
                // A client may disconnect at any time: then there is nobody to answer.
                thread::spawn(move || send_answer(&answer, client, record).ok());
            }
        });
        Self { port, received }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the superuser's URL, as if this were a real server.
    pub fn url(&self, database: &str) -> String {
        url(USER, PASSWORD, self.port, database)
    }

    /// Returns how many connections were accepted.
    pub fn connections(&self) -> usize {
        self.received.lock().expect("heard").len()
    }

    /// Returns what the client of each connection has sent; for a forwarded one it is empty.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().expect("heard").clone()
    }
}

fn send_answer(answer: &Answer, mut client: TcpStream, record: impl Fn(&[u8])) -> std::io::Result<()> {
    match answer {
        Answer::Close => return Ok(()),
        Answer::Forward(server) => forward(client, TcpStream::connect(server)?),
        Answer::Silent => {
            let mut buffer = [0; 1024];
            loop {
                match client.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => record(&buffer[..count]),
                }
            }
        }
        Answer::Repeat => {
            if read_startup(&mut client, record)? {
                // AuthenticationMD5Password (manual, 55.7) with its salt.
                client.write_all(b"R\0\0\0\x0c\0\0\0\x05salt")?;
                let mut head = [0; 5];
                client.read_exact(&mut head)?;
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                let mut answer = vec![0; length.clamp(5, 65536) - 4];
                client.read_exact(&mut answer)?;
                let answer = String::from_utf8_lossy(&answer).trim_end_matches('\0').to_owned();
                let bare = answer.trim_start_matches("md5");
                client.write_all(&response(b'N', "00000", &format!("notice {answer} {bare}")))?;
                client.write_all(&response(b'E', "28P01", &format!("error {answer} {bare}")))?;
            }
            close_gracefully(client);
        }
        Answer::Bytes(bytes) => {
            let mut buffer = [0; 1024];
            let count = client.read(&mut buffer)?;
            record(&buffer[..count]);
            client.write_all(bytes)?;
            close_gracefully(client);
        }
        Answer::Error { code, message } => {
            if read_startup(&mut client, record)? {
                client.write_all(&response(b'E', code, message))?;
            }
            close_gracefully(client);
        }
    }
    Ok(())
}

/// Closes the connection after reading what is left: unread bytes would cause a reset, which can overtake the answer.
fn close_gracefully(mut client: TcpStream) {
    let _ = client.shutdown(std::net::Shutdown::Write);
    let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
    while client.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
}

/// Reads until the startup packet has come, declining encryption. Returns false if the client wants something else.
fn read_startup(client: &mut TcpStream, record: impl Fn(&[u8])) -> std::io::Result<bool> {
    const TLS: u32 = 80877103;
    const GSSAPI: u32 = 80877104;
    const PROTOCOL_3: u32 = 3;
    loop {
        let mut head = [0; 8];
        client.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let code = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let mut rest = vec![0; length.clamp(8, 65536) - 8];
        client.read_exact(&mut rest)?;
        record(&head);
        record(&rest);
        match code {
            TLS | GSSAPI => client.write_all(b"N")?,
            code => return Ok(code >> 16 == PROTOCOL_3),
        }
    }
}

/// Builds an error or a notice.
fn response(kind: u8, code: &str, message: &str) -> Vec<u8> {
    let severity = if kind == b'N' { "WARNING" } else { "FATAL" };
    let mut fields = Vec::new();
    for (kind, text) in [(b'S', severity), (b'V', severity), (b'C', code), (b'M', message)] {
        fields.push(kind);
        fields.extend_from_slice(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).expect("a short message");
    [&[kind][..], &length.to_be_bytes(), &fields].concat()
}
