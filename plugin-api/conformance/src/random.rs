//! Seeded values for the fake host: `SplitMix64`, uniform by its top 24 bits, normal by Box and Muller.

/// A stream of pseudo-random numbers.
pub(crate) struct Stream(u64);

impl Stream {
    /// The stream of a seed; equal seeds give equal streams.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `[0, 1)`, exact in fp32.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 40) as f64 / f64::from(1_u32 << 24)
    }

    /// Normal with mean 0 and deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        // `1 - uniform` is above 0, so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A seed for a purpose: FNV-1a over the run's seed and the words.
pub(crate) fn seed_for(run_seed: u64, purpose: &str) -> u64 {
    let bytes = run_seed.to_le_bytes();
    bytes
        .iter()
        .chain(purpose.as_bytes())
        .fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}
