//! `criscope port-forward`: ports of a pod, reached through ports of this machine.
//!
//! One PortForward and one stream for every connection, so that neither a refused port nor a slow reader disturbs the
//! others. It lasts until Ctrl-C, or until the pod is gone.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use futures_util::future::{Either, select_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::{TcpListener, TcpStream};

use super::select::find::{self, Prefer};
use super::session::Session;
use super::streaming::Carriage;
use crate::client::{Client, Kind};
use crate::cri;
use crate::error::{Error, Exit};
use crate::stream::{self, Dialer, port_forward};

const EXAMPLES: &str = "\
Examples:
  criscope port-forward 5f2a 8080              port 8080 here is 8080 of the pod
  criscope port-forward default/web 8080:80    port 8080 here is 80 of the pod
  criscope port-forward web-1 :80 :443         any free ports here; the lines say which
  criscope port-forward --address 0.0.0.0 web-1 8080:80   from other machines too

It runs until Ctrl-C.";

/// How many connections are carried at the same time; more wait until one ends.
const AT_ONCE: usize = 500;

/// Tries to find one port that is free on every address.
const TRIES: usize = 16;

/// How long nothing is accepted after that has failed.
const REST: Duration = Duration::from_millis(200);

/// How long after a connection has ended it is looked whether the runtime has, too: both are heard of at about the same
/// time, in any order.
const NOTICING: Duration = Duration::from_millis(200);

/// Arguments of `port-forward`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PortForward {
    /// The pod: an id, the beginning of one, a name, or namespace/name
    #[arg(value_name = "POD")]
    pod: String,
    /// Ports: here and in the pod
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    ports: Vec<Ports>,
    /// Addresses of this machine to listen on; repeatable
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "localhost",
        value_parser = address
    )]
    address: Vec<Address>,
    #[command(flatten)]
    carriage: Carriage,
}

/// A pair of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Here; 0 is any.
    local: u16,
    /// In the pod.
    remote: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no pair of ports; write it as `8080:80`, `:80` or `80`");
        let number = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
            _ => Err(wrong()),
        };
        match text.split_once(':') {
            None => {
                let port = number(text)?;
                Ok(Self {
                    local: port,
                    remote: port,
                })
            }
            Some(("" | "0", remote)) => Ok(Self {
                local: 0,
                remote: number(remote)?,
            }),
            Some((local, remote)) => Ok(Self {
                local: number(local)?,
                remote: number(remote)?,
            }),
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address {
    /// Both loopback addresses, as far as the machine has them.
    Localhost,
    /// One address.
    Ip(IpAddr),
}

fn address(text: &str) -> Result<Address, String> {
    if text == "localhost" {
        return Ok(Address::Localhost);
    }
    text.parse()
        .map(Address::Ip)
        .map_err(|_| format!("`{text}` is neither an address nor `localhost`"))
}

impl Address {
    /// The addresses, each with whether it may be missing on this machine.
    fn addresses(self) -> Vec<(IpAddr, bool)> {
        match self {
            Address::Localhost => vec![
                (Ipv4Addr::LOCALHOST.into(), false),
                (Ipv6Addr::LOCALHOST.into(), true),
            ],
            Address::Ip(address) => vec![(address, false)],
        }
    }
}

/// A place where we listen, and the port behind it.
struct Tunnel {
    listener: TcpListener,
    remote: u16,
}

/// What every connection is given.
struct Tunnels<'a> {
    args: &'a PortForward,
    session: &'a Session,
    client: &'a Client,
    dialer: Dialer,
    pod: String,
    /// Whether the runtime says that the pod is not there any more.
    gone: Cell<bool>,
}

/// Runs `criscope port-forward`.
///
/// # Errors
/// There is no such pod, a local port is taken, or the runtime is gone.
pub async fn run(args: &PortForward, session: &Session) -> Result<Exit, Error> {
    let client = session.client_that_acts().await?;
    let dialer = args.carriage.dialer(session)?;
    let pod = find::pod(client, &args.pod, Prefer::Running).await?;
    let mut tunnels = Vec::new();
    for ports in &args.ports {
        let listeners = listen(&args.address, *ports).await?;
        for listener in listeners {
            let address = listener.local_addr()?;
            // One line each, for people and for scripts that wait for it.
            let line = format!("Forwarding from {address} -> {}\n", ports.remote);
            session.output.data(line.as_bytes())?;
            tunnels.push(Tunnel {
                listener,
                remote: ports.remote,
            });
        }
    }
    let all = Tunnels {
        args,
        session,
        client,
        dialer,
        pod: pod.id,
        gone: Cell::new(false),
    };
    Err(all.serve(&tunnels).await)
}

/// Listens for one pair of ports on every address, with the same port on all.
async fn listen(addresses: &[Address], ports: Ports) -> Result<Vec<TcpListener>, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match listen_once(addresses, ports).await {
            Ok(listeners) => return Ok(listeners),
            // A port that was free on the first address was not on the next.
            Err((_, error)) if ports.local == 0 && tries < TRIES && in_use(&error) => {}
            Err((address, error)) => {
                let made = Error::failure(format!("cannot listen on {address}")).because(&error);
                return Err(made.maybe_hint(
                    in_use(&error).then(|| format!("`:{}` takes any free port", ports.remote)),
                ));
            }
        }
    }
}

fn in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

async fn listen_once(
    addresses: &[Address],
    ports: Ports,
) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut port = ports.local;
    let mut listeners = Vec::new();
    for (ip, may_miss) in addresses.iter().flat_map(|address| address.addresses()) {
        let address = SocketAddr::new(ip, port);
        match TcpListener::bind(address).await {
            Ok(listener) => {
                port = listener
                    .local_addr()
                    .map_err(|error| (address, error))?
                    .port();
                listeners.push(listener);
            }
            // A machine without IPv6.
            Err(error) if may_miss && !in_use(&error) => {}
            Err(error) => return Err((address, error)),
        }
    }
    Ok(listeners)
}

impl Tunnels<'_> {
    /// Carries connections until there is a reason to stop.
    async fn serve(&self, tunnels: &[Tunnel]) -> Error {
        let mut connections = FuturesUnordered::new();
        // A connection has ended, and it is not known yet whether the runtime has, too.
        let mut suspicion: Option<Option<Error>> = None;
        // Nothing can be accepted for a while, and that has been said.
        let (mut rests, mut is_said) = (false, false);
        loop {
            let accepts = tunnels.iter().map(|tunnel| {
                Box::pin(async move { (tunnel.listener.accept().await, tunnel.remote) })
            });
            let accepting = if connections.len() < AT_ONCE && !rests {
                Either::Left(select_all(accepts))
            } else {
                Either::Right(std::future::pending())
            };
            tokio::select! {
                ((accepted, remote), _, _) = accepting => match accepted {
                    Ok((stream, _)) => {
                        is_said = false;
                        connections.push(self.carry(stream, remote));
                    }
                    // The client went away before it was accepted, or we have too many files open.
                    Err(error) => {
                        if !is_said {
                            let told = format!("cannot accept a connection: {error}");
                            self.session.output.warning(told);
                        }
                        (rests, is_said) = (true, true);
                    }
                },
                () = tokio::time::sleep(REST), if rests => rests = false,
                Some((remote, outcome)) = connections.next() => {
                    // Whatever is lacking may have come back.
                    rests = false;
                    let doubt = suspicion.get_or_insert_default();
                    let Err(error) = outcome else { continue };
                    let shown = |error: Error| {
                        error.while_doing(format!("a connection to port {remote} failed"))
                    };
                    match error.weight {
                        Weight::Fatal => return error.error,
                        Weight::Lost => *doubt = Some(shown(error.error)),
                        Weight::Single => self.session.output.error(&shown(error.error)),
                    }
                }
                () = tokio::time::sleep(NOTICING), if suspicion.is_some() => {
                    let told = suspicion.take().flatten();
                    if self.client.is_lost() && self.is_gone().await {
                        return stream::Error::Lost(None).into();
                    }
                    if let Some(error) = told {
                        self.session.output.error(&error);
                    }
                }
            }
        }
    }

    /// Whether nobody takes a connection where the runtime was. One that was restarted is there again, and its pods are.
    async fn is_gone(&self) -> bool {
        let deadline = self.session.settings.timeout;
        self.client.connect_again(deadline).await.is_err()
    }

    /// Carries one connection.
    async fn carry(&self, stream: TcpStream, remote: u16) -> (u16, Result<(), Broken>) {
        let _ = stream.set_nodelay(true);
        let work = async {
            let needs = port_forward::needs(remote);
            let ask = async || {
                let request = cri::PortForwardRequest {
                    pod_sandbox_id: self.pod.clone(),
                    // A WebSocket opens channels for these ports and no others; SPDY names the port in its headers.
                    port: vec![i32::from(remote)],
                };
                let reply = self.client.port_forward(request).await;
                if let Err(error) = &reply
                    && error.kind() == Some(Kind::NotFound)
                {
                    self.gone.set(true);
                }
                let reply = reply?;
                Ok(self.client.decode("PortForward", &reply)?.url)
            };
            let wire = self.args.carriage.open(&needs, &self.dialer, ask).await?;
            Ok::<_, Error>(port_forward::carry(wire, stream).await)
        };
        let outcome = match work.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ stream::Error::Lost(_))) => Err(Broken {
                weight: Weight::Lost,
                error: error.into(),
            }),
            Ok(Err(error)) => Err(Broken {
                weight: Weight::Single,
                error: error.into(),
            }),
            // Without the runtime or the pod, no connection will ever work again.
            Err(error) if self.gone.get() || error.exit() == Exit::Undetermined => Err(Broken {
                weight: Weight::Fatal,
                error,
            }),
            Err(error) => Err(Broken {
                weight: Weight::Single,
                error,
            }),
        };
        (remote, outcome)
    }
}

/// Why a connection was not carried to its end.
struct Broken {
    error: Error,
    weight: Weight,
}

/// What it means for the others.
enum Weight {
    /// Nothing.
    Single,
    /// Perhaps the runtime is gone.
    Lost,
    /// None can be carried any more.
    Fatal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_ports() {
        #[track_caller]
        fn case(text: &str, expected: Option<(u16, u16)>) {
            let found = text.parse::<Ports>().ok();
            assert_eq!(
                found.map(|ports| (ports.local, ports.remote)),
                expected,
                "{text}"
            );
        }
        case("80", Some((80, 80)));
        case("8080:80", Some((8080, 80)));
        case(":80", Some((0, 80)));
        case("0:80", Some((0, 80)));
        case("", None);
        case("0", None);
        case("80:", None);
        case("80:0", None);
        case("+80", None);
        case("1:2:3", None);
        case("65536", None);
        case("http", None);
    }

    #[test]
    fn addresses_to_listen_on() {
        assert_eq!(address("localhost"), Ok(Address::Localhost));
        assert_eq!(address("::"), Ok(Address::Ip(Ipv6Addr::UNSPECIFIED.into())));
        assert!(address("node-1").is_err());
    }
}
