//! Figures: numbers as people read them, and pictures of them.

pub mod number;
