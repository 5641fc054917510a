//! A request of control to another server, and its whole answer: over TCP or TLS, on a connection of its own.
//!
//! Nothing is followed, kept or tried again: whoever asks knows when it is worth asking again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portway_core::health::Failure;
use portway_core::http1::{Method, ResponseHead, response_framing};
use portway_model::jwt::UrlParts;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::health::http::{read_body, read_head};
use crate::health::probe::{Stream, handshake_failure, refused};
use crate::resolve::in_turns;

/// An address has so long to answer before the next one is tried beside it (RFC 8305 section 5).
const APART: Duration = Duration::from_millis(250);

/// Who asks.
const USER_AGENT: &str = concat!("Portway/", env!("CARGO_PKG_VERSION"));

/// What is asked.
pub(crate) struct Question<'q> {
    pub(crate) url: UrlParts<'q>,
    /// How TLS is spoken, where it is.
    pub(crate) tls: Option<&'q Arc<ClientConfig>>,
    pub(crate) method: &'static str,
    /// Headers beside `Host`, `User-Agent`, `Content-Length` and `Connection`.
    pub(crate) headers: &'q [(&'q str, &'q str)],
    pub(crate) body: &'q [u8],
    /// Bytes of the answer's body at most.
    pub(crate) most: usize,
    /// For all of it.
    pub(crate) patience: Duration,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Question<'_> {
    /// Asks.
    ///
    /// # Errors
    /// In words, where no whole answer came in time.
    pub(crate) async fn ask(&self) -> Result<Answer, String> {
        match timeout(self.patience, self.exchange()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", self.patience)),
        }
    }

    async fn exchange(&self) -> Result<Answer, String> {
        let said = |failure: Failure| failure.said();
        let mut stream = self.connect().await?;
        let asked = self.wire();
        let sent = stream.write_all(&asked).await;
        sent.map_err(|error| said(refused(error)))?;
        stream.flush().await.map_err(|error| said(refused(error)))?;
        let (mut buffer, mut head) = (Vec::new(), ResponseHead::new());
        let head_len = read_head(stream.as_mut(), &mut buffer, &mut head).await;
        let head_len = head_len.map_err(said)?;
        let method = Method::of(self.method.as_bytes());
        let framing = response_framing(&head, &buffer, method)
            .map_err(|refusal| refusal.description().to_owned())?;
        buffer.drain(..head_len);
        let body = read_body(stream.as_mut(), buffer, framing.body, self.most + 1).await;
        let body = body.map_err(said)?;
        match body.len() > self.most {
            true => Err(format!("the answer has more than {} bytes", self.most)),
            false => Ok(Answer {
                status: head.status(),
                body,
            }),
        }
    }

    /// To the address of the host that takes it first.
    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let addresses = lookup_host((self.url.host, self.url.port)).await;
        let addresses = addresses.map_err(|error| format!("no address: {error}"))?;
        let addresses: Vec<IpAddr> = addresses.map(|it| it.ip()).collect();
        let first = addresses.first().ok_or("it has no address")?;
        let ways = in_turns(*first, addresses.clone()).into_iter();
        let stream = race(ways.map(|ip| (ip, self.url.port).into())).await?;
        self.secure(stream).await
    }

    async fn secure(&self, stream: TcpStream) -> Result<Box<dyn Stream>, String> {
        let Some(tls) = self.tls.filter(|_| self.url.tls) else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(self.url.host.to_owned());
        let name = name.map_err(|_| format!("`{}` is no name of a server", self.url.host))?;
        let connected = TlsConnector::from(tls.clone()).connect(name, stream).await;
        let stream = connected.map_err(|error| handshake_failure(&error).said())?;
        Ok(Box::new(stream))
    }

    fn wire(&self) -> Vec<u8> {
        let UrlParts {
            authority, target, ..
        } = self.url;
        let mut head = format!(
            "{} {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n",
            self.method
        );
        for (name, value) in self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut wire = head.into_bytes();
        wire.extend_from_slice(self.body);
        wire
    }
}

/// A connection to the first of these that takes one. One that is silent costs the others a moment each.
async fn race(mut addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, String> {
    let mut tries = JoinSet::new();
    let mut why = "it has no address".to_owned();
    let mut next = addresses.next();
    loop {
        let is_more = next.is_some();
        if let Some(address) = next.take() {
            tries.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            ended = tries.join_next() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => why = refused(error).said(),
                Some(Err(error)) => why = error.to_string(),
                None => return Err(why),
            },
            () = sleep(APART), if is_more => {}
        }
        next = addresses.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Nobody takes connections there, and the few that may wait do.
    fn silent() -> (TcpListener, Vec<std::net::TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Duration::from_millis(500);
        let connect = || std::net::TcpStream::connect_timeout(&address, patience);
        let fill = std::iter::from_fn(|| connect().ok()).collect();
        (listener, fill)
    }

    #[tokio::test]
    async fn a_silent_address_does_not_use_up_the_patience() {
        let (silent, _fill) = silent();
        let answers = TcpListener::bind("127.0.0.1:0").unwrap();
        let refuses = TcpListener::bind("127.0.0.1:0").unwrap();
        let [silent, good, gone] = [&silent, &answers, &refuses].map(|it| it.local_addr().unwrap());
        drop(refuses);
        for ways in [
            &[silent, good][..],
            &[silent, gone, good],
            &[gone, silent, good],
            &[silent, silent, good],
            &[good, silent],
        ] {
            let connected = race(ways.iter().copied()).await;
            assert_eq!(connected.unwrap().peer_addr().unwrap(), good, "{ways:?}");
        }
        let failed = race([gone, gone].into_iter()).await;
        assert_eq!(failed.unwrap_err(), "Connection refused");
        let failed = race(std::iter::empty()).await;
        assert_eq!(failed.unwrap_err(), "it has no address");
    }
}
