//! Waits for nodes to say that they answer.
//!
//! A node says so itself, to the socket that [`process::start`](super::process::start) hands it;
//! a node that ends before is noticed by its end. Nothing is asked again and again.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitStatus;
use std::task::Poll;

use tokio::net::UnixDatagram;
use tokio::process::Child;

/// Why a node will not be ready.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    #[error("it ended: {0}")]
    Ended(ExitStatus),
    #[error("could not wait for it")]
    Wait(#[from] io::Error),
}

/// Where nodes say that they are ready.
pub struct Ready {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Ready {
    /// Listens at a new socket. Its path is short wherever the testnet is: a socket's must be.
    pub fn listen(name: &str) -> io::Result<Self> {
        let file = format!("tumen-{name}-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(file);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, path })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until every node is ready, or one will not be; then returns its name and why.
    pub async fn all(
        &self,
        nodes: &mut BTreeMap<String, Child>,
    ) -> Result<(), (String, ReadyError)> {
        let mut waiting: BTreeMap<u32, String> = nodes
            .iter()
            .filter_map(|(name, child)| Some((child.id()?, name.clone())))
            .collect();
        while !waiting.is_empty() {
            tokio::select! {
                biased;
                told = self.next() => match told {
                    Ok(Some(pid)) => drop(waiting.remove(&pid)),
                    Ok(None) => {}
                    Err(error) => return Err((String::new(), error.into())),
                },
                (name, ended) = first_end(nodes) => return Err((name, match ended {
                    Ok(status) => ReadyError::Ended(status),
                    Err(error) => error.into(),
                })),
            }
        }
        Ok(())
    }

    /// The pid of the next one that says it is ready; `None`: somebody said something else.
    async fn next(&self) -> io::Result<Option<u32>> {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).await?;
        let text = String::from_utf8_lossy(&message[..length]);
        let ready = text.lines().any(|line| line == "READY=1");
        let pid = text.lines().find_map(|line| line.strip_prefix("MAINPID="));
        Ok(pid.filter(|_| ready).and_then(|pid| pid.parse().ok()))
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(target: "testnet", %error, "a socket is left");
        }
    }
}

/// Waits until any of the children ends.
async fn first_end(nodes: &mut BTreeMap<String, Child>) -> (String, io::Result<ExitStatus>) {
    poll_fn(|context| {
        for (name, child) in nodes.iter_mut() {
            if let Poll::Ready(ended) = pin!(child.wait()).poll(context) {
                return Poll::Ready((name.clone(), ended));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(script: &str) -> Child {
        let mut command = tokio::process::Command::new("/bin/sh");
        command.args(["-c", script]).kill_on_drop(true);
        command.spawn().unwrap()
    }

    #[tokio::test]
    async fn all_are_waited_for_and_an_end_is_told_at_once() {
        let ready = Ready::listen("test-ready").unwrap();
        let mut nodes = BTreeMap::from([
            ("a".to_owned(), child("sleep 60")),
            ("b".to_owned(), child("sleep 60")),
        ]);
        let from = UnixDatagram::unbound().unwrap();
        from.send_to(b"STATUS=hello", ready.path()).await.unwrap();
        for node in nodes.values() {
            let message = format!("READY=1\nMAINPID={}\n", node.id().unwrap());
            from.send_to(message.as_bytes(), ready.path())
                .await
                .unwrap();
        }
        ready.all(&mut nodes).await.unwrap();

        nodes.insert("c".to_owned(), child("exit 3"));
        let (name, error) = ready.all(&mut nodes).await.unwrap_err();
        assert_eq!(name, "c");
        assert_eq!(error.to_string(), "it ended: exit status: 3");
        let path = ready.path().to_owned();
        drop(ready);
        assert!(!path.exists());
    }
}
