//! Filters of listening sockets: packets of clients elsewhere vanish in the kernel, so that such a client waits for an answer
//! to its first packet, as behind a firewall.
//!
//! A filter is a program of the kernel's packet filter (BPF, in its classic form), which any process may attach to its own
//! sockets. Accepted connections inherit it; their packets pass.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use portway_model::settings::SocketOptions;
use socket2::{SockFilter, SockRef};

/// Instructions that the kernel takes (BPF_MAXINSNS). Longer filters are left to the rules of the listener.
const MAX_INSTRUCTIONS: usize = 4096;

/// Where the network header of a packet begins (SKF_NET_OFF): the packet itself begins at its TCP header.
const NETWORK: u32 = 0xfff0_0000;
/// Of IPv4 and of IPv6: the client's address.
const SOURCE_V4: u32 = NETWORK + 12;
const SOURCE_V6: u32 = NETWORK + 8;

/// What an instruction does: loads four bytes or one, calculates, jumps by a comparison or always, ends.
const LOAD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const SHIFT_RIGHT: u16 = 0x74;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_ABOVE: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// The packet passes whole, or not at all.
const PASSES: Instruction = (RETURN, 0, 0, u32::MAX);
const VANISHES: Instruction = (RETURN, 0, 0, 0);

/// Code, how many instructions to skip where a comparison holds and where not, argument.
type Instruction = (u16, u8, u8, u32);

/// Lets a socket hear of these clients alone. A socket that another process has left loses its filter where none is wanted.
///
/// # Errors
/// The system does not take it.
pub(super) fn put(socket: SockRef<'_>, options: &SocketOptions) -> io::Result<()> {
    let Some(networks) = &options.packets_from else {
        // An error says that there is none.
        let _ = socket.detach_filter();
        return Ok(());
    };
    let program = program(networks);
    if program.len() > MAX_INSTRUCTIONS {
        return Ok(());
    }
    let program: Vec<SockFilter> = program
        .into_iter()
        .map(|(code, then, otherwise, argument)| SockFilter::new(code, then, otherwise, argument))
        .collect();
    let attached = socket.attach_filter(&program);
    attached.map_err(|error| super::of_option("`packets_from`", &error))
}

fn program(networks: &[IpNet]) -> Vec<Instruction> {
    let networks = IpNet::aggregate(&networks.to_vec());
    let mut v4 = vec![(LOAD, 0, 0, SOURCE_V4)];
    let mut v6 = Vec::new();
    for network in networks {
        match network {
            IpNet::V4(network) => v4.extend(within_v4(network)),
            IpNet::V6(network) => v6.extend(within_v6(network)),
        }
    }
    v4.push(VANISHES);
    v6.push(VANISHES);
    let over = u32::try_from(v4.len()).unwrap_or(u32::MAX);
    let mut program = vec![
        (LOAD_BYTE, 0, 0, NETWORK),
        (SHIFT_RIGHT, 0, 0, 4),
        (IF_EQUAL, 0, 1, 6),
        (JUMP, 0, 0, over),
    ];
    program.extend(v4);
    program.extend(v6);
    program
}

/// The loaded address is between the first and the last of the network.
fn within_v4(network: Ipv4Net) -> [Instruction; 3] {
    let first = Ipv4Addr::to_bits(network.network());
    let last = Ipv4Addr::to_bits(network.broadcast());
    [(IF_AT_LEAST, 0, 2, first), (IF_ABOVE, 1, 0, last), PASSES]
}

/// The first bits of the address are those of the network, four bytes after four bytes.
fn within_v6(network: Ipv6Net) -> Vec<Instruction> {
    let bits = Ipv6Addr::to_bits(network.network());
    let mask = Ipv6Addr::to_bits(network.netmask());
    let word =
        |of: u128, index: u32| u32::try_from(of >> (96 - 32 * index) & 0xffff_ffff).unwrap_or(0);
    let mut steps: Vec<Instruction> = Vec::new();
    for index in 0..4 {
        let (bits, mask) = (word(bits, index), word(mask, index));
        if mask == 0 {
            break;
        }
        steps.push((LOAD, 0, 0, SOURCE_V6 + 4 * index));
        if mask != u32::MAX {
            steps.push((AND, 0, 0, mask));
        }
        steps.push((IF_EQUAL, 0, 0, bits));
    }
    steps.push(PASSES);
    // Where a comparison fails, what is left of these steps is skipped: twelve at most.
    let count = steps.len();
    for (index, step) in steps.iter_mut().enumerate() {
        if step.0 == IF_EQUAL {
            step.2 = u8::try_from(count - index - 1).unwrap_or(u8::MAX);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    /// Whether a client at `from` reaches a socket that hears of `networks`.
    fn reaches(bind: &str, networks: &[&str], from: &str) -> bool {
        let options = SocketOptions {
            packets_from: Some(networks.iter().map(|it| it.parse().unwrap()).collect()),
            ..SocketOptions::PLAIN
        };
        let bind: IpAddr = bind.parse().unwrap();
        let listener = super::super::another_tcp(Some(bind), 0, &options, Some(8)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let from: SocketAddr = SocketAddr::new(from.parse().unwrap(), 0);
        let client = socket2::Socket::new(
            socket2::Domain::for_address(from),
            socket2::Type::STREAM,
            None,
        )
        .unwrap();
        client.bind(&from.into()).unwrap();
        let to = match from.is_ipv4() {
            true => SocketAddr::from(([127, 0, 0, 1], port)),
            false => SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        };
        let connected = client.connect_timeout(&to.into(), Duration::from_millis(300));
        connected.is_ok()
    }

    #[test]
    fn who_is_elsewhere_hears_nothing() {
        let nets = ["10.0.0.0/8", "127.0.0.8/29", "127.0.0.32/32"];
        for (from, expected) in [
            ("127.0.0.7", false),
            ("127.0.0.8", true),
            ("127.0.0.15", true),
            ("127.0.0.16", false),
            ("127.0.0.32", true),
        ] {
            assert_eq!(reaches("0.0.0.0", &nets, from), expected, "{from}");
            assert_eq!(reaches("::", &nets, from), expected, "{from}");
        }
        assert!(!reaches("0.0.0.0", &[], "127.0.0.1"));
        assert!(reaches("0.0.0.0", &["0.0.0.0/0"], "127.0.0.1"));
        for (networks, expected) in [
            (&["::1/128"][..], true),
            (&["::2/127", "fe80::/10"], false),
            (&["2001:db8::/33", "::/65"], true),
            (&["::/0"], true),
            (&["0.0.0.0/0"], false),
        ] {
            assert_eq!(reaches("::", networks, "::1"), expected, "{networks:?}");
        }
    }

    /// Those who wrote longer lists are not left without their listener.
    #[test]
    fn long_lists_are_left_to_rules() {
        let networks: Vec<String> = (0..2000)
            .map(|at| format!("10.{}.{}.0/25", at / 250, at % 250))
            .collect();
        let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
        assert!(reaches("0.0.0.0", &networks, "127.0.0.1"));
    }
}
