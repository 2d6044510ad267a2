//! Engines: a forest laid out for the instructions of this machine.
//!
//! A walk splits at level eight. The [`treetop`] is walked by an engine; what lies below it, in
//! trees grown from more than 256 samples, is walked plainly from there on. Every engine adds up
//! the same integers, so all give the same bits.

use std::fmt;
use std::str::FromStr;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use crate::conventions::{Conventions, InputPrecision};
use crate::path_sum::PathSum;
use crate::tree::{IsolationTree, has_missing};
use exits::add_from;
use heaps::Heaps;
#[cfg(target_arch = "x86_64")]
use planes::{Kernel, Planes};
#[cfg(target_arch = "x86_64")]
use {blocks::Blocks, loads::Avx512, planes::avx2::Avx2};

#[cfg(target_arch = "x86_64")]
mod blocks;
mod exits;
mod heaps;
#[cfg(target_arch = "x86_64")]
mod loads;
mod narrow;
#[cfg(target_arch = "x86_64")]
mod planes;
mod treetop;

/// The instructions that a forest is scored with. All engines give the same scores, to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// The portable engine, which runs on every machine.
    Portable,
    /// AVX2: x86 processors since 2013.
    Avx2,
    /// AVX-512 with VBMI and VNNI: Intel's since Ice Lake, AMD's since Zen 4.
    Avx512,
}

/// An error that occurs when an engine is chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No engine has this name.
    #[error("there is no engine {name:?}: choose one of portable, avx2 and avx512")]
    Unknown {
        /// As given.
        name: String,
    },
    /// The processor lacks the instructions.
    #[error("this processor cannot run the engine {engine}")]
    Unavailable {
        /// The engine that was asked for.
        engine: Engine,
    },
}

impl Engine {
    /// All engines, the fastest last.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Returns `true` if this machine can run the engine.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// Returns the engines that this machine can run, the fastest last.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|engine| engine.is_available())
    }

    /// Returns the fastest engine that this machine can run: the engine of new forests.
    pub fn fastest() -> Self {
        Self::available().last().unwrap_or(Self::Portable)
    }

    /// Reads the choice of a user: the name of an engine, or `auto` for the fastest.
    ///
    /// # Errors
    ///
    /// Fails when no engine has this name, and when this machine cannot run it.
    pub fn choose(name: &str) -> Result<Self, EngineError> {
        match name {
            "" | "auto" => Ok(Self::fastest()),
            name => name.parse::<Self>()?.checked(),
        }
    }

    /// Returns the engine if this machine can run it.
    pub(crate) fn checked(self) -> Result<Self, EngineError> {
        if self.is_available() { Ok(self) } else { Err(EngineError::Unavailable { engine: self }) }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Engine {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, EngineError> {
        let engine = Self::ALL.into_iter().find(|engine| engine.name() == name);
        engine.ok_or_else(|| EngineError::Unknown { name: name.to_owned() })
    }
}

/// A forest laid out for an engine.
pub(crate) struct Compiled {
    engine: Engine,
    single: Single,
    /// For batches, laid out for the first one.
    #[cfg(target_arch = "x86_64")]
    planes: OnceLock<Planes>,
    #[cfg(target_arch = "x86_64")]
    conventions: Conventions,
    /// `true` if missing values go left in all trees, as the kernels send them.
    sends_missing_left: bool,
}

/// The scoring of single events, and of batches where there is nothing faster.
enum Single {
    /// Down the trees as they are: where treetops do not fit what is faster.
    Plain,
    Heaps(Heaps),
    #[cfg(target_arch = "x86_64")]
    Blocks(Blocks),
}

impl Single {
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_variables, reason = "only x86-64 has a choice of engines")
    )]
    fn of(engine: Engine, trees: &[IsolationTree], conventions: Conventions) -> Self {
        let Conventions { n_features, input_precision, .. } = conventions;
        #[cfg(target_arch = "x86_64")]
        if engine == Engine::Avx512
            && let Some(kernel) = Avx512::new()
            && let Some(blocks) = Blocks::of(kernel, trees, n_features, input_precision)
        {
            return Self::Blocks(blocks);
        }
        match Heaps::of(trees, n_features, input_precision) {
            Some(heaps) => Self::Heaps(heaps),
            None => Self::Plain,
        }
    }
}

impl Compiled {
    pub(crate) fn new(engine: Engine, trees: &[IsolationTree], conventions: Conventions) -> Self {
        Self {
            engine,
            single: Single::of(engine, trees, conventions),
            #[cfg(target_arch = "x86_64")]
            planes: OnceLock::new(),
            #[cfg(target_arch = "x86_64")]
            conventions,
            sends_missing_left: trees.iter().all(IsolationTree::sends_missing_left),
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// Returns the path sum of one event.
    pub(crate) fn path_sum(&self, trees: &[IsolationTree], x: &[f64]) -> PathSum {
        match &self.single {
            _ if self.has_ways_to_choose(x) => path_sum_with_missing(trees, x),
            Single::Plain => plain_path_sum(trees, x),
            Single::Heaps(heaps) => heaps.path_sum(trees, x),
            #[cfg(target_arch = "x86_64")]
            Single::Blocks(blocks) => blocks.path_sum(trees, x),
        }
    }

    /// Writes the path sum of every row.
    pub(crate) fn path_sums(&self, trees: &[IsolationTree], rows: &[&[f64]], sums: &mut [PathSum]) {
        if rows.len() < BATCH_MIN {
            for (row, sum) in rows.iter().zip(sums) {
                *sum = self.path_sum(trees, row);
            }
            return;
        }
        sums.fill(PathSum::ZERO);
        match (self.engine, &self.single) {
            #[cfg(target_arch = "x86_64")]
            (Engine::Avx512, _) if let Some(kernel) = Avx512::new() => {
                self.planes(kernel, trees).add_path_sums(kernel, trees, rows, sums);
            }
            #[cfg(target_arch = "x86_64")]
            (Engine::Avx2, _) if let Some(kernel) = Avx2::new() => {
                self.planes(kernel, trees).add_path_sums(kernel, trees, rows, sums);
            }
            (_, Single::Heaps(heaps)) => heaps.add_path_sums(trees, rows, sums),
            _ => add_plain_path_sums(trees, rows, sums),
        }
        for (row, sum) in rows.iter().zip(sums) {
            if self.has_ways_to_choose(row) {
                *sum = path_sum_with_missing(trees, row);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn planes<K: Kernel>(&self, _: K, trees: &[IsolationTree]) -> &Planes {
        self.planes.get_or_init(|| {
            let Conventions { n_features, input_precision, .. } = self.conventions;
            Planes::of(trees, n_features, input_precision, K::HAS_LENGTH_CODES)
        })
    }

    /// Returns `true` if a value is missing and the trees say where to go without it.
    fn has_ways_to_choose(&self, x: &[f64]) -> bool {
        !self.sends_missing_left && has_missing(x)
    }
}

/// Fewer rows than these are scored one by one: to fill a block up would take longer.
const BATCH_MIN: usize = 24;

/// Adds to the path sum of every row, by walks through the trees as they are.
fn add_plain_path_sums(trees: &[IsolationTree], rows: &[&[f64]], sums: &mut [PathSum]) {
    const LANES: usize = 8;
    let (blocks, rest) = rows.as_chunks::<LANES>();
    let (sums, sums_of_rest) = sums.as_chunks_mut::<LANES>();
    for tree in trees {
        for (rows, sums) in blocks.iter().zip(&mut *sums) {
            add_from(tree, rows, [0; LANES], sums);
        }
    }
    for (row, sum) in rest.iter().zip(sums_of_rest) {
        *sum = sum.plus(plain_path_sum(trees, row));
    }
}

/// Returns `true` if an `f32` can take the place of a threshold.
pub(crate) fn is_narrow(threshold: f64, precision: InputPrecision) -> bool {
    narrow::narrowed(threshold, precision).is_some()
}

/// Returns the path sum of one event with missing values.
fn path_sum_with_missing(trees: &[IsolationTree], x: &[f64]) -> PathSum {
    let mut branches = Vec::new();
    let lengths = trees.iter().map(|tree| tree.path_length_with_missing(x, &mut branches));
    lengths.fold(PathSum::ZERO, PathSum::plus)
}

/// Returns the path sum of one event, by walks through the trees as they are.
fn plain_path_sum(trees: &[IsolationTree], x: &[f64]) -> PathSum {
    trees.iter().fold(PathSum::ZERO, |sum, tree| sum.plus(tree.path_length(x)))
}
