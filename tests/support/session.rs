//! A psql session that stays open, for tests that hold a lock or a transaction while something else happens.

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};

use super::DEFAULT_TIMEOUT;
use super::postgres::Postgres;
use super::process::Transcript;

/// An open session. Dropping it ends it; what it had not committed is rolled back.
pub struct Session {
    psql: Child,
    stdin: ChildStdin,
    output: Transcript,
    /// The number of bytes of the output that were returned already.
    read: usize,
    /// The number of batches that were sent, and the number of those that were answered.
    sent: usize,
    answered: usize,
    backend: u32,
}

impl Session {
    /// Opens a session as superuser.
    pub fn open(server: &Postgres, database: &str) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = server.psql_command(database);
        let mut psql = command
            .args(["-v", "ON_ERROR_STOP=0"])
            .env("PGAPPNAME", "test session")
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().expect("a second handle on the pipe"))
            .stderr(writer)
            .spawn()
            .expect("cannot start psql");
        // The command holds the writing end as well: the output would never end.
        drop(command);
        let stdin = psql.stdin.take().expect("a piped stdin");
        let output = Transcript::read_from(reader);
        let mut session = Self { psql, stdin, output, read: 0, sent: 0, answered: 0, backend: 0 };
        let answer = session.run("select pg_backend_pid()");
        session.backend = answer.trim().parse().unwrap_or_else(|_| panic!("no session: {answer}"));
        session
    }

    /// Returns the process id of this session's backend in the server.
    pub fn backend(&self) -> u32 {
        self.backend
    }

    /// Runs SQL and returns its rows, errors and notices, in order.
    #[track_caller]
    pub fn run(&mut self, sql: &str) -> String {
        self.send(sql);
        self.finish()
    }

    /// Sends SQL that will block, without waiting. `finish` returns the answer.
    pub fn send(&mut self, sql: &str) {
        self.sent += 1;
        let sql = sql.trim_end().trim_end_matches(';');
        let text = format!("{sql}\n;\n\\echo {}\n", mark(self.sent));
        self.stdin.write_all(text.as_bytes()).expect("psql has ended");
    }

    /// Waits for the answer to the oldest `send` that was not finished yet.
    #[track_caller]
    pub fn finish(&mut self) -> String {
        assert!(self.answered < self.sent, "nothing was sent that is not answered");
        let mark = format!("{}\n", mark(self.answered + 1));
        let read = self.read;
        let found = self.output.wait_for(DEFAULT_TIMEOUT, |text| {
            text[read..].find(&mark).map(|length| text[read..read + length].to_owned())
        });
        let Some(answer) = found else {
            panic!("psql has not answered; it said: {}", &self.output.text()[read..]);
        };
        self.read += answer.len() + mark.len();
        self.answered += 1;
        answer
    }

    /// Returns whether the oldest `send` is still unanswered.
    pub fn is_busy(&self) -> bool {
        !self.output.text()[self.read..].contains(&mark(self.answered + 1))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

fn mark(number: usize) -> String {
    format!("<answered {number}>")
}
