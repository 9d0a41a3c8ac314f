//! Side: model owner. Takes: the full model, the ledger of the bundle, a return. Gives: the adapted model. Plugin kind: none.

mod export;

use crate::error::StageError;
use crate::progress::Progress;
use crate::run::{OwnerRun, Party as _};
use crate::stage::Stage;
use scaleot_store::{Manifest, StoreError, VerifiedFolder};
use serde_json::json;
use std::path::Path;

impl OwnerRun<'_> {
    /// Verifies the return, plugs it in, and writes the adapted model as a model folder if the config says so.
    ///
    /// # Errors
    /// The first check that the return fails, or a full disk.
    pub fn plug_in(&mut self, returned: &Path, progress: &mut dyn Progress) -> Result<VerifiedFolder, StageError> {
        let identity = Manifest::verify(returned, Stage::Tune.head())?.manifest().identity();
        let ledger = self.ledger()?;
        let fingerprint = self.model()?.fingerprint.to_string();
        // One bundle may be cut from two models that differ in what it left out, or at other layers.
        let parts =
            json!([identity.to_string(), fingerprint, ledger.bundle, ledger.layer_of_slot, self.core.config.plug_in]);
        let parts = match self.core.companion_inputs()? {
            Some(companions) => json!([parts, companions]),
            None => parts,
        };
        let inputs = self.core.inputs(Stage::PlugIn, parts);
        if let Some(done) = self.core.up_to_date(Stage::PlugIn, &inputs, progress)? {
            self.adopt(returned)?;
            return Ok(done);
        }
        self.measure(Stage::PlugIn, |run| {
            let (decoder, verified) = run.plugged(returned)?;
            run.adopt(returned)?;
            let check = &verified.check;
            progress.log(&format!("plug_in: {} tensors, {check}", check.tensors));
            let mut stage = run.core.dir.stage(Stage::PlugIn.folder().name)?;
            if run.core.config.plug_in.export {
                export::export(&decoder, &run.core.config.model.path, &mut stage)?;
            }
            Ok(stage.commit(Stage::PlugIn.head(), &json!({ "inputs": inputs, "check": check }))?)
        })
    }

    /// Makes a return that came from elsewhere this run's own, so that later verbs find it.
    fn adopt(&self, returned: &Path) -> Result<(), StageError> {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let own = self.core.path_of(Stage::Tune);
        if real(&own).is_some() && real(&own) == real(returned) {
            return Ok(());
        }
        let verified = Manifest::verify(returned, Stage::Tune.head())?;
        let mut stage = self.core.dir.stage(Stage::Tune.folder().name)?;
        for name in verified.manifest().files.keys() {
            let path = verified.file(name)?;
            let bytes = std::fs::read(&path).map_err(|source| StoreError::read(&path, source))?;
            stage.write_bytes(name, &bytes)?;
        }
        stage.commit(Stage::Tune.head(), &verified.manifest().body)?;
        Ok(())
    }
}
