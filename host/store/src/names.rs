//! The names that a file inside one of our folders may have.
//!
//! Rule: one to eight parts of `[A-Za-z0-9_.-]{1,100}` divided by `/`, none beginning with a dot, 200 characters in all.
//! So no name is absolute, leads upward, hides, or means something to a shell or to a file system that folds case of letters beyond ASCII.

/// The rule in the words that error messages use.
pub(crate) const FILE_NAME_RULE: &str =
    "a relative name of letters, digits, `_`, `-` and `.`, no part of which begins with a dot";

/// True if `name` may be listed in a manifest.
pub fn is_file_name(name: &str) -> bool {
    name.len() <= 200 && name.split('/').count() <= 8 && name.split('/').all(is_name_part)
}

/// True if `name` may name a stage, a file at the top of a folder, or one part of a longer name.
pub fn is_name_part(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// True if `name` may name a tensor: `[A-Za-z0-9_.]{1,200}`.
pub(crate) fn is_tensor_name(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for good in ["model.safetensors", "tokenizer/tokenizer.json", "a-b_c.1"] {
            assert!(is_file_name(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", ".hidden", "a\\b", "c:x", "a b", "é", "a/"] {
            assert!(!is_file_name(bad), "{bad}");
        }
        assert!(!is_file_name(&"a/".repeat(9)) && !is_file_name(&"a".repeat(101)));
    }

    #[test]
    fn tensor_names_are_plain() {
        assert!(is_tensor_name("model.layers.0.self_attn.q_proj.weight"));
        for bad in ["", "a/b", "a-b", "x\0", "x\n", "\u{202e}x"] {
            assert!(!is_tensor_name(bad), "{bad:?}");
        }
        assert!(is_tensor_name(&"x".repeat(200)) && !is_tensor_name(&"x".repeat(201)));
    }
}
