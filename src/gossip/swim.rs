//! foca as the core uses it: its randomness, what it wishes for, its set-up, its datagrams.

use std::{
    borrow::Cow,
    num::{NonZeroU8, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use foca::{Config, Foca, Notification, PeriodicParams, PostcardCodec, Timer};
use tokio::time::Instant;

use super::{identity::Identity, keyring::Keyring, records::Records, view};
use crate::env::Entropy;

/// The first byte of every datagram.
const VERSION: u8 = 1;

/// The first byte of one that is sealed; it holds a plain one.
const SEALED: u8 = 2;

/// First byte and label of the region: what stands before the seal.
pub(super) const LABEL: usize = 3;

/// Version, label of the region, digest, seconds of quiet.
pub(super) const HEAD: usize = 12;

/// The largest datagram: 1400 on the wire with room for what encryption adds.
pub(super) const DATAGRAM_MAX: usize = 1360;

const PROBE: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);
const SUSPICION_MULT: f64 = 3.0;

pub(super) type Swim = Foca<Identity, PostcardCodec, Dice, Records>;

/// foca's randomness, from the environment's.
pub(super) struct Dice(pub(super) Arc<dyn Entropy>);

impl rand_core::TryRng for Dice {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0.u64() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// A timer of foca's, in a heap that gives the earliest first.
#[derive(PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) order: u64,
    pub(super) timer: Timer<Identity>,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Collects what foca wants while it has the core borrowed.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) sends: Vec<(Identity, Vec<u8>)>,
    pub(super) timers: Vec<(Timer<Identity>, Duration)>,
    pub(super) moved: bool,
    pub(super) renewed: bool,
}

impl foca::Runtime<Identity> for Wishes {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        self.moved = true;
        self.renewed |= matches!(
            notification,
            Notification::Rejoin(_) | Notification::Defunct
        );
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push((event, after));
    }
}

pub(super) fn head(label: u16, digest: u64, quiet: u8) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[0] = VERSION;
    head[1..3].copy_from_slice(&label.to_le_bytes());
    head[3..11].copy_from_slice(&digest.to_le_bytes());
    head[11] = quiet;
    head
}

/// The datagram as it is sent.
pub(super) fn seal(keys: &Keyring, head: [u8; HEAD], body: &[u8]) -> Vec<u8> {
    let plain = [&head[..], body].concat();
    let bound = [SEALED, head[1], head[2]];
    match keys.seal(&bound, &plain) {
        Some(sealed) => [&bound[..], &sealed].concat(),
        None => plain,
    }
}

/// The plain datagram; `None`: it is not sealed with a key of ours.
pub(super) fn unseal<'a>(keys: &Keyring, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match (keys.seals(), bytes.split_at_checked(LABEL)) {
        (true, Some((bound, sealed))) if bound[0] == SEALED => {
            keys.open(bound, sealed).map(Cow::Owned)
        }
        (true, _) => None,
        (false, Some((bound, _))) if bound[0] == SEALED => None,
        (false, _) => Some(Cow::Borrowed(bytes)),
    }
}

/// Digest, quiet time and body of a datagram of our version and region.
pub(super) fn open(label: u16, bytes: &[u8]) -> Option<(u64, Duration, &[u8])> {
    let (head, body) = bytes.split_first_chunk::<HEAD>()?;
    let theirs = u16::from_le_bytes(*head[1..].first_chunk()?);
    let digest = u64::from_le_bytes(*head[3..].first_chunk()?);
    let ours = head[0] == VERSION && theirs == label;
    ours.then_some((digest, Duration::from_secs(head[11].into()), body))
}

/// The LAN profile for a cluster of about `size` members.
pub(super) fn config(size: usize) -> Config {
    let digits = (size as f64).log10();
    let transmissions = (4.0 * (size as f64 + 1.0).log10().ceil()).clamp(8.0, 64.0) as u8;
    let some = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
    let every = |frequency, members| {
        Some(PeriodicParams {
            frequency,
            num_members: some(members),
        })
    };
    Config {
        probe_period: PROBE,
        probe_rtt: PROBE_TIMEOUT,
        num_indirect_probes: some(3),
        max_transmissions: NonZeroU8::new(transmissions).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: PROBE.mul_f64(SUSPICION_MULT * digits.max(1.0)),
        remove_down_after: Some(view::REAP_SERVER),
        max_packet_size: some(DATAGRAM_MAX - HEAD),
        notify_down_members: true,
        periodic_announce: every(Duration::from_secs(30), 1),
        periodic_announce_to_down_members: every(Duration::from_secs(60), 2),
        periodic_gossip: every(Duration::from_millis(200), 3),
    }
}
