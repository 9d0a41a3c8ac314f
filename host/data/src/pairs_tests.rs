//! Pairs and texts through a real tokenizer; bad data 55 and 57.

use std::fs;
use std::path::PathBuf;

use super::order::Batches;
use super::pairs::{PairOptions, PairSet};
use super::path::{Path, encode_all};
use super::question::{Choice, Question};
use super::text::{TextOptions, TextWindows};
use super::token_tree::TokenTree;
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
        message(1).starts_with("question \"1\", answer \" blue light\": 4 tokens do not fit in a context of 1 tokens"),
        "{}",
        message(1)
    );
    let some = PairSet::new("train", &questions(), &tokenizer, PairOptions { max_tokens: 20, ..OPTIONS }).unwrap();
    assert_eq!(some.truncated(), 1);
}

#[test]
fn white_space_at_the_end_of_a_context_is_scored() {
    let tokenizer = ci_tokenizer();
    let tokens = |context: &str, answer: &str| {
        let path = Path::encode(&tokenizer, &choice(context, answer), "q").unwrap().unwrap();
        (path.tokens, path.answer_start)
    };
    assert_eq!(tokens("The sky is ", "blue"), tokens("The sky is", " blue"));
    let empty = Path::encode(&tokenizer, &choice("", " blue"), "q").unwrap().unwrap();
    assert_eq!((empty.tokens[0], empty.answer_start), (0, 1));
    let lent = Path::encode(&tokenizer, &choice("", "<|endoftext|> blue"), "q").unwrap().unwrap();
    assert_eq!(lent.tokens, empty.tokens);
}

#[test]
fn answers_without_a_token_are_told_at_once() {
    let tokenizer = ci_tokenizer();
    let bad = |id: &str, gold| Question {
        id: id.into(),
        choices: vec![choice(" th", "e"), choice(" th", "at"), choice(" th", " one")],
        gold,
    };
    let all = [bad("1", 0), bad("2", 2), bad("Mercury_7", 1)];
    let advice = "since the tokenizer joins it with the end of the context";
    let message =
        encode_all("task `t`", &tokenizer, &all, |question| 0..question.choices.len()).unwrap_err().to_string();
    assert_eq!(
        message,
        format!(
            "task `t`: 3 of 3 questions have an answer without a token of its own, {advice}: question \"1\" (\"e\" after \" th\"), \
             question \"2\" (\"e\" after \" th\"), question \"Mercury_7\" (\"e\" after \" th\"). \
             Let the answers begin with a space (`target_delimiter`), or remove these questions"
        )
    );
    // Tuning sees the right answers alone.
    let message = PairSet::new("train.jsonl", &all, &tokenizer, OPTIONS).unwrap_err().to_string();
    let expected = "train.jsonl: 2 of 3 questions have an answer without a token of its own";
    assert!(message.starts_with(expected) && message.contains("(\"at\" after \" th\")"), "{message}");
}

#[test]
fn a_token_across_the_join_is_split_as_in_the_harness() {
    let tokenizer = ci_tokenizer();
    let pieces = |choice| {
        let path = Path::encode(&tokenizer, &choice, "q").unwrap().unwrap();
        let text = |ids: &[i64]| ids.iter().map(|id| tokenizer.decode(&[*id]).unwrap()).collect::<Vec<_>>();
        (text(path.context()), text(&path.tokens[path.answer_start..]))
    };
    // lm-evaluation-harness 0.4.13, _encode_pair(" th", "e cat"): " the" of the joint encoding stands for the context's " th".
    let both = (vec![" th".to_owned()], vec![" c".to_owned(), "at".to_owned()]);
    assert_eq!(pieces(choice(" th", "e cat")), both);
    assert_eq!(pieces(choice(" th", "at cat")), both);
}

#[test]
fn a_question_shares_its_context() {
    let tokenizer = ci_tokenizer();
    let question = &questions()[0];
    let paths =
        encode_all("t", &tokenizer, std::slice::from_ref(question), |question| 0..question.choices.len()).unwrap();
    let tree = TokenTree::of_paths(&paths[0], 100, "q").unwrap();
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
    let options = TextOptions { block_length: 4, batch_size: 1, seed: 0 };
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
