//! Events to send: of a number of stations, hardly any of them an anomaly.

use rig::request;

/// Stations of most loads, as many as the simulation has.
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
    n_stations: u64,
    next: u64,
}

/// Ten digits, so that all requests have the same length.
const FIRST_SEQUENCE: u64 = 1_000_000_000;
/// One in this many events is hot enough to be an anomaly.
const ANOMALY_EVERY: u64 = 100;

impl Events {
    /// Makes events of `n_stations` in turn, at most 100,000.
    pub(crate) fn of(n_stations: u64) -> Self {
        let body = format!(
            "{{\"station_id\":\"station_00000\",\"sequence\":{FIRST_SEQUENCE},\"timestamp\":\"2026-01-02T03:04:05Z\",\
             \"temperature_c\":70.0,\"humidity_pct\":44.7,\"sound_db\":66.1}}"
        );
        let template = request("POST", "/predict", "application/json", &body);
        let find = |what: &str| {
            let place = template.windows(what.len()).position(|window| window == what.as_bytes());
            place.expect("it was written above") + what.len()
        };
        Self {
            sequence_at: find("\"sequence\":"),
            station_at: find("\"station_id\":\"station_"),
            temperature_at: find("\"temperature_c\":"),
            head_len: template.len() - body.len(),
            n_stations,
            next: 0,
            template,
        }
    }

    fn advance(&mut self) {
        let Self { sequence_at, station_at, temperature_at, .. } = *self;
        write_digits(&mut self.template[sequence_at..sequence_at + 10], FIRST_SEQUENCE + self.next);
        let station = self.next % self.n_stations;
        write_digits(&mut self.template[station_at..station_at + 5], station);
        let is_anomaly = self.next.is_multiple_of(ANOMALY_EVERY);
        self.template[temperature_at] = if is_anomaly { b'9' } else { b'7' };
        let decimal = temperature_at + 3;
        write_digits(&mut self.template[decimal..=decimal], self.next % 10);
        self.next += 1;
    }

    /// Appends a request with one event.
    pub(crate) fn single(&mut self, out: &mut Vec<u8>) {
        self.advance();
        out.extend_from_slice(&self.template);
    }

    /// Appends a request with [`BATCH_LEN`] events.
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

/// Writes a number with leading zeros.
fn write_digits(place: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
    }
}
