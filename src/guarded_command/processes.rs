//! Processes and their connections, as /proc shows them (proc(5)).

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::safe_file;

/// The greatest number of bytes that are read of one file of /proc.
const MAX_BYTES: u64 = 16 << 20;
/// The state of an established connection in `/proc/PID/net/tcp`.
const ESTABLISHED: &str = "01";

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// The process id.
    pub(crate) pid: i32,
    /// The id of the parent process.
    parent: i32,
    /// The name of the program, of at most 15 bytes.
    pub(crate) name: String,
}

/// Returns the children of a process.
pub(super) fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().get();
    let children = all().into_iter().filter(|process| process.parent == parent);
    children.filter_map(|process| Pid::from_raw(process.pid)).collect()
}

/// Returns the descendants of a process, without those that have ended already.
pub(super) fn descendants(ancestor: i32) -> Vec<Process> {
    let mut rest = all();
    let mut known = BTreeSet::from([ancestor]);
    let mut found = Vec::new();
    loop {
        let (next, others): (Vec<Process>, Vec<Process>) =
            rest.into_iter().partition(|process| known.contains(&process.parent));
        if next.is_empty() {
            return found;
        }
        known.extend(next.iter().map(|process| process.pid));
        found.extend(next);
        rest = others;
    }
}

/// Returns all processes that have not ended.
fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| parse_stat(pid, &text(&file_of(pid, "stat"))?)).collect()
}

/// Reads a process of its `stat`; `None` for a zombie. The name may contain spaces and brackets.
fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let (start, rest) = stat.rsplit_once(')')?;
    let name = start.split_once('(')?.1.to_owned();
    let mut fields = rest.split_whitespace();
    let is_running = !matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    is_running.then_some(Process { pid, parent, name })
}

/// Returns the local addresses of the TCP connections of processes.
pub(super) fn local_addresses(processes: &[Process]) -> BTreeSet<SocketAddr> {
    processes.iter().flat_map(|process| connections(process.pid)).collect()
}

/// Returns the local addresses of the connections of one process.
fn connections(pid: i32) -> Vec<SocketAddr> {
    let descriptors = fs::read_dir(file_of(pid, "fd")).into_iter().flatten().flatten();
    let inodes: BTreeSet<String> = descriptors
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    // The tables are those of the process's own network namespace.
    let tables = ["net/tcp", "net/tcp6"].map(|name| text(&file_of(pid, name)).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines.filter_map(|line| parse_connection(line, &inodes)).collect()
}

/// Returns the local address of a line of `net/tcp` if the connection is established and its inode is one of these.
fn parse_connection(line: &str, inodes: &BTreeSet<String>) -> Option<SocketAddr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    (*state == ESTABLISHED && inodes.contains(*inode)).then_some(())?;
    let (address, port) = local.split_once(':')?;
    Some(SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?))
}

/// Parses an address: words of 32 bits in the byte order of the machine, in hexadecimal. An IPv4 address within IPv6 is
/// returned as what it is, because a server sees it as that.
fn parse_address(text: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..text.len())
        .step_by(8)
        .map(|at| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match words.as_slice() {
        [word] => Some(Ipv4Addr::from(*word).into()),
        [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

fn file_of(pid: i32, name: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(name)
}

/// Reads a file of /proc; `None` if the process has ended or belongs to another user.
fn text(path: &Path) -> Option<String> {
    safe_file::read(path, MAX_BYTES).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_read() {
        let process = parse_stat(7, "7 (a (b) c) S 1 7 7 0 -1").expect("a process");
        assert_eq!(process, Process { pid: 7, parent: 1, name: "a (b) c".into() });
        assert_eq!(parse_stat(7, "7 (a) Z 1 7"), None);
        assert_eq!(parse_stat(7, ""), None);
    }

    #[test]
    fn own_connections_are_found_by_their_local_address() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
            let local = stream.local_addr().expect("an address");
            let own = std::process::id().cast_signed();
            assert!(connections(own).contains(&local), "{local}");
        }
    }

    #[test]
    fn descendants_are_found_whatever_is_between() {
        let mut child = std::process::Command::new("sh");
        let mut child = child.args(["-c", "sleep 60 & wait"]).spawn().expect("sh");
        let own = std::process::id().cast_signed();
        let found = || descendants(own).iter().any(|process| process.name == "sleep");
        while !found() {
            std::thread::yield_now();
        }
        let sleep = descendants(child.id().cast_signed());
        child.kill().expect("kill");
        child.wait().expect("wait");
        for process in sleep {
            let pid = Pid::from_raw(process.pid).expect("a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
