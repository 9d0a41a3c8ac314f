//! `plugin check`: the promises of the contract, tried on a fake host that has this program's libtorch.

use super::source;
use crate::failure::{VerbError, VerbResult};
use crate::output::{Output, say, table};
use scaleot_pipeline::report::fitted;
use scaleot_plugin_api::PluginError;
use scaleot_plugin_conformance::{Conformance, Libtorch};
use scaleot_plugins::{RegisteredPlugin, tensor_at};
use scaleot_store::escape::{escape, escape_to};
use scaleot_store::exit_code::ExitCode;
use scaleot_tensor::{Dtype, Tensor, TensorError};
use serde_json::{Value, json};
use std::any::Any;

/// Tries every promise, each strategy with its default options, and tells the verdicts.
pub fn check(plugin: &RegisteredPlugin, output: Output) -> VerbResult<()> {
    let verdicts = plugin.checked(|module| Conformance::of(module).with_libtorch(&OwnLibtorch).verdicts());
    let broken = verdicts.iter().filter(|verdict| verdict.broken.is_some()).count();
    let value: Vec<Value> = verdicts
        .iter()
        .map(|verdict| json!({ "of": verdict.of, "check": verdict.check, "broken": verdict.broken }))
        .collect();
    output.result(&json!({ "plugin": plugin.record.name, "source": source(plugin), "checks": value }), || {
        let mut table = table(&["strategy", "promise", "verdict"]);
        for verdict in &verdicts {
            let found = verdict.broken.as_deref().map_or_else(|| "kept".to_owned(), |broken| escape_to(broken, 400));
            table.add_row([escape(&verdict.of), verdict.check.to_owned(), found]);
        }
        format!("{}\n{} of {} promises kept", fitted(&mut table), verdicts.len() - broken, verdicts.len())
    })?;
    if broken == 0 {
        return Ok(());
    }
    let what = format!("plugin {}: breaks {broken} of {} promises", escape(&plugin.record.name), verdicts.len());
    // The result on stdout says it already; a second document there would be one too many.
    say(&format!("error: {what}"));
    Err(VerbError::AlreadyReported(ExitCode::Plugin))
}

/// The libtorch of this process, for the checks of the contract on a fake host.
struct OwnLibtorch;

impl Libtorch for OwnLibtorch {
    fn make(&self, values: &[f32], shape: &[i64]) -> Result<(u64, Box<dyn Any>), PluginError> {
        let tensor = Tensor::from_f32(values, shape).map_err(refused)?;
        Ok((tensor.as_raw().expose_provenance() as u64, Box::new(tensor)))
    }

    fn read(&self, address: u64) -> Result<(Vec<f32>, Vec<i64>), PluginError> {
        let tensor = tensor_at(address)?;
        let plain =
            tensor.detach().and_then(|tensor| tensor.to_dtype(Dtype::F32)).and_then(|tensor| tensor.contiguous());
        Ok((plain.and_then(|plain| plain.to_vec_f32()).map_err(refused)?, tensor.shape()))
    }
}

fn refused(error: TensorError) -> PluginError {
    PluginError::host(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_of_the_contract_get_tensors_of_this_libtorch() {
        let (address, kept) = OwnLibtorch.make(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
        let turned = tensor_at(address).unwrap().transpose(0, 1).unwrap();
        drop(kept);
        let read = OwnLibtorch.read(turned.as_raw().expose_provenance() as u64).unwrap();
        assert_eq!(read, (vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0], vec![3, 2]));
        assert_eq!(OwnLibtorch.read(0).unwrap_err().message, "0x0 is no address of a tensor");
    }
}
