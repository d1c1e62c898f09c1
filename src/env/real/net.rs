//! The operating system's sockets.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::env::{Conn, Datagram, Listener, Net};

#[derive(Debug, Clone, Copy)]
pub struct RealNet;

impl Net for RealNet {
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        async move {
            let listener = TcpListener::bind(addr).await?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        }
        .boxed()
    }

    fn connect(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<Conn>> {
        async move {
            let connecting = tokio::time::timeout(limit, TcpStream::connect(addr));
            let stream = connecting.await.map_err(|_| io::ErrorKind::TimedOut)??;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Conn)
        }
        .boxed()
    }

    fn bind_udp(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagram>>> {
        async move {
            let socket = UdpSocket::bind(addr).await?;
            Ok(Box::new(socket) as Box<dyn Datagram>)
        }
        .boxed()
    }

    fn resolve<'a>(&'a self, target: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move { Ok(tokio::net::lookup_host(target).await?.collect()) }.boxed()
    }
}

impl Listener for TcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Conn, SocketAddr)>> {
        async move {
            let (stream, from) = TcpListener::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Conn, from))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

impl Datagram for UdpSocket {
    fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        async move { UdpSocket::send_to(self, bytes, to).await.map(|_| ()) }.boxed()
    }

    fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        UdpSocket::recv_from(self, buffer).boxed()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        UdpSocket::local_addr(self)
    }
}
