//! The servers of a PostgreSQL URL: lists of names, addresses and ports, paired as libpq pairs them.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::settings::UrlSettings;
use super::text::decode;
use super::{UrlError, fail};

/// A server of a PostgreSQL URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Host name, IP address or socket directory.
    pub(crate) address: Address,
    /// TCP port, or the number in the socket's file name.
    pub(crate) port: u16,
    /// Numeric address that replaces the resolution of the name. The name still counts for TLS and the password file
    /// (manual, 34.1.2 `hostaddr`).
    pub(crate) hostaddr: Option<String>,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Host name or IP address; an IPv6 address has no brackets.
    Tcp(String),
    /// Directory of the Unix socket: a host that begins with a slash, as in libpq.
    Socket(PathBuf),
}

/// Stores the hosts and ports that precede the path of a URL.
pub(super) fn set_authority(settings: &mut UrlSettings, list: &str) -> Result<(), UrlError> {
    let mut hosts = Vec::new();
    for item in list.split(',') {
        if !item.starts_with('[') && item.matches(':').count() > 1 {
            return fail("a host has more than one colon: IPv6 needs brackets, as in [::1]:5432");
        }
        let (host, port) = split_port(item)?;
        hosts.push((decode(host, "the host")?, decode(port, "the port")?));
    }
    set_hosts(settings, &hosts, "the host", "the port");
    Ok(())
}

/// Moves the ports in the query's `host` to `port`, where a port in the query overrides them.
pub(super) fn split_query(mut settings: UrlSettings) -> Result<UrlSettings, UrlError> {
    let Some(list) = settings.take("host") else {
        return Ok(settings);
    };
    let hosts = list.value.split(',').map(split_port).collect::<Result<Vec<_>, _>>()?;
    let mut split = UrlSettings::default();
    set_hosts(&mut split, &hosts, &list.origin, "a port of host in the query");
    split.extend(settings);
    Ok(split)
}

/// Joins the lists as libpq does: `h1:1,h2` is host=h1,h2 port=1, (34.1.1.2).
fn set_hosts<T: AsRef<str>>(settings: &mut UrlSettings, hosts: &[(T, T)], host_origin: &str, port_origin: &str) {
    let names: Vec<&str> = hosts.iter().map(|(name, _)| name.as_ref()).collect();
    let ports: Vec<&str> = hosts.iter().map(|(_, port)| port.as_ref()).collect();
    settings.put("host", names.join(","), host_origin);
    if ports.iter().any(|port| !port.is_empty()) {
        settings.put("port", ports.join(","), port_origin);
    }
}

/// Splits `host:port` or `[address]:port`; the port is empty if there is none, and for a socket directory and a bare
/// IPv6 address.
fn split_port(item: &str) -> Result<(&str, &str), UrlError> {
    if let Some(after_bracket) = item.strip_prefix('[') {
        return match after_bracket.split_once(']') {
            Some((host, "")) if !host.is_empty() => Ok((host, "")),
            Some((host, port)) if !host.is_empty() && port.starts_with(':') => Ok((host, &port[1..])),
            _ => fail("the brackets of an IPv6 address are not right, as in [::1]:5432"),
        };
    }
    if item.starts_with('/') || item.parse::<Ipv6Addr>().is_ok() {
        return Ok((item, ""));
    }
    Ok(item.split_once(':').unwrap_or((item, "")))
}

/// Pairs names, addresses and ports as the manual's 34.1.1.3 does: the lists have the same length, or there is one
/// port.
pub(super) fn read(settings: &UrlSettings) -> Result<Vec<Host>, UrlError> {
    let list = |name| settings.value(name).split(',').collect::<Vec<_>>();
    let [names, addresses, ports] = ["host", "hostaddr", "port"].map(list);
    let count = names.len().max(addresses.len());
    if settings.has("host") && addresses != [""] && names.len() != addresses.len() {
        return fail("hostaddr and host do not list the same number of servers");
    }
    if ports.len() != 1 && ports.len() != count {
        return fail("there must be one port, or as many ports as hosts");
    }
    let item = |list: &[&'_ str], at: usize| list.get(at).copied().unwrap_or("").to_owned();
    (0..count)
        .map(|at| {
            let hostaddr = Some(item(&addresses, at)).filter(|text| !text.is_empty());
            if hostaddr.as_deref().is_some_and(|text| !is_numeric(text)) {
                return settings.invalid("hostaddr", "is not a numeric IP address");
            }
            let name = Some(item(&names, at)).filter(|text| !text.is_empty()).or(hostaddr.clone());
            let port = match ports[if ports.len() == 1 { 0 } else { at }] {
                "" => 5432,
                text => text.parse().unwrap_or(0),
            };
            if port == 0 {
                return settings.invalid("port", "is not a number between 1 and 65535");
            }
            Ok(Host { address: address(name.unwrap_or_else(|| "localhost".to_owned())), port, hostaddr })
        })
        .collect()
}

fn address(name: String) -> Address {
    match name.starts_with('/') {
        true => Address::Socket(name.into()),
        false => Address::Tcp(name),
    }
}

/// Reports whether a text is an IP address, perhaps with a zone.
fn is_numeric(text: &str) -> bool {
    let ip = text.split_once('%').map_or(text, |(ip, _zone)| ip);
    ip.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, postgres};
    use super::*;

    #[test]
    fn addresses() {
        let found = postgres("postgres://%2Fa%20b,h:1", &[]);
        let address = Address::Socket("/a b".into());
        assert_eq!(found.hosts[0], Host { address, port: 5432, hostaddr: None });
        let found = postgres("postgres://n/d?hostaddr=fe80::1%25eth0", &[]);
        let hostaddr = Some("fe80::1%eth0".to_owned());
        assert_eq!(found.hosts, [Host { address: Address::Tcp("n".into()), port: 5432, hostaddr }]);
    }

    #[test]
    fn refusals() {
        for (url, part) in [
            ("postgres://h:x/d", "the port is not a number between 1 and 65535"),
            ("postgres://h:0/d", "the port is not a number"),
            ("postgres://h:65536/d", "the port is not a number"),
            ("postgres://h?port=x", "port in the query is not a number"),
            ("postgres://?host=a:x", "a port of host in the query is not a number"),
            ("postgres://a,b,c?port=1,2", "one port, or as many ports as hosts"),
            ("postgres://a:1,b:2?host=c", "one port, or as many ports as hosts"),
            ("postgres://a,b?hostaddr=::1", "same number of servers"),
            ("postgres://h?hostaddr=name", "hostaddr in the query is not a numeric"),
            ("postgres://::1/d", "IPv6 needs brackets"),
            ("postgres://[::1/d", "brackets"),
            ("postgres://[]/d", "brackets"),
            ("postgres://[::1]5432/d", "brackets"),
        ] {
            let error = error(url, &[]);
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
