//! Pairs and texts through a real tokenizer; bad data 55 and 57.

use std::fs;
use std::path::PathBuf;

use super::order::Batches;
use super::pairs::{PairOptions, PairSet};
use super::question::{Choice, Question};
use super::text::{TextOptions, TextWindows};
use super::token_tree::{Path, TokenTree};
use super::tokenizer_tests::ci_tokenizer;

fn choice(context: &str, continuation: &str) -> Choice {
    Choice {
        context: context.into(),
        continuation: continuation.into(),
        characters: continuation.trim().chars().count(),
    }
}

fn questions() -> Vec<Question> {
    let contexts =
        ["Question: What falls?\nAnswer:", "Question: What is the colour of the sky on a clear day at noon?\nAnswer:"];
    let make = |context: &&str| Question {
        id: "1".into(),
        choices: vec![choice(context, " rain"), choice(context, " blue light")],
        gold: 1,
    };
    contexts.iter().map(make).collect()
}

const OPTIONS: PairOptions = PairOptions { batch_size: 2, seed: 1, group_by_length: false, max_tokens: 100 };

#[test]
fn only_the_answer_is_a_target() {
    let tokenizer = ci_tokenizer();
    let pairs = PairSet::new("train", &questions(), &tokenizer, OPTIONS).unwrap();
    let both = pairs.pairs([0, 1]);
    let answers: Vec<i64> = both.targets.iter().map(|(_, id)| *id).collect();
    assert_eq!(tokenizer.decode(&answers).unwrap(), " blue light blue light");
    // The row before the first target is the last token of the context.
    let first = both.targets[0].0;
    assert_eq!(tokenizer.decode(&both.batch.ids[..=first]).unwrap(), "Question: What falls?\nAnswer:");
    assert_eq!(both.batch.sequences[1].start, both.batch.sequences[0].len);
    assert_eq!(pairs.batch(7), pairs.batch(7));
    assert_eq!((pairs.batches_per_epoch(), pairs.truncated()), (1, 0));
}

#[test]
fn no_55_samples_longer_than_the_context() {
    let tokenizer = ci_tokenizer();
    let message = |max_tokens| {
        PairSet::new("train.jsonl", &questions(), &tokenizer, PairOptions { max_tokens, ..OPTIONS })
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(6),
        "train.jsonl: every one of 2 samples is longer than the context of 6 tokens. Raise the limit, or take a model with a longer context"
    );
    assert!(
        message(1).starts_with("question \"1\": 4 tokens of answer do not fit in a context of 1 tokens"),
        "{}",
        message(1)
    );
    let some = PairSet::new("train", &questions(), &tokenizer, PairOptions { max_tokens: 20, ..OPTIONS }).unwrap();
    assert_eq!(some.truncated(), 1);
}

#[test]
fn white_space_at_the_end_of_a_context_is_scored() {
    let tokenizer = ci_tokenizer();
    let spaced = Path::encode(&tokenizer, &choice("The sky is ", "blue"), "q").unwrap();
    let plain = Path::encode(&tokenizer, &choice("The sky is", " blue"), "q").unwrap();
    assert_eq!(spaced, plain);
    let empty = Path::encode(&tokenizer, &choice("", " blue"), "q").unwrap();
    assert_eq!((empty.tokens[0], empty.answer_start), (0, 1));
    let nothing = Path::encode(&tokenizer, &choice("The sky", ""), "question \"9\"");
    let nothing = nothing.unwrap_err().to_string();
    assert_eq!(
        nothing,
        "question \"9\": the answer \"\" has no token of its own after its context. Remove the question"
    );
}

#[test]
fn a_question_shares_its_context() {
    let tokenizer = ci_tokenizer();
    let question = &questions()[0];
    let tree = TokenTree::of_question(&tokenizer, question, 100).unwrap();
    let context = tokenizer.encode("Question: What falls?\nAnswer:").unwrap();
    assert_eq!(tree.ids[..context.len()], context);
    let spelled = |choice: &Vec<usize>| {
        tokenizer.decode(&choice.iter().map(|edge| tree.targets[*edge].1).collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(tree.choices.iter().map(spelled).collect::<Vec<_>>(), [" rain", " blue light"]);
}

#[test]
fn texts_are_read_in_order_and_bad_ones_refused() {
    let tokenizer = ci_tokenizer();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let options = TextOptions { sequence_length: 4, batch_size: 1, seed: 0 };
    let read = |files: &[PathBuf]| {
        TextWindows::read(files, &tokenizer, options)
            .map_err(|e| e.to_string().replace(&format!("{}/", folder.path().display()), ""))
    };
    let (one, two) =
        (file("a.txt", b"The sky is blue and wide.\n"), file("b.txt", "Rain falls — often.\r\n".as_bytes()));
    let text = read(&[one.clone(), two]).unwrap();
    let ids = text.windows(0..text.len()).batch.ids;
    assert!(
        "The sky is blue and wide.\nRain falls — often.\r\n"
            .starts_with(&tokenizer.decode(&ids).unwrap().trim_end_matches('\u{fffd}').to_owned())
    );
    assert!(read(&[folder.path().join("no.txt")]).unwrap_err().starts_with("no.txt: cannot read: No such file"));
    assert_eq!(
        read(&[one.clone(), file("c.txt", b" \n")]).unwrap_err(),
        "c.txt: no text in it (2 bytes). Fetch the data set again"
    );
    assert_eq!(
        read(&[file("d.txt", b"ab\0c")]).unwrap_err(),
        "d.txt: a NUL at byte 2: found a binary file, expected text"
    );
    assert_eq!(read(&[file("e.txt", b"ab\xff")]).unwrap_err(), "e.txt: not UTF-8 from byte 2. Save the file as UTF-8");
    assert!(
        read(&[file("f.txt", b"a")]).unwrap_err().contains("f.txt: found 1 tokens, expected at least one window of 4")
    );
}
