//! Records what clients send through the [proxy](super::proxy), divided by the answers that they
//! wait for: on a path of 150 ms, every round trip costs that much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The length of a label, enough to recognize a statement.
const SHOWN_BYTES: usize = 200;

/// Everything that a client sends between two answers of the server.
#[derive(Clone, Debug)]
pub struct RoundTrip {
    /// The connection's number, from 0 in the order of opening.
    pub connection: u64,
    /// The first packet: a statement's text, `prepare: ` and its text, `file`, or the number of
    /// another command.
    pub label: String,
    /// The bytes of files in it.
    pub infile_bytes: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Recorder {
    round_trips: Arc<Mutex<Vec<RoundTrip>>>,
    connections: Arc<AtomicU64>,
}

impl Recorder {
    /// Returns the number of a new connection.
    pub(super) fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Records a packet that is to be passed on. `has_answered` is true if the server has sent
    /// something since the previous one.
    pub(super) fn packet(&self, connection: u64, has_answered: bool, sent: Packet<'_>) {
        let mut round_trips = self.round_trips.lock().unwrap_or_else(PoisonError::into_inner);
        let infile_bytes = if let Packet::File { bytes } = sent { bytes } else { 0 };
        let current =
            round_trips.iter_mut().rfind(|round_trip| round_trip.connection == connection);
        match current.filter(|_| !has_answered) {
            Some(round_trip) => round_trip.infile_bytes += infile_bytes,
            None => round_trips.push(RoundTrip { connection, label: sent.label(), infile_bytes }),
        }
    }

    pub fn round_trips(&self) -> Vec<RoundTrip> {
        self.round_trips.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the round trips of one connection, in order.
    pub fn of(&self, connection: u64) -> Vec<RoundTrip> {
        self.round_trips()
            .into_iter()
            .filter(|round_trip| round_trip.connection == connection)
            .collect()
    }
}

/// A packet of the client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packet<'a> {
    File {
        bytes: usize,
    },
    /// The packet itself, and its number in the exchange.
    Command {
        sequence: u8,
        packet: &'a [u8],
    },
}

impl Packet<'_> {
    fn label(self) -> String {
        const COM_QUERY: u8 = 0x03;
        const COM_STMT_PREPARE: u8 = 0x16;
        let text = |text: &[u8]| {
            String::from_utf8_lossy(&text[..text.len().min(SHOWN_BYTES)]).into_owned()
        };
        match self {
            Self::File { .. } => "file".to_owned(),
            Self::Command { sequence: 0, packet: [COM_QUERY, statement @ ..] } => text(statement),
            Self::Command { sequence: 0, packet: [COM_STMT_PREPARE, statement @ ..] } => {
                format!("prepare: {}", text(statement))
            }
            Self::Command { sequence: 0, packet: [command, ..] } => format!("command {command}"),
            Self::Command { .. } => "login".to_owned(),
        }
    }
}
