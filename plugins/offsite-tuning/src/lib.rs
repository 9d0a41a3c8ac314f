//! Offsite-Tuning
