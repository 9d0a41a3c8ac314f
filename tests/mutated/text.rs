//! Mutations of text and of bytes that know nothing of what they mean, and of lines that read `key = value`.

use super::{odd, random::Random};

/// One to three small changes of any bytes; says which.
pub fn spoil(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let times = 1 + random.below(3);
    (0..times).map(|_| once(bytes, random)).collect::<Vec<_>>().join(", ")
}

fn once(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(40)).min(bytes.len());
    match random.below(9) {
        0 if !bytes.is_empty() => {
            bytes[at] ^= 1 << random.below(8);
            format!("a bit at {at}")
        }
        1 => {
            bytes.drain(at.min(end)..end);
            format!("without {at}..{end}")
        }
        2 => {
            let copy = bytes[at.min(end)..end].to_vec();
            bytes.splice(at..at, copy);
            format!("{at}..{end} twice")
        }
        3 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        4 => {
            let depth = 10 << random.below(14);
            bytes.splice(at..at, odd::nest(depth));
            format!("a nest of {depth} at {at}")
        }
        5 => line(bytes, random),
        _ => {
            let piece = *random.pick(&odd::PIECES);
            bytes.splice(at..at, piece.iter().copied());
            format!("{:?} at {at}", String::from_utf8_lossy(piece))
        }
    }
}

/// A line gone, twice, or in another place.
fn line(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    let (from, to) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(3) {
        0 => drop(lines.remove(from)),
        1 => lines.insert(to, lines[from].clone()),
        _ => lines.swap(from, to),
    }
    *bytes = lines.concat();
    format!("lines {from} and {to}")
}

/// Another value, key or section in a text of TOML.
pub fn toml(text: &mut Vec<u8>, random: &mut Random) -> String {
    if random.once_in(4) {
        return spoil(text, random);
    }
    let mut lines: Vec<String> = String::from_utf8_lossy(text).lines().map(str::to_owned).collect();
    let written: Vec<usize> = (0..lines.len()).filter(|&line| lines[line].contains(" = ")).collect();
    let at = *random.pick(&written);
    let (key, value) =
        lines[at].split_once(" = ").map(|(key, value)| (key.to_owned(), value.to_owned())).expect("a line");
    let odd = *random.pick(&odd::TOML);
    let changed = match random.below(6) {
        0 => format!("{key}x = {value}"),
        1 => format!("{key} = {value}\n{key}.x = {odd}"),
        2 => format!("[{key}]\nuse = {odd}"),
        _ => format!("{key} = {odd}"),
    };
    lines[at] = changed.clone();
    *text = lines.join("\n").into_bytes();
    format!("line {}: {changed:?}", at + 1)
}
