//! A server that answers connection after connection by a script: what a database says on its bad days.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::postgres::{PASSWORD, USER, url};
use super::proxy::pass_on;

/// What one connection meets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The startup packet is read and answered by an error of severity FATAL; a request for TLS is declined.
    Error { code: &'static str, message: &'static str },
    /// The client is asked for the md5 answer to a login, which the server then repeats in a notice and an error.
    Repeat,
    /// Closed as soon as it is accepted.
    Close,
    /// Accepted, then silence for as long as the client stays.
    Silent,
    /// The client's first words are answered by these bytes, then closed: HTTP, garbage.
    Bytes(Vec<u8>),
    /// Passed on, byte by byte, to a real server.
    Forward(SocketAddr),
}

/// The server. It listens until the test process ends.
pub struct Scripted {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Scripted {
    /// Starts one. After the last answer of the script, the last one is given again and again.
    pub fn start(script: Vec<Answer>) -> Self {
        assert!(!script.is_empty(), "a script needs an answer");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port to listen on");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&heard);
        thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                let answer = script[number.min(script.len() - 1)].clone();
                theirs.lock().expect("heard").push(Vec::new());
                let heard = Arc::clone(&theirs);
                let hear = move |bytes: &[u8]| heard.lock().expect("heard")[number].extend_from_slice(bytes);
                // A client may leave at any time: then there is nobody to answer.
                thread::spawn(move || give(&answer, client, hear).ok());
            }
        });
        Self { port, heard }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's URL, as if this were a real server.
    pub fn url(&self, database: &str) -> String {
        url(USER, PASSWORD, self.port, database)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.heard.lock().expect("heard").len()
    }

    /// What each connection's client has sent; of a forwarded one only that it came.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().expect("heard").clone()
    }
}

fn give(answer: &Answer, mut client: TcpStream, hear: impl Fn(&[u8])) -> std::io::Result<()> {
    match answer {
        Answer::Close => return Ok(()),
        Answer::Forward(server) => pass_on(client, TcpStream::connect(server)?),
        Answer::Silent => {
            let mut buffer = [0; 1024];
            loop {
                match client.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => hear(&buffer[..count]),
                }
            }
        }
        Answer::Repeat => {
            if read_startup(&mut client, hear)? {
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
            hang_up(client);
        }
        Answer::Bytes(bytes) => {
            let mut buffer = [0; 1024];
            let count = client.read(&mut buffer)?;
            hear(&buffer[..count]);
            client.write_all(bytes)?;
            hang_up(client);
        }
        Answer::Error { code, message } => {
            if read_startup(&mut client, hear)? {
                client.write_all(&response(b'E', code, message))?;
            }
            hang_up(client);
        }
    }
    Ok(())
}

/// Closes gently: unread bytes would turn the end into a reset, which can overtake the answer.
fn hang_up(mut client: TcpStream) {
    let _ = client.shutdown(std::net::Shutdown::Write);
    let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
    while client.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
}

/// Reads until the startup packet has come, declining encryption. False if the client wants something else.
fn read_startup(client: &mut TcpStream, hear: impl Fn(&[u8])) -> std::io::Result<bool> {
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
        hear(&head);
        hear(&rest);
        match code {
            TLS | GSSAPI => client.write_all(b"N")?,
            code => return Ok(code >> 16 == PROTOCOL_3),
        }
    }
}

/// An error or a notice.
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
