//! ScaleOT
