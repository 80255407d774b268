//! Small writes without delay.
//!
//! A COPY ends with a few bytes behind its rows. Nagle's algorithm (RFC 896) holds them back until the server has
//! acknowledged the rows, and the server takes 40 ms for that, since it has nothing to say yet (RFC 1122, 4.2.3.2): for every
//! table. libpq sets TCP_NODELAY on its sockets; the driver neither does that nor lets anybody at its socket.

use std::fs;
use std::os::fd::BorrowedFd;

use rustix::net::sockopt::set_tcp_nodelay;

/// Sets TCP_NODELAY on all TCP sockets of this process: they are sessions of ours. What is none (files, sockets in the
/// file system) refuses it; without `/proc` all goes on as before, slower.
pub(super) fn set() {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = descriptors.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.collect::<Vec<i32>>() {
        // SAFETY: the descriptor is only borrowed for one setsockopt(2), and nothing is read or written through it. Should
        // another thread have closed it since it was listed, or opened something else under its number, that is an error
        // or an option set on another socket, which changes no byte of what it carries. It is never -1.
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
