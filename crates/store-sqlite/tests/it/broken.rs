//! The contract notices what is broken: each of these backends fails at least one of its cases.

use std::sync::Arc;

use store::contract::{CASES, Database};
use store::{
    Backend, Entry, Failure, KeepError, Kept, Observer, Store, Sweep, Swept, Totals, Writer,
};
use store_sqlite::OnCorrupt;

use crate::InFolder;

/// The fault of a backend.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It acknowledges what it has not stored.
    AcknowledgesWithoutStoring,
    /// It calls a repetition new.
    CallsRepetitionsNew,
    /// It calls a conflict a repetition.
    HidesConflicts,
    /// It mixes up the outcomes of a batch.
    ReversesOutcomes,
    /// It forgets that anomalies are some.
    ForgetsAnomalies,
    /// It leaves out what watches continue from.
    ForgetsRecords,
    /// Of actions, which come without an event.
    ForgetsRecordsAlone,
    /// It does not count.
    CountsNothing,
    /// It deletes anomalies with the rest.
    SweepsAnomalies,
    /// It sweeps everything in one step.
    SweepsInOneStep,
}

const FAULTS: [Fault; 10] = [
    Fault::AcknowledgesWithoutStoring,
    Fault::CallsRepetitionsNew,
    Fault::HidesConflicts,
    Fault::ReversesOutcomes,
    Fault::ForgetsAnomalies,
    Fault::ForgetsRecords,
    Fault::ForgetsRecordsAlone,
    Fault::CountsNothing,
    Fault::SweepsAnomalies,
    Fault::SweepsInOneStep,
];

struct Broken {
    backend: Box<dyn Backend>,
    fault: Fault,
}

impl Backend for Broken {
    fn keep(&mut self, entries: &[Entry]) -> Result<Vec<Kept>, Failure> {
        match self.fault {
            Fault::AcknowledgesWithoutStoring => Ok(vec![Kept::Stored; entries.len()]),
            Fault::ForgetsAnomalies => {
                let mut entries = entries.to_vec();
                for entry in &mut entries {
                    Arc::make_mut(&mut entry.new).prediction.is_anomaly = false;
                }
                self.backend.keep(&entries)
            }
            Fault::ForgetsRecords => {
                let mut entries = entries.to_vec();
                for entry in &mut entries {
                    Arc::make_mut(&mut entry.new).alarm_record = None;
                }
                self.backend.keep(&entries)
            }
            fault => {
                let mut kept = self.backend.keep(entries)?;
                for (kept, entry) in kept.iter_mut().zip(entries) {
                    match (fault, &*kept) {
                        (Fault::CallsRepetitionsNew, Kept::Duplicate(_)) => *kept = Kept::Stored,
                        (Fault::HidesConflicts, Kept::Conflict) => {
                            *kept = Kept::Duplicate(entry.new.prediction.clone());
                        }
                        _ => {}
                    }
                }
                if matches!(fault, Fault::ReversesOutcomes) {
                    kept.reverse();
                }
                Ok(kept)
            }
        }
    }

    fn keep_alarm_record(
        &mut self,
        station_id: &sensor::StationId,
        record: &[u8],
    ) -> Result<(), Failure> {
        match self.fault {
            Fault::ForgetsRecordsAlone => Ok(()),
            _ => self.backend.keep_alarm_record(station_id, record),
        }
    }

    fn sweep(&mut self, sweep: &Sweep) -> Result<Swept, Failure> {
        match self.fault {
            Fault::SweepsAnomalies => {
                self.backend.sweep(&Sweep { anomalies_before_us: sweep.before_us, ..sweep.clone() })
            }
            Fault::SweepsInOneStep => {
                let mut sweep = sweep.clone();
                let mut n_deleted = 0;
                loop {
                    let swept = self.backend.sweep(&sweep)?;
                    n_deleted += swept.n_deleted;
                    let Some(next) = swept.next else {
                        return Ok(Swept { n_deleted, next: None });
                    };
                    sweep.from = Some(next);
                }
            }
            _ => self.backend.sweep(sweep),
        }
    }

    fn totals(&self) -> Totals {
        match self.fault {
            Fault::CountsNothing => Totals::default(),
            _ => self.backend.totals(),
        }
    }

    fn believed_us(&self) -> Option<i64> {
        self.backend.believed_us()
    }

    fn is_damaged(&self) -> bool {
        self.backend.is_damaged()
    }

    fn maintain(&mut self) {
        self.backend.maintain();
    }

    fn close(self: Box<Self>) -> Result<(), KeepError> {
        self.backend.close()
    }
}

struct BrokenDatabase {
    folder: InFolder,
    fault: Fault,
}

impl Database for BrokenDatabase {
    fn open(&self, observe: Observer) -> (Store, Writer) {
        let path = self.folder.0.path().join("events.db");
        let (backend, readers) = store_sqlite::open_backend(&path, OnCorrupt::Quarantine).unwrap();
        let broken = Broken { backend, fault: self.fault };
        Store::start(Box::new(broken), readers, Store::QUEUE_LEN_DEFAULT, observe).unwrap()
    }
}

#[tokio::test]
async fn the_contract_notices_each_fault() {
    for fault in FAULTS {
        let mut failed = Vec::new();
        for (name, case) in CASES {
            let database = BrokenDatabase { folder: InFolder::new(), fault };
            if tokio::spawn(async move { case(&database).await }).await.is_err() {
                failed.push(*name);
            }
        }
        println!("{fault:?}: {failed:?}");
        assert!(!failed.is_empty(), "no case notices {fault:?}");
    }
}
