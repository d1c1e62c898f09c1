//! What the journal keeps of a started task.

use serde::{Deserialize, Serialize};

use crate::model::AllocId;

/// The first byte of an encoded handle.
const VERSION: u8 = 1;

/// A started task: all that is needed to find it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskHandle {
    pub alloc: AllocId,
    pub task: String,
    /// When it was started, Unix nanoseconds.
    pub started_at: i64,
    pub logs: LogTarget,
    pub state: DriverState,
}

/// Where a task's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    /// The host's path of `alloc/logs`.
    pub dir: String,
    /// File names start with it: the task's name.
    pub prefix: String,
    pub max_files: u32,
    pub max_file_bytes: u64,
    /// Whether the output is thrown away.
    pub disabled: bool,
}

/// Each driver's own part. Variants are stored: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriverState {
    Docker {
        container: String,
        /// The image's name, for its reference count.
        image: String,
        tty: bool,
    },
    RawExec {
        /// The directory in which the supervisor writes its state.
        dir: String,
        /// The supervisor's process.
        pid: i32,
        /// That process's start time, from `/proc`: pids are used again.
        birth: u64,
    },
    Mock {
        config: MockRun,
    },
}

/// What a mock task still has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MockRun {
    /// When it ends by itself, Unix nanoseconds; 0: never.
    pub ends_at: i64,
    /// How long it takes to obey a stop, in nanoseconds.
    pub kill_after: u64,
    pub exit_code: i32,
    pub exit_signal: i32,
    pub exit_err: String,
    pub signal_error: String,
}

/// Why an encoded handle could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    #[error("a task handle of version {0}, written by a newer agent")]
    Newer(u8),
    #[error("a task handle that ends early")]
    Empty,
    #[error("a damaged task handle")]
    Damaged(#[source] postcard::Error),
}

impl TaskHandle {
    /// The stored form: a version byte, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION])
            .expect("a handle is plain data, which always encodes into memory")
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, HandleError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(HandleError::Damaged),
            Some((&newer, _)) => Err(HandleError::Newer(newer)),
            None => Err(HandleError::Empty),
        }
    }

    /// The driver that started it.
    pub fn driver(&self) -> &'static str {
        match self.state {
            DriverState::Docker { .. } => "docker",
            DriverState::RawExec { .. } => "raw_exec",
            DriverState::Mock { .. } => "mock_driver",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(state: DriverState) -> TaskHandle {
        TaskHandle {
            alloc: "00000000-0000-0000-0000-0000000000aa".parse().unwrap(),
            task: "web".to_string(),
            started_at: 1_795_372_958_861_147_890,
            logs: LogTarget {
                dir: "/d/alloc/logs".to_string(),
                prefix: "web".to_string(),
                max_files: 10,
                max_file_bytes: 10 << 20,
                disabled: false,
            },
            state,
        }
    }

    fn states() -> [DriverState; 3] {
        [
            DriverState::Docker {
                container: "c1".to_string(),
                image: "sha256:1".to_string(),
                tty: true,
            },
            DriverState::RawExec {
                dir: "/d/web".to_string(),
                pid: 7,
                birth: 99,
            },
            DriverState::Mock {
                config: MockRun {
                    ends_at: 5,
                    kill_after: 6,
                    exit_code: 7,
                    exit_signal: 8,
                    exit_err: "e".to_string(),
                    signal_error: "s".to_string(),
                },
            },
        ]
    }

    /// Bytes that an agent of version 1 wrote: they must be readable for ever.
    #[test]
    fn handles_of_version_1_are_read() {
        let golden = include_str!("../../../tests/golden/task_handle_v1.hex");
        let lines: Vec<&str> = golden.lines().collect();
        assert_eq!(lines.len(), states().len());
        for (line, state) in lines.iter().zip(states()) {
            let bytes: Vec<u8> = (0..line.len() / 2)
                .map(|i| u8::from_str_radix(&line[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            let written = handle(state.clone()).encode();
            let shown: String = written.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(&shown, line, "the format changed");
            assert_eq!(TaskHandle::decode(&bytes).unwrap(), handle(state));
        }
    }

    #[test]
    fn damage_is_named() {
        let bytes = handle(states()[0].clone()).encode();
        assert!(matches!(TaskHandle::decode(&[]), Err(HandleError::Empty)));
        assert!(matches!(
            TaskHandle::decode(&[9, 1]),
            Err(HandleError::Newer(9))
        ));
        assert!(matches!(
            TaskHandle::decode(&bytes[..bytes.len() - 1]),
            Err(HandleError::Damaged(_))
        ));
    }
}
