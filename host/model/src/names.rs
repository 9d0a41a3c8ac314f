//! From a config to the tensors its folder must hold: every name, its shape, its part in the model.

use super::config::ModelConfig;
use super::family::{Family, Fused, LayerModule};
use super::weights::Weights;

/// The names of one folder: a family's templates with the prefix that the folder uses.
#[derive(Debug, Clone)]
pub struct Names {
    family: &'static Family,
    prefix: String,
}

impl Names {
    /// The names as Transformers writes them today.
    pub fn for_writing(family: &'static Family) -> Names {
        Names { family, prefix: family.tensors.prefixes.first().cloned().unwrap_or_default() }
    }

    /// The names that a folder uses: the first prefix under which the embedding is found.
    pub fn in_files(weights: &Weights, family: &'static Family) -> Names {
        let prefixes = family.tensors.prefixes.iter();
        let mut names = prefixes.map(|prefix| Names { family, prefix: prefix.clone() });
        names.find(|names| weights.contains(&names.embedding())).unwrap_or_else(|| Names::for_writing(family))
    }

    fn fill(&self, template: &str) -> String {
        template.replace("{prefix}", &self.prefix)
    }

    /// The embedding, `[vocabulary, hidden]`.
    pub fn embedding(&self) -> String {
        self.fill(&self.family.tensors.embedding)
    }

    /// The position table, if the family has one.
    pub fn positions(&self) -> Option<String> {
        self.family.tensors.positions.as_deref().map(|template| self.fill(template))
    }

    /// The final norm, without `.weight` or `.bias`.
    pub fn final_norm(&self) -> String {
        self.fill(&self.family.tensors.final_norm)
    }

    /// The head, `[vocabulary, hidden]`.
    pub fn head(&self) -> String {
        self.fill(&self.family.tensors.head)
    }

    /// A module of a layer, without `.weight` or `.bias`.
    pub fn module(&self, layer: usize, module: &str) -> String {
        let frame = self.family.tensors.layer.replace("{layer}", &layer.to_string());
        self.fill(&frame) + module
    }
}

impl LayerModule {
    /// The shape of the tensor in the file: the roles under one another, turned if stored so.
    pub fn weight_shape(&self, config: &ModelConfig) -> Vec<i64> {
        let shapes: Vec<Vec<i64>> = self.roles.iter().map(|&role| config.shape(role)).collect();
        let mut shape = shapes.first().cloned().unwrap_or_default();
        if let Some(rows) = shape.first_mut() {
            *rows = shapes.iter().filter_map(|s| s.first()).sum();
        }
        if self.transposed {
            shape.reverse();
        }
        shape
    }

    /// True if a bias goes with the weight.
    pub fn has_bias(&self, config: &ModelConfig) -> bool {
        self.roles.first().is_some_and(|&role| config.has_bias(role))
    }

    /// The layout of the roles in the tensor; a single role is a case of `Rows`.
    pub fn layout(&self) -> Fused {
        self.fused.unwrap_or(Fused::Rows)
    }
}
