//! my-plugin: a small trainable network stands in for a layer: `x + up relu(down x)`, `down: [rank, d]`, `up: [d, rank]`.
//!
//! `up` is zero at the start, so that the substitute begins as the identity; the owner's training does the rest.

use scaleot_plugin_api::{
    Checkpoint, Host, LayerOutline, LayerReplacer, Module, PluginError, Strategy, Substitute,
    export_plugin,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `my-plugin/bottleneck`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BottleneckOptions {
    /// Width inside the network.
    #[schemars(range(min = 1, max = 65536))]
    pub rank: u32,
}

impl Default for BottleneckOptions {
    fn default() -> Self {
        Self { rank: 8 }
    }
}

/// A network of one hidden layer for each layer of the model.
pub struct Bottleneck {
    rank: usize,
}

impl Strategy for Bottleneck {
    type Options = BottleneckOptions;
    fn new(options: BottleneckOptions) -> Result<Self, PluginError> {
        Ok(Self {
            rank: options.rank as usize,
        })
    }
}

impl LayerReplacer for Bottleneck {
    /// The network that runs instead of a layer; which layers are replaced is left to the default: the least important ones.
    fn substitute(
        &mut self,
        layer: &LayerOutline,
        host: &mut Host,
    ) -> Result<Substitute, PluginError> {
        let (rank, width) = (self.rank, layer.hidden_size);
        // Random numbers come from the run's seed alone, one stream a purpose.
        let seed = host.seed(&format!("bottleneck {}", layer.index))?;
        let down = host.random_normal(&[rank, width], 1.0 / (width as f64).sqrt(), seed)?;
        let (down_bias, up, up_bias) = (
            host.zeros(&[rank])?,
            host.zeros(&[width, rank])?,
            host.zeros(&[width])?,
        );
        Ok(Substitute::trainable(Module::harmonizer(
            down, down_bias, up, up_bias,
        )))
    }
}

impl Checkpoint for Bottleneck {}

export_plugin! {
    name: "my-plugin",
    about: "Small networks in the place of layers.",
    strategies: {
        "bottleneck": replace Bottleneck, "A network of one hidden layer that begins as the identity.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_conformance::FakeHost;

    #[test]
    fn a_substitute_has_four_tensors_of_the_layer_s_width() {
        let mut fake = FakeHost::toy(3, 8);
        let layer = fake.outline().layers[1].clone();
        let mut bottleneck = Bottleneck::new(BottleneckOptions { rank: 2 }).expect("a good rank");
        let Substitute { module, trainable, .. } = bottleneck
            .substitute(&layer, &mut fake.host())
            .expect("an answer");
        let mut host = fake.host();
        let shapes: Vec<_> = module
            .tensors()
            .into_iter()
            .map(|tensor| host.shape(tensor).expect("a shape"))
            .collect();
        assert!(trainable);
        assert_eq!(shapes, [vec![2, 8], vec![2], vec![8, 2], vec![8]]);
    }
}
