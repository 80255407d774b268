//! inet and cidr, in the format of `network_send` in `src/backend/utils/adt/network.c`.

use std::net::IpAddr;

use super::{CastError, WritableType};

/// The values of PGSQL_AF_INET and PGSQL_AF_INET6, which PostgreSQL defines as AF_INET and AF_INET + 1 of its platform.
const IPV4: u8 = 2;
const IPV6: u8 = 3;

/// Converts an address in its usual notation, with an optional `/` and the number of bits of its network. Abbreviated
/// addresses are refused.
pub(super) fn address(ty: &WritableType, text: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let what = "is not an IP address, alone or with / and a number of bits";
    let (address, bits) = parse(text).ok_or_else(|| CastError::new(what))?;
    let (family, width, address_bits) = match address {
        IpAddr::V4(address) => (IPV4, 4, u128::from(u32::from(address)) << 96),
        IpAddr::V6(address) => (IPV6, 16, u128::from(address)),
    };
    let is_network = *ty == WritableType::Cidr;
    if is_network && address_bits.checked_shl(u32::from(bits)).unwrap_or(0) != 0 {
        return Err(CastError::new(format!("has bits set behind the {bits} of its network")));
    }
    out.extend_from_slice(&[family, bits, u8::from(is_network), width]);
    out.extend_from_slice(&address_bits.to_be_bytes()[..usize::from(width)]);
    Ok(())
}

/// Splits a text into the address and the number of bits, which is the maximum when it is not given.
fn parse(text: &[u8]) -> Option<(IpAddr, u8)> {
    let text = std::str::from_utf8(text).ok()?;
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let max_bits = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => max_bits,
        // `parse` would accept `+8`.
        Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
        Some(_) => return None,
    };
    (bits <= max_bits).then_some((address, bits))
}
