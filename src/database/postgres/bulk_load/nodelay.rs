//! TCP_NODELAY for the sockets of this process, so that small writes are sent at once.
//!
//! A COPY ends with a few bytes after its rows. Nagle's algorithm (RFC 896) holds them back until the server has
//! acknowledged the rows, and the server delays the acknowledgement by 40 ms, since it has no data to send yet (RFC
//! 1122, 4.2.3.2): for every table. libpq sets TCP_NODELAY on its sockets; the driver neither does so nor gives access
//! to its socket.

use std::fs;
use std::os::fd::BorrowedFd;

use rustix::net::sockopt::set_tcp_nodelay;

/// Sets TCP_NODELAY on all TCP sockets of this process, which are all sessions of ours. Other descriptors (files,
/// sockets in the file system) refuse the option. Without `/proc` the option is not set, and COPY is slower.
pub(super) fn set() {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = descriptors.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.collect::<Vec<i32>>() {
        // SAFETY: the descriptor is only borrowed for one setsockopt(2), and nothing is read or written through it. If
        // another thread has closed it since it was listed, or opened something else under its number, the result is an
        // error, or an option on another socket, which changes none of its bytes. The number is never -1.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = set_tcp_nodelay(descriptor, true);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sockets_are_found_and_told_and_everything_else_is_passed_by() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let _others = (UnixStream::pair().expect("two sockets"), fs::File::open("/proc/self/stat").expect("a file"));
        assert!(!stream.nodelay().expect("an option"));
        set();
        assert!(stream.nodelay().expect("an option"));
    }
}
