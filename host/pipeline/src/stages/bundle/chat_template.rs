//! A chat template without its comments: they print nothing, and may say who wrote them for what.
//!
//! Jinja's lexer, as far as it decides what a comment is: `{# … #}` outside of `{{ … }}`, `{% … %}`, the strings in these and
//! raw blocks. The marks `-` and `+` of a comment stay, for they strip or keep the blanks around it.

/// The template with every comment empty.
pub fn without_comments(template: &str) -> String {
    let (mut rest, mut written) = (template, String::with_capacity(template.len()));
    while let Some(at) = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        let (text, tag) = rest.split_at(at);
        written.push_str(text);
        let length = if tag.starts_with("{#") { comment(tag, &mut written) } else { code(tag, &mut written) };
        rest = tag.get(length..).unwrap_or_default();
    }
    written.push_str(rest);
    written
}

/// Writes a comment's marks; gives its length. One without an end reaches to the end of the template.
fn comment(tag: &str, written: &mut String) -> usize {
    let end = tag.get(2..).and_then(|inner| inner.find("#}")).map_or(tag.len(), |at| at + 4);
    let inner = tag.get(2..end.saturating_sub(2)).unwrap_or_default();
    let mark = |found: Option<char>| found.filter(|mark| "-+".contains(*mark));
    let first = mark(inner.chars().next());
    let last = mark(inner.chars().last()).filter(|_| inner.len() > 1);
    written.push_str("{#");
    written.extend(first);
    // The blank keeps a mark at the end from being one at the beginning.
    written.push(' ');
    written.extend(last);
    written.push_str("#}");
    end
}

/// Writes an expression or statement as it is, a raw block to its end; gives its length.
fn code(tag: &str, written: &mut String) -> usize {
    let mut end = code_end(tag);
    let is_raw =
        tag.get(2..end).is_some_and(|inner| inner.trim_start_matches(['-', '+', ' ', '\n', '\t']).starts_with("raw"));
    if tag.starts_with("{%") && is_raw {
        let close = tag
            .match_indices("endraw")
            .find_map(|(at, word)| Some(at + word.len() + tag.get(at + word.len()..)?.find("%}")? + 2));
        end = close.unwrap_or(tag.len());
    }
    written.push_str(tag.get(..end).unwrap_or_default());
    end
}

/// The length of `{{ … }}` or `{% … %}`; braces and quotes within strings do not end it.
fn code_end(tag: &str) -> usize {
    let close = if tag.starts_with("{{") { "}}" } else { "%}" };
    let (mut quote, mut skip) = (None, false);
    // Braces of a dictionary inside an expression come before the close: `{{ {'a': {}} }}`.
    let mut open = 0_usize;
    for (at, letter) in tag.char_indices().skip(2) {
        match (quote, letter) {
            _ if skip => skip = false,
            (Some(_), '\\') => skip = true,
            (Some(mark), letter) if mark == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, _) if open == 0 && tag.get(at..).is_some_and(|rest| rest.starts_with(close)) => return at + 2,
            (None, '{') => open += 1,
            (None, '}') => open = open.saturating_sub(1),
            (None, _) => {}
        }
    }
    tag.len()
}

#[cfg(test)]
mod tests {
    use super::without_comments;

    /// Both forms print the same in Jinja 3.1 with `trim_blocks` and `lstrip_blocks`, as Transformers renders: tried with
    /// Python for each of these.
    #[test]
    fn comments_are_emptied_and_nothing_else_changes() {
        let cases = [
            ("a {# secret #} b", "a {# #} b"),
            ("a {#- secret -#} b", "a {#- -#} b"),
            ("a {#+ x #}{# y -#} b", "a {#+ #}{# -#} b"),
            ("{##}{#-#}{#--#}", "{# #}{#- #}{#- -#}"),
            ("{{ '{# kept #}' }}{#gone#}", "{{ '{# kept #}' }}{# #}"),
            ("{{ \"it's {#\" }}{# gone #}", "{{ \"it's {#\" }}{# #}"),
            ("{{ 'it\\'s }} {#' }}{# gone #}", "{{ 'it\\'s }} {#' }}{# #}"),
            (
                "{% set x = {'a': {'b': 1}} %}{{ x['a']['b'] }}{# gone #}",
                "{% set x = {'a': {'b': 1}} %}{{ x['a']['b'] }}{# #}",
            ),
            ("{{ {'a': {'b': '{# kept #}'}} }}{# gone #}", "{{ {'a': {'b': '{# kept #}'}} }}{# #}"),
            ("{% raw %}{# kept #}{% endraw %}{# gone #}", "{% raw %}{# kept #}{% endraw %}{# #}"),
            ("{%- raw -%} {# kept #} {%- endraw -%} {# gone #}", "{%- raw -%} {# kept #} {%- endraw -%} {# #}"),
            ("no comment, {{ x }} { # } #}", "no comment, {{ x }} { # } #}"),
            ("{# äöü €\n\n two lines #}\nend", "{# #}\nend"),
        ];
        for (template, expected) in cases {
            assert_eq!(without_comments(template), expected);
        }
        // A template that Jinja refuses: nothing of it is printed, and nothing panics.
        assert_eq!(without_comments("a {# never closed"), "a {# #}");
        assert_eq!(without_comments("{{ never closed {# x"), "{{ never closed {# x");
    }
}
