//! A strategy under test, called as the host calls it, on two models that differ in everything a plugin might assume.

use crate::fake_host::FakeHost;
use crate::libtorch::Libtorch;
use scaleot_plugin_api::export::{PluginModule_Ref, RawStrategy, read_error};
use scaleot_plugin_api::{ErrorCode, Method, ModelOutline, PluginError, StrategyRecord, Trait, WeightRole};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// A broken promise.
#[derive(Debug)]
pub(crate) struct Broken {
    text: String,
    code: Option<ErrorCode>,
}

impl Broken {
    /// The code, if it was the plugin that failed.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        self.code
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Broken {
    fn from(text: String) -> Self {
        Self { text, code: None }
    }
}

impl From<PluginError> for Broken {
    fn from(error: PluginError) -> Self {
        Self { text: error.to_string(), code: Some(error.code) }
    }
}

pub(crate) type Outcome = Result<(), Broken>;

/// A promise, and how it is checked.
pub(crate) type Check = (&'static str, fn(&Subject) -> Outcome);

/// `Err` with this text unless it holds.
pub(crate) fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(broken().into()) }
}

/// The strategy under test.
pub(crate) struct Subject<'a> {
    pub(crate) module: PluginModule_Ref,
    pub(crate) record: &'a StrategyRecord,
    pub(crate) options: &'a serde_json::Value,
    pub(crate) libtorch: Option<&'static dyn Libtorch>,
}

impl Subject<'_> {
    /// A host with this model.
    pub(crate) fn host(&self, outline: ModelOutline) -> FakeHost {
        let host = FakeHost::with_outline(outline, 7);
        match self.libtorch {
            Some(libtorch) => host.with_libtorch(libtorch),
            None => host,
        }
    }

    /// True where the strategy declares this of itself with the options under test.
    pub(crate) fn declares(&self, of: &Trait) -> bool {
        let default = |option: &str| self.record.options.get("properties")?.get(option)?.get("default").cloned();
        let value_of = |option: &str| self.options.get(option).cloned().or_else(|| default(option));
        self.record.declares.iter().any(|one| one.of == *of && one.applies(value_of))
    }

    /// A fresh strategy with the options under test.
    pub(crate) fn session(&self) -> Result<Session, PluginError> {
        Session::create(self.module, &self.record.name, &self.options.to_string())
    }

    /// Runs a check with a fresh strategy on each model, and counts tensors afterwards.
    /// `Unsupported` is a fair answer for a model, but not for every model.
    pub(crate) fn on_each_model(&self, check: impl Fn(&mut Session, &mut FakeHost) -> Outcome) -> Outcome {
        let mut refused = None;
        let mut supported = false;
        for outline in models() {
            let family = outline.family.clone();
            let mut host = self.host(outline);
            let mut session = self.session()?;
            match check(&mut session, &mut host) {
                Ok(()) => supported = true,
                Err(broken) if broken.code == Some(ErrorCode::Unsupported) => refused = Some(broken),
                Err(broken) => return Err(format!("{broken} (model {family})").into()),
            }
            drop(session);
            let live = host.live_tensors();
            ensure(live == 0, || format!("{live} tensors are still held after the strategy is dropped"))?;
        }
        match refused {
            Some(broken) if !supported => Err(broken),
            _ => Ok(()),
        }
    }
}

/// A strategy behind the boundary.
pub(crate) struct Session {
    raw: RawStrategy,
}

impl Session {
    pub(crate) fn create(module: PluginModule_Ref, strategy: &str, options: &str) -> Result<Self, PluginError> {
        let made = (module.create())(strategy.into(), options.as_bytes().into()).into_result();
        Ok(Self { raw: made.map_err(|error| read_error(&error))? })
    }

    /// Asks a question, both sides in JSON.
    pub(crate) fn ask<A: DeserializeOwned>(
        &mut self,
        method: Method,
        question: &impl Serialize,
        host: &mut FakeHost,
    ) -> Result<A, PluginError> {
        host.set_during(Some(method));
        let answer = self.raw.call(method, &serde_json::to_vec(question)?, host);
        host.set_during(None);
        Ok(serde_json::from_slice(&answer?)?)
    }

    /// The strategy's state.
    pub(crate) fn save(&mut self, host: &mut FakeHost) -> Result<Vec<u8>, PluginError> {
        self.raw.call(Method::Save, &[], host)
    }

    /// Gives a state back.
    pub(crate) fn restore(&mut self, state: &[u8], host: &mut FakeHost) -> Result<(), PluginError> {
        self.raw.call(Method::Restore, state, host).map(drop)
    }
}

/// A gated model without biases and with square attention, and one of the opposite: grouped queries, biases, no gate.
pub(crate) fn models() -> [ModelOutline; 2] {
    [ModelOutline::toy(6, 8), grouped_query_model()]
}

fn grouped_query_model() -> ModelOutline {
    let (hidden_size, n_heads, n_kv_heads, intermediate_size) = (12, 3, 1, 30);
    let mut model = ModelOutline::toy(5, hidden_size);
    let kv_width = n_kv_heads * hidden_size / n_heads;
    for layer in &mut model.layers {
        layer.weights.retain(|weight| weight.role != WeightRole::MlpGate);
        for weight in &mut layer.weights {
            weight.bias = true;
            match weight.role {
                WeightRole::AttentionK | WeightRole::AttentionV => weight.shape = vec![kv_width, hidden_size],
                WeightRole::MlpUp => weight.shape = vec![intermediate_size, hidden_size],
                WeightRole::MlpDown => weight.shape = vec![hidden_size, intermediate_size],
                _ => {}
            }
        }
    }
    let ModelOutline { vocab_size, layers, .. } = model;
    let family = "toy-grouped-query";
    ModelOutline::new(family, hidden_size, intermediate_size, n_heads, n_kv_heads, vocab_size, layers)
}
