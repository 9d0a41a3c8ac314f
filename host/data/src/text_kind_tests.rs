//! Files that pass as running text, and others.

use super::{foreign_bytes, foreign_text};

fn found(text: &str) -> Option<&'static str> {
    foreign_text(text, true).map(|kind| kind.name)
}

#[test]
fn json_is_no_prose() {
    let line = r#"{"text": "Rain falls.", "id": 1}"#;
    assert_eq!(found(&format!("{line}\n{line}\n")), Some("JSON Lines"));
    assert_eq!(found(&format!("\n{line}\r\n\r\n{line}")), Some("JSON Lines"));
    // Python writes NaN, which is no JSON; a line may be broken.
    assert_eq!(found(&format!("{line}\n{{\"text\": NaN}}\n{line}")), Some("JSON Lines"));
    assert_eq!(found("[\"a\", \"b\"]\n[\"c\", \"d\"]"), Some("JSON Lines"));
    assert_eq!(found(line), Some("JSON"));
    assert_eq!(found("[\n  {\n    \"text\": \"Rain falls.\"\n  }\n]\n"), Some("JSON"));
    assert_eq!(found("[\n {\"score\": NaN,\n \"text\": \"Rain\"}\n]"), Some("JSON"));
    assert_eq!(found("[\"One.\",\n\"Two.\"]"), Some("JSON"));
    let long = format!("{}\n", line.replace("Rain", &"Rain ".repeat(100))).repeat(1000);
    assert_eq!(found(&long), Some("JSON Lines"));
}

#[test]
fn tables_are_no_prose() {
    let comma = Some("a table of comma-separated values");
    assert_eq!(found("prompt,completion\nWhat falls?,Rain\n"), comma);
    assert_eq!(found("id,text\n1,\"Rain falls,\nand stops.\"\n2,\"It is \"\"hot\"\".\"\n"), comma);
    assert_eq!(found("city,country\nParis,France\nRome,Italy\nBerlin,Germany"), comma);
    assert_eq!(found("Question?, Answer\nWhat falls?, Rain"), None);
    assert_eq!(found("question, answer\nWhat falls?, Rain"), comma);
    assert_eq!(found("How many? (1-3),Who\n1,I\n2,you\n3,we"), comma);
    assert_eq!(
        found("\"What falls, and why?\",\"Rain\"\n\"Who?\",\"I\"\n\"Where?\",\"Here\"\n\"When?\",\"Now\""),
        comma
    );
    assert_eq!(found("\"Hello,\" he said, \"there.\"\n\"No,\" I said, \"here.\"\n\"So,\" he said, \"be it.\"\n"), None);
    assert_eq!(found("question\tanswer\nWhat falls?\tRain\n"), Some("a table of tab-separated values"));
    assert_eq!(
        found("Frage;Antwort\nWas?;Regen\nWer?;Ich\nWo?;Hier\n"),
        Some("a table of values separated by semicolons")
    );
}

#[test]
fn prose_and_code_pass() {
    for text in [
        "{ This begins with a brace, and \"quotes\" a word: so.\nIt goes on [1], and ends.\n}",
        "[Chorus]\nAll the day,\nall the night\n[1]\n[2]",
        "{\"a\": 1} is an object in JSON. A list is written so:\n[1, 2]\nand that is all.\n",
        "Roses are red, violets are blue,\nSugar is sweet, and so are you.\nSo it goes, and goes.\nAnd ends, at last.",
        "Hello, world\nGood bye, moon\nSo long, sun\nAnd so, on",
        "= Robert Boulter =\n\n Robert Boulter is an English film , television and theatre actor .\n He had a role .\n",
        "# Title\n\n```json\n{\"a\": 1}\n{\"b\": 2}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        "fn main() {\n    println!(\"{}\", [1, 2].len());\n}\n",
        "import os, sys\nx = {\n}\ny = [\n]\n",
        "int a;\nint b;\nchar c;\nlong d;\n",
        "{\n}\n{\n}\n",
        "[]",
        "<html><body>Text</body></html>",
        "name\nAnn\nBob\n",
        "text",
    ] {
        assert_eq!(found(text), None, "{text}");
    }
}

#[test]
fn containers_are_known_by_their_first_bytes() {
    let found = |bytes: &[u8]| foreign_bytes(bytes).map(|kind| kind.name);
    assert_eq!(found(b"PAR1\x15\x04\x15"), Some("a Parquet file"));
    assert_eq!(found(b"PAR1 is the mark of a Parquet file."), None);
    assert_eq!(found(b"\x1f\x8b\x08\0"), Some("a gzip archive"));
    assert_eq!(found(b"PK\x03\x04\x14\0"), Some("a ZIP archive, or an office document"));
    assert_eq!(found(b"BZh91AY&SY\0"), Some("a bzip2 archive"));
    assert_eq!(found(b"BZh is how bzip2 begins"), None);
    assert_eq!(found(b"%PDF-1.7\n"), Some("a PDF document"));
    assert_eq!(found(b"SQLite format 3\0\x10"), Some("an SQLite database"));
    assert_eq!(found(b"ARROW1\0\0"), Some("an Arrow file"));
    assert_eq!(found(b""), None);
}
