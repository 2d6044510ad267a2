//! The states that a disk may be in after a power cut.
//!
//! Synced data is there. Of the data written since, anything may be: all of it, nothing, some
//! writes, and of a write some sectors.

use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

use crate::record::{Operation, Record};

/// A sector is written whole or not at all.
const SECTOR_LEN: usize = 512;

/// The fate of writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsynced {
    Kept,
    Lost,
    /// Some of the writes.
    Partial,
    /// Some of the sectors.
    Torn,
}

impl Unsynced {
    pub(crate) const ALL: [Self; 4] = [Self::Kept, Self::Lost, Self::Partial, Self::Torn];
}

/// Files on a disk: what is certain, and what is not yet.
#[derive(Debug)]
pub(crate) struct Disk<'a> {
    record: &'a Record,
    files: Vec<DiskFile>,
}

#[derive(Debug, Default)]
struct DiskFile {
    exists: bool,
    durable: Vec<u8>,
    /// Operations since the last sync, by their index.
    pending: Vec<usize>,
}

impl<'a> Disk<'a> {
    pub(crate) fn new(record: &'a Record) -> Self {
        let files = record.files.iter().map(|_| DiskFile::default()).collect();
        Self { record, files }
    }

    /// Carries out the operation with this index.
    pub(crate) fn apply(&mut self, index: usize) {
        match self.record.operations[index] {
            Operation::Write { file, .. } | Operation::Truncate { file, .. } => {
                self.files[file].exists = true;
                self.files[file].pending.push(index);
            }
            Operation::Sync { file } => {
                let file = &mut self.files[file];
                for index in std::mem::take(&mut file.pending) {
                    change(&mut file.durable, &self.record.operations[index]);
                }
            }
            Operation::Unlink { file } => self.files[file] = DiskFile::default(),
            Operation::Acknowledge { .. } => {}
        }
    }

    /// Returns the files as they may be found, by name.
    pub(crate) fn after_power_cut(
        &self,
        unsynced: Unsynced,
        rng: &mut ChaCha8Rng,
    ) -> Vec<(&'a str, Vec<u8>)> {
        let mut found = Vec::new();
        for (name, file) in self.record.files.iter().zip(&self.files) {
            if !file.exists {
                continue;
            }
            let mut content = file.durable.clone();
            for &index in &file.pending {
                let operation = &self.record.operations[index];
                let is_kept = match unsynced {
                    Unsynced::Kept => true,
                    Unsynced::Lost => false,
                    Unsynced::Partial | Unsynced::Torn => rng.random_bool(0.5),
                };
                match operation {
                    Operation::Write { offset, data, .. } if unsynced == Unsynced::Torn => {
                        tear(&mut content, *offset, data, rng);
                    }
                    _ if is_kept => change(&mut content, operation),
                    _ => {}
                }
            }
            found.push((name.as_str(), content));
        }
        found
    }
}

fn change(content: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Write { offset, data, .. } => put(content, *offset, data),
        Operation::Truncate { len, .. } => content.resize(*len, 0),
        _ => unreachable!("nothing else changes a file"),
    }
}

fn put(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(data);
}

/// Writes some of the sectors of a write.
fn tear(content: &mut Vec<u8>, offset: usize, data: &[u8], rng: &mut ChaCha8Rng) {
    let mut begin = offset;
    let end = offset + data.len();
    while begin < end {
        let sector_end = ((begin / SECTOR_LEN + 1) * SECTOR_LEN).min(end);
        if rng.random_bool(0.5) {
            put(content, begin, &data[begin - offset..sector_end - offset]);
        }
        begin = sector_end;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn synced_data_stays_and_the_rest_may_go() {
        let write = |offset, data: &[u8]| Operation::Write { file: 0, offset, data: data.to_vec() };
        let record = Record {
            files: vec!["a".into()],
            operations: vec![
                write(0, b"abcd"),
                Operation::Sync { file: 0 },
                write(2, &[b'x'; 2_000]),
            ],
        };
        let mut disk = Disk::new(&record);
        (0..3).for_each(|index| disk.apply(index));
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut image = |unsynced| disk.after_power_cut(unsynced, &mut rng).remove(0).1;
        assert_eq!(image(Unsynced::Lost), b"abcd");
        assert_eq!(image(Unsynced::Kept)[..4], *b"abxx");
        let torn = image(Unsynced::Torn);
        assert!(torn.starts_with(b"ab") && torn.len() <= 2_002);
        let is_whole = |sector: &[u8]| sector.iter().all(|byte| *byte == sector[0]);
        assert!(torn[512..].chunks(512).all(is_whole), "a sector is torn");
    }
}
