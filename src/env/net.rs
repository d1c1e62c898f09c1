//! Sockets: TCP streams, listeners, UDP datagrams, name resolution.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An open stream of whatever kind.
pub type Conn = Box<dyn Stream>;

/// Takes connections on one address.
pub trait Listener: Send + Sync {
    /// The next connection and where it comes from. Safe to cancel.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Conn, SocketAddr)>>;

    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A bound datagram socket.
pub trait Datagram: Send + Sync {
    fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>>;

    /// The next datagram, cut to the buffer. Safe to cancel.
    fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>>;

    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The network as one machine sees it.
pub trait Net: Send + Sync {
    /// Listens for TCP; port 0 takes a free one.
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Connects by TCP within `limit`; small writes leave at once.
    fn connect(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<Conn>>;

    /// Binds a UDP socket; port 0 takes a free one.
    fn bind_udp(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagram>>>;

    /// The addresses behind `host:port`.
    fn resolve<'a>(&'a self, target: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}
