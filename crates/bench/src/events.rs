//! Events to send: of a few stations, hardly any of them an anomaly.

use rig::request;

/// Stations of the load, as many as the simulation has.
pub(crate) const N_STATIONS: u64 = 8;
/// Events of a batch.
pub(crate) const BATCH_LEN: u64 = 1_000;

/// Requests with events of which no two are the same, made from one by changing digits.
pub(crate) struct Events {
    template: Vec<u8>,
    sequence_at: usize,
    station_at: usize,
    temperature_at: usize,
    head_len: usize,
    next: u64,
}

/// Ten digits, so that all requests have the same length.
const FIRST_SEQUENCE: u64 = 1_000_000_000;
/// One event in so many is hot enough to be an anomaly.
const ANOMALY_EVERY: u64 = 100;

impl Events {
    pub(crate) fn new() -> Self {
        let body = format!(
            "{{\"station_id\":\"station_000\",\"sequence\":{FIRST_SEQUENCE},\"timestamp\":\"2026-01-02T03:04:05Z\",\
             \"temperature_c\":70.0,\"humidity_pct\":44.7,\"sound_db\":66.1}}"
        );
        let template = request("POST", "/predict", "application/json", &body);
        let find = |what: &str| {
            let place = template.windows(what.len()).position(|window| window == what.as_bytes());
            place.expect("it was written above") + what.len()
        };
        Self {
            sequence_at: find("\"sequence\":"),
            station_at: find("\"station_00"),
            temperature_at: find("\"temperature_c\":"),
            head_len: template.len() - body.len(),
            next: 0,
            template,
        }
    }

    fn advance(&mut self) {
        let sequence = FIRST_SEQUENCE + self.next;
        let mut rest = sequence;
        for digit in self.template[self.sequence_at..self.sequence_at + 10].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        let digit = |number: u64| b'0' + u8::try_from(number % 10).expect("a digit");
        self.template[self.station_at] = digit(self.next % N_STATIONS);
        let is_anomaly = self.next.is_multiple_of(ANOMALY_EVERY);
        self.template[self.temperature_at] = if is_anomaly { b'9' } else { b'7' };
        self.template[self.temperature_at + 3] = digit(self.next);
        self.next += 1;
    }

    /// A request with one event.
    pub(crate) fn single(&mut self, out: &mut Vec<u8>) {
        self.advance();
        out.extend_from_slice(&self.template);
    }

    /// A request with [`BATCH_LEN`] of them.
    pub(crate) fn batch(&mut self, out: &mut Vec<u8>) {
        let mut lines = Vec::new();
        for _ in 0..BATCH_LEN {
            self.advance();
            lines.extend_from_slice(&self.template[self.head_len..]);
            lines.push(b'\n');
        }
        let lines = String::from_utf8(lines).expect("events are text");
        out.extend_from_slice(&request("POST", "/predict/batch", "application/x-ndjson", &lines));
    }
}
