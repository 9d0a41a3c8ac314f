//! Tensors of weight files that are no weights here: buffers that older versions saved, and parts of quantised weights.
//!
//! Buffers are passed over by name in every family, as Transformers does (`_keys_to_ignore_on_load_unexpected`, and whatever
//! ends in `rotary_emb.inv_freq` or `position_ids`). Quantised weights are refused: what stands for them here is another tensor.

/// Advice for a quantised model.
pub(crate) const DEQUANTISE: &str = "quantised weights are not read; take the model's folder in bf16, fp16 or fp32, or write one with \
                              Transformers (from_pretrained, dequantize, save_pretrained)";

/// Ends of names of buffers: frequencies and tables of rotary positions, causal masks, position numbers.
const BUFFERS: [&str; 7] =
    ["inv_freq", "original_inv_freq", "cos_cached", "sin_cached", "masked_bias", "causal_mask", "position_ids"];
/// The modules whose `bias` is a causal mask; real biases belong to the projections inside.
const MASKED_MODULES: [&str; 4] = ["attn", "self_attn", "attention", "crossattention"];
/// Ends of names that GPTQ, AWQ, bitsandbytes, compressed-tensors, FP8, MXFP4, EETQ, AQLM, HQQ and quanto use.
const QUANTISED: [&str; 29] = [
    "qweight",
    "qzeros",
    "scales",
    "g_idx",
    "SCB",
    "weight_format",
    "absmax",
    "nested_absmax",
    "quant_map",
    "nested_quant_map",
    "weight_scale",
    "weight_scale_inv",
    "weight_scales",
    "weight_scale_2",
    "weight_global_scale",
    "weight_zero_point",
    "weight_packed",
    "weight_shape",
    "weight_g_idx",
    "input_scale",
    "input_zero_point",
    "input_global_scale",
    "output_scale",
    "k_scale",
    "v_scale",
    "codes",
    "codebooks",
    "W_q",
    "_data",
];

/// True where a name that no weight has is one of a buffer.
pub(super) fn is_buffer(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    match parts.next() {
        Some("bias") => parts.next().is_some_and(|module| MASKED_MODULES.contains(&module)),
        Some(last) => BUFFERS.contains(&last),
        None => false,
    }
}

/// True where a name is one of a part of a quantised weight.
pub(super) fn is_quantised(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    QUANTISED.contains(&last)
        || name.split('.').any(|part| part == "quant_state")
        || ["_blocks", "_scales", "_qdata"].iter().any(|end| last.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_age_and_place() {
        for name in [
            "rotary_emb.inv_freq",
            "model.rotary_emb.inv_freq",
            "model.layers.0.self_attn.rotary_emb.inv_freq",
            "gpt_neox.layers.11.attention.rotary_emb.inv_freq",
            "gpt_neox.layers.0.attention.bias",
            "h.0.attn.bias",
            "transformer.h.0.attn.masked_bias",
            "transformer.h.0.crossattention.bias",
            "model.embed_positions.position_ids",
            "position_ids",
            "model.layers.1.self_attn.rotary_emb.cos_cached",
        ] {
            assert!(is_buffer(name) && !is_quantised(name), "{name}");
        }
        for name in ["h.0.attn.c_attn.bias", "bias", "model.layers.0.self_attn.q_proj.bias", "model.norm.weight"] {
            assert!(!is_buffer(name) && !is_quantised(name), "{name}");
        }
    }

    #[test]
    fn parts_of_quantised_weights() {
        let module = "model.layers.0.self_attn.q_proj";
        for part in [
            "qweight",
            "qzeros",
            "scales",
            "g_idx",
            "SCB",
            "weight.absmax",
            "weight.quant_map",
            "weight.quant_state.bitsandbytes__nf4",
            "weight_scale",
            "weight_scale_inv",
            "weight_packed",
        ] {
            assert!(is_quantised(&format!("{module}.{part}")), "{part}");
        }
        assert!(is_quantised("model.layers.0.mlp.experts.gate_up_proj_blocks"));
    }
}
