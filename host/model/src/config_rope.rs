//! The positions part of a `config.json`: learned, or rotary with its rescaling, as Transformers 5.23 reads it.
//!
//! Version 5 writes `rope_parameters {rope_theta, rope_type, partial_rotary_factor, …}`, version 4 wrote `rope_theta` (NeoX:
//! `rotary_emb_base`, `rotary_pct`) beside `rope_scaling`. Where both sections are there, `rope_scaling` is read and the other is
//! not; what a section does not say is taken from the key beside it. A key of the section that is null stays null, and is refused.

use super::config::Positions;
use super::config_read::Source;
use super::error::Result;
use super::family::PositionKind;
use super::rope_scaling::{Rope, RopeScaling, YarnRamp};
use scaleot_store::foreign_json::special_number;
use serde_json::{Map, Value};

const KINDS: &str = "default, linear, dynamic, llama3, yarn, longrope or proportional";
const NUMBER: &str = "a finite number above 0";

/// The section that is read; without values where the file has none.
struct Section<'a> {
    source: &'a Source<'a>,
    name: &'static str,
    values: Option<&'a Map<String, Value>>,
}

impl Source<'_> {
    pub(super) fn positions(&self, head_dim: usize) -> Result<Positions> {
        if self.family.positions == PositionKind::Learned {
            return Ok(Positions::Learned { offset: self.family.position_offset });
        }
        self.rope_section()?.rope(head_dim).map(Positions::Rope)
    }

    fn rope_section(&self) -> Result<Section<'_>> {
        let mut read = Section { source: self, name: "rope_parameters", values: None };
        for name in ["rope_scaling", "rope_parameters"] {
            match self.raw.get(name) {
                None | Some(Value::Null) => {}
                Some(Value::Object(values)) if values.is_empty() => {}
                Some(Value::Object(_)) if read.values.is_some() => {}
                Some(Value::Object(values)) => read = Section { source: self, name, values: Some(values) },
                Some(value) => return Err(self.wrong(name, Some(value), "an object or null")),
            }
        }
        read.check_flat()?;
        Ok(read)
    }
}

impl Section<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.values?.get(key)
    }

    fn refuse<T>(&self, key: &str, expected: &str) -> Result<T> {
        Err(self.source.wrong(&format!("{}.{key}", self.name), self.get(key), expected))
    }

    /// Sections for each kind of layer belong to families that are not supported; the flat reader would pass them over.
    fn check_flat(&self) -> Result<()> {
        let nested = |value: &Value| value.is_object() && special_number(value).is_none();
        match self.values.into_iter().flatten().find(|(_, value)| nested(value)) {
            Some((key, _)) => self.refuse(key, "a value; a section for each kind of layer is not supported"),
            None => Ok(()),
        }
    }

    /// A number that the section must have.
    fn number(&self, key: &str) -> Result<f64> {
        match self.get(key) {
            Some(value) => self.source.positive(&format!("{}.{key}", self.name), value),
            None => self.refuse(key, NUMBER),
        }
    }

    /// A number that may be absent or null.
    fn optional(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).filter(|value| !value.is_null()).map(|_| self.number(key)).transpose()
    }

    /// As [`optional`](Self::optional), where 0 says the same as nothing.
    fn non_zero(&self, key: &str) -> Result<Option<f64>> {
        if self.get(key).and_then(Value::as_f64) == Some(0.0) { Ok(None) } else { self.optional(key) }
    }

    /// A number of the section, else of the key beside it; null is a value.
    fn here_or_beside(&self, key: &str, beside: Option<&str>) -> Result<Option<f64>> {
        match (self.get(key), beside.and_then(|beside| Some((beside, self.source.raw.get(beside)?)))) {
            (Some(_), _) => self.number(key).map(Some),
            (None, Some((beside, value))) => self.source.positive(beside, value).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn rope(&self, head_dim: usize) -> Result<Rope> {
        let family = self.source.family;
        let beside = family.keys.get("rope_theta").map(String::as_str);
        let theta = self.here_or_beside("rope_theta", beside)?;
        let theta = theta.unwrap_or(family.defaults.rope_theta.unwrap_or(10_000.0));
        let said = self.get("rope_type").or_else(|| self.get("type"));
        let kind = match said {
            None => "default",
            Some(value) => value.as_str().unwrap_or_default(),
        };
        // Of the families that turn whole heads, only rescaled positions look at the share.
        let width = match kind {
            "default" if !family.partial_rotary => head_dim,
            "proportional" => head_dim,
            // The product is cut off to a whole number, as in Transformers.
            _ => (head_dim as f64 * self.share()?) as usize,
        };
        let rope = Rope { width, ..Rope::plain(theta, width.next_multiple_of(2)) };
        self.check_width(&rope, head_dim)?;
        let rope = match kind {
            "default" => rope,
            "linear" => Rope { scaling: RopeScaling::Linear { factor: self.number("factor")? }, ..rope },
            "dynamic" => self.dynamic(rope)?,
            "llama3" => self.llama3(rope)?,
            "yarn" => self.yarn(rope)?,
            "longrope" => self.longrope(rope)?,
            "proportional" => self.proportional(rope)?,
            _ => {
                let key = if self.get("rope_type").is_some() { "rope_type" } else { "type" };
                return self.refuse(key, &format!("{KINDS}; other scalings are not supported"));
            }
        };
        self.check_finite(rope)
    }

    /// The share of a head that turns.
    fn share(&self) -> Result<f64> {
        let family = self.source.family;
        // Null beside the section says nothing, but NeoX's own key does not allow it.
        let beside = family.keys.get("rotary_share").map(String::as_str);
        let beside = beside.filter(|key| family.partial_rotary || self.source.raw.get(*key) != Some(&Value::Null));
        let share = self.here_or_beside("partial_rotary_factor", beside)?;
        Ok(share.or(family.defaults.rotary_share).unwrap_or(1.0))
    }

    /// Families that turn whole heads fail on anything else, the others on more than a head.
    fn check_width(&self, rope: &Rope, head_dim: usize) -> Result<()> {
        let whole = rope.dims == head_dim;
        if whole || (self.source.family.partial_rotary && (1..head_dim).contains(&rope.dims)) {
            return Ok(());
        }
        if !head_dim.is_multiple_of(2) && rope.width == head_dim {
            let (key, value) = self.source.lookup("head_dim").unwrap_or(("head_dim", &Value::Null));
            return Err(self.source.wrong(
                key,
                Some(value),
                format!("an even number; heads have {head_dim} dimensions"),
            ));
        }
        let expected = if self.source.family.partial_rotary {
            format!("a share that turns 1 to {head_dim} dimensions of a head")
        } else {
            format!("a share that turns all {head_dim} dimensions of a head, as this family does")
        };
        if self.get("partial_rotary_factor").is_some() {
            return self.refuse("partial_rotary_factor", &expected);
        }
        let (key, value) = self.source.lookup("rotary_share").unwrap_or(("partial_rotary_factor", &Value::Null));
        Err(self.source.wrong(key, Some(value), expected))
    }

    /// The context before it was made longer. A key beside the section comes first here, as in Transformers.
    fn original_context(&self) -> Result<f64> {
        const KEY: &str = "original_max_position_embeddings";
        if let Some(value) = self.source.raw.get(KEY) {
            return self.source.positive(KEY, value);
        }
        if self.get(KEY).is_some() { self.number(KEY) } else { self.whole_context() }
    }

    fn whole_context(&self) -> Result<f64> {
        match self.source.lookup("context") {
            Some((key, value)) => self.source.positive(key, value),
            None => Err(self.source.wrong("max_position_embeddings", None, NUMBER)),
        }
    }

    /// Within the context that the model has, nothing is rescaled; beyond it nothing is computed here.
    fn dynamic(&self, rope: Rope) -> Result<Rope> {
        self.number("factor")?;
        if rope.width == 2 {
            return self.refuse("partial_rotary_factor", "a share of more than 2 dimensions for dynamic scaling");
        }
        Ok(rope)
    }

    fn llama3(&self, rope: Rope) -> Result<Rope> {
        let (low, high) = (self.number("low_freq_factor")?, self.number("high_freq_factor")?);
        if low >= high {
            return self.refuse("low_freq_factor", &format!("less than high_freq_factor, {high}"));
        }
        let (factor, original_context) = (self.number("factor")?, self.original_context()?);
        Ok(Rope { scaling: RopeScaling::Llama3 { factor, low, high, original_context }, ..rope })
    }

    fn yarn(&self, rope: Rope) -> Result<Rope> {
        if rope.width != rope.dims {
            return self.refuse("partial_rotary_factor", "an even number of dimensions for yarn scaling");
        }
        if self.get("factor").is_none() {
            return self.refuse("factor", NUMBER);
        }
        if rope.theta == 1.0 {
            return self.refuse("rope_theta", "another number than 1 for yarn scaling");
        }
        let original_context = self.original_context()?;
        let factor = match self.optional("factor")? {
            Some(factor) => factor,
            None => self.whole_context()? / original_context,
        };
        let magnitude = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
        let attention_factor = match self.optional("attention_factor")? {
            Some(attention_factor) => attention_factor,
            None => match (self.non_zero("mscale")?, self.non_zero("mscale_all_dim")?) {
                (Some(scale), Some(all)) => magnitude(scale) / magnitude(all),
                _ => magnitude(1.0),
            },
        };
        let ramp = YarnRamp {
            beta_fast: self.non_zero("beta_fast")?.unwrap_or(32.0),
            beta_slow: self.non_zero("beta_slow")?.unwrap_or(1.0),
            original_context,
            truncate: match self.get("truncate") {
                None => true,
                Some(Value::Bool(flag)) => *flag,
                Some(_) => return self.refuse("truncate", "true or false"),
            },
        };
        Ok(Rope { scaling: RopeScaling::Yarn { factor, ramp }, attention_factor, ..rope })
    }

    fn longrope(&self, rope: Rope) -> Result<Rope> {
        let factors = self.factors("short_factor", rope.dims / 2)?;
        // Read for its shape alone: longer sequences, for which it is, are beyond the context.
        self.factors("long_factor", rope.dims / 2)?;
        let original_context = self.original_context()?;
        let factor = match self.optional("factor")? {
            Some(factor) => factor,
            None => self.whole_context()? / original_context,
        };
        let attention_factor = match self.optional("attention_factor")? {
            Some(attention_factor) => attention_factor,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original_context.ln()).sqrt(),
        };
        Ok(Rope { scaling: RopeScaling::LongRope { factors, original_context }, attention_factor, ..rope })
    }

    fn factors(&self, key: &str, pairs: usize) -> Result<Vec<f64>> {
        let positive = |value: &Value| value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        let list = self.get(key).and_then(Value::as_array);
        match list.and_then(|list| list.iter().map(positive).collect::<Option<Vec<f64>>>()) {
            Some(factors) if factors.len() == pairs => Ok(factors),
            _ => self.refuse(key, &format!("a list of {pairs} numbers above 0, one for each rotated pair")),
        }
    }

    fn proportional(&self, rope: Rope) -> Result<Rope> {
        let turning = (self.share()? * rope.dims as f64 / 2.0).floor() as usize;
        if turning > rope.dims / 2 {
            return self.refuse("partial_rotary_factor", "at most 1");
        }
        let factor = if self.get("factor").is_some() { self.number("factor")? } else { 1.0 };
        Ok(Rope { scaling: RopeScaling::Proportional { turning, factor }, ..rope })
    }

    /// A base of 1 or a context of 1 divides by zero in some scalings.
    fn check_finite(&self, rope: Rope) -> Result<Rope> {
        let all_finite = rope.frequencies().iter().all(|frequency| frequency.is_finite());
        let positive = rope.attention_factor.is_finite() && rope.attention_factor > 0.0;
        if all_finite && positive {
            return Ok(rope);
        }
        let section = self.values.map(|values| Value::Object(values.clone()));
        Err(self.source.wrong(self.name, section.as_ref(), "numbers that give finite frequencies"))
    }
}
