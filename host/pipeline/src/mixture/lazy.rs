//! A mixture made when the first question needs one: compression has public text at hand, and few compressors ask for it.

use super::layer_mixture::Mixture;
use super::public_text::PublicText;
use crate::error::StageError;
use scaleot_model::Decoder;
use scaleot_plugin_api::{Module, Substitute};

/// Reads the public text: windows to train on and windows to judge on, if the config names any.
pub type ReadText<'a> = dyn Fn() -> Result<Option<PublicText>, StageError> + 'a;

/// The full model beside public text, once somebody asks.
pub struct LazyMixture<'a> {
    decoder: &'a Decoder,
    read: &'a ReadText<'a>,
    /// The layers that the questions will be about.
    layers: Vec<usize>,
    made: Option<Option<Mixture>>,
}

impl<'a> LazyMixture<'a> {
    /// Nothing is read yet; the questions will be about `layers`.
    pub fn new(decoder: &'a Decoder, read: &'a ReadText<'a>, layers: Vec<usize>) -> Self {
        Self { decoder, read, layers, made: None }
    }

    /// The mixture, in which every layer's substitute is the identity; `None` without public text.
    ///
    /// # Errors
    /// Text that cannot be read.
    pub fn get(&mut self) -> Result<Option<&mut Mixture>, StageError> {
        if self.made.is_none() {
            let identity = || Substitute::frozen(Module::Identity);
            let substitutes = self.decoder.slots.iter().map(|_| identity()).collect();
            let layers = self.layers.clone();
            let make = |text| -> Result<_, StageError> {
                Ok(Mixture::new(self.decoder.clone(), substitutes, text)?.curvature_only_of(layers))
            };
            self.made = Some((self.read)()?.map(make).transpose()?);
        }
        Ok(self.made.as_mut().and_then(Option::as_mut))
    }
}
