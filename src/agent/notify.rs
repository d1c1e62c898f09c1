//! Tells whoever started the agent how far it is, as services tell systemd (`sd_notify`).
//!
//! Nothing happens unless the environment names a socket. What cannot be told is logged: an
//! agent without a listener is as good as one with.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The environment variable that names the socket.
pub const SOCKET: &str = "NOTIFY_SOCKET";

/// The agent answers requests.
pub fn ready() {
    tell(&format!("READY=1\nMAINPID={}\n", std::process::id()));
}

/// The agent begins to stop.
pub fn stopping() {
    tell("STOPPING=1\n");
}

fn tell(message: &str) {
    let Some(socket) = std::env::var_os(SOCKET).filter(|s| !s.is_empty()) else {
        return;
    };
    let sent = address(&socket.to_string_lossy()).and_then(|to| {
        let from = UnixDatagram::unbound()?;
        from.send_to_addr(message.as_bytes(), &to)
    });
    if let Err(error) = sent {
        tracing::debug!(target: "agent", %error, "nobody listens at NOTIFY_SOCKET");
    }
}

/// A path, or a name in Linux's abstract namespace after `@`.
fn address(socket: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name.as_bytes());
    }
    SocketAddr::from_pathname(socket)
}
