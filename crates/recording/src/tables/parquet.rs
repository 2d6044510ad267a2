//! Parquet files.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use chrono::DateTime;
use parquet::basic::{LogicalType, TimeUnit};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;

use super::unusable;

/// The times of a column.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// `false` for what a clock shows, of which the offset from UTC is not said.
    is_utc: bool,
    /// Counts since 1970 to a microsecond and microseconds to a count, of which one is 1.
    per_us: i64,
    us_per: i64,
}

/// Writes the rows of a file, with a header.
pub(super) fn write_csv(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    let failed = |error: ParquetError| {
        unusable(&format!("it is a Parquet file that cannot be read: {error}"))
    };
    let reader = SerializedFileReader::new(File::open(path)?).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema();
    let columns = schema.get_fields();
    let times: Vec<Option<Times>> = columns.iter().map(|column| Times::of(column)).collect();
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(columns.iter().map(|column| column.name()))?;
    for row in reader.get_row_iter(None).map_err(failed)? {
        let row = row.map_err(failed)?;
        for ((_, field), times) in row.get_column_iter().zip(&times) {
            writer.write_field(text(field, *times))?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.flush()
}

impl Times {
    fn of(column: &Type) -> Option<Self> {
        let info = column.get_basic_info();
        let (is_utc, per_us, us_per) = match info.logical_type_ref() {
            Some(LogicalType::Timestamp(times)) => {
                let (per_us, us_per) = match times.unit {
                    TimeUnit::MILLIS => (1, 1_000),
                    TimeUnit::MICROS => (1, 1),
                    TimeUnit::NANOS => (1_000, 1),
                };
                (times.is_adjusted_to_u_t_c, per_us, us_per)
            }
            _ => return None,
        };
        Some(Self { is_utc, per_us, us_per })
    }

    fn text(self, count: i64) -> String {
        let us = (count / self.per_us).checked_mul(self.us_per);
        let time = us.and_then(DateTime::from_timestamp_micros);
        let zone = if self.is_utc { "Z" } else { "" };
        let written = |time: DateTime<_>| format!("{}{zone}", time.format("%Y-%m-%dT%H:%M:%S%.f"));
        time.map_or_else(|| count.to_string(), written)
    }
}

fn text(field: &Field, times: Option<Times>) -> String {
    // What has no better unit is in UTC.
    let of_unit = |per_us, us_per| times.unwrap_or(Times { is_utc: true, per_us, us_per });
    match (field, times) {
        (Field::Null, _) => String::new(),
        (Field::Long(count), Some(times)) => times.text(*count),
        (Field::TimestampMillis(count), _) => of_unit(1, 1_000).text(*count),
        (Field::TimestampMicros(count), _) => of_unit(1, 1).text(*count),
        (Field::Str(text), _) => text.clone(),
        (Field::Float(number), _) => number.to_string(),
        (Field::Double(number), _) => number.to_string(),
        (Field::Bytes(bytes), _) => String::from_utf8_lossy(bytes.data()).into_owned(),
        (field, _) => field.to_string(),
    }
}
