//! An emulator is made by a verified bundle alone, never of a decoder at hand.

use scaleot_data::Tokenizer;
use scaleot_model::Decoder;
use scaleot_pipeline::artefacts::{Emulator, EmulatorDescription};
use scaleot_store::Digest;
use std::rc::Rc;

fn forged(
    decoder: Decoder,
    description: EmulatorDescription,
    bundle: Digest,
    tokenizer: Rc<Tokenizer>,
) -> Emulator {
    Emulator { decoder, description, bundle, tokenizer }
}

fn main() {}
